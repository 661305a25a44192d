//! What a node knows of the market: the models' manifests, where a round of questions stands, and who waits for the list.
//! (`NE-15`)

use std::collections::{BTreeMap, BTreeSet};

use bombyx_protocol::Quote;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::Failure;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::work::order::{ModelId, Order};
use tokio::sync::{oneshot, watch};

use super::limits::{FETCH_DOUBLINGS_MAX, FETCH_RETRY, FETCHES_EACH, FETCHES_MAX, PRICES_PATIENCE};
use crate::engine::manifests::Manifests;
use crate::status::last_list::LastList;
use crate::status::models::OfferedModel;

/// How often the market is looked at while somebody waits or a manifest is missing.
pub(super) const LOOK_EVERY: Span = Span::from_ms(50);

/// What is known of the market, and who wants to know more.
pub(super) struct Market {
    pub(super) manifests: Manifests,
    pub(super) round: Round,
    /// When the last round began.
    pub(super) began: Option<Time>,
    pub(super) waiting: Vec<WaitingQuestion>,
    /// Whether an order was called for and nobody has answered.
    pub(super) is_unanswered: bool,
    pub(super) fetches: Fetches,
    pub(super) next_look: Time,
    /// Whether what the last round found has been listed.
    pub(super) is_listed: bool,
    pub(super) last_list: watch::Sender<LastList>,
}

/// Where a round of questions stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    Over,
    /// Those that sell are looked up and visited, since then.
    Surveying(Time),
    /// They have been asked, since then.
    Asking(Time),
}

/// Somebody waits until then to be told what is on offer.
pub(super) struct WaitingQuestion {
    pub(super) until: Time,
    pub(super) answer: MarketAnswer,
    /// When those that sell were asked what they want for the order that is to be quoted.
    pub(super) prices_sought: Option<Time>,
}

impl WaitingQuestion {
    /// Returns whether nothing is waited for but for what is on offer: prices are there, or have been waited for long enough.
    pub(super) fn has_prices(&self, now: Time, awaits_asks: bool) -> bool {
        match (&self.answer, self.prices_sought) {
            (MarketAnswer::List(_), _) => true,
            (MarketAnswer::Quote(..), None) => false,
            (MarketAnswer::Quote(..), Some(at)) => {
                now >= at + PRICES_PATIENCE || (now >= at + LOOK_EVERY && !awaits_asks)
            }
        }
    }
}

/// What is to be told.
pub(super) enum MarketAnswer {
    /// All of it.
    List(oneshot::Sender<Vec<OfferedModel>>),
    /// What an order would cost.
    Quote(Box<Order>, oneshot::Sender<Result<Quote, Failure>>),
}

impl Market {
    pub(super) fn new(manifests: Manifests) -> Self {
        let fetches = Fetches::default();
        Self {
            manifests,
            round: Round::Over,
            began: None,
            waiting: Vec::new(),
            is_unanswered: false,
            fetches,
            next_look: Time(0),
            is_listed: true,
            last_list: watch::Sender::default(),
        }
    }

    /// Returns when there is something to do.
    pub(super) fn wake_at(&self) -> Option<Time> {
        let is_busy = self.round != Round::Over || !self.waiting.is_empty() || !self.is_listed;
        is_busy.then_some(self.next_look)
    }
}

/// The manifests that are being fetched, and which node has failed to send one.
#[derive(Default)]
pub(super) struct Fetches {
    running: BTreeMap<ModelId, NodeId>,
    /// How often each has failed to send each, and until when it is not asked again.
    failed: BTreeMap<(ModelId, NodeId), (Time, u32)>,
}

impl Fetches {
    /// Returns what to fetch now, and from whom: each model from one node at a time.
    pub(super) fn due(
        &mut self,
        now: Time,
        missing: impl Iterator<Item = (ModelId, NodeId)>,
    ) -> Vec<(ModelId, NodeId)> {
        let missing: BTreeSet<(ModelId, NodeId)> = missing.collect();
        // Failures are remembered for as long as the offer stands.
        self.failed.retain(|pair, _| missing.contains(pair));
        let mut due = Vec::new();
        for (model, node) in missing {
            let of_node = self.running.values().filter(|other| **other == node).count();
            let rests = self.failed.get(&(model, node)).is_some_and(|(until, _)| now < *until);
            let has_room = self.running.len() < FETCHES_MAX && of_node < FETCHES_EACH;
            if has_room && !rests && !self.running.contains_key(&model) {
                self.running.insert(model, node);
                due.push((model, node));
            }
        }
        due
    }

    pub(super) fn ended(&mut self, now: Time, from: NodeId, model: ModelId, is_taken: bool) {
        if self.running.get(&model) == Some(&from) {
            self.running.remove(&model);
        }
        if !is_taken {
            let (_, times) = self.failed.get(&(model, from)).copied().unwrap_or_default();
            let rest = Span(FETCH_RETRY.0 << times.min(FETCH_DOUBLINGS_MAX));
            self.failed.insert((model, from), (now + rest, times.saturating_add(1)));
        }
    }

    /// Returns whether a manifest may come soon: one that is asked of a node which has not failed to send it before.
    pub(super) fn is_promising(&self) -> bool {
        self.running.iter().any(|(model, node)| !self.failed.contains_key(&(*model, *node)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(s: u64) -> Time {
        Time(0) + Span::from_s(s)
    }

    fn pairs(models: u8, nodes: u8) -> Vec<(ModelId, NodeId)> {
        let of = |model| (0..nodes).map(move |node| (ModelId([model; 32]), NodeId([node; 32])));
        (0..models).flat_map(of).collect()
    }

    /// (`NE-15`)
    #[test]
    fn a_manifest_is_asked_of_one_node_at_a_time_and_then_of_the_next() {
        let mut fetches = Fetches::default();
        let missing = pairs(1, 3);
        assert_eq!(fetches.due(s(0), missing.iter().copied()), missing[..1]);
        assert!(fetches.due(s(0), missing.iter().copied()).is_empty());
        for (place, (model, node)) in missing.iter().enumerate() {
            fetches.ended(s(0), *node, *model, false);
            let next = fetches.due(s(0), missing.iter().copied());
            assert_eq!(next, missing[place + 1..].iter().copied().take(1).collect::<Vec<_>>());
        }
        assert!(!fetches.is_promising());
        assert_eq!(
            fetches.due(s(0) + FETCH_RETRY, missing.iter().copied()).len(),
            1,
            "and again after a while"
        );
        assert!(!fetches.is_promising(), "nobody waits for one that failed before");
    }

    /// (`NE-15`)
    #[test]
    fn what_is_fetched_at_a_time_is_bounded_in_sum_and_for_each_node() {
        let mut fetches = Fetches::default();
        assert_eq!(fetches.due(s(0), pairs(200, 1).into_iter()).len(), FETCHES_EACH);
        assert_eq!(fetches.due(s(0), pairs(200, 100).into_iter()).len(), FETCHES_MAX - FETCHES_EACH);
        // A node that never answers rightly is asked ever more seldom, and what failed is forgotten with the offer.
        let (mut fetches, one) = (Fetches::default(), pairs(1, 1));
        let mut asked = 0;
        for second in 0..600 {
            for (model, node) in fetches.due(s(second), one.iter().copied()) {
                asked += 1;
                fetches.ended(s(second), node, model, false);
            }
        }
        assert!((4..=12).contains(&asked), "{asked}");
        assert!(fetches.due(s(600), std::iter::empty()).is_empty() && fetches.failed.is_empty());
    }
}
