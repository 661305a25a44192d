//! `Delay` on tokio's clock instead of a thread that watches the real one.
//!
//! libp2p takes every timer from the crate of this name. When the clock of the runtime is paused, its timers stand still
//! with it, and jump with it to the next moment at which anything is due.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// For ever, as far as a simulation is concerned.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A timer that is over once a duration has passed since its creation or its last reset.
#[derive(Debug)]
pub struct Delay {
    until: Instant,
    /// Registered at the first poll: timers are also made where no runtime is.
    sleep: Option<Pin<Box<Sleep>>>,
}

fn after(duration: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(duration).unwrap_or_else(|| now + FOR_EVER)
}

impl Delay {
    /// Creates a timer of `duration` from now on.
    #[must_use]
    pub fn new(duration: Duration) -> Self {
        Self { until: after(duration), sleep: None }
    }

    /// Begins again with `duration`.
    pub fn reset(&mut self, duration: Duration) {
        self.until = after(duration);
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(self.until);
        }
    }
}

impl Future for Delay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.until;
        self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until))).as_mut().poll(cx)
    }
}
