//! Who has a place in the line for a slot: nobody fills it alone, and customers go before strangers.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::ChannelTerms;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::limits;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::extension::Extensions;
use bombyx_protocol::wire::message::{Ack, FromClient, Refusal};
use testbed::guest::{Guest, GuestSession, channel, net, opens, voucher_of, work};
use testbed::{CALM, Testbed, price};

const COIN: Nano = Nano(1_000_000_000);

/// A client with a channel of its own.
struct Visitor {
    guest: Guest,
    terms: ChannelTerms,
    /// Tasks that it has sent.
    placed: usize,
}

impl Visitor {
    fn new(testbed: &mut Testbed, provider: NodeId, number: u64, prefix: u64) -> Self {
        let mut guest = Guest::new(testbed, number, net(prefix));
        let (bid, _) = guest.call(testbed, provider).unwrap();
        let terms = channel(&bid, number);
        opens(testbed, guest.identity.id(), &terms, COIN);
        Self { guest, terms, placed: 0 }
    }

    /// Sends so many tasks, each of a job of its own.
    fn places(&mut self, testbed: &mut Testbed, provider: NodeId, count: usize) {
        for _ in 0..count {
            testbed.run(Span::from_ms(10), |_| false);
            let Some(bid) = self.guest.call(testbed, provider) else { continue };
            let Some(mut opened) = self.guest.award(testbed, provider, &bid) else { continue };
            let work = work(60, self.terms.clone());
            self.guest.gives(testbed, provider, &mut opened, work);
            self.placed += 1;
        }
        // Until the ledger has shown its channel.
        testbed.run(Span::from_ms(250), |_| false);
    }

    /// Sends a task and a voucher of a nano with it, and is a customer from then on. Returns the session.
    fn pays_a_nano(&mut self, testbed: &mut Testbed, provider: NodeId) -> GuestSession {
        let paid = Some(voucher_of(testbed, &self.terms, Nano(1)));
        let bid = self.guest.call(testbed, provider).unwrap();
        let mut opened = self.guest.award(testbed, provider, &bid).unwrap();
        let task = work(60, self.terms.clone());
        self.guest.gives(testbed, provider, &mut opened, task);
        let ack = Ack { next: 0, payment: paid, countersignature: None, extensions: Extensions::NONE };
        self.guest.seals(testbed, provider, &mut opened, &FromClient::Ack(ack));
        opened
    }

    /// Returns how many of its tasks are in the line or run.
    fn held(&self, testbed: &Testbed) -> usize {
        let ended = testbed.served.iter().filter(|(_, job)| job.client == self.guest.identity.id());
        let ended: Vec<_> = ended.map(|(_, job)| job.refused).collect();

        assert!(ended.iter().all(|why| *why == Some(Refusal::Busy)), "{ended:?}");
        self.placed - ended.len()
    }
}

/// A provider of one slot, which the first visitor has and keeps.
fn scene(seed: u64) -> (Testbed, NodeId, Visitor) {
    let mut testbed = Testbed::new(seed, CALM);
    testbed.slots = 1;
    let provider = testbed.provider(1, price(400_000), 1_000);
    testbed.engine_mut(provider).hung = true;
    let mut first = Visitor::new(&mut testbed, provider, 1, 1);
    first.places(&mut testbed, provider, 1);
    (testbed, provider, first)
}

/// (MK-43, MK-48)
#[test]
fn a_stranger_with_few_keys_cannot_fill_the_line() {
    let (mut testbed, provider, _first) = scene(1);
    let mut keys: Vec<Visitor> =
        (2..5).map(|number| Visitor::new(&mut testbed, provider, number, 2)).collect();
    for key in &mut keys {
        key.places(&mut testbed, provider, 25);
    }
    let held: usize = keys.iter().map(|key| key.held(&testbed)).sum();
    assert_eq!(held, limits::QUEUE_MAX, "where nobody else wants them they have all places");
    let mut others: Vec<Visitor> =
        (5..9).map(|number| Visitor::new(&mut testbed, provider, number, number)).collect();
    for other in &mut others {
        other.places(&mut testbed, provider, 1);
        assert_eq!(other.held(&testbed), 1);
    }
    let shares: Vec<usize> = keys.iter().map(|key| key.held(&testbed)).collect();
    assert_eq!(shares.iter().sum::<usize>(), limits::QUEUE_MAX - others.len());
    assert!(shares.iter().all(|share| *share >= 17), "evenly among its keys: {shares:?}");
}

/// (MK-48)
#[test]
fn customers_get_the_places_of_strangers_but_for_a_quarter() {
    let (mut testbed, provider, mut customer) = scene(2);
    customer.pays_a_nano(&mut testbed, provider);
    customer.placed += 1;
    testbed.run(Span::from_ms(250), |_| false);

    let mut stranger = Visitor::new(&mut testbed, provider, 2, 2);
    stranger.places(&mut testbed, provider, 70);
    assert_eq!(stranger.held(&testbed), limits::QUEUE_MAX - 1);
    customer.places(&mut testbed, provider, 70);
    assert_eq!(stranger.held(&testbed), limits::STRANGERS_QUEUE_MAX);
    // One of them runs.
    assert_eq!(customer.held(&testbed), 1 + limits::QUEUE_MAX - limits::STRANGERS_QUEUE_MAX);
}

/// (MK-42, MK-48) The slot that was kept for it is free from then on, and who waits for one has it.
#[test]
fn a_customer_that_cancels_before_its_task_comes_keeps_nobody_waiting() {
    let mut testbed = Testbed::new(3, CALM);
    testbed.slots = 1;
    let provider = testbed.provider(1, price(400_000), 1_000);
    testbed.engine_mut(provider).hung = true;
    let cancel = FromClient::Cancel(Extensions::NONE);
    let mut customer = Visitor::new(&mut testbed, provider, 1, 1);
    let mut opened = customer.pays_a_nano(&mut testbed, provider);
    testbed.run(Span::from_ms(250), |_| false);
    customer.guest.seals(&mut testbed, provider, &mut opened, &cancel);
    let in_flight = |testbed: &Testbed| testbed.provider_at(provider).jobs_in_flight();
    assert_eq!(in_flight(&testbed), 0);

    let bid = customer.guest.call(&mut testbed, provider).unwrap();
    let mut opened = customer.guest.award(&mut testbed, provider, &bid).unwrap();
    let mut other = Visitor::new(&mut testbed, provider, 2, 2);
    other.places(&mut testbed, provider, 1);
    assert_eq!((in_flight(&testbed), other.held(&testbed)), (1, 1), "a slot is kept, and it waits");
    customer.guest.seals(&mut testbed, provider, &mut opened, &cancel);
    assert_eq!(in_flight(&testbed), 1, "it runs");
}
