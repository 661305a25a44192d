//! Signals: the first asks the node to end in order, the second ends the process at once.

use crate::error::exit::ExitKind;

/// Returns at the first SIGINT or SIGTERM. From then on a second one ends the process: everything that was promised is
/// on disk already.
///
/// # Errors
/// What the system says when signals cannot be received.
pub(crate) async fn requested() -> std::io::Result<()> {
    let mut signals = Signals::new()?;
    signals.next().await;
    tokio::spawn(async move {
        signals.next().await;
        tracing::warn!("ended at once by a second signal");
        std::process::exit(i32::from(ExitKind::Unexpected.number()));
    });
    Ok(())
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // Without a way to hear the key the node runs until it is ended from outside.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
