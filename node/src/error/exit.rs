//! The exit codes of `bombyx`: one enum, one table.

use std::fmt::Write as _;
use std::process::ExitCode;

/// Why the process ends, as its parent sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitKind {
    /// All went well.
    Ok = 0,
    /// Something that has no kind of its own.
    Unexpected = 1,
    /// A flag, an argument or a verb is wrong.
    Usage = 2,
    /// A multiaddr cannot be used.
    Multiaddr = 10,
    /// A model has no manifest here.
    UnknownModel = 11,
    /// A file of a model is not what its manifest says.
    CorruptModel = 12,
    /// The configuration, a key file or the store cannot be used.
    Config = 13,
    /// A port is taken.
    AddressInUse = 14,
    /// ONNX Runtime is missing or cannot be used.
    Runtime = 15,
    /// Something that is needed could not be fetched.
    Fetch = 16,
    /// The store of channels is lost, damaged or another node's.
    Store = 17,
    /// Nobody bid.
    NoBids = 20,
    /// Every bid can cost more than was allowed.
    Price = 21,
    /// The wallet does not hold enough.
    Funds = 22,
    /// Every provider that was tried failed, or the order's deadline passed.
    Provider = 23,
    /// The ledger does not answer, or refuses.
    Ledger = 24,
    /// No peer can be reached.
    NoPeer = 25,
    /// The order cannot be taken.
    Order = 26,
    /// Something was sent to the ledger, and whether it was executed cannot be told yet.
    Unknown = 27,
    /// Nobody that can be found sells the model.
    NoSeller = 28,
    /// A mistake in Bombyx itself.
    Bug = 70,
}

/// Every kind with its line in the table of the manual.
const TABLE: [(ExitKind, &str); 21] = [
    (ExitKind::Ok, "all went well"),
    (ExitKind::Unexpected, "anything that is not in this table"),
    (ExitKind::Usage, "a flag, an argument or a verb is wrong"),
    (ExitKind::Multiaddr, "a multiaddr cannot be used"),
    (ExitKind::UnknownModel, "no manifest of that model is known here"),
    (ExitKind::CorruptModel, "a file of a model is not what its manifest says"),
    (ExitKind::Config, "the configuration or a key file cannot be used, or the store not by this version"),
    (ExitKind::AddressInUse, "an address or the home directory is in use by another process"),
    (ExitKind::Runtime, "ONNX Runtime is missing or cannot be used"),
    (ExitKind::Fetch, "something could not be fetched: no Python, no pip, no network, or a wrong hash"),
    (ExitKind::Store, "the store of channels is lost, damaged or another node's"),
    (ExitKind::NoBids, "no provider bid before the deadline"),
    (ExitKind::Price, "what is bid can cost more, or asks more, than the order allows"),
    (ExitKind::Funds, "the wallet does not hold enough"),
    (ExitKind::Provider, "the providers failed, or the order's deadline passed"),
    (ExitKind::Ledger, "the ledger does not answer, or refuses"),
    (ExitKind::NoPeer, "no peer can be reached"),
    (
        ExitKind::Order,
        "the order cannot be taken: empty, over the model's context or another limit, of the wrong kind",
    ),
    (ExitKind::Unknown, "sent to the ledger, and not known yet whether it was executed: do not repeat it"),
    (ExitKind::NoSeller, "nobody that can be found sells the model"),
    (ExitKind::Bug, "a mistake in Bombyx; please report it"),
];

impl ExitKind {
    /// Returns the number that the process ends with.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the kind that a process ends with for this number; [`Self::Unexpected`] for one that
    /// is none.
    #[must_use]
    pub fn of(number: u8) -> Self {
        TABLE
            .into_iter()
            .map(|(kind, _)| kind)
            .find(|kind| kind.number() == number)
            .unwrap_or(Self::Unexpected)
    }

    /// Returns the table of all codes as text, for `--help` and the manual.
    #[must_use]
    pub fn table() -> String {
        let mut text = String::from("Exit codes:\n");
        for (kind, meaning) in TABLE {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {:>3}  {meaning}", kind.number());
        }
        text
    }
}

impl From<ExitKind> for ExitCode {
    fn from(kind: ExitKind) -> Self {
        Self::from(kind.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_once_in_the_table_and_in_order() {
        let numbers: Vec<u8> = TABLE.iter().map(|(kind, _)| kind.number()).collect();
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(numbers, sorted);
        assert!(ExitKind::table().contains(" 70  a mistake"));
    }
}
