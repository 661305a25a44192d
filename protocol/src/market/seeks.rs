//! What a client has sought: how often it may, and whose answers it reads.

use std::collections::BTreeMap;

use crate::ident::NodeId;
use crate::limits;
use crate::market::ask::Ask;
use crate::market::call::Classes;
use crate::market::seek::SeekId;
use crate::market::topic::Topic;
use crate::table::Table;
use crate::time::Time;
use crate::work::order::ModelId;

/// What a client has sought, and who has answered.
#[derive(Debug, Default)]
pub struct Seeks {
    /// When it was last sought on each topic, and whether anyone answered.
    topics: Table<Topic, (Time, bool)>,
    /// When each provider was last asked directly.
    providers: Table<NodeId, Time>,
    open: Table<SeekId, OpenSeek>,
}

/// A seek whose answers are read.
#[derive(Debug)]
struct OpenSeek {
    topic: Topic,
    /// The classes of tasks that prices are sought for, if for some.
    classes: Option<Classes>,
    /// Who alone may answer, where only one was asked.
    only: Option<NodeId>,
    until: Time,
    /// How many asks each has sent.
    answers: BTreeMap<NodeId, usize>,
}

/// What becomes of an ask that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskVerdict {
    /// It answers a seek.
    Wanted,
    /// No such seek is open: its time may be over.
    Late,
    /// It answers a seek with something that was not asked for.
    Unasked,
}

impl Seeks {
    /// Returns whether it is time to seek on a topic: not for a while after answers came, sooner
    /// after silence. (`MK-18`)
    #[must_use]
    pub fn is_due(&self, now: Time, topic: Topic) -> bool {
        let has_room = self.open.len() < limits::SEEKS_OPEN_MAX;
        has_room
            && match self.topics.get(&topic) {
                Some((at, true)) => now >= *at + limits::SEEK_EVERY,
                Some((at, false)) => now >= *at + limits::SEEK_RETRY,
                None => self.topics.len() < limits::MODELS_KNOWN_MAX,
            }
    }

    /// Returns whether it is time to ask this provider itself. (`MK-18`)
    #[must_use]
    pub fn is_provider_due(&self, now: Time, provider: &NodeId) -> bool {
        let has_room = self.open.len() < limits::SEEKS_OPEN_MAX;
        has_room
            && match self.providers.get(provider) {
                Some(at) => now >= *at + limits::SEEK_EVERY,
                None => self.providers.len() < limits::ASKS_MAX,
            }
    }

    /// Notes that a seek goes out on a topic.
    pub fn gossiped(&mut self, now: Time, id: SeekId, topic: Topic) {
        self.topics.insert(topic, (now, false));
        self.open(now, id, topic, None, None);
    }

    /// Notes that a seek for everything goes to one provider.
    pub fn sent(&mut self, now: Time, id: SeekId, provider: NodeId) {
        self.providers.insert(provider, now);
        self.open(now, id, Topic::Market, None, Some(provider));
    }

    /// Returns whether a provider may be asked for its price of tasks of these classes: it is not being asked already. (`MK-64`)
    #[must_use]
    pub fn is_price_due(&self, now: Time, provider: &NodeId, model: ModelId, classes: Classes) -> bool {
        let is_asked = self.open.values().any(|open| {
            open.only == Some(*provider)
                && open.topic == Topic::Model(model)
                && open.classes == Some(classes)
                && now < open.until
        });
        self.open.len() < limits::SEEKS_OPEN_MAX && !is_asked
    }

    /// Notes that a seek for the price of tasks of these classes goes to one provider.
    pub fn priced(&mut self, now: Time, id: SeekId, provider: NodeId, model: ModelId, classes: Classes) {
        self.open(now, id, Topic::Model(model), Some(classes), Some(provider));
    }

    /// Returns the classes of tasks that a seek is about, if it is open and about some.
    #[must_use]
    pub fn classes(&self, seek: &SeekId) -> Option<Classes> {
        self.open.get(seek).and_then(|open| open.classes)
    }

    fn open(&mut self, now: Time, id: SeekId, topic: Topic, classes: Option<Classes>, only: Option<NodeId>) {
        let until = now + limits::SEEK_WAIT;
        self.open.insert(id, OpenSeek { topic, classes, only, until, answers: BTreeMap::new() });
    }

    /// Counts an ask of this provider. (`MK-12`)
    pub fn answered(&mut self, now: Time, ask: &Ask) -> AskVerdict {
        let Some(open) = self.open.get_mut(&ask.seek).filter(|open| now < open.until) else {
            return AskVerdict::Late;
        };
        let is_about = open.topic == Topic::Market || open.topic == Topic::Model(ask.model);
        if !is_about || open.only.is_some_and(|only| only != ask.provider) {
            return AskVerdict::Unasked;
        }
        if open.answers.len() >= limits::ASKS_MAX && !open.answers.contains_key(&ask.provider) {
            return AskVerdict::Late;
        }
        let count = open.answers.entry(ask.provider).or_default();
        if *count >= limits::ASKS_PER_SEEK_MAX {
            return AskVerdict::Unasked;
        }
        *count = count.saturating_add(1);
        if let Some((_, answered)) = self.topics.get_mut(&open.topic) {
            *answered = true;
        }
        AskVerdict::Wanted
    }

    /// Returns whether a provider that was asked directly has not answered, and may still.
    #[must_use]
    pub fn awaits(&self, now: Time) -> bool {
        self.open.values().any(|open| now < open.until && open.only.is_some() && open.answers.is_empty())
    }

    /// Forgets what is over.
    pub fn expire(&mut self, now: Time) {
        if self.open.values().any(|open| open.until <= now) {
            self.open.retain(|_, open| open.until > now);
            self.providers.retain(|_, at| now < *at + limits::SEEK_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Topic = Topic::Model(ModelId([2; 32]));

    fn ask(seek: SeekId, provider: u8, model: u8) -> Ask {
        let (provider, model) = (NodeId([provider; 32]), ModelId([model; 32]));
        Ask { provider, model, seek, ..Ask::for_tests() }
    }

    /// (`MK-18`)
    #[test]
    fn a_topic_is_sought_again_soon_after_silence_and_late_after_answers() {
        for (topic, model) in [(ONE, 2), (Topic::Market, 9)] {
            let (mut seeks, id) = (Seeks::default(), SeekId([1; 16]));
            assert!(seeks.is_due(Time(0), topic));
            seeks.gossiped(Time(0), id, topic);
            assert!(!seeks.is_due(Time(0), topic));
            assert!(seeks.is_due(Time(0) + limits::SEEK_RETRY, topic));
            assert_eq!(seeks.answered(Time(0), &ask(id, 1, model)), AskVerdict::Wanted);
            assert!(!seeks.is_due(Time(0) + limits::SEEK_RETRY, topic));
            assert!(seeks.is_due(Time(0) + limits::SEEK_EVERY, topic));
        }
    }

    /// (`MK-12`)
    #[test]
    fn an_ask_is_wanted_only_as_the_answer_to_what_was_asked_and_of_whom() {
        let mut seeks = Seeks::default();
        let (one, all, direct) = (SeekId([1; 16]), SeekId([2; 16]), SeekId([3; 16]));
        seeks.gossiped(Time(0), one, ONE);
        seeks.gossiped(Time(0), all, Topic::Market);
        seeks.sent(Time(0), direct, NodeId([7; 32]));
        assert!(seeks.awaits(Time(0)));
        let mut verdict = |seek, provider, model| seeks.answered(Time(1), &ask(seek, provider, model));
        assert_eq!(verdict(one, 1, 2), AskVerdict::Wanted);
        assert_eq!(verdict(one, 1, 3), AskVerdict::Unasked, "another model");
        assert_eq!(verdict(all, 1, 3), AskVerdict::Wanted);
        assert_eq!(verdict(direct, 1, 3), AskVerdict::Unasked, "another provider");
        assert_eq!(verdict(direct, 7, 3), AskVerdict::Wanted);
        assert_eq!(verdict(SeekId([9; 16]), 1, 2), AskVerdict::Late);
        assert!(!seeks.awaits(Time(1)));
        let over = Time(0) + limits::SEEK_WAIT;
        assert_eq!(seeks.answered(over, &ask(all, 2, 3)), AskVerdict::Late);
        seeks.expire(over);
        assert!(seeks.open.is_empty());
    }

    /// (`MK-12`, `MK-19`)
    #[test]
    fn a_provider_that_answers_more_than_it_may_is_not_heard() {
        let (mut seeks, id) = (Seeks::default(), SeekId([1; 16]));
        seeks.gossiped(Time(0), id, Topic::Market);
        let wanted = (0..=255)
            .filter(|model| seeks.answered(Time(0), &ask(id, 1, *model)) == AskVerdict::Wanted)
            .count();
        assert_eq!(wanted, limits::ASKS_PER_SEEK_MAX);
        assert_eq!(seeks.answered(Time(0), &ask(id, 2, 1)), AskVerdict::Wanted, "others are not affected");
    }

    /// (`MK-18`)
    #[test]
    fn one_provider_is_asked_now_and_then_and_who_was_asked_is_bounded() {
        let (mut seeks, provider) = (Seeks::default(), NodeId([1; 32]));
        assert!(seeks.is_provider_due(Time(0), &provider));
        seeks.sent(Time(0), SeekId([1; 16]), provider);
        assert!(!seeks.is_provider_due(Time(0) + limits::SEEK_RETRY, &provider));
        let later = Time(0) + limits::SEEK_EVERY;
        seeks.expire(later);
        assert!(seeks.is_provider_due(later, &provider));
        for number in 0..2 * limits::SEEKS_OPEN_MAX as u64 {
            let (mut id, mut node) = ([0; 16], [0; 32]);
            id[..8].copy_from_slice(&number.to_le_bytes());
            node[..8].copy_from_slice(&number.to_le_bytes());
            if seeks.is_provider_due(later, &NodeId(node)) {
                seeks.sent(later, SeekId(id), NodeId(node));
            }
        }
        assert_eq!(seeks.open.len(), limits::SEEKS_OPEN_MAX);
    }
}
