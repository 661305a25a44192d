//! Why a command fails, and its exit code.

const USAGE: u8 = 2;
const BROKEN: u8 = 3;

/// Why a command ends with another code than 0.
pub(crate) struct CommandError {
    pub(crate) code: u8,
    pub(crate) what: String,
}

impl CommandError {
    pub(crate) fn usage(error: impl ToString) -> Self {
        Self { code: USAGE, what: error.to_string() }
    }

    pub(crate) fn broken(error: impl ToString) -> Self {
        Self { code: BROKEN, what: error.to_string() }
    }
}
