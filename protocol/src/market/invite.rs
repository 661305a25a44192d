//! Who of a crowd answers: a call or a seek invites a share of the topic's providers, drawn anew each time.

use std::collections::{BTreeMap, BTreeSet};

use crate::ident::NodeId;
use crate::limits;
use crate::market::topic::Topic;
use crate::time::Time;

/// A share of all providers, in millionths. More than a million is everyone, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Share(pub u32);

impl Share {
    /// Everyone.
    pub const ALL: Self = Self(1_000_000);
    /// Nobody of those who only hear of it.
    pub const NOBODY: Self = Self(0);
    /// The sixteenth that a call invites while nothing is known of its crowd. (`MK-17`)
    pub const FIRST: Self = Self(62_500);

    /// Returns whether the share of the message with this id holds the provider. (`MK-16`)
    ///
    /// The id is random and fresh, so nobody can choose an identity that is drawn more often, and two identities of
    /// one owner are drawn apart.
    #[must_use]
    pub fn invites(self, id: &[u8; 16], provider: &NodeId) -> bool {
        if self >= Self::ALL {
            return true;
        }
        let draw = provider.draw(id);
        // The draw as a fraction of 2^64, in millionths: a product of 64 and 20 bits.
        let millionths = u128::from(draw).saturating_mul(1_000_000) >> 64;
        millionths < u128::from(self.0)
    }

    /// Returns the share that is invited after this one brought nobody. (`MK-17`)
    #[must_use]
    pub fn wider(self) -> Self {
        Self(self.0.saturating_mul(4)).min(Self::ALL)
    }

    /// Returns the share of a crowd in which about `wanted` are found.
    #[must_use]
    fn of(wanted: u64, crowd: u64) -> Self {
        let share = wanted.saturating_mul(1_000_000).checked_div(crowd).unwrap_or(1_000_000);
        u32::try_from(share).map_or(Self::ALL, |share| Self(share.max(1)).min(Self::ALL))
    }
}

/// How many providers there are of each model, and of all, learnt from those who answer. (`MK-17`)
#[derive(Debug, Default)]
pub struct Crowds {
    sizes: BTreeMap<Topic, u64>,
    /// Who answered the newest call for each model, as far as auctions wait for them.
    bidders: BTreeMap<Topic, BTreeSet<NodeId>>,
    open: BTreeMap<[u8; 16], Tally>,
}

/// A message that is out and who has answered it.
#[derive(Debug)]
struct Tally {
    topic: Topic,
    invited: Share,
    until: Time,
    /// When most of those that answer have done so: the first estimate goes by them.
    estimate_at: Option<Time>,
    heard: BTreeSet<NodeId>,
    /// Those that were called besides, and have not answered: they say nothing of the crowd.
    besides: Vec<NodeId>,
    kind: TallyKind,
}

impl Tally {
    fn new(kind: TallyKind, topic: Topic, invited: Share, until: Time) -> Self {
        Self { topic, invited, until, estimate_at: None, heard: BTreeSet::new(), besides: Vec::new(), kind }
    }

    /// Returns how many there are of whom these are the invited share.
    fn crowd(&self) -> u64 {
        let share = u64::from(self.invited.min(Share::ALL).0);
        (self.heard.len() as u64).saturating_mul(1_000_000).checked_div(share).unwrap_or(0)
    }
}

/// What was asked, and what its answers tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TallyKind {
    /// A seek: it says how many there are, and nothing of who bids.
    Seek,
    /// A call to the crowd, or a part of it.
    Call,
    /// A call to a few that are known: it says nothing of the others.
    Direct,
}

/// How many bids end an auction before its time. (`MK-20`)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enough {
    /// Of proven providers; nothing ends early without one.
    pub proven: usize,
    /// Of all together, where strangers are to be tried.
    pub all: usize,
}

impl Crowds {
    /// Returns whom to invite so that `wanted` and a quarter more answer, where anything is known of the crowd.
    #[must_use]
    pub fn share(&self, topic: Topic, wanted: usize) -> Option<Share> {
        let wanted = (wanted as u64).saturating_mul(5).div_ceil(4);
        self.sizes.get(&topic).map(|crowd| Share::of(wanted, *crowd))
    }

    /// Returns whom a call for a model invites. Where nothing is known of its crowd, that of all models is known to be no smaller:
    /// of a few providers none is left out, and of many a sixteenth is invited at the least. (`MK-17`)
    #[must_use]
    pub fn call_share(&self, topic: Topic, wanted: usize) -> Share {
        let of_all =
            || self.share(Topic::Market, wanted).map_or(Share::FIRST, |share| share.max(Share::FIRST));
        self.share(topic, wanted).unwrap_or_else(of_all)
    }

    /// Returns after how many bids nobody is left to wait for: `wanted` of proven providers, or as many as answered the last call
    /// if those are fewer; and where strangers are waited for as well, as many of all. (`MK-20`)
    #[must_use]
    pub fn enough(
        &self,
        topic: Topic,
        wanted: usize,
        with_strangers: bool,
        is_proven: impl Fn(&NodeId) -> bool,
    ) -> Enough {
        let Some(bidders) = self.bidders.get(&topic) else { return Enough { proven: wanted, all: wanted } };
        let proven = bidders.iter().filter(|bidder| is_proven(bidder)).count();
        // Where nobody is proven, nothing ends early.
        Enough {
            proven: proven.clamp(1, wanted.max(1)),
            all: if with_strangers { bidders.len().min(wanted) } else { 0 },
        }
    }

    /// Notes that a seek goes out; answers to it count for as long as a seek waits.
    pub fn seek(&mut self, now: Time, id: [u8; 16], topic: Topic, invited: Share) {
        let tally = Tally::new(TallyKind::Seek, topic, invited, now + limits::SEEK_WAIT);
        self.open(id, Tally { estimate_at: Some(now + limits::BID_WINDOW), ..tally });
    }

    /// Notes that a call goes out, and to these besides; answers to it count until then, and who gives one is waited for the next time.
    pub fn call(&mut self, id: [u8; 16], topic: Topic, invited: Share, until: Time, besides: &[NodeId]) {
        let tally = Tally::new(TallyKind::Call, topic, invited, until);
        self.open(id, Tally { besides: besides.to_vec(), ..tally });
    }

    /// Notes that a call goes to some that are known; answers to it count until then.
    pub fn call_some(&mut self, id: [u8; 16], until: Time) {
        self.open(id, Tally::new(TallyKind::Direct, Topic::Market, Share::ALL, until));
    }

    fn open(&mut self, id: [u8; 16], tally: Tally) {
        if self.open.len() < limits::INVITATIONS_MAX {
            self.open.insert(id, tally);
        }
    }

    /// Notes that an answer came. Returns whether it is the first of this provider, in time, and of one that was invited: the others
    /// would else seem to be a crowd of which honest ones keep silent.
    pub fn heard(&mut self, now: Time, id: &[u8; 16], from: NodeId) -> bool {
        let Some(tally) = self.open.get_mut(id) else { return false };
        if now >= tally.until {
            return false;
        }
        let besides = tally.besides.len();
        tally.besides.retain(|other| *other != from);
        let is_invited = tally.invited.invites(id, &from) && tally.heard.len() < limits::ASKS_MAX;
        (is_invited && tally.heard.insert(from)) || tally.besides.len() < besides
    }

    /// Learns how large a crowd is from the invitations whose time is over, in which silence forgets what was known, and where nothing
    /// is known, from a seek for which there was as much time as for a call.
    pub fn learn(&mut self, now: Time) {
        for tally in self.open.values_mut() {
            if tally.estimate_at.take_if(|at| *at <= now).is_some()
                && tally.crowd() > 0
                && self.sizes.len() < limits::MODELS_KNOWN_MAX
            {
                self.sizes.entry(tally.topic).or_insert_with(|| tally.crowd());
            }
        }
        let over: Vec<[u8; 16]> =
            self.open.iter().filter(|(_, tally)| tally.until <= now).map(|(id, _)| *id).collect();
        for id in over {
            let Some(tally) = self.open.remove(&id).filter(|tally| tally.kind != TallyKind::Direct) else {
                continue;
            };
            let crowd = tally.crowd();
            let room = self.sizes.len() < limits::MODELS_KNOWN_MAX || self.sizes.contains_key(&tally.topic);
            if crowd == 0 || !room {
                self.sizes.remove(&tally.topic);
                self.bidders.remove(&tally.topic);
            } else {
                self.sizes.insert(tally.topic, crowd);
                if tally.kind == TallyKind::Call {
                    let bidders = tally.heard.into_iter().take(limits::BIDS_MAX).collect();
                    self.bidders.insert(tally.topic, bidders);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::order::ModelId;

    fn provider(number: u64) -> NodeId {
        NodeId(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    fn invited(share: Share, id: u8, providers: u64) -> u64 {
        (0..providers).filter(|number| share.invites(&[id; 16], &provider(*number))).count() as u64
    }

    /// (`MK-16`)
    #[test]
    fn a_share_holds_about_its_part_of_a_crowd_and_another_one_each_time() {
        for (share, expected) in [(Share(0), 0..1), (Share(100_000), 140..260), (Share::ALL, 2_000..2_001)] {
            let count = invited(share, 7, 2_000);
            assert!(expected.contains(&count), "{share:?} holds {count}");
        }
        let provider = NodeId([3; 32]);
        let drawn = (0..100).filter(|id| Share(500_000).invites(&[*id; 16], &provider)).count();
        assert!((30..70).contains(&drawn), "half of all calls ask one provider: {drawn}");
    }

    /// (`MK-17`)
    #[test]
    fn a_share_widens_by_four_until_it_is_everyone() {
        let wider = |share: &Share| (*share < Share::ALL).then(|| share.wider());
        let shares: Vec<Share> = std::iter::successors(Some(Share::FIRST), wider).collect();
        assert_eq!(shares, [Share::FIRST, Share(250_000), Share::ALL]);
        assert_eq!((Share(u32::MAX).wider(), Share(300_000).wider()), (Share::ALL, Share::ALL));
    }

    /// (`MK-17`)
    #[test]
    fn an_unknown_model_is_sold_by_no_more_than_are_in_the_market() {
        let model = Topic::Model(ModelId([1; 32]));
        for (answers, expected) in
            [(0, Share::FIRST), (3, Share::ALL), (40, Share(500_000)), (200, Share(100_000))]
        {
            let mut crowds = Crowds::default();
            crowds.seek(Time(0), [0; 16], Topic::Market, Share::ALL);
            (0..answers).for_each(|from| assert!(crowds.heard(Time(0), &[0; 16], NodeId([from; 32]))));
            crowds.learn(Time(1));
            assert_eq!(crowds.call_share(model, 16), Share::FIRST, "others may be on their way");
            crowds.learn(Time(0) + limits::BID_WINDOW);
            assert_eq!(crowds.call_share(model, 16), expected, "{answers} providers");
        }
        let mut crowds = Crowds::default();
        crowds.sizes.insert(Topic::Market, 10_000);
        assert_eq!(crowds.call_share(model, 16), Share::FIRST, "few of many may sell it");
        crowds.sizes.insert(model, 10_000);
        assert_eq!(crowds.call_share(model, 16), Share(2_000));
    }

    /// (`MK-17`)
    #[test]
    fn who_is_called_besides_is_heard_once_and_makes_no_crowd() {
        let (mut crowds, topic) = (Crowds::default(), Topic::Model(ModelId([1; 32])));
        crowds.call([1; 16], topic, Share::FIRST, Time(1), &[provider(0)]);
        assert!(!Share::FIRST.invites(&[1; 16], &provider(0)));
        assert!(crowds.heard(Time(0), &[1; 16], provider(0)));
        assert!(!crowds.heard(Time(0), &[1; 16], provider(0)));
        crowds.learn(Time(1));
        assert_eq!(crowds.share(topic, 16), None);
    }

    /// (`MK-17`)
    #[test]
    fn the_crowd_is_learnt_from_answers_and_forgotten_in_silence() {
        let (mut crowds, topic) = (Crowds::default(), Topic::Model(ModelId([1; 32])));
        let mut round = |number: u8, answers: usize| {
            let share = crowds.share(topic, 16).unwrap_or(Share::ALL);
            crowds.call([number; 16], topic, share, Time(1), &[]);
            let is_invited = |from: &NodeId| share.invites(&[number; 16], from);
            for from in (0..).map(provider).filter(is_invited).take(answers) {
                assert!(crowds.heard(Time(0), &[number; 16], from));
                assert!(!crowds.heard(Time(0), &[number; 16], from), "a provider counts once");
            }
            for from in (0..10_000).map(provider).filter(|from| !is_invited(from)) {
                assert!(!crowds.heard(Time(0), &[number; 16], from), "who was not invited says nothing");
            }
            assert!(!crowds.heard(Time(1), &[number; 16], NodeId([255; 32])), "the time is over");
            crowds.learn(Time(1));
            crowds.share(topic, 16)
        };
        assert_eq!(round(1, 80), Some(Share(250_000)));
        assert_eq!(round(2, 40), Some(Share(125_000)));
        assert_eq!(round(3, 20), Some(Share(125_000)));
        assert_eq!(round(4, 0), None);
        assert_eq!(round(5, 3), Some(Share::ALL));
        let enough = |topic, wanted, with_strangers| {
            let Enough { proven, all } =
                crowds.enough(topic, wanted, with_strangers, |bidder| *bidder != provider(0));
            (proven, all)
        };
        assert_eq!([16, 1].map(|wanted| enough(topic, wanted, true)), [(2, 3), (1, 1)]);
        assert_eq!(enough(topic, 16, false), (2, 0));
        assert_eq!(enough(Topic::Market, 16, false), (16, 16), "nothing is known");
    }
}
