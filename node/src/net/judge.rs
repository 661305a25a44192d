//! Judges what is gossiped, before it is forwarded or anybody is told of it.
//!
//! The swarm's own task does this: another task would have to be woken, and waited for, for each message.

use std::collections::BTreeMap;

use bombyx_protocol::clock::is_fresh;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Gossip, VerifiedGossip};
use web_time::Instant;

use super::limits;
use super::market::MARKET;

/// Returns the short name of a topic; the swarm adds the network's name.
#[must_use]
pub fn topic(of: Topic) -> String {
    match of {
        Topic::Market => MARKET.to_owned(),
        Topic::Model(model) => format!("model/{}", &model.to_string()[..16]),
    }
}

/// Why a gossiped message goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Objection {
    /// There is more than is looked at. That is held against nobody.
    Excess,
    /// Its forwarder sends more than a peer may, which is held against it; nobody judged what it is.
    Flood,
    /// It is of another time than this node's clock shows. That is held against nobody. (`WI-18`)
    Staleness,
    /// It is not what it claims to be, which is held against its forwarder.
    Falsehood,
}

/// Judges gossip, and counts how much each author has said lately.
///
/// A statement counts only after its signature was verified; otherwise anybody could use up an author's rate. What the author
/// sends to this node itself and what others forward as its word are counted apart, because its signature is also true on an
/// old call that somebody kept and repeats. (`NE-7`)
#[derive(Default)]
pub(super) struct Judge {
    /// Up to when each has used what it may say.
    used_until: BTreeMap<Speaker, Instant>,
    /// Whether the owner was told of a statement whose clock differs.
    has_told_of_clock: bool,
}

/// An author, heard from itself or from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Speaker {
    author: NodeId,
    is_here: bool,
}

impl Judge {
    /// Returns what was said on a topic if it is what it claims to be. Only then is it forwarded; rubbish is held against its
    /// forwarder. (`WI-11`)
    pub(super) fn judge(
        &mut self,
        on: &str,
        bytes: &[u8],
        forwarder: Option<NodeId>,
        now: Instant,
        unix_s: u64,
    ) -> Result<VerifiedGossip, Objection> {
        let Ok(gossip) = codec::decode_gossip::<Gossip>(bytes) else { return Err(Objection::Falsehood) };
        let Ok(statement) = gossip.read() else { return Err(Objection::Falsehood) };
        let author = statement.author();
        let speaker = Speaker { author, is_here: forwarder == Some(author) };
        if !self.may_speak(&speaker, now) {
            tracing::debug!(?author, "an author gossips more than one may; its signature is not checked");
            return Err(Objection::Excess);
        }
        let made_s = statement.made_s();
        if !is_fresh(made_s, unix_s) {
            self.tell_of_clock(author, made_s, unix_s);
            return Err(Objection::Staleness);
        }
        match statement.verify() {
            Ok(gossip) if topic(gossip.topic()) == on => {
                self.spoke(speaker, now);
                Ok(gossip)
            }
            Ok(_) | Err(_) => Err(Objection::Falsehood),
        }
    }

    /// Says that a statement is not of this time. Whose clock is wrong nobody knows, so it is held against nobody. (`WI-18`)
    fn tell_of_clock(&mut self, author: NodeId, made_s: u64, unix_s: u64) {
        if std::mem::replace(&mut self.has_told_of_clock, true) {
            tracing::debug!(
                ?author,
                made_s,
                "clock differs: a statement is neither forwarded nor acted upon"
            );
        } else {
            tracing::info!(
                ?author,
                made_s,
                unix_s,
                "clock differs: a statement is dated more than two minutes away and neither forwarded nor acted upon; \
                 if there are more of them, set this machine's clock (further ones are logged at debug level)"
            );
        }
    }

    fn may_speak(&self, speaker: &Speaker, now: Instant) -> bool {
        self.used_until.get(speaker).is_none_or(|until| *until <= now + limits::AUTHOR_BURST)
    }

    fn spoke(&mut self, speaker: Speaker, now: Instant) {
        if self.used_until.len() >= limits::AUTHORS_MAX {
            self.used_until.retain(|_, until| *until > now);
        }
        if self.used_until.len() < limits::AUTHORS_MAX {
            let until = self.used_until.entry(speaker).or_insert(now);
            *until = (*until).max(now) + limits::AUTHOR_PACE;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::ident::Identity;
    use bombyx_protocol::market::call::Call;
    use bombyx_protocol::wire::extension::{Extensions, Features};
    use bombyx_protocol::work::order::{ModelId, TaskKind, Tier};

    use super::*;

    /// Statements that an author may make at once.
    const BURST: usize = (limits::AUTHOR_BURST.as_millis() / limits::AUTHOR_PACE.as_millis()) as usize + 1;

    const NOW_S: u64 = 1_764_374_400;

    fn call(client: &Identity) -> Call {
        Call {
            id: bombyx_protocol::market::call::CallId([1; 16]),
            client: client.id(),
            seal_key: [2; 32],
            model: ModelId([3; 32]),
            kind: TaskKind::Embed,
            input_log2: 1,
            output_log2: 0,
            tier: Tier::Open,
            window_ms: 400,
            invited: bombyx_protocol::market::invite::Share::ALL,
            made_s: NOW_S,
            deadline_ms: 1_000,
            stamp: 0,
            features: Features::OWN,
            extensions: Extensions::NONE,
        }
    }

    /// (`WI-11`)
    #[test]
    fn gossip_passes_only_when_signed_and_on_its_own_topic() {
        let client = Identity::from_seed(&[7; 32]);
        let call = call(&client);
        let on = topic(Topic::Model(call.model));
        let bytes = codec::encode(&Gossip::Call(call.sign(&client)));
        let judge = |on: &str, bytes: &[u8]| Judge::default().judge(on, bytes, None, Instant::now(), NOW_S);
        assert!(judge(&on, &bytes).is_ok());
        assert_eq!(judge(&topic(Topic::Model(ModelId([4; 32]))), &bytes), Err(Objection::Falsehood));
        let forged = codec::encode(&Gossip::Call(call.sign(&Identity::from_seed(&[8; 32]))));
        assert_eq!(judge(&on, &forged), Err(Objection::Falsehood));
        for cut in 0..bytes.len() {
            assert_eq!(judge(&on, &bytes[..cut]), Err(Objection::Falsehood));
        }
    }

    /// (`WI-18`)
    #[test]
    fn gossip_of_another_time_goes_no_further_and_is_held_against_nobody() {
        let client = Identity::from_seed(&[7; 32]);
        let (mut judge, now) = (Judge::default(), Instant::now());
        let mut at = |made_s: u64| {
            let call = Call { made_s, ..call(&client) };
            let bytes = codec::encode(&Gossip::Call(call.sign(&client)));
            judge.judge(&topic(Topic::Model(call.model)), &bytes, None, now, NOW_S)
        };
        assert!(at(NOW_S - 120).is_ok() && at(NOW_S + 120).is_ok());
        for made_s in [0, NOW_S - 121, NOW_S + 121, u64::MAX] {
            assert_eq!(at(made_s), Err(Objection::Staleness), "{made_s}");
        }
        // An old statement that is repeated without end uses up nothing of what its author may say.
        assert!((0..1_000).all(|_| at(0) == Err(Objection::Staleness)));
        assert!(at(NOW_S).is_ok());
    }

    /// (`NE-7`)
    #[test]
    fn an_author_speaks_at_a_bounded_rate_and_nobody_can_use_it_up_for_it() {
        let client = Identity::from_seed(&[7; 32]);
        let call = call(&client);
        let on = topic(Topic::Model(call.model));
        let bytes = codec::encode(&Gossip::Call(call.sign(&client)));
        let forged = codec::encode(&Gossip::Call(call.sign(&Identity::from_seed(&[8; 32]))));
        let (mut judge, now) = (Judge::default(), Instant::now());
        for _ in 0..1_000 {
            assert_eq!(judge.judge(&on, &forged, None, now, NOW_S), Err(Objection::Falsehood));
        }
        let said = (0..1_000).filter(|_| judge.judge(&on, &bytes, None, now, NOW_S).is_ok()).count();
        assert_eq!(said, BURST);
        assert_eq!(judge.judge(&on, &bytes, None, now, NOW_S), Err(Objection::Excess), "held against nobody");
        assert!(judge.judge(&on, &bytes, None, now + limits::AUTHOR_PACE, NOW_S).is_ok());
        for number in 0..limits::AUTHORS_MAX as u64 * 2 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_le_bytes());
            judge.spoke(Speaker { author: NodeId(id), is_here: false }, now);
        }
        assert!(judge.used_until.len() <= limits::AUTHORS_MAX);
    }

    /// Somebody kept an author's calls of the past weeks, and says them all again. (`NE-7`)
    #[test]
    fn old_calls_that_others_repeat_do_not_use_up_what_their_author_may_say() {
        let client = Identity::from_seed(&[7; 32]);
        let (on, mut judge, now) =
            (topic(Topic::Model(call(&client).model)), Judge::default(), Instant::now());
        let mut say = |number: u32, from: NodeId| {
            let mut call = call(&client);
            call.id.0[..4].copy_from_slice(&number.to_le_bytes());
            judge
                .judge(&on, &codec::encode(&Gossip::Call(call.sign(&client))), Some(from), now, NOW_S)
                .is_ok()
        };
        let repeated = (0..1_000).filter(|number| say(*number, NodeId([9; 32]))).count();
        assert_eq!(repeated, BURST);
        assert!(say(5_000, client.id()));
    }
}
