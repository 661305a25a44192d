//! Data for standard output, whose reader may be gone: `simnet list | head` is no mistake.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _, stdout};
use std::process::exit;

/// Writes a line to standard output; ends the program if nobody can take it any longer.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::say::line(format_args!($($text)*))
    };
}
pub(crate) use say;

pub(crate) fn line(text: Arguments<'_>) {
    match writeln!(stdout(), "{text}").map_err(|error| (error.kind(), error)) {
        Ok(()) => {}
        Err((ErrorKind::BrokenPipe, _)) => exit(0),
        Err((_, error)) => {
            eprintln!("error: cannot write to standard output: {error}");
            exit(1);
        }
    }
}
