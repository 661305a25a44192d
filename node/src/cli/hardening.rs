//! What the operating system is told about this process first of all: no core dump, no debugger, no files for others, and as
//! many open files as it may have.
//!
//! A node's memory holds keys and what it is asked. A dump of it would lie on a disk, and a debugger of the same user could
//! read it while it runs. Neither holds against the system's administrator.

use std::io;

/// Turns off core dumps and debugging (on Linux), makes new files their owner's alone, and raises the limit of open files to what the
/// system lets this user have: it is often 1,024, and each connection is one. Called first thing in `main`:
/// each process does it for itself, because a started program begins with the system's defaults again.
///
/// # Errors
/// The first refusal of the system; the process can go on, less well guarded.
pub fn harden() -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

        umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // Some systems call their most unlimited and refuse it all the same: what was allowed before serves as well.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};

        // Also without a limit's leave: a dump that is piped to a program ignores limits.
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}
