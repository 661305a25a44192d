//! What each way in which an order can fail means outside: exit code, HTTP status and code, and what to do. One table for
//! the command line and the gateway.

use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::channel::ledger::LedgerFault;
use bombyx_protocol::io::Failure;
use bombyx_protocol::wire::message::Refusal;
use bombyx_protocol::work::order::{Counted, OrderFault};

use super::exit::ExitKind;

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// How `bombyx ask` ends.
    pub(crate) exit: ExitKind,
    /// HTTP status of the gateway's answer.
    pub(crate) status: u16,
    /// The gateway's code, in words that OpenAI's clients know where there are such.
    pub(crate) code: &'static str,
    /// The field of the request that it is about.
    pub(crate) param: Option<&'static str>,
    /// What to do.
    pub(crate) hint: &'static str,
}

const FUND: &str = "send coins to the wallet that `bombyx status` shows";
const LEDGER: &str = "check the ledger's address (`ledger.url`) and try again";
const OTHERS: &str = "try again: other providers may answer; what was not delivered was not paid";

impl Meaning {
    const fn new(exit: ExitKind, status: u16, code: &'static str, hint: &'static str) -> Self {
        Self { exit, status, code, param: None, hint }
    }

    const fn about(self, param: &'static str) -> Self {
        Self { param: Some(param), ..self }
    }

    /// Returns what this failure means.
    pub(crate) const fn of(why: &Failure) -> Self {
        use ExitKind as Exit;
        match why {
            Failure::Order(fault) => order(*fault),
            Failure::Payment(fault) => payment(fault),
            Failure::Refused(refusal) => refused(*refusal),
            Failure::LeftAlone { .. } => Self::new(
                Exit::NoBids,
                503,
                "providers_failed",
                "wait as long as is said, give the order more time, or find another provider",
            ),
            Failure::CutShort { .. } => Self::new(
                Exit::Provider,
                502,
                "answer_cut_short",
                "nobody else sells the model, or none went on in time; ask again, for the rest or with more time",
            ),
            Failure::NotConnected => Self::new(
                Exit::NoPeer,
                503,
                "no_peers",
                "give a node to join with `--join`, and check that it runs",
            ),
            Failure::NoSeller { .. } => Self::new(
                Exit::NoSeller,
                404,
                "no_seller",
                "`bombyx models list` shows what is on offer; join a node that provides the model",
            )
            .about("model"),
            Failure::NoBids => Self::new(
                Exit::NoBids,
                503,
                "no_provider",
                "check with `bombyx status` that the node has peers; join one that provides the model, or give more time",
            ),
            Failure::NotWanted { .. } => {
                let hint = "name other providers, or none; `bombyx status` shows which ones this node pays";
                Self::new(Exit::NoBids, 503, "no_provider", hint).about("provider")
            }
            Failure::Full { .. } => Self::new(
                Exit::Provider,
                429,
                "rate_limit_exceeded",
                "come back after the time that is said, or give the order more time",
            ),
            Failure::NoTier(_) => Self::new(Exit::Order, 503, "no_provider", "ask for the open tier"),
            Failure::OverBudget { .. } => {
                let hint = "raise what the order may cost (`--max-cost`, over HTTP `bombyx.max_cost_nano`), or ask for fewer tokens";
                Self::new(Exit::Price, 422, "price_ceiling_too_low", hint).about("bombyx.max_cost_nano")
            }
            Failure::OverCeiling { .. } => {
                let hint = "say what a bid may ask (`--max-price`, over HTTP `provider.max_price`), or wait until more providers bid: \
                            where few do, a bid may ask twice what was paid lately";
                Self::new(Exit::Price, 422, "price_ceiling_too_low", hint).about("provider.max_price")
            }
            Failure::Deadline => {
                let hint = "give it more time (`--deadline`, over HTTP `bombyx.deadline_ms`), or ask for fewer tokens";
                Self::new(Exit::Provider, 504, "deadline", hint).about("bombyx.deadline_ms")
            }
            Failure::Cancelled => {
                let hint = "nothing is left to do; what was delivered was paid";
                Self::new(Exit::Provider, 503, "cancelled", hint)
            }
            Failure::TooLongToResume { .. } => {
                let hint =
                    "what came is all there is and was paid; ask again, for fewer tokens or for the rest";
                Self::new(Exit::Provider, 502, "provider_failed", hint)
            }
            Failure::NoAnswer
            | Failure::Stalled
            | Failure::Gone
            | Failure::Session
            | Failure::FalseReceipt
            | Failure::FalseCount { .. } => Self::new(Exit::Provider, 502, "provider_failed", OTHERS),
        }
    }
}

const fn order(fault: OrderFault) -> Meaning {
    // Clients that see this code shorten the conversation and ask again.
    const OVER: &str = "context_length_exceeded";
    let (status, code, param) = match fault {
        OrderFault::OverContext { .. } => (400, OVER, Some("messages")),
        OrderFault::InputOverContext { .. } => (400, OVER, Some("input")),
        OrderFault::TooLarge { .. } => (400, OVER, None),
        OrderFault::Busy => (429, "rate_limit_exceeded", None),
        OrderFault::TooMany { what, .. } => (400, "invalid_value", Some(counted(what))),
        OrderFault::BadStop { .. } => (400, "invalid_value", Some("stop")),
        OrderFault::NoOutput => (400, "invalid_value", Some("max_tokens")),
        OrderFault::NoConfidentialTier => (400, "invalid_value", Some("bombyx.tier")),
        OrderFault::Empty => (400, "invalid_value", None),
    };
    Meaning { param, ..Meaning::new(ExitKind::Order, status, code, "change the request as said") }
}

/// Returns the field of a request that holds what there is too much of.
const fn counted(what: Counted) -> &'static str {
    match what {
        Counted::Inputs => "input",
        Counted::Messages | Counted::PrefixTokens => "messages",
        Counted::Stops => "stop",
    }
}

const fn refused(refusal: Refusal) -> Meaning {
    use ExitKind as Exit;
    const SHORTEN: &str = "shorten the text: the model reads no more at once";
    const CHANGE: &str = "change the request as said";
    let invalid = Meaning::new(Exit::Order, 400, "invalid_value", CHANGE);
    match refusal {
        Refusal::OverContext(_) => {
            Meaning::new(Exit::Order, 400, "context_length_exceeded", SHORTEN).about("messages")
        }
        Refusal::TaskTooLong(_) => Meaning::new(Exit::Order, 400, "context_length_exceeded", SHORTEN),
        Refusal::EmptyTask => invalid,
        Refusal::WrongKind => {
            let hint = "choose a model of the other kind; `bombyx models` names them";
            Meaning::new(Exit::Order, 400, "model_not_suitable", hint).about("model")
        }
        Refusal::TooManyInputs(_) | Refusal::BadInput(_) => invalid.about("input"),
        Refusal::TooManyMessages(_) | Refusal::BadConversation => invalid.about("messages"),
        Refusal::TooManyStops(_) | Refusal::BadStop(_) => invalid.about("stop"),
        Refusal::BillTooLarge => invalid.about("max_tokens"),
        Refusal::Busy => Meaning::new(Exit::Provider, 429, "rate_limit_exceeded", OTHERS),
        // What this node could not deposit is a fault of its own payments.
        Refusal::Unfunded => Meaning::new(
            Exit::Provider,
            502,
            "channel_not_seen",
            "the provider sees no deposit where this node sees one; `bombyx channels` shows what the ledger has of it; other providers may \
             answer",
        ),
        Refusal::ChallengeTooShort => Meaning::new(
            Exit::Provider,
            502,
            "provider_failed",
            "raise `client.challenge_s`, or wait for another provider; the rest of the channel is on its way back",
        ),
        Refusal::NotUnderstood | Refusal::Other { .. } => Meaning::new(
            Exit::Provider,
            502,
            "provider_version",
            "the provider speaks another version; ask again, or update this node",
        ),
        Refusal::UnknownBid
        | Refusal::PriceBelowBid
        | Refusal::Malformed
        | Refusal::ChannelTerms
        | Refusal::Unpaid
        | Refusal::BadVoucher
        | Refusal::Engine
        | Refusal::Leaving
        | Refusal::BadToken(_)
        | Refusal::BadPrefix
        | Refusal::Counts(_)
        | Refusal::OtherClass
        | Refusal::NoSession
        | Refusal::BadKeyProof => Meaning::new(Exit::Provider, 502, "provider_failed", OTHERS),
    }
}

const fn payment(fault: &PaymentFault) -> Meaning {
    use ExitKind as Exit;
    match fault {
        PaymentFault::NoFunds { .. }
        | PaymentFault::Exhausted { why: LedgerFault::Funds { .. }, .. }
        | PaymentFault::NotOpened { why: LedgerFault::Funds { .. }, .. } => {
            Meaning::new(Exit::Funds, 429, "insufficient_quota", FUND)
        }
        PaymentFault::Exhausted {
            why: LedgerFault::NotSent | LedgerFault::Refused { .. } | LedgerFault::Unknown,
            ..
        }
        | PaymentFault::NotOpened {
            why: LedgerFault::NotSent | LedgerFault::Refused { .. } | LedgerFault::Unknown,
            ..
        }
        | PaymentFault::NoLedger => Meaning::new(Exit::Ledger, 503, "ledger_unavailable", LEDGER),
        PaymentFault::DepositTooLow { .. } => {
            let hint = "raise `client.deposit_max` in the node's configuration, or ask for fewer tokens";
            Meaning::new(Exit::Price, 422, "deposit_too_low", hint)
        }
        PaymentFault::DepositInUse { .. } => {
            let hint =
                "try again once they are done, or raise `client.deposit_max` in the node's configuration";
            Meaning::new(Exit::Price, 503, "deposit_in_use", hint)
        }
        PaymentFault::ChallengeTooLong { .. } if fault.is_blind_provider() => {
            let hint = "try again in a while, or wait for another provider";
            Meaning::new(Exit::Ledger, 503, "ledger_unavailable", hint)
        }
        PaymentFault::ChallengeTooLong { .. } => {
            let hint =
                "raise `client.challenge_max_s` in the node's configuration, or wait for another provider";
            Meaning::new(Exit::Provider, 502, "channel_terms", hint)
        }
        PaymentFault::StrangersLocked { .. } => {
            let hint = "wait until earlier channels are closed, raise `client.strangers_locked_max`, or ask for fewer tokens";
            Meaning::new(Exit::Price, 422, "strangers_locked", hint)
        }
        PaymentFault::Terms(_) => Meaning::new(Exit::Provider, 502, "channel_terms", OTHERS),
        PaymentFault::Closed { .. } => Meaning::new(Exit::Provider, 502, "channel_closed", OTHERS),
        PaymentFault::Mismatch { .. } => Meaning::new(Exit::Config, 503, "channel_mismatch", MISMATCH),
        PaymentFault::TooManyChannels { .. } => Meaning::new(
            Exit::Order,
            503,
            "too_many_channels",
            "close some with `bombyx channels close`, or lower `client.idle_close_s`",
        ),
    }
}

/// What to do about a channel that is not what the store says.
pub(crate) const MISMATCH: &str = "its rest is asked back and the next order opens another; put no old copy of records.redb in place and run \
     no two nodes on copies of one home";

#[cfg(test)]
mod tests {
    use bombyx_protocol::amount::Nano;
    use bombyx_protocol::channel::fault::Mismatch;
    use bombyx_protocol::channel::terms::{Address, CHALLENGE_S_MAX};

    use super::*;

    #[test]
    fn each_way_in_which_a_payment_fails_has_its_own_words_and_codes() {
        let account = Address::basechain([7; 32]);
        let unreachable = LedgerFault::Unknown;
        for (fault, exit, status, code, words) in [
            (
                PaymentFault::NoFunds { deposit: Nano(1), missing: Nano(1) },
                22,
                429,
                "insufficient_quota",
                "send coins",
            ),
            (
                PaymentFault::DepositTooLow { needs: Nano(2), most: Nano(1) },
                21,
                422,
                "deposit_too_low",
                "client.deposit_max",
            ),
            (
                PaymentFault::DepositInUse { taken: Nano(2), most: Nano(2) },
                21,
                503,
                "deposit_in_use",
                "once they are done",
            ),
            (
                PaymentFault::ChallengeTooLong { wanted_s: 9, most_s: 5 },
                23,
                502,
                "channel_terms",
                "client.challenge_max_s",
            ),
            (
                PaymentFault::ChallengeTooLong { wanted_s: CHALLENGE_S_MAX, most_s: 5 },
                24,
                503,
                "ledger_unavailable",
                "in a while",
            ),
            (
                PaymentFault::Exhausted { account, why: LedgerFault::Funds { missing: Nano(1) } },
                22,
                429,
                "insufficient_quota",
                "send coins",
            ),
            (
                PaymentFault::Exhausted { account, why: unreachable },
                24,
                503,
                "ledger_unavailable",
                "ledger.url",
            ),
            (PaymentFault::NoLedger, 24, 503, "ledger_unavailable", "ledger.url"),
            (
                PaymentFault::NotOpened { account, why: unreachable },
                24,
                503,
                "ledger_unavailable",
                "ledger.url",
            ),
            (
                PaymentFault::Mismatch { account, mismatch: Mismatch::Epoch { known: 1, shown: 2 } },
                13,
                503,
                "channel_mismatch",
                "copies of one home",
            ),
        ] {
            let why = Failure::Payment(fault);
            let meaning = Meaning::of(&why);
            assert_eq!((meaning.exit.number(), meaning.status, meaning.code), (exit, status, code), "{why}");
            assert!(meaning.hint.contains(words), "{}", meaning.hint);
        }
    }
}
