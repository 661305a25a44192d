//! How a task is refused against which several things can be said: everywhere by the same word.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::limits;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::extension::{Extension, Extensions};
use bombyx_protocol::wire::message::{FromClient, Refusal, ToClient, Work};
use bombyx_protocol::work::order::Task;
use bombyx_protocol::work::price::{InputTokens, Price};
use testbed::guest::{Guest, channel, key_proof, net, work};
use testbed::{CALM, Testbed, chat, price};

/// A fault of a task, and how it is refused.
type Fault = (Refusal, fn(&mut Work));

/// In the order in which they are looked for: what a later one does, an earlier one leaves as it is.
const FAULTS: [Fault; 8] = [
    (Refusal::NotUnderstood, |work| {
        let unknown = Extension { kind: 2, value: Vec::new() };
        work.extensions = Extensions::new(vec![unknown]).unwrap();
    }),
    (Refusal::TaskTooLong(limits::TASK_BYTES_MAX as u64), |work| {
        let long = "x".repeat(limits::TASK_BYTES_MAX + 1);
        work.task = Task::Embed { inputs: [vec![long], vec![String::new(); 300]].concat() };
    }),
    (Refusal::TooManyInputs(limits::EMBED_INPUTS_MAX as u64), |work| {
        work.task = Task::Embed { inputs: vec!["x".into(); 300] };
    }),
    (Refusal::WrongKind, |work| work.task = Task::Embed { inputs: vec!["x".into()] }),
    (Refusal::OtherClass, |work| {
        work.task = chat("count for me", 2_000);
        work.input = InputTokens::fresh(u32::MAX);
    }),
    (Refusal::ChannelTerms, |work| work.channel.provider_key = [9; 32]),
    (Refusal::BadKeyProof, |work| work.key_proof.0 = [9; 64]),
    // No tokenizer makes so many of a dozen bytes: a false count as any other.
    (Refusal::Counts(12), |work| work.input = InputTokens::fresh(400)),
];

/// (WR-1, WR-8, WR-22, MK-46, CH-1, CH-53)
#[test]
fn of_several_faults_of_a_task_the_first_of_the_page_is_named() {
    for first in 0..FAULTS.len() {
        let mut testbed = Testbed::new(1, CALM);
        let provider = testbed.provider(1, price(400), 1_000);
        let mut guest = Guest::new(&mut testbed, 1, net(1));
        let (bid, hash) = guest.call(&mut testbed, provider).unwrap();
        let mut opened = guest.award(&mut testbed, provider, &(bid.clone(), hash)).unwrap();
        let mut faulty = work(60, channel(&bid, 1));
        faulty.key_proof = key_proof(&opened, &faulty.channel);
        FAULTS[first..].iter().rev().for_each(|(_, spoil)| spoil(&mut faulty));
        guest.seals(&mut testbed, provider, &mut opened, &FromClient::Work(faulty));
        testbed.run(Span::from_ms(100), |_| false);
        assert_eq!(refusals(&guest, &mut testbed), [FAULTS[first].0]);
    }
}

/// (WR-7, WR-22)
#[test]
fn a_bill_that_fits_no_amount_is_found_before_the_input_is_counted() {
    let mut testbed = Testbed::new(2, CALM);
    let provider = testbed.provider(1, price(400), 1_000);
    let mut guest = Guest::new(&mut testbed, 1, net(1));
    let (mut bid, hash) = guest.call(&mut testbed, provider).unwrap();
    bid.price = Price(u64::MAX);
    let mut opened = guest.award(&mut testbed, provider, &(bid.clone(), hash)).unwrap();
    let mut faulty = work(60, channel(&bid, 1));
    faulty.input = InputTokens::fresh(1);
    guest.gives(&mut testbed, provider, &mut opened, faulty);
    testbed.run(Span::from_ms(100), |_| false);
    assert_eq!(refusals(&guest, &mut testbed), [Refusal::BillTooLarge]);
}

fn refusals(guest: &Guest, testbed: &mut Testbed) -> Vec<Refusal> {
    let told = guest.mail(testbed).into_iter();
    told.filter_map(|said| if let ToClient::Refuse(refuse) = said { Some(refuse.why) } else { None })
        .collect()
}
