//! The innermost cause of a transport's error: libp2p wraps it in layers that each repeat its text.

use std::error::Error;
use std::io;

/// Returns the cause at the bottom of `error`, which may be `error` itself.
pub(super) fn innermost(error: &io::Error) -> &(dyn Error + 'static) {
    let mut cause: &(dyn Error + 'static) = error;
    loop {
        // An `io::Error` around another error names as its source only that error's source.
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| cause.source());
        match inner {
            Some(inner) => cause = inner,
            None => return cause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_found_under_layers_of_wrapping() {
        let bottom = io::Error::from(io::ErrorKind::AddrInUse);
        let wrapped = io::Error::other(io::Error::other(bottom));
        assert_eq!(innermost(&wrapped).to_string(), "address in use");
        assert_eq!(innermost(&io::Error::other("text")).to_string(), "text");
    }
}
