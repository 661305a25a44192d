//! More orders at once than a provider can serve in their time: each is answered, or is told in its time when it can be.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::Failure;
use bombyx_protocol::time::{Span, Time};
use testbed::{CALM, Testbed, chat, price};

const COIN: Nano = Nano(1_000_000_000);

/// Equal orders at once.
#[derive(Debug, Clone, Copy)]
struct Burst {
    sellers: u64,
    /// What each makes in four slots together.
    tokens_per_s: u64,
    orders: u64,
    max_tokens: u32,
    deadline_s: u64,
    /// Orders of the client that it has served before.
    served: u64,
}

/// What became of a burst whose orders come back once, when they are told to.
#[derive(Debug, Default)]
struct Ended {
    answered: u64,
    told: u64,
    /// Answers that their deadline cut, and orders for which it came before any token.
    cut: u64,
    never_began: u64,
    answered_at_once: u64,
    answered_when_back: u64,
}

/// Plays bursts that are given as their numbers: sellers, tokens a second, orders, tokens, deadline, orders served before.
fn played<const N: usize>(bursts: [(u64, u64, u64, u32, u64, u64); N]) -> [(Burst, Ended); N] {
    bursts.map(|(sellers, tokens_per_s, orders, max_tokens, deadline_s, served)| {
        let burst = Burst { sellers, tokens_per_s, orders, max_tokens, deadline_s, served };
        (burst, burst.play())
    })
}

impl Burst {
    fn play(self) -> Ended {
        let (mut testbed, client) = self.market();
        let mut ended = Ended::default();
        let mut back: Vec<Time> = Vec::new();
        for id in 1..=self.orders {
            self.place(&mut testbed, client, id);
        }
        for id in 1..=self.orders {
            if let Some(at) = self.end_of(&mut testbed, id, &mut ended) {
                back.push(at);
            }
        }
        (ended.told, ended.answered_at_once) = (back.len() as u64, ended.answered);
        back.sort_unstable();
        for (at, id) in back.iter().zip(self.orders + 1..) {
            testbed.run(at.since(testbed.now), |_| false);
            self.place(&mut testbed, client, id);
        }
        for id in self.orders + 1..=self.orders + ended.told {
            self.end_of(&mut testbed, id, &mut ended);
        }
        ended.answered_when_back = ended.answered - ended.answered_at_once;
        ended
    }

    fn market(self) -> (Testbed, NodeId) {
        let mut testbed = Testbed::new(1, CALM);
        testbed.slots = 4;
        for number in 1..=self.sellers {
            let provider = testbed.provider(number, price(400_000), 1_000_000 / self.tokens_per_s);
            testbed.engine_mut(provider).is_shared = true;
        }
        let client = testbed.client(1, Nano(10 * COIN.0));
        for id in 1_000..1_000 + self.served {
            testbed.order(client, id, chat("count for me", 8), COIN, Span::from_s(120));
            testbed.run(Span::from_s(120), |testbed| testbed.outcome(id).end.is_some());
            assert!(testbed.outcome(id).end.unwrap().is_ok());
        }
        (testbed, client)
    }

    fn place(self, testbed: &mut Testbed, client: NodeId, id: u64) {
        let task = chat("count for me", self.max_tokens);
        testbed.order(client, id, task, COIN, Span::from_s(self.deadline_s));
    }

    /// Counts how an order ends, and says when it is to come back.
    fn end_of(self, testbed: &mut Testbed, id: u64, ended: &mut Ended) -> Option<Time> {
        // The last bill of an answer that is cut is waited for.
        testbed.run(Span::from_s(self.deadline_s + 1), |testbed| testbed.outcome(id).end.is_some());
        let outcome = testbed.outcome(id);
        match outcome.end.unwrap() {
            Ok(_) => ended.answered += 1,
            Err((Failure::Full { come_back_s, .. }, _)) => {
                assert!(outcome.ids.is_empty() && (1..=60).contains(&come_back_s));
                return Some(testbed.now + Span::from_s(come_back_s.into()));
            }
            Err((Failure::Deadline, _)) if outcome.ids.is_empty() => ended.never_began += 1,
            Err((Failure::Deadline, _)) => ended.cut += 1,
            Err((why, _)) => panic!("{self:?}: order {id}: {why:?}"),
        }
        None
    }
}

/// (MK-15, MK-50) Also where the answers have as many tokens as they may, of which a quarter was expected.
#[test]
fn an_order_of_a_burst_that_never_began_is_full_and_only_an_answer_under_way_meets_its_deadline() {
    let bursts = [
        (1, 5, 12, 20, 10, 0),
        (1, 5, 12, 20, 10, 3),
        (1, 5, 12, 60, 10, 0),
        (1, 5, 12, 120, 10, 3),
        (1, 5, 30, 20, 10, 3),
        (1, 5, 12, 20, 4, 3),
        (1, 5, 12, 60, 30, 3),
        (1, 40, 12, 200, 5, 3),
        (1, 40, 60, 60, 10, 0),
        (2, 5, 24, 20, 10, 0),
        (3, 5, 40, 60, 10, 3),
    ];
    for (burst, ended) in played(bursts) {
        assert_eq!(ended.never_began, 0, "{burst:?}: {ended:?}");
        assert!(ended.told >= burst.orders / 4, "{burst:?}: {ended:?}");
    }
}

/// (MK-50) Where the slots' share of the engine is enough for an answer in its time.
#[test]
fn of_a_burst_nine_of_ten_that_come_back_when_they_are_told_to_are_answered() {
    let (mut told, mut answered) = (0, 0);
    let bursts = [
        (1, 5, 12, 8, 10, 0),
        (1, 5, 30, 8, 10, 3),
        (1, 40, 60, 40, 10, 0),
        (1, 40, 80, 20, 10, 3),
        (1, 40, 80, 20, 5, 3),
        (2, 5, 30, 8, 10, 3),
    ];
    for (burst, ended) in played(bursts) {
        assert!(ended.answered_when_back * 10 >= ended.told * 8, "{burst:?}: {ended:?}");
        (told, answered) = (told + ended.told, answered + ended.answered_when_back);
    }
    assert!(answered * 10 >= told * 9, "{answered} of {told}");
}

/// (MK-48) The issue's own burst.
#[test]
fn eighty_short_chats_at_once_are_all_answered_where_there_is_time() {
    let burst =
        Burst { sellers: 1, tokens_per_s: 40, orders: 80, max_tokens: 16, deadline_s: 120, served: 0 };
    assert_eq!(burst.play().answered_at_once, 80);
}

/// (CH-5) What a slow engine makes later is no reason to keep the window from the others on the channel.
#[test]
fn as_many_answers_as_there_are_slots_begin_at_once() {
    for (tokens_per_s, max_tokens) in [(5, 20), (5, 200), (40, 200)] {
        let burst = Burst { sellers: 1, tokens_per_s, orders: 4, max_tokens, deadline_s: 120, served: 3 };
        let (mut testbed, client) = burst.market();
        (1..=4).for_each(|id| burst.place(&mut testbed, client, id));
        testbed.run(Span::from_s(5), |_| false);
        let made: Vec<usize> = (1..=4).map(|id| testbed.outcome(id).ids.len()).collect();
        assert!(made.iter().all(|made| *made > 0), "{burst:?}: {made:?}");
    }
}
