//! `06-channel.md`: terms, vouchers, and what a stranger gets on credit.

use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{CHALLENGE_S_MAX, ChannelTerms};
use bombyx_protocol::ident::Signature;
use bombyx_protocol::limits::{TASK_BYTES_MAX, WINDOW_TOKENS};
use bombyx_protocol::market::call::Classes;
use bombyx_protocol::wire::extension::Extensions;
use bombyx_protocol::wire::message::{Ack, FromClient, FromProvider, NeedPayment, Payment, Refusal, Work};
use bombyx_protocol::work::order::{Task, TaskKind};
use bombyx_protocol::work::price::{InputTokens, Tariff};
use tokio::time::Instant;

use super::buyer::Said;
use super::refusals::job_refused;
use super::subject::{ANSWER, Subject, task};
use super::verdict::{Checked, broken, holds, idle};
use super::work::{begin, tokens_of};

pub(super) async fn bad_terms(subject: &Subject) -> Checked {
    let task = subject.small_task()?;
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let good = guest.terms(&won);
    let spoilt = [
        (
            "terms of another ledger",
            ChannelTerms { network_id: good.network_id.wrapping_add(1), ..good.clone() },
        ),
        (
            "terms with another key of the provider",
            ChannelTerms { provider_key: good.client_key, ..good.clone() },
        ),
        ("terms that pay another account", ChannelTerms { provider: good.client, ..good.clone() }),
        ("terms with a client's key of small order", ChannelTerms { client_key: neutral, ..good.clone() }),
        ("terms without a challenge time", ChannelTerms { challenge_s: 0, ..good.clone() }),
        (
            "terms with an endless challenge time",
            ChannelTerms { challenge_s: CHALLENGE_S_MAX + 1, ..good.clone() },
        ),
        ("terms with an account of another workchain", {
            let mut terms = good.clone();
            terms.client.workchain = -1;
            terms
        }),
    ];
    for (what, channel) in spoilt {
        let mut session = guest.award(&won).await?;
        let work = guest.work(&session, task.clone(), InputTokens::fresh(8), channel);
        job_refused(&mut guest, &mut session, work, Refusal::ChannelTerms, what).await?;
    }
    Ok(())
}

pub(super) async fn channel_of_another(subject: &Subject) -> Checked {
    let task = subject.small_task()?;
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    let (mut session, other) = (guest.award(&won).await?, guest.award(&won).await?);
    let (input, channel) = (InputTokens::fresh(8), guest.terms(&won));
    let key_proof = guest.work(&other, task.clone(), input, channel.clone()).key_proof;
    let work = Work { key_proof, ..guest.work(&session, task, input, channel) };
    guest.say(&mut session, &FromClient::Work(work)).await?;
    match guest.hear_said(&mut session, ANSWER).await? {
        Some(Said::Refused(Refusal::BadKeyProof)) => {}
        Some(Said::Refused(Refusal::Busy)) => return idle("the node is busy"),
        Some(Said::Refused(why)) => {
            return broken(format!("a task with the key proof of another session is refused as {why:?}"));
        }
        Some(Said::Inside(..)) => return broken("a task with the key proof of another session is begun"),
        // The refusal may be lost with the connection.
        None if guest.is_cut(Duration::ZERO).await => {}
        None => return broken("a task with the key proof of another session gets no answer"),
    }
    holds(guest.is_cut(Duration::from_secs(5)).await, || {
        "a false key proof does not block its sender".into()
    })?;
    subject.still_talks().await
}

pub(super) async fn false_voucher(subject: &Subject) -> Checked {
    let task = subject.small_task()?;
    let mut begun = begin(subject, &task).await?;
    let payment = Payment { epoch: 1, cumulative: Nano(1_000), signature: Signature([7; 64]) };
    let (payment, countersignature) = (Some(payment), None);
    let ack = Ack { next: 0, payment, countersignature, extensions: Extensions::NONE };
    begun.guest.say(&mut begun.session, &FromClient::Ack(ack)).await?;
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let left = until.saturating_duration_since(Instant::now()).min(Duration::from_millis(500));
        match begun.guest.hear_said(&mut begun.session, left).await? {
            Some(Said::Refused(Refusal::BadVoucher)) => break,
            Some(Said::Refused(why)) => return broken(format!("a forged voucher ends the job as {why:?}")),
            Some(Said::Inside(..)) => {}
            // The refusal may be lost with the connection.
            None if begun.guest.is_cut(Duration::ZERO).await => break,
            None if Instant::now() < until => {}
            None => return broken("a forged voucher does not end the job"),
        }
    }
    holds(begun.guest.is_cut(Duration::from_secs(5)).await, || {
        "a forged voucher does not block its sender".into()
    })?;
    subject.still_talks().await
}

/// Returns the task that costs most of those that the model can do.
fn large_task(subject: &Subject) -> Checked<Task> {
    let ask = &subject.model()?.ask;
    Ok(match ask.kind {
        TaskKind::Embed => {
            let each = usize::try_from(ask.context_tokens).unwrap_or(256).clamp(1, 256);
            let count = (TASK_BYTES_MAX / each).clamp(1, 256);
            Task::Embed { inputs: vec!["a ".repeat(each / 2); count] }
        }
        TaskKind::Generate => {
            let input = usize::try_from(ask.context_tokens / 2).unwrap_or(0).clamp(1, TASK_BYTES_MAX);
            task(ask.kind, &"Tell me. ".repeat(input / 9), (ask.context_tokens / 4).clamp(1, ask.output_max))
        }
    })
}

pub(super) async fn credit(subject: &Subject) -> Checked {
    let task = large_task(subject)?;
    let weights = subject.model()?.weights;
    let mut guest = subject.guest().await?;
    let call = guest.call(subject, Classes::of(task.input_tokens_estimate(), task.output_tokens_max()))?;
    let won = guest.win_call(subject, call).await?;
    let mut session = guest.award(&won).await?;
    let channel = guest.terms(&won);
    let (input, first) = guest.give_task(&mut session, &task, &channel).await?;
    let tariff = Tariff { price: won.bid.price, weights };
    let bill = |output: u64| tariff.cost(input, output).unwrap_or(Nano(u64::MAX));
    let credit = won.bid.credit;
    if bill(task.output_tokens_max()) <= credit && task.output_tokens_max() <= WINDOW_TOKENS {
        return idle(format!("the credit of {} nano covers the largest job that the model can do", credit.0));
    }
    let mut said = first;
    let (mut tokens, mut vectors, mut next, mut demands) = (0, false, 0, Vec::new());
    // The first demand comes when serving stands still; a second one 700 ms later.
    let until = Instant::now() + Duration::from_secs(15);
    while demands.len() < 2 {
        let left = until.saturating_duration_since(Instant::now());
        let word = match said.take() {
            Some(word) => Some(word),
            None => guest.hear_said(&mut session, left).await?,
        };
        match word {
            None => return broken("without a voucher, serving stands still and nobody asks for payment"),
            Some(Said::Inside(FromProvider::NeedPayment(need), _)) => demands.push(need),
            Some(Said::Inside(FromProvider::Progress(_), _)) => {}
            Some(Said::Inside(FromProvider::Chunk(chunk), last)) => {
                if last {
                    return idle("the answer has ended within the credit");
                }
                if chunk.index == next {
                    next += 1;
                    let more = tokens_of(&chunk);
                    tokens += more;
                    vectors |= more == 0 && task.rows() > 0;
                    guest.ack(&mut session, next).await?;
                }
            }
            Some(Said::Refused(Refusal::Unfunded | Refusal::Unpaid)) => {
                return broken("the job ends at once, without a demand of payment");
            }
            Some(Said::Refused(why)) => return idle(format!("the large task is refused: {why:?}")),
        }
        holds(tokens <= WINDOW_TOKENS, || {
            format!("{tokens} tokens are served without a voucher; {WINDOW_TOKENS} are the window")
        })?;
        let due = tariff.price.bill(weights.units_due(input, &delivered(tokens))).unwrap_or(Nano(u64::MAX));
        holds(tokens == 0 || due <= credit, || {
            format!("what was served comes to {} nano, and the bid gives credit for {}", due.0, credit.0)
        })?;
        holds(!vectors || bill(0) <= credit, || "vectors are made beyond the credit".into())?;
    }
    demanded(&demands)
}

const fn delivered(output_tokens: u64) -> bombyx_protocol::work::price::Delivery {
    bombyx_protocol::work::price::Delivery {
        output_tokens,
        rows: 0,
        rows_wanted: 0,
        complete: false,
        read: 0,
    }
}

fn demanded(demands: &[NeedPayment]) -> Checked {
    for need in demands {
        holds(need.newest.is_none(), || {
            "a demand shows a voucher on a channel on which there is none".into()
        })?;
    }
    Ok(())
}
