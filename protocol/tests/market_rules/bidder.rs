//! The provider's side of the market: what is answered with a bid, how long a bid holds, and who is awarded.

use crate::drive::{give, offer};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::Earner;
use bombyx_protocol::channel::record::{EarnerRecord, Record};
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::ident::Signature;
use bombyx_protocol::io::{Command, Input, Offer, Output};
use bombyx_protocol::limits;
use bombyx_protocol::market::bid::BidHash;
use bombyx_protocol::market::call::Call;
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::session::unseal;
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::message::{Gossip, Payment, Refusal, SealedBid, ToClient};
use bombyx_protocol::wire::signed::SignedFault;
use bombyx_protocol::work::order::{ModelId, TaskKind, Tier};
use bombyx_protocol::work::price::Price;

use super::{Caller, START, provider, to_clients};

/// A provider that this caller has paid before.
fn provider_of(number: u64, per_k: u64, customer: &Caller) -> Provider {
    let config = ProviderConfig::for_tests(number);
    let payee = Provider::new(config.clone(), Vec::new()).payee();
    let terms = ChannelTerms {
        network_id: payee.network_id,
        salt: 1,
        client_key: customer.identity.id().0,
        provider_key: payee.key,
        client: Address::basechain([7; 32]),
        provider: payee.address,
        challenge_s: payee.challenge_s,
    };
    let payment = Payment { epoch: 1, cumulative: Nano(1), signature: Signature([0; 64]) };
    let client = customer.identity.id();
    let paid = EarnerRecord { payment: Some(payment), ..Earner::new(terms, client).record() };
    let mut provider = Provider::new(config, vec![Record::Earner(paid)]);
    give(&mut provider, START, offer(per_k));
    provider
}

/// (MK-4)
#[test]
fn a_call_is_answered_once_and_nobody_can_take_its_place() {
    let mut provider = provider(1, 1_000);
    let (caller, copycat) = (Caller::new(1), Caller::new(2));
    let call = caller.call(9);
    let mut forged = call.sign(&caller.identity);
    forged.signature.0[5] ^= 1;
    assert_eq!(Gossip::Call(forged).open(), Err(SignedFault::Forged), "no machine is given a forged call");
    let answers = give(&mut provider, START, copycat.says(&copycat.call(9)));
    copycat.bid(&answers);
    let answers = give(&mut provider, START, caller.says(&call));
    caller.bid(&answers);
    let answers = give(&mut provider, START, caller.says(&call));
    assert!(to_clients(&answers).is_empty(), "a second copy is not answered");
}

/// (MK-5, MK-49)
#[test]
fn a_bid_is_for_its_caller_alone_and_for_what_is_offered() {
    let mut provider = provider(1, 1_000);
    let (caller, other) = (Caller::new(1), Caller::new(2));
    let answers = give(&mut provider, START, caller.says(&caller.call(1)));
    let (bid, _) = caller.bid(&answers);
    assert_eq!((bid.provider, bid.price), (provider.node_id(), Price(1_000)));
    let [(_, ToClient::Bid(SealedBid { sealed, call }))] = &to_clients(&answers)[..] else {
        panic!("no bid")
    };
    assert_eq!(sealed.len(), 560, "as 01-wire.md says");
    assert!(unseal(&other.seal_key, &call.0, sealed).is_err());
    assert!(unseal(&caller.seal_key, &[2; 16], sealed).is_err());
    let long = Some(Refusal::OverContext(4_096));
    for (call, why) in [
        (Call { model: ModelId([1; 32]), ..caller.call(2) }, None),
        (Call { kind: TaskKind::Embed, ..caller.call(3) }, Some(Refusal::WrongKind)),
        (Call { tier: Tier::Confidential, ..caller.call(4) }, None),
        (Call { output_log2: 14, ..caller.call(5) }, long),
        (Call { output_log2: 64, ..caller.call(6) }, long),
        (Call { output_log2: 255, ..caller.call(7) }, long),
        (Call { input_log2: 13, ..caller.call(8) }, long),
        (Call { input_log2: 255, ..caller.call(9) }, long),
    ] {
        let answers = to_clients(&give(&mut provider, START, caller.says(&call)));
        let said = match &answers[..] {
            [] => None,
            [(_, ToClient::Decline(decline))] if decline.call == call.id => Some(decline.why),
            other => panic!("{other:?}"),
        };
        assert_eq!(said, why, "{call:?}");
    }
}

/// A class counts the tokens of all inputs, and each of them has the context to itself. (MK-5, MK-49)
#[test]
fn texts_to_embed_must_fit_one_by_one_and_not_together() {
    let mut provider = provider(1, 1_000);
    let caller = Caller::new(1);
    let Input::Command(Command::Offer(offer)) = offer(1_000) else { panic!("an offer") };
    let of_vectors =
        Offer { model: ModelId([9; 32]), kind: TaskKind::Embed, context_tokens: 256, output_max: 0, ..offer };
    give(&mut provider, START, Input::Command(Command::Offer(of_vectors.clone())));
    for (number, input_log2, fits) in
        [(1, 8, true), (2, 9, true), (3, 13, true), (4, 16, true), (5, 18, false)]
    {
        let (model, kind) = (of_vectors.model, TaskKind::Embed);
        let call = Call { model, kind, input_log2, output_log2: 0, ..caller.call(number) };
        match &to_clients(&give(&mut provider, START, caller.says(&call)))[..] {
            [(_, ToClient::Bid(_))] => assert!(fits, "{input_log2}"),
            [(_, ToClient::Decline(decline))] => {
                assert_eq!((decline.why, fits), (Refusal::OverContext(256), false), "{input_log2}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// (MK-21, MK-48)
#[test]
fn bids_that_are_out_count_in_the_start_of_the_next_for_seconds_only() {
    let caller = Caller::new(1);
    let mut provider = provider_of(1, 1_000, &caller);
    let start = |provider: &mut Provider, now, id| {
        caller.bid(&give(provider, now, caller.says(&caller.call(id)))).0.start_ms
    };
    let starts: Vec<u32> = (0..12).map(|id| start(&mut provider, START, id)).collect();
    assert_eq!(starts[..4], [10; 4], "two slots, and every second bid may win");
    assert!(starts.is_sorted() && starts[11] > starts[4] && starts[4] > 10, "{starts:?}");
    assert!(
        start(&mut provider, Time((START + limits::BID_EXPECTED).0 - 1), 20) > 10,
        "they may still be awarded"
    );
    assert_eq!(start(&mut provider, START + limits::BID_EXPECTED, 21), 10, "nobody waits for them any more");
}

/// (MK-48, MK-49)
#[test]
fn a_model_without_a_slot_is_not_on_offer() {
    let mut provider = provider(1, 1_000);
    let caller = Caller::new(1);
    for (id, slots, answers) in [(1, 0, 0), (2, 1, 1), (3, 0, 0)] {
        let Input::Command(Command::Offer(offered)) = offer(1_000) else { unreachable!("it is an offer") };
        give(&mut provider, START, Input::Command(Command::Offer(Offer { slots, ..offered })));
        let bids = to_clients(&give(&mut provider, START, caller.says(&caller.call(id))));
        let asks = to_clients(&give(&mut provider, START, caller.seeks(id + 100, Share::ALL)));
        assert_eq!((bids.len(), asks.len()), (answers, answers), "{slots} slots");
    }
}

/// (MK-5, MK-16, MK-19)
#[test]
fn who_is_not_invited_stays_silent() {
    let mut provider = provider(1, 1_000);
    let caller = Caller::new(1);
    let invited = Share(500_000);
    let mut answered = [0, 0];
    for id in 0..30 {
        let call = Call { invited, ..caller.call(id) };
        let bids = to_clients(&give(&mut provider, START, caller.says(&call)));
        assert_eq!(!bids.is_empty(), call.invites(&provider.node_id()));
        let asks = to_clients(&give(&mut provider, START, caller.seeks(id + 100, invited)));
        assert_eq!(!asks.is_empty(), invited.invites(&[id + 100; 16], &provider.node_id()));
        answered[0] += bids.len();
        answered[1] += asks.len();
        give(&mut provider, START, caller.releases(id));
    }
    assert!(answered.iter().all(|count| (5..25).contains(count)), "{answered:?}");
}

fn refusal(outputs: &[Output]) -> Option<Refusal> {
    match &to_clients(outputs)[..] {
        [(_, ToClient::Refuse(refuse))] => Some(refuse.why),
        _ => None,
    }
}

/// (MK-9, MK-10)
#[test]
fn an_award_is_for_the_bid_itself_and_answered_alike_each_time() {
    let mut provider = provider(1, 1_000);
    let (mut caller, mut thief) = (Caller::new(1), Caller::new(2));
    let answers = give(&mut provider, START, caller.says(&caller.call(1)));
    let (bid, hash) = caller.bid(&answers);

    let stolen = thief.award(&bid, hash, 1);
    assert_eq!(refusal(&give(&mut provider, START, thief.sends(&stolen))), Some(Refusal::UnknownBid));
    let guessed = caller.award(&bid, BidHash([0; 32]), 2);
    assert_eq!(refusal(&give(&mut provider, START, caller.sends(&guessed))), Some(Refusal::UnknownBid));
    let mut low = caller.award(&bid, hash, 3);
    low.price.0 -= 1;
    assert_eq!(refusal(&give(&mut provider, START, caller.sends(&low))), Some(Refusal::PriceBelowBid));
    let mut broken = caller.award(&bid, hash, 4);
    broken.handshake[40] ^= 1;
    assert_eq!(refusal(&give(&mut provider, START, caller.sends(&broken))), Some(Refusal::Malformed));

    let award = caller.award(&bid, hash, 5);
    let first = to_clients(&give(&mut provider, START, caller.sends(&award)));
    assert!(matches!(&first[..], [(_, ToClient::Accept(accept))] if accept.job == award.job));
    assert_eq!(to_clients(&give(&mut provider, START, caller.sends(&award))), first);
    let mut other = award.clone();
    other.price.0 += 1;
    assert!(to_clients(&give(&mut provider, START, caller.sends(&other))).is_empty(), "one job, one award");
}

/// (MK-10)
#[test]
fn a_bid_expires_and_a_won_one_stays_its_winners_for_a_while() {
    let mut provider = provider(1, 1_000);
    let mut caller = Caller::new(1);
    let answers = give(&mut provider, START, caller.says(&caller.call(1)));
    let (won, won_hash) = caller.bid(&answers);
    let answers = give(&mut provider, START, caller.says(&caller.call(2)));
    let (lost, lost_hash) = caller.bid(&answers);
    let award = caller.award(&won, won_hash, 1);
    assert_eq!(refusal(&give(&mut provider, START, caller.sends(&award))), None);

    let late = START + limits::BID_VALID;
    let award = caller.award(&lost, lost_hash, 2);
    assert_eq!(refusal(&give(&mut provider, late, caller.sends(&award))), Some(Refusal::UnknownBid));
    let lease = caller.award(&won, won_hash, 3);
    assert_eq!(refusal(&give(&mut provider, late, caller.sends(&lease))), None);
    let end = START + limits::LEASE_VALID;
    let lease = caller.award(&won, won_hash, 4);
    assert_eq!(refusal(&give(&mut provider, end, caller.sends(&lease))), Some(Refusal::UnknownBid));
}

/// An award that is refused sold nothing, and the same bid may be awarded again.
#[test]
fn a_bid_is_won_once_a_job_is_taken_on_it() {
    let mut provider = provider(1, 1_000);
    let mut caller = Caller::new(1);
    let bids = give(&mut provider, START, caller.says(&caller.call(1)));
    let (bid, hash) = caller.bid(&bids);
    let Input::Command(Command::Offer(sold)) = offer(1_000) else { unreachable!() };
    give(&mut provider, START, Input::Command(Command::Offer(Offer { slots: 0, ..sold })));
    for job in 1..=2 {
        let award = caller.award(&bid, hash, job);
        assert_eq!(refusal(&give(&mut provider, START, caller.sends(&award))), Some(Refusal::Leaving));
    }
    assert_eq!(provider.sales().won, 0);
    give(&mut provider, START, offer(1_000));
    for job in 3..=4 {
        let award = caller.award(&bid, hash, job);
        assert_eq!(refusal(&give(&mut provider, START, caller.sends(&award))), None);
    }
    assert_eq!(provider.sales().won, 1, "a lease is one bid");
}

/// Why nothing is sold is the first thing that an owner wants to know.
#[test]
fn a_provider_counts_what_became_of_its_bids() {
    let mut provider = provider(1, 1_000);
    let mut caller = Caller::new(1);
    for id in 1..=3 {
        let bids = give(&mut provider, START, caller.says(&caller.call(id)));
        if id == 2 {
            let (bid, hash) = caller.bid(&bids);
            let mut award = caller.award(&bid, hash, id);
            award.price = Price(bid.price.0 + bid.price.0 / 4);
            give(&mut provider, START, caller.sends(&award));
            give(&mut provider, START, caller.releases(id));
        } else {
            give(&mut provider, START, caller.releases(id));
            give(&mut provider, START, caller.releases(id));
        }
    }
    let stranger = Call { kind: TaskKind::Embed, ..caller.call(4) };
    give(&mut provider, START, caller.says(&stranger));
    let sales = provider.sales();
    assert_eq!((sales.heard, sales.bids, sales.won, sales.outscored), (4, 3, 1, 2));
    assert_eq!(sales.paid_above, 1);
    assert!((240_000..=250_000).contains(&sales.mean_above_ppm()), "{}", sales.mean_above_ppm());
}
