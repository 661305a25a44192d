//! Every check, as data, in the order of the specification's pages.

use std::time::Duration;

use super::check::Check;
use super::{channel, market, network, refusals, session, wire, work};

/// For a check that asks a few questions.
const SHORT: Duration = Duration::from_secs(40);
/// For one that waits until the node has lost its patience.
const LONG: Duration = Duration::from_secs(90);

/// Makes a line of the list.
macro_rules! check {
    ($name:literal, [$($rule:literal),+], $run:path, $what:literal) => {
        check!($name, [$($rule),+], $run, $what, SHORT, false)
    };
    ($name:literal, [$($rule:literal),+], $run:path, $what:literal, $within:ident, $waits:literal) => {
        Check {
            name: $name,
            what: $what,
            rules: &[$($rule),+],
            within: $within,
            waits: $waits,
            run: |subject| Box::pin($run(subject)),
        }
    };
}

/// All checks.
pub(super) const CHECKS: &[Check] = &[
    // 01-wire.md
    check!(
        "identify",
        ["WI-12", "WI-13"],
        wire::identify,
        "identify names the network, and the stream of messages"
    ),
    check!("other-network", ["WI-13"], network::other_network, "a peer of another network is sent away"),
    check!("greeting", ["WI-10"], wire::greeting, "a stream of messages is greeted with the byte 01, once"),
    check!(
        "oversized",
        ["WI-5", "WI-10"],
        wire::oversized,
        "a frame above 33,000 bytes ends its stream and blocks its sender, one of 33,000 does not"
    ),
    check!(
        "malformed",
        ["WI-2", "WI-4", "WI-6", "WI-7", "WI-15"],
        wire::malformed,
        "each kind of broken message costs 25 points, and the fourth blocks its sender"
    ),
    check!(
        "unknown-words",
        ["WI-14", "WI-17"],
        wire::unknown_words,
        "unknown feature bits and reasons are held against nobody"
    ),
    check!("clocks", ["WI-18"], wire::clocks, "what is dated more than two minutes away is not acted upon"),
    check!(
        "seek-extensions",
        ["WI-15", "WI-16"],
        wire::extensions_of_seeks,
        "a seek is answered with an unknown odd extension, and not with an even one"
    ),
    check!(
        "award-extensions",
        ["WI-16"],
        wire::extensions_of_awards,
        "an award with an unknown even extension is refused as NotUnderstood"
    ),
    check!(
        "forwarding",
        ["WI-8", "WI-11", "WI-16", "WI-18"],
        wire::forwarding,
        "true gossip of this time is forwarded, anything else is not"
    ),
    // 02-network.md
    check!("topics", ["NE-14", "WI-11"], network::topics, "a node that sells listens to its topics"),
    check!(
        "hash-table",
        ["NE-8", "NE-14"],
        network::hash_table,
        "the hash table names providers that can be used"
    ),
    check!("records", ["NE-6"], network::records, "a record is kept, and told with an address"),
    check!(
        "manifests",
        ["NE-15", "WR-17"],
        network::manifests,
        "manifests have the hash of their id and say what asks say"
    ),
    check!(
        "second-connection",
        ["NE-13"],
        network::second_connection,
        "a peer that comes twice loses both connections"
    ),
    check!(
        "silent-stream",
        ["NE-4"],
        network::silent_stream,
        "a stranger's stream is closed after 30 s without a frame",
        LONG,
        true
    ),
    check!(
        "unfinished-frame",
        ["NE-4"],
        network::unfinished_frame,
        "a frame that does not end is given up after 30 s",
        LONG,
        true
    ),
    // 03-market.md
    check!(
        "seek-everything",
        ["MK-12", "MK-19", "MK-62", "WI-9"],
        market::seek_everything,
        "a direct seek for everything gets signed asks, 16 at the most"
    ),
    check!(
        "seek-model",
        ["MK-12", "MK-19"],
        market::seek_model,
        "a seek for a model gets an ask for it and no other"
    ),
    check!(
        "seek-by-gossip",
        ["MK-12", "NE-14"],
        market::seek_by_gossip,
        "a seek on the market's topic is answered"
    ),
    check!(
        "answered-once",
        ["MK-4", "MK-19"],
        market::answered_once,
        "a seek or call that comes again is not answered again"
    ),
    check!("invitations", ["MK-16"], market::invitations, "only who is invited answers"),
    check!(
        "anothers-name",
        ["MK-62", "WI-12"],
        market::anothers_name,
        "a direct seek in another's name is not answered"
    ),
    check!(
        "call",
        ["MK-5", "MK-6", "MK-49", "SE-4", "WI-9", "CH-15"],
        market::call,
        "a call gets a sealed, signed and possible bid within its window"
    ),
    check!(
        "call-by-gossip",
        ["MK-1", "MK-5", "WI-11"],
        market::call_by_gossip,
        "a call on the model's topic is answered"
    ),
    check!(
        "declines",
        ["MK-49"],
        market::declines,
        "a call that cannot be served is declined with the reason"
    ),
    check!(
        "unprovable-tier",
        ["MK-5"],
        market::unprovable_tier,
        "no bid claims a tier that nobody can prove"
    ),
    check!("weak-seal-key", ["SE-3"], market::weak_seal_key, "nothing is sealed to a key of small order"),
    check!("price-below", ["MK-10"], market::price_below, "an award below the bid's price is refused"),
    check!("bids-of-others", ["MK-10"], market::bids_of_others, "an award of another's bid is refused"),
    check!(
        "lease",
        ["MK-10", "MK-14"],
        market::lease,
        "an award gets the same answer again, and its bid can be awarded again"
    ),
    check!(
        "wasted-award",
        ["MK-45"],
        market::wasted_award,
        "an award without its task is held against the identity that made it, and no other"
    ),
    // 04-session.md
    check!(
        "handshakes",
        ["SE-1", "SE-3", "SE-8", "MK-10"],
        session::handshakes,
        "a handshake that is not right is refused"
    ),
    check!(
        "unkept-session",
        ["MK-67", "MK-10", "SE-24"],
        session::unkept_session,
        "an award in a session that is not kept is refused as that, and its bid stands"
    ),
    check!(
        "injected-frames",
        ["SE-15", "SE-17", "SE-19"],
        session::injected_frames,
        "frames that nobody encrypted change nothing"
    ),
    check!("repeated-frames", ["SE-16"], session::repeated_frames, "a frame is opened once"),
    check!(
        "malformed-blocks",
        ["SE-18"],
        session::malformed_blocks,
        "a block that only the peer can have made wrong ends the job"
    ),
    check!(
        "malformed-words",
        ["WI-4", "WI-7"],
        session::malformed_words,
        "what a session carries is decoded as strictly"
    ),
    // 05-work-and-receipts.md
    check!(
        "small-job",
        ["WR-2", "WR-3", "WR-4", "WR-5", "WR-6", "WR-21", "WR-23", "MO-9", "SE-11", "SE-13", "SE-14"],
        work::small_job,
        "an answer comes in order, whole, with true receipts and the bill of the agreed price"
    ),
    check!(
        "false-count",
        ["WR-8", "WR-22"],
        refusals::false_count,
        "a false count of input is refused with the true one"
    ),
    check!(
        "impossible-tasks",
        ["WR-1", "WI-17"],
        refusals::impossible_tasks,
        "each impossible task has a refusal of its own"
    ),
    check!(
        "task-extensions",
        ["WI-16"],
        refusals::extensions,
        "a task with an unknown even extension is refused"
    ),
    check!(
        "other-class",
        ["MK-46"],
        refusals::other_class,
        "a task two classes away from its call is refused"
    ),
    check!(
        "lost-chunks",
        ["WR-4", "WR-12", "SE-11"],
        work::lost_chunks,
        "a chunk is repeated until it is acknowledged"
    ),
    check!("cancellation", ["WR-14"], work::cancellation, "a job that its client cancels ends"),
    check!(
        "mute-client",
        ["WR-12"],
        work::mute_client,
        "a client that acknowledges nothing is given up",
        LONG,
        true
    ),
    // 06-channel.md
    check!("bad-terms", ["CH-1", "CH-15"], channel::bad_terms, "terms that nobody may agree to are refused"),
    check!(
        "channel-of-another",
        ["CH-53"],
        channel::channel_of_another,
        "a task with the key proof of another session is refused and blocks its sender"
    ),
    check!(
        "false-voucher",
        ["CH-6"],
        channel::false_voucher,
        "a forged voucher ends the job and blocks its sender"
    ),
    check!(
        "credit",
        ["CH-5", "CH-19", "CH-50"],
        channel::credit,
        "without a voucher no more is served than the credit covers"
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn checks_have_names_of_their_own_and_rules_to_show() {
        let names: BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
        for check in CHECKS {
            assert!(!check.rules.is_empty() && !check.what.is_empty(), "{}", check.name);
            assert!(check.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
        }
    }
}
