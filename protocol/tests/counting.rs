//! Whose input is counted, and when: a tokenizer's time is the provider's, and nobody has paid for it yet.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Budget, EngineReport, Input};
use bombyx_protocol::limits;
use bombyx_protocol::provider::{CreditLimits, ProviderConfig};
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::extension::Extensions;
use bombyx_protocol::wire::message::{FromClient, Refusal, ToClient, Work};
use bombyx_protocol::work::order::{JobId, Task};
use bombyx_protocol::work::price::InputTokens;
use testbed::guest::{Guest, GuestSession, channel, net, work};
use testbed::{CALM, Testbed, chat, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);
const PRICE: u64 = 400;

/// A provider that lends so much to each stranger, with more slots than anybody needs; its engine counts only when it is told to.
fn seller(seed: u64, credit: u64) -> (Testbed, NodeId) {
    let mut testbed = Testbed::new(seed, CALM);
    (testbed.slots, testbed.context_tokens) = (1_000, 65_536);
    let credit = CreditLimits { per_client: Nano(credit), per_hour: Nano(1_000 * credit) };
    let config = ProviderConfig { credit, ..ProviderConfig::for_tests(1) };
    let provider = testbed.provider_with(config, price(PRICE), 1_000);
    (testbed, provider)
}

/// The largest task that there is, and the most tokens that it can have.
fn big() -> Task {
    chat(&"x".repeat(limits::TASK_BYTES_MAX), 60)
}

/// Sends a big task of a job that the guest has won.
fn works(testbed: &mut Testbed, provider: NodeId, guest: &mut Guest, salt: u64) -> Option<GuestSession> {
    guest.input_log2 = 15;
    let (bid, hash) = guest.call(testbed, provider)?;
    let mut opened = guest.award(testbed, provider, &(bid.clone(), hash))?;
    let task = big();
    let input = InputTokens::fresh(testbed::engine::input_tokens(&task));
    let stated = Work { task, input, ..work(60, channel(&bid, salt)) };
    guest.gives(testbed, provider, &mut opened, stated);
    Some(opened)
}

fn refusals(guest: &Guest, testbed: &mut Testbed) -> Vec<Refusal> {
    let told = guest.mail(testbed).into_iter();
    told.filter_map(|said| if let ToClient::Refuse(refuse) = said { Some(refuse.why) } else { None })
        .collect()
}

/// The counts that the provider's engine was asked for and has not told.
fn asked(testbed: &Testbed, provider: NodeId) -> Vec<JobId> {
    testbed.engine(provider).uncounted.iter().map(|(job, _)| *job).collect()
}

/// The engine tells the count that it was asked for first.
fn tells(testbed: &mut Testbed, provider: NodeId) -> JobId {
    let (job, input_tokens) = testbed.engine_mut(provider).uncounted.remove(0);
    let report = EngineReport::Counted { input_tokens, cached_tokens: 0 };
    testbed.feed(provider, Input::Engine { job, report });
    job
}

/// (WR-25) Each of a crowd has its own prefix, credit, and a task as large as tasks are.
#[test]
fn a_crowd_of_strangers_with_big_tasks_is_one_count_before_a_customer_s() {
    let (mut testbed, provider) = seller(1, COIN.0);
    let customer = testbed.client(1, COIN);
    testbed.order(customer, 1, chat("count for me", 20), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    assert!(testbed.outcome(1).end.unwrap().is_ok());

    testbed.engine_mut(provider).stalls = true;
    let mut crowd: Vec<Guest> =
        (0..40).map(|number| Guest::new(&mut testbed, 100 + number, net(number))).collect();
    for (salt, guest) in (0..).zip(&mut crowd) {
        works(&mut testbed, provider, guest, salt).unwrap();
    }
    assert_eq!(asked(&testbed, provider).len(), limits::STRANGERS_COUNTS_MAX);
    testbed.order(customer, 2, chat("count for me", 20), COIN, MINUTE);
    testbed.run(Span::from_s(2), |_| false);
    let counts = asked(&testbed, provider);
    assert_eq!(counts.len(), limits::STRANGERS_COUNTS_MAX + 1, "the customer's is asked for at once");
    // What is told of one stranger's task lets the next one's be counted: each time behind the customer's.
    tells(&mut testbed, provider);
    assert_eq!(asked(&testbed, provider)[0], counts[1]);
}

/// The key and the prefix of the one of a crowd that comes at this place.
type Who = fn(u64) -> (u64, u64);

/// (WR-25)
#[test]
fn what_strangers_have_counted_has_a_budget_by_client_and_prefix_and_in_sum() {
    // One client, clients of one prefix, and clients of as many prefixes.
    let crowds: [(Who, u64); 3] = [
        (|_| (1, 1), limits::STRANGERS_COUNTS_PER_S / 2 + limits::COUNTS_BURST),
        (|number| (number, 1), limits::STRANGERS_COUNTS_PER_S / 2 + limits::PREFIX_COUNTS_BURST),
        (|number| (number, number), limits::STRANGERS_COUNTS_PER_S + limits::COUNTS_BURST),
    ];
    for (who, most) in crowds {
        let (mut testbed, provider) = seller(2, COIN.0);
        let (mut counted, mut turned_away) = (0, 0);
        for number in 0..60 {
            let (name, prefix) = who(number);
            let mut guest = Guest::new(&mut testbed, 100 + name, net(prefix));
            guest.number = 100 * number;
            let Some(_) = works(&mut testbed, provider, &mut guest, name) else { continue };
            if refusals(&guest, &mut testbed).contains(&Refusal::Busy) {
                turned_away += 1;
            } else {
                counted += big().input_tokens_max();
            }
        }
        assert!(counted > limits::STRANGERS_COUNTS_PER_S / 4 && counted <= most, "{counted} of {most}");
        assert!(turned_away > 0 && testbed.crowds.iter().any(|crowd| crowd.budget == Budget::Counts));
        // What is used up comes again.
        testbed.run(Span::from_s(2), |_| false);
        let mut late = Guest::new(&mut testbed, 9_000, net(9_000));
        works(&mut testbed, provider, &mut late, 9_000).unwrap();
        assert_eq!(refusals(&late, &mut testbed), []);
    }
}

/// (WR-25) Not even where it gives each of them up as soon as it is counted.
#[test]
fn of_one_client_one_input_is_counted_at_a_time() {
    let (mut testbed, provider) = seller(3, COIN.0);
    testbed.engine_mut(provider).stalls = true;
    let mut guest = Guest::new(&mut testbed, 100, net(1));
    for salt in 0..4 {
        let mut opened = works(&mut testbed, provider, &mut guest, 1).unwrap();
        if salt % 2 == 0 {
            let cancel = FromClient::Cancel(Extensions::NONE);
            guest.seals(&mut testbed, provider, &mut opened, &cancel);
        }
        assert_eq!(asked(&testbed, provider).len(), 1, "{salt}");
    }
    let first = tells(&mut testbed, provider);
    let counts = asked(&testbed, provider);
    assert!(counts.len() == 1 && counts[0] != first);
}

/// (WR-22, WR-25)
#[test]
fn a_stranger_s_input_is_counted_once_its_money_is_there_and_not_before() {
    for (credit, is_counted) in [(0, false), (COIN.0, true)] {
        let (mut testbed, provider) = seller(4, credit);
        testbed.engine_mut(provider).stalls = true;
        let mut guest = Guest::new(&mut testbed, 100, net(1));
        works(&mut testbed, provider, &mut guest, 1).unwrap();
        assert_eq!(!asked(&testbed, provider).is_empty(), is_counted, "{credit} of credit");
        testbed.run(Span::from_s(21), |_| false);
        let expected: &[Refusal] = if is_counted { &[] } else { &[Refusal::Unfunded] };
        assert_eq!(refusals(&guest, &mut testbed), expected);
    }
    // One that has no credit is asked for its channel, and is counted when it stands.
    let (mut testbed, provider) = seller(5, 0);
    let newcomer = testbed.client(1, COIN);
    testbed.order(newcomer, 1, chat("count for me", 20), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| {
        let is_counted = testbed.engine(provider).counts > 0;
        let is_open = testbed.provider_at(provider).channels().any(|earner| earner.is_open());
        assert!(is_open || !is_counted, "counted before its channel was open");
        is_counted
    });
    testbed.run_to_end(MINUTE);
    assert!(testbed.outcome(1).end.unwrap().is_ok());
}
