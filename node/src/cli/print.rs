//! The one printer of the command line: data to stdout, everything else to stderr, progress on a terminal only.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

use bombyx_gpu::digest::Advance;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Writes what a verb has to say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printer {
    /// Whether stdout carries JSON objects instead of text.
    pub json: bool,
}

impl Printer {
    /// Prints data: `text` for people, `value` as one line of JSON where that was asked for.
    pub(super) fn data(self, value: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            match serde_json::to_string(value) {
                Ok(line) => self.line(&line),
                Err(error) => self.note(&format!("cannot write JSON: {error}")),
            }
        } else {
            self.line(&text());
        }
    }

    /// Prints one line of data.
    pub(super) fn line(self, line: &str) {
        // A reader that is gone, as with `| head`, is no error.
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    /// Prints a piece of data without an end of line, shown at once.
    pub(super) fn piece(self, text: &str) {
        let mut out = std::io::stdout();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Prints a remark to stderr.
    pub(super) fn note(self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Prints an error with what to do about it.
    pub(super) fn error(self, error: &impl Display, hint: &str) {
        self.note(&format!("error: {error}\nhint: {hint}"));
    }
}

/// Shows how far fetching and checking has come: a bar on a terminal, one line for each piece of work elsewhere.
pub(super) struct Bars {
    bar: Option<ProgressBar>,
    terminal: bool,
    what: String,
}

impl Default for Bars {
    fn default() -> Self {
        Self { bar: None, terminal: std::io::stderr().is_terminal(), what: String::new() }
    }
}

impl Bars {
    /// Takes one report of progress.
    pub(super) fn show(&mut self, advance: Advance<'_>) {
        if self.what != advance.what {
            self.what = advance.what.to_owned();
            self.finish();
            if self.terminal {
                let bar = ProgressBar::new(advance.total);
                let template = "{msg:40!} {bar:30} {bytes:>10}/{total_bytes} {eta}";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar.set_message(self.what.clone());
                self.bar = Some(bar);
            } else if advance.what.starts_with("fetching") {
                let _ = writeln!(std::io::stderr(), "{} ({} MB)", advance.what, advance.total / 1_000_000);
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_length(advance.total);
            bar.set_position(advance.done);
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.finish();
    }
}
