//! `05-work-and-receipts.md`: chunks, receipts, cancellations.

use std::time::Duration;

use bombyx_protocol::limits::{CHUNK_RETRY, RECEIPT_TOKENS};
use bombyx_protocol::market::call::Classes;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::Extensions;
use bombyx_protocol::wire::message::{Ack, Chunk, Content, FromClient, FromProvider, Refusal};
use bombyx_protocol::work::order::Task;
use bombyx_protocol::work::price::{InputTokens, Tariff};
use bombyx_protocol::work::receipt::Receipt;
use bombyx_protocol::work::stream::Stream;
use tokio::time::{Instant, timeout};

use super::buyer::{Said, Session, Won};
use super::guest::Guest;
use super::subject::Subject;
use super::verdict::{Checked, broken, holds};

/// Until a small answer has come whole, from an engine that may be slow.
const WHOLE: Duration = Duration::from_secs(25);
/// Longest wait for a sign of life before the first chunk: it is due each second. (`WR-23`)
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);
/// Longest wait between two words of a provider that works.
const NEXT: Duration = Duration::from_secs(10);

/// How long a chunk may be missing while later ones come.
const GAP: Duration = Duration::from_secs(4);

/// A job that was given its task on credit, and the first word on it.
pub(super) struct Begun {
    pub(super) guest: Guest,
    pub(super) session: Session,
    pub(super) won: Won,
    pub(super) input: InputTokens,
    pub(super) first: Option<Said>,
}

/// Wins, awards, and gives the task; not applicable where the provider's credit does not cover it.
pub(super) async fn begin(subject: &Subject, task: &Task) -> Checked<Begun> {
    let mut guest = subject.guest().await?;
    let call = guest.call(subject, Classes::of(task.input_tokens_estimate(), task.output_tokens_max()))?;
    let won = guest.win_call(subject, call).await?;
    let estimate = u32::try_from(task.input_tokens_estimate()).unwrap_or(u32::MAX);
    Guest::credit_for(&won, subject, task, InputTokens::fresh(estimate))?;
    let mut session = guest.award(&won).await?;
    let channel = guest.terms(&won);
    let (input, first) = guest.give_task(&mut session, task, &channel).await?;
    Ok(Begun { guest, session, won, input, first })
}

impl Begun {
    /// Returns the next word on the job.
    async fn next(&mut self, within: Duration) -> Checked<Option<Said>> {
        match self.first.take() {
            Some(said) => Ok(Some(said)),
            None => self.guest.hear_said(&mut self.session, within).await,
        }
    }

    /// Returns the next chunk; `None` when none comes in time.
    async fn chunk(&mut self, within: Duration) -> Checked<Option<(Chunk, bool)>> {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.next(left).await? {
                None => return Ok(None),
                Some(said) => {
                    if let Some(chunk) = chunk_of(said)? {
                        return Ok(Some(chunk));
                    }
                }
            }
        }
    }
}

/// Returns the chunk that a word of a job on credit holds, if it holds one.
fn chunk_of(said: Said) -> Checked<Option<(Chunk, bool)>> {
    match said {
        Said::Inside(FromProvider::Chunk(chunk), last) => Ok(Some((chunk, last))),
        Said::Inside(FromProvider::Progress(_) | FromProvider::NeedPayment(_), false) => Ok(None),
        Said::Inside(FromProvider::Progress(_) | FromProvider::NeedPayment(_), true) => {
            broken("a frame is marked as the last, and holds no end of the answer")
        }
        Said::Refused(why) => {
            broken(format!("a small task within all limits and credit is refused: {why:?}"))
        }
    }
}

pub(super) async fn small_job(subject: &Subject) -> Checked {
    let whole = timeout(WHOLE, answered(subject)).await;
    whole.unwrap_or_else(|_| broken(format!("a small answer is not whole after {} s", WHOLE.as_secs())))
}

async fn answered(subject: &Subject) -> Checked {
    let task = subject.small_task()?;
    let (weights, dims) = (subject.model()?.weights, subject.model()?.dims);
    let mut begun = begin(subject, &task).await?;
    let (job, model, provider) = (begun.session.job, begun.won.bid.model, begun.won.bid.provider);
    let tariff = Tariff { price: begun.won.bid.price, weights };
    let mut stream = Stream::new(provider, model, job, tariff, begun.input, &task, dims);
    let (mut unsigned, mut missing_since) = (0, None);
    while stream.finish().is_none() {
        let is_first = stream.next() == 0;
        let within = if is_first { SIGN_OF_LIFE } else { NEXT };
        let (chunk, last) = match begun.next(within).await? {
            Some(said) => match chunk_of(said)? {
                Some(chunk) => chunk,
                None => continue,
            },
            None if is_first => return broken("before the first chunk the node says nothing for 3 s"),
            None => return broken("the answer stops: nothing comes, no refusal, no demand of payment"),
        };
        let is_early = chunk.index > stream.next();
        let taken = match stream.accept(chunk, last) {
            Ok(taken) => taken,
            Err(why) => return broken(format!("a chunk: {why}")),
        };
        for (at, chunk) in taken.iter().enumerate() {
            holds(chunk.bill.is_some() || !is_first || at > 0, || "the first chunk has no receipt".into())?;
            if let Content::Tokens { ids, .. } = &chunk.content {
                unsigned += ids.len() as u64;
            }
            if chunk.bill.is_some() {
                unsigned = 0;
            }
            holds(unsigned < RECEIPT_TOKENS, || {
                format!(
                    "{unsigned} tokens have come since the last receipt; one is due with {RECEIPT_TOKENS}"
                )
            })?;
        }
        if is_early || taken.iter().any(|chunk| chunk.bill.is_some()) {
            begun.guest.ack(&mut begun.session, stream.next()).await?;
        }
        // One that comes early is waited for.
        missing_since = if is_early { missing_since.or(Some(Instant::now())) } else { None };
        holds(missing_since.is_none_or(|since| since.elapsed() < GAP), || {
            format!("later chunks come again and again, and chunk {} does not", stream.next())
        })?;
    }
    countersign(&mut begun, &stream).await?;
    // Nothing was lost on the way, so every number from 0 on has come once.
    let mut numbers = std::mem::take(&mut begun.session.numbers);
    numbers.sort_unstable();
    let in_order = numbers.iter().zip(0..).all(|(number, expected)| *number == expected);
    holds(in_order, || format!("the frames are not numbered from 0 in steps of one: {numbers:?}"))
}

async fn countersign(begun: &mut Begun, stream: &Stream) -> Checked {
    let Some(receipt) = stream.receipt() else { return broken("an answer ends without a receipt") };
    let countersignature = Some(Receipt::countersign(receipt, &begun.guest.identity));
    let (payment, extensions) = (None, Extensions::NONE);
    let ack = Ack { next: stream.next(), payment, countersignature, extensions };
    begun.guest.say(&mut begun.session, &FromClient::Ack(ack)).await
}

pub(super) async fn lost_chunks(subject: &Subject) -> Checked {
    let task = subject.small_task()?;
    let mut begun = begin(subject, &task).await?;
    let Some((first, _)) = begun.chunk(NEXT).await? else { return broken("no chunk comes") };
    holds(first.index == 0, || format!("the first chunk has the number {}", first.index))?;
    let number = begun.session.numbers.last().copied();
    // Nothing is acknowledged: it comes again after 700 ms.
    let until = Instant::now() + Duration::from_millis(CHUNK_RETRY.as_ms()) * 4;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let Some((chunk, _)) = begun.chunk(left).await? else {
            return broken("a chunk that is not acknowledged is not repeated");
        };
        if chunk.index != 0 {
            continue;
        }
        holds(begun.session.numbers.last().copied() != number, || {
            "a chunk is repeated under the frame's old number".into()
        })?;
        let same = |one: &Chunk, other: &Chunk| one.content == other.content && one.receipt == other.receipt;
        holds(same(&first, &chunk), || "a chunk that is repeated has another content or receipt".into())?;
        break;
    }
    // What was acknowledged comes no more.
    let next = first.index + 1;
    begun.guest.ack(&mut begun.session, next).await?;
    let until = Instant::now() + Duration::from_millis(CHUNK_RETRY.as_ms()) * 5;
    let settled = Instant::now() + Duration::from_millis(CHUNK_RETRY.as_ms()) * 2;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match begun.chunk(left).await? {
            None => return Ok(()),
            Some((chunk, _)) if chunk.index == 0 && Instant::now() > settled => {
                return broken("a chunk that was acknowledged is repeated");
            }
            Some(_) => {}
        }
    }
}

pub(super) async fn cancellation(subject: &Subject) -> Checked {
    let task = subject.small_task()?;
    let mut begun = begin(subject, &task).await?;
    if begun.chunk(NEXT).await?.is_none() {
        return broken("no chunk comes");
    }
    begun.guest.say(&mut begun.session, &FromClient::Cancel(Extensions::NONE)).await?;
    // What was under way, and a receipt for it.
    let settled = Instant::now() + Duration::from_millis(1_500);
    while begun.next(settled.saturating_duration_since(Instant::now())).await?.is_some() {}
    match begun.next(Duration::from_secs(3)).await? {
        None => {}
        Some(Said::Refused(_)) => return broken("a job that its client has cancelled is refused as well"),
        Some(Said::Inside(..)) => return broken("the node goes on with a job that its client has cancelled"),
    }
    holds(!begun.guest.is_cut(Duration::from_millis(200)).await, || {
        "a cancellation is held against the peer".into()
    })
}

pub(super) async fn mute_client(subject: &Subject) -> Checked {
    let task = subject.small_task()?;
    let mut begun = begin(subject, &task).await?;
    let until = Instant::now() + Duration::from_secs(40);
    let mut spoken = 0u32;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match begun.next(left).await? {
            None => return broken("a client that acknowledges nothing is never given up"),
            Some(Said::Refused(Refusal::Unpaid | Refusal::Unfunded)) => break,
            Some(Said::Refused(why)) => {
                return broken(format!("a client that acknowledges nothing is given up as {why:?}"));
            }
            Some(Said::Inside(..)) => spoken += 1,
        }
    }
    // 64 chunks at a time, each repeated a handful of times, and a demand each 700 ms.
    holds(spoken < 1_000, || format!("a mute client is sent {spoken} frames"))
}

/// Decodes a content, for who counts its tokens.
pub(super) fn tokens_of(chunk: &Chunk) -> u64 {
    match codec::decode_sealed::<Content>(&chunk.content) {
        Ok(Content::Tokens { ids, .. }) => ids.len() as u64,
        Ok(Content::Vectors { .. } | Content::End { .. }) | Err(_) => 0,
    }
}
