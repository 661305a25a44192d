//! Runs child processes with a deadline. However much they print, a full pipe never stops them.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// Time between two looks at a running child.
const POLL: Duration = Duration::from_millis(50);
/// How long a child that has ended may keep its output open.
const OUTPUT_DEADLINE: Duration = Duration::from_secs(5);
/// Output kept of a child, in bytes; the rest is read and dropped.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// Exit status and output of a child.
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a command to its end; returns `None` if the deadline passed and the child was killed.
pub(super) fn run(
    mut command: Command,
    deadline: Duration,
    on_poll: &mut dyn FnMut(),
) -> io::Result<Option<Output>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let Some(status) = wait(&mut child, deadline, on_poll)? else {
        return Ok(None);
    };
    // A grandchild may hold the pipe open for ever, so the wait for the output has an end too.
    let text = |output: Receiver<String>| output.recv_timeout(OUTPUT_DEADLINE).unwrap_or_default();
    Ok(Some(Output { status, stdout: text(stdout), stderr: text(stderr) }))
}

/// Waits for the exit status; returns `None` if the deadline passed and the child was killed.
fn wait(child: &mut Child, deadline: Duration, on_poll: &mut dyn FnMut()) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        on_poll();
        thread::sleep(POLL);
    }
}

/// Reads a pipe to its end on a thread of its own, so that a full pipe never stops the child.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            // A broken pipe ends the output; what came before is still worth showing.
            let _ = (&mut pipe).take(OUTPUT_BYTES_MAX).read_to_end(&mut kept);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        // The receiver is gone if the deadline passed.
        let _ = sender.send(String::from_utf8_lossy(&kept).into_owned());
    });
    receiver
}
