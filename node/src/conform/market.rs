//! `03-market.md`: seeks and asks, calls and bids, awards and leases.

use std::time::Duration;

use bombyx_protocol::limits::{ASK_NAME_BYTES_MAX, ASKS_PER_SEEK_MAX};
use bombyx_protocol::market::bid::BidHash;
use bombyx_protocol::market::call::{Call, Classes};
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::wire::message::{Gossip, Refusal, ToClient, ToProvider};
use bombyx_protocol::work::order::{ModelId, TaskKind, Tier};
use bombyx_protocol::work::price::Price;
use tokio::time::sleep;

use super::buyer::{AwardAnswer, CallAnswer, Won};
use super::guest::Guest;
use super::subject::{ANSWER, Subject};
use super::verdict::{Checked, broken, holds, idle};
use super::wire::{ignored, refused};

/// How long it is listened to a node that must say nothing.
const SILENCE: Duration = Duration::from_secs(1);
/// Output tokens in the smallest class, and the class that is two above it.
const FAR: Classes = Classes { input_log2: 8, output_log2: 9 };

pub(super) async fn seek_everything(subject: &Subject) -> Checked {
    if !subject.sells() {
        return idle("the node sells nothing");
    }
    let mut guest = subject.guest().await?;
    let asks = subject.asks_of(&mut guest, None).await?;
    holds(!asks.is_empty(), || "a seek for everything gets no ask, and the node listens for seeks".into())?;
    for ask in asks {
        let of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
        let is_name = (1..=ASK_NAME_BYTES_MAX).contains(&ask.name.len()) && ask.name.bytes().all(of_name);
        holds(is_name, || {
            format!("an ask names its model {:?}, as no manifest could", ask.name.escape_debug())
        })?;
        holds(ask.valid_ms > 0, || "an ask is good for no time".into())?;
        holds(ask.context_tokens > 0, || "an ask offers a context of no tokens".into())?;
        let makes_text = ask.kind == TaskKind::Generate;
        holds(!makes_text || ask.output_max > 0, || "an ask offers answers of no tokens".into())?;
    }
    Ok(())
}

pub(super) async fn seek_model(subject: &Subject) -> Checked {
    let model = subject.model()?.ask.model;
    let mut guest = subject.guest().await?;
    let asks = subject.asks_of(&mut guest, Some(model)).await?;
    holds(asks.len() == 1, || format!("a seek for one model gets {} asks", asks.len()))?;
    // What nobody has is passed over.
    let unknown = ModelId(guest.entropy.bytes());
    let seek = subject.seek(&mut guest, Some(unknown));
    ignored(subject, &mut guest, &[("a seek for a model that the node does not have".into(), seek)]).await
}

pub(super) async fn seek_by_gossip(subject: &Subject) -> Checked {
    subject.model()?;
    let mut guest = subject.guest().await?;
    guest.knows_listener("market").await;
    let seek = subject.seek(&mut guest, None);
    let gossip = Gossip::Seek(seek.sign(&guest.identity));
    guest.gossip("market", &gossip).await?;
    let asks = subject.hear_asks(&mut guest, &seek).await?;
    holds(!asks.is_empty(), || "a seek on the market's topic gets no ask".into())
}

pub(super) async fn answered_once(subject: &Subject) -> Checked {
    let model = subject.model()?.ask.model;
    let mut guest = subject.guest().await?;
    let seek = subject.seek(&mut guest, Some(model));
    for _ in 0..3 {
        guest.send(ToProvider::Seek(seek.clone())).await?;
    }
    // A second ask for one model is a finding of its own.
    let asks = subject.hear_asks(&mut guest, &seek).await?;
    holds(asks.len() == 1, || format!("a seek that comes three times gets {} asks", asks.len()))?;
    let task = subject.small_task()?;
    let classes = Classes::of(task.input_tokens_estimate(), task.output_tokens_max());
    let call = guest.call(subject, classes)?;
    for _ in 0..3 {
        guest.send(ToProvider::Call(call.clone())).await?;
    }
    let first = guest.hear_bid(subject, &call).await?;
    holds(first.is_some(), || "a call gets no answer".into())?;
    let call = Call { window_ms: 1_000, ..call };
    let second = guest.hear_bid(subject, &call).await?;
    holds(second.is_none(), || "a call that comes again is answered again".into())
}

pub(super) async fn invitations(subject: &Subject) -> Checked {
    subject.model()?;
    let mut guest = subject.guest().await?;
    let share = Share(500_000);
    let mut id = |is_invited: bool| loop {
        let id = SeekId(guest.entropy.bytes());
        if share.invites(&id.0, &subject.node) == is_invited {
            return id;
        }
    };
    let (uninvited, invited) = (id(false), id(true));
    let some = |seek: Seek, id| Seek { id, invited: share, ..seek };
    let seek = some(subject.seek(&mut guest, None), uninvited);
    let nobody = Seek { invited: Share(0), ..subject.seek(&mut guest, None) };
    let seeks = [
        ("a seek that invites another half of all providers".to_owned(), seek),
        ("a seek that invites nobody".to_owned(), nobody),
    ];
    ignored(subject, &mut guest, &seeks).await?;
    let seek = some(subject.seek(&mut guest, None), invited);
    guest.send(ToProvider::Seek(seek.clone())).await?;
    let asks = subject.hear_asks(&mut guest, &seek).await?;
    holds(!asks.is_empty(), || "a seek that invites this half of all providers gets no answer".into())?;
    holds(asks.len() <= ASKS_PER_SEEK_MAX, || format!("{} asks answer one seek", asks.len()))
}

pub(super) async fn anothers_name(subject: &Subject) -> Checked {
    subject.model()?;
    let (mut guest, mut other) = (subject.guest().await?, subject.guest().await?);
    let seek = subject.seek(&mut other, None);
    // Not signed: whoever sends it could be anybody, so only the sender's own name counts.
    guest.send(ToProvider::Seek(seek.clone())).await?;
    let is_ask = |said| matches!(said, ToClient::Ask(_)).then_some(());
    let told = guest.hear(SILENCE, is_ask).await?.is_some() || other.hear(SILENCE, is_ask).await?.is_some();
    holds(!told, || "a direct seek in another's name is answered".into())?;
    subject.still_talks().await
}

pub(super) async fn call(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    holds(won.bid.session_key != [0; 32], || "a bid names no session key".into())?;
    let terms = guest.terms(&won);
    match terms.check(won.bid.payee.network_id) {
        Ok(()) => Ok(()),
        Err(why) => broken(format!("the payee of a bid makes no channel that may be signed: {why}")),
    }
}

pub(super) async fn call_by_gossip(subject: &Subject) -> Checked {
    let model = subject.model()?.ask.model;
    let mut guest = subject.guest().await?;
    let digits: String = model.to_string().chars().take(16).collect();
    let topic = format!("model/{digits}");
    guest.knows_listener(&topic).await;
    let task = subject.small_task()?;
    let classes = Classes::of(task.input_tokens_estimate(), task.output_tokens_max());
    let call = guest.call(subject, classes)?;
    let gossip = Gossip::Call(call.sign(&guest.identity));
    guest.gossip(&topic, &gossip).await?;
    let answer = guest.hear_bid(subject, &call).await?;
    holds(answer.is_some(), || "a call on the model's topic gets neither a bid nor a reason".into())
}

pub(super) async fn declines(subject: &Subject) -> Checked {
    let model = subject.model()?.ask.clone();
    let mut guest = subject.guest().await?;
    let mut call = guest.call(subject, FAR)?;
    call.kind = match call.kind {
        TaskKind::Embed => TaskKind::Generate,
        TaskKind::Generate => TaskKind::Embed,
    };
    let wrong_kind = declined(subject, &mut guest, &call, "a call for another kind of work").await?;
    holds(wrong_kind == Refusal::WrongKind, || {
        format!("a call for another kind of work is declined as {wrong_kind:?}")
    })?;
    if model.kind == TaskKind::Embed {
        // Inputs are counted together there; no class says that one of them does not fit.
        return Ok(());
    }
    let call = guest.call(subject, Classes { input_log2: 40, output_log2: 6 })?;
    let why = declined(subject, &mut guest, &call, "a call that fits no context").await?;
    let Refusal::OverContext(context) = why else {
        return broken(format!("a call that fits no context is declined as {why:?}"));
    };
    holds(context >= u64::from(model.context_tokens), || {
        format!(
            "a call is declined for a context of {context} tokens, and the ask says {}",
            model.context_tokens
        )
    })
}

async fn declined(subject: &Subject, guest: &mut Guest, call: &Call, what: &str) -> Checked<Refusal> {
    guest.send(ToProvider::Call(call.clone())).await?;
    match guest.hear_bid(subject, call).await? {
        Some(CallAnswer::Decline(why)) => Ok(why),
        Some(CallAnswer::Bid(_)) => broken(format!("{what} gets a bid")),
        None => broken(format!("{what} gets no answer")),
    }
}

pub(super) async fn unprovable_tier(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let call = Call { tier: Tier::Confidential, window_ms: 1_000, ..guest.call(subject, FAR)? };
    guest.send(ToProvider::Call(call.clone())).await?;
    // A bid of the open tier is a finding of its own.
    match guest.hear_bid(subject, &call).await? {
        None | Some(CallAnswer::Decline(_)) => Ok(()),
        Some(CallAnswer::Bid(_)) => broken("a bid claims the tier confidential, which nobody can prove yet"),
    }
}

pub(super) async fn weak_seal_key(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let call = Call { seal_key: [0; 32], window_ms: 1_000, ..guest.call(subject, FAR)? };
    guest.send(ToProvider::Call(call.clone())).await?;
    let is_bid = |said| matches!(said, ToClient::Bid(_)).then_some(());
    let told = guest.hear(SILENCE, is_bid).await?.is_some();
    holds(!told, || "a bid is sealed to a key of small order, so that anybody can read it".into())?;
    subject.still_talks().await
}

pub(super) async fn price_below(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    let Some(less) = won.bid.price.0.checked_sub(1) else { return idle("the bid's price is nothing") };
    let (award, initiator) = guest.make_award(&won, Price(less))?;
    refused(guest.offer(award, initiator).await?, Refusal::PriceBelowBid, "an award below the bid's price")
}

pub(super) async fn bids_of_others(subject: &Subject) -> Checked {
    let (mut winner, mut other) = (subject.guest().await?, subject.guest().await?);
    let won = winner.win(subject).await?;
    let (award, initiator) = other.make_award(&won, won.bid.price)?;
    refused(other.offer(award, initiator).await?, Refusal::UnknownBid, "an award of another's bid")?;
    let unknown = Won { hash: BidHash(winner.entropy.bytes()), ..won };
    let (award, initiator) = winner.make_award(&unknown, unknown.bid.price)?;
    refused(winner.offer(award, initiator).await?, Refusal::UnknownBid, "an award of a bid that nobody made")
}

pub(super) async fn lease(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    let (award, initiator) = guest.make_award(&won, won.bid.price)?;
    let session = match guest.offer(award.clone(), initiator).await? {
        AwardAnswer::Accepted(session) => session,
        AwardAnswer::Refused(Refusal::Busy) => return idle("the node is busy"),
        AwardAnswer::Refused(why) => {
            return broken(format!("an award at the bid's price is refused: {why:?}"));
        }
        AwardAnswer::Silence => return broken("an award gets no answer"),
    };
    guest.send(ToProvider::Award(award.clone())).await?;
    let again = guest.hear(ANSWER, |said| {
        if let ToClient::Accept(accept) = said {
            Some(accept).filter(|accept| accept.job == award.job)
        } else {
            None
        }
    });
    match again.await? {
        Some(accept) if accept.handshake == session.reply => {}
        Some(_) => return broken("an award that is repeated gets another answer than before"),
        None => return broken("an award that is repeated gets no answer"),
    }
    // The bid is the winner's for a while: a second job under it.
    guest.award(&won).await.map(drop)
}

pub(super) async fn wasted_award(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    guest.award(&won).await?;
    // No task comes. A second later that is held against the identity, for 2 s, then 4 s, then 8 s, and against nobody else.
    let mut is_held = false;
    for _ in 0..3 {
        sleep(Duration::from_millis(1_400)).await;
        let (award, initiator) = guest.make_award(&won, won.bid.price)?;
        match guest.offer(award, initiator).await? {
            AwardAnswer::Refused(Refusal::Busy) => {
                is_held = true;
                break;
            }
            AwardAnswer::Refused(why) => {
                return broken(format!("an award after a wasted one is refused as {why:?}"));
            }
            AwardAnswer::Accepted(_) => {}
            AwardAnswer::Silence => return broken("an award after a wasted one gets no answer"),
        }
    }
    holds(is_held, || "after awards without a task the next one is taken at once, again and again".into())?;
    let mut other = subject.guest().await?;
    let won = other.win(subject).await?;
    other.award(&won).await.map(drop)
}
