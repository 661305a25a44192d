//! Payments and demands of payment that come more often than anybody needs: each is a check, a signature or a write for who
//! takes it.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::Earner;
use bombyx_protocol::channel::terms::ChannelTerms;
use bombyx_protocol::ident::{NodeId, Signature};
use bombyx_protocol::io::PeerFault;
use bombyx_protocol::limits;
use bombyx_protocol::market::call::Classes;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::Extensions;
use bombyx_protocol::wire::message::{Ack, FromClient, FromProvider, ToClient};
use bombyx_protocol::wire::signed::Signed;
use bombyx_protocol::work::receipt::Receipt;
use testbed::guest::{Guest, GuestSession, channel, net, opens, voucher_of, work};
use testbed::thief::{Plan, Thief};
use testbed::{CALM, Testbed, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);
const PRICE: u64 = 400_000;

/// A guest with a job on a channel that the ledger shows.
struct Scene {
    testbed: Testbed,
    provider: NodeId,
    guest: Guest,
    terms: ChannelTerms,
    session: GuestSession,
    /// Chunks that have come, and how many vouchers the provider has asked for.
    next: u32,
    asked: u64,
    /// The last receipt.
    receipt: Option<Signed>,
}

impl Scene {
    fn new(seed: u64, tokens: u32) -> Self {
        let mut testbed = Testbed::new(seed, CALM);
        let provider = testbed.provider(1, price(PRICE), 1_000);
        let mut guest = Guest::new(&mut testbed, 1, net(1));
        guest.output_log2 = Classes::of(0, tokens.into()).output_log2;
        let (bid, hash) = guest.call(&mut testbed, provider).unwrap();
        let terms = channel(&bid, 1);
        opens(&mut testbed, guest.identity.id(), &terms, COIN);
        let mut session = guest.award(&mut testbed, provider, &(bid, hash)).unwrap();
        guest.gives(&mut testbed, provider, &mut session, work(tokens, terms.clone()));
        let mut scene = Self { testbed, provider, guest, terms, session, next: 0, asked: 0, receipt: None };
        scene.runs(Span::from_s(1));
        assert!(scene.earner().is_open() && scene.next > 0);
        scene
    }

    /// Lets time pass, and hears what the provider says.
    fn runs(&mut self, time: Span) {
        self.testbed.run(time, |_| false);
        for said in self.guest.mail(&mut self.testbed) {
            let ToClient::Sealed(frame) = said else { continue };
            let opened = self.session.1.open(frame.nonce, &frame.bytes).unwrap();
            match codec::decode_sealed::<FromProvider>(&opened.body).unwrap() {
                FromProvider::Chunk(chunk) if chunk.index == self.next => {
                    self.next += 1;
                    self.asked += u64::from(chunk.receipt.is_some());
                    self.receipt = chunk.receipt.or(self.receipt.take());
                }
                FromProvider::NeedPayment(_) => self.asked += 1,
                FromProvider::Chunk(_) | FromProvider::Progress(_) => {}
            }
        }
    }

    /// Acknowledges what has come, with a voucher for so much in all.
    fn pays(&mut self, cumulative: Nano) {
        let payment = Some(voucher_of(&self.testbed, &self.terms, cumulative));
        let ack = Ack { next: self.next, payment, countersignature: None, extensions: Extensions::NONE };
        self.guest.seals(&mut self.testbed, self.provider, &mut self.session, &FromClient::Ack(ack));
    }

    fn earner(&self) -> &Earner {
        self.testbed.provider_at(self.provider).channels().next().unwrap()
    }
}

/// (CH-54) Each voucher is for a nano more. What counts is told by how far they have come.
#[test]
fn a_client_that_pays_nano_by_nano_is_heard_as_often_as_it_was_asked() {
    let mut scene = Scene::new(1, 2_000);
    for _ in 0..10 {
        for _ in 0..100 {
            let paid = scene.earner().paid();
            scene.pays(Nano(paid.0 + 1));
        }
        let paid = scene.earner().paid().0;
        assert!(paid > 0 && paid <= scene.asked + 1, "{paid} vouchers for {}", scene.asked);
        scene.runs(Span::from_ms(700));
    }
    assert!(scene.testbed.faults.is_empty(), "{:?}", scene.testbed.faults);

    let due = scene.earner().served();
    scene.pays(due);
    assert_eq!(scene.earner().paid(), due, "it was asked for that");
    scene.runs(Span::from_s(1));
    assert!(scene.earner().served() > due, "and is served on");
}

/// (WR-10) Of several that come before the last chunk is acknowledged, the first.
#[test]
fn one_countersignature_of_a_job_is_looked_at() {
    for junk in [0, 1, 1_000] {
        let mut scene = Scene::new(6, 8);
        let receipt = scene.receipt.clone().unwrap();
        let says = |scene: &mut Scene, next: u32, signature: Signature| {
            let payment = Some(voucher_of(&scene.testbed, &scene.terms, scene.earner().served()));
            let countersignature = Some(signature);
            let ack = Ack { next, payment, countersignature, extensions: Extensions::NONE };
            scene.guest.seals(&mut scene.testbed, scene.provider, &mut scene.session, &FromClient::Ack(ack));
        };
        (0..junk).for_each(|_| says(&mut scene, 0, Signature([7; 64])));
        let (next, honest) = (scene.next, Receipt::countersign(&receipt, &scene.guest.identity));
        says(&mut scene, next, honest);
        let countersigned: Vec<bool> =
            scene.testbed.served.iter().map(|(_, job)| job.countersigned).collect();
        assert_eq!(countersigned, [junk == 0], "after {junk} that are false");
    }
}

/// A market two seconds after an order for 40 tokens has come to its only seller, a thief.
fn alone_with_thief(seed: u64, plan: Plan) -> (Testbed, NodeId) {
    let mut testbed = Testbed::new(seed, CALM);
    let client = testbed.client(1, COIN);
    let thief = testbed.thief(Thief::new(101, plan, price(PRICE / 4)), None);
    testbed.order(client, 1, chat("count for me", 40), COIN, MINUTE);
    testbed.run(Span::from_s(2), |_| false);
    (testbed, thief)
}

/// (CH-55)
#[test]
fn a_provider_that_demands_a_thousand_times_at_once_is_answered_once_and_accused() {
    let (mut testbed, id) = alone_with_thief(3, Plan::Demands(1_000));
    let said = testbed.to_providers["sealed"];
    assert!(said <= 8, "{said} words");
    let accused = testbed.faults.iter().filter(|fault| **fault == (id, PeerFault::Demanding)).count() as u64;
    assert_eq!(accused, 1_000 - limits::DEMANDS_MAX);

    testbed.provider(1, price(PRICE), 1_000);
    testbed.run_to_end(MINUTE);
    assert_eq!(testbed.outcome(1).text, engine::answer(40), "its order is served elsewhere");
}

/// (CH-55) Each copy is acknowledged by what acknowledges the first.
#[test]
fn a_provider_that_sends_a_chunk_a_thousand_times_is_answered_once() {
    let (mut testbed, _) = alone_with_thief(4, Plan::Copies(1_000));
    let said = testbed.to_providers["sealed"];
    assert!(said <= 8, "{said} words");

    testbed.provider(1, price(PRICE), 1_000);
    testbed.run_to_end(MINUTE);
    let text = testbed.outcome(1).text.clone();
    assert!(text.starts_with('x') && text.ends_with(" 38 39 "), "its order goes on elsewhere: {text}");
}

/// (CH-55)
#[test]
fn what_a_provider_says_a_thousand_times_of_a_job_that_is_over_is_answered_a_few_times() {
    let (mut testbed, _) = alone_with_thief(5, Plan::Chatters(1_000));
    testbed.run_to_end(MINUTE);
    assert!(testbed.outcome(1).end.unwrap().is_ok());
    let said = testbed.to_providers["sealed"];
    assert!(said <= 8, "{said} words");
}
