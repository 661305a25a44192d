//! Why a ledger did not answer, or refused.

/// Characters of a service's own words that an error repeats.
const REASON_CHARS_MAX: usize = 200;

/// Why a ledger did not answer, or not as hoped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Nobody answered: nothing is known about the account.
    #[error("the ledger at {endpoint} cannot be reached: {reason}; check the address and the network")]
    Unreachable {
        /// Where the ledger should be.
        endpoint: String,
        /// What the last attempt met.
        reason: String,
    },
    /// The ledger refused a request or a message.
    #[error("the ledger refused: {reason}")]
    Refused {
        /// The contract's exit code, when a contract refused.
        exit_code: Option<i32>,
        /// The ledger's own words, shortened.
        reason: String,
    },
    /// The endpoint is one of another network: what it says is about other coins.
    #[error(
        "{endpoint} belongs to network {found}, but this node is set to network {expected}; change `ledger.url` or \
         `ledger.network`"
    )]
    OtherNetwork {
        /// Which endpoint.
        endpoint: String,
        /// The global id of its network.
        found: i32,
        /// The global id of the node's network.
        expected: i32,
    },
    /// Endpoints contradict each other, and no majority decides between them: nothing is known.
    #[error(
        "the ledger's endpoints contradict each other about {what}: {endpoints}; take out the one that is wrong, \
         or add a third"
    )]
    Contradiction {
        /// What they were asked for.
        what: String,
        /// What each of them said.
        endpoints: String,
    },
    /// A list of endpoints that cannot be used as it is.
    #[error("the ledger's endpoint {endpoint} cannot be used: {reason}")]
    Endpoint {
        /// Which one.
        endpoint: String,
        /// What is wrong with it, and what to write.
        reason: String,
    },
    /// An answer that is not in the ledger's format.
    #[error("the ledger's answer cannot be read: {what}")]
    Unreadable {
        /// Which part.
        what: String,
    },
}

impl ChainError {
    pub(super) fn unreadable(what: impl std::fmt::Display) -> Self {
        Self::Unreadable { what: what.to_string() }
    }

    /// Returns a refusal in a service's own words, shortened; a contract's exit code stands after
    /// `exitcode=` in them.
    pub(super) fn refusal(words: &str) -> Self {
        let reason = words.chars().take(REASON_CHARS_MAX).collect();
        Self::Refused { exit_code: exit_code(words), reason }
    }

    /// Returns the exit code of the contract that refused a message. Any other error leaves
    /// open whether the message was passed on. (`LE-6`)
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Refused { exit_code, .. } => *exit_code,
            Self::Unreachable { .. }
            | Self::OtherNetwork { .. }
            | Self::Contradiction { .. }
            | Self::Endpoint { .. }
            | Self::Unreadable { .. } => None,
        }
    }
}

/// Returns the number after `exitcode=` in the service's words for a refused message.
fn exit_code(text: &str) -> Option<i32> {
    let rest = text.split("exitcode=").nth(1)?.trim_start();
    let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_found_in_the_services_words() {
        let text = "LITE_SERVER_UNKNOWN: cannot apply external message to current state : External message was not \
                    accepted\nCannot run message on account: inbound external message rejected by transaction 00FF:\n\
                    exitcode=106, steps=28, gas_used=0";
        assert_eq!(exit_code(text), Some(106));
        assert_eq!(exit_code("exitcode=-14"), Some(-14));
        assert_eq!(exit_code("exitcode="), None);
        assert_eq!(exit_code("timeout"), None);
    }
}
