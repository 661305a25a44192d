//! `05-work-and-receipts.md`: tasks that a provider refuses, each with its reason.

use bombyx_protocol::limits::{
    CHAT_MESSAGES_MAX, EMBED_INPUTS_MAX, STOP_BYTES_MAX, STOPS_MAX, TASK_BYTES_MAX,
};
use bombyx_protocol::wire::extension::{Extension, Extensions};
use bombyx_protocol::wire::message::{FromClient, FromProvider, Refusal, Work};
use bombyx_protocol::work::order::{ChatMessage, Generate, Role, Task, TaskKind};
use bombyx_protocol::work::price::InputTokens;

use super::buyer::{Said, Session, UNCOUNTED};
use super::guest::Guest;
use super::subject::{ANSWER, Subject, task};
use super::verdict::{Checked, broken, holds, idle};

pub(super) async fn false_count(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    let task = subject.small_task()?;
    let mut session = guest.award(&won).await?;
    let channel = guest.terms(&won);
    let mut counts = Vec::new();
    // One token, then one more than the node has counted: a job whose count is wrong twice ends.
    let mut input = InputTokens::fresh(1);
    for _ in 0..2 {
        let work = guest.work(&session, task.clone(), input, channel.clone());
        guest.say(&mut session, &FromClient::Work(work)).await?;
        match guest.hear_said(&mut session, ANSWER).await? {
            Some(Said::Refused(Refusal::Counts(count))) => counts.push(count),
            Some(Said::Refused(Refusal::Busy)) => return idle("the node is busy"),
            Some(Said::Refused(why)) => return broken(format!("a false count is refused as {why:?}")),
            // It lends nothing, and counts once the channel is open. (`WR-25`)
            Some(Said::Inside(FromProvider::NeedPayment(_), _)) => {
                return idle(UNCOUNTED);
            }
            Some(Said::Inside(..)) => return broken("a task with a false count of its input is begun"),
            None => return broken("a task with a false count of its input gets no answer"),
        }
        let counted = counts.first().copied().unwrap_or(0);
        input = InputTokens::fresh(u32::try_from(counted).unwrap_or(u32::MAX).saturating_add(1));
    }
    let most = task.input_tokens_max();
    holds(counts.iter().all(|count| (1..=most).contains(count)), || {
        format!("the node counts {counts:?} tokens of input, of a text that can have {most}")
    })?;
    holds(counts.windows(2).all(|two| two[0] == two[1]), || {
        format!("the node counts one text as {counts:?} tokens")
    })
}

/// Tasks that every provider refuses, with the refusal.
fn refused_tasks(kind: TaskKind) -> Vec<(&'static str, Task, Refusal)> {
    let limit = |limit: usize| u64::try_from(limit).unwrap_or(u64::MAX);
    let long = "a ".repeat(TASK_BYTES_MAX / 2 + 1);
    let with = |change: &dyn Fn(&mut Generate)| match task(TaskKind::Generate, "Say a word.", 32) {
        Task::Generate(mut generate) => {
            change(&mut generate);
            Task::Generate(generate)
        }
        embed @ Task::Embed { .. } => embed,
    };
    let message = || ChatMessage { role: Role::User, content: "a".into() };
    match kind {
        TaskKind::Embed => vec![
            ("a task without an input", Task::Embed { inputs: Vec::new() }, Refusal::EmptyTask),
            (
                "a task of too many inputs",
                Task::Embed { inputs: vec!["a".into(); EMBED_INPUTS_MAX + 1] },
                Refusal::TooManyInputs(limit(EMBED_INPUTS_MAX)),
            ),
            (
                "a task of too long a text",
                Task::Embed { inputs: vec![long] },
                Refusal::TaskTooLong(limit(TASK_BYTES_MAX)),
            ),
            ("a conversation for a model of vectors", with(&|_| {}), Refusal::WrongKind),
        ],
        TaskKind::Generate => vec![
            ("a conversation without a message", with(&|task| task.messages.clear()), Refusal::EmptyTask),
            ("a task for no token", with(&|task| task.max_tokens = 0), Refusal::EmptyTask),
            (
                "a conversation of too many messages",
                with(&|task| task.messages = (0..=CHAT_MESSAGES_MAX).map(|_| message()).collect()),
                Refusal::TooManyMessages(limit(CHAT_MESSAGES_MAX)),
            ),
            (
                "a task with too many stop strings",
                with(&|task| task.stop = vec!["b".into(); STOPS_MAX + 1]),
                Refusal::TooManyStops(limit(STOPS_MAX)),
            ),
            (
                "a task with an empty stop string",
                with(&|task| task.stop = vec![String::new()]),
                Refusal::BadStop(limit(STOP_BYTES_MAX)),
            ),
            (
                "a task with too long a stop string",
                with(&|task| task.stop = vec!["b".repeat(STOP_BYTES_MAX + 1)]),
                Refusal::BadStop(limit(STOP_BYTES_MAX)),
            ),
            (
                "a conversation of too long a text",
                with(&|task| task.messages = vec![ChatMessage { role: Role::User, content: long.clone() }]),
                Refusal::TaskTooLong(limit(TASK_BYTES_MAX)),
            ),
            ("vectors of a model of text", Task::Embed { inputs: vec!["a".into()] }, Refusal::WrongKind),
        ],
    }
}

pub(super) async fn impossible_tasks(subject: &Subject) -> Checked {
    let kind = subject.model()?.ask.kind;
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    for (what, task, wanted) in refused_tasks(kind) {
        let (mut session, channel) = (guest.award(&won).await?, guest.terms(&won));
        let work = guest.work(&session, task, InputTokens::fresh(8), channel);
        job_refused(&mut guest, &mut session, work, wanted, what).await?;
    }
    Ok(())
}

/// Checks that a task is refused for this reason.
pub(super) async fn job_refused(
    guest: &mut Guest,
    session: &mut Session,
    work: Work,
    wanted: Refusal,
    what: &str,
) -> Checked {
    guest.say(session, &FromClient::Work(work)).await?;
    match guest.hear_said(session, ANSWER).await? {
        Some(Said::Refused(why)) if why == wanted => Ok(()),
        Some(Said::Refused(Refusal::Busy)) => idle("the node is busy"),
        Some(Said::Refused(why)) => broken(format!("{what} is refused as {why:?} and not as {wanted:?}")),
        Some(Said::Inside(..)) => broken(format!("{what} is begun")),
        None => broken(format!("{what} gets no answer; it is refused as {wanted:?}")),
    }
}

pub(super) async fn extensions(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    let value = vec![7; 5];
    let Some(extensions) = Extensions::new(vec![Extension { kind: 32_770, value }]) else { return Ok(()) };
    let (mut session, channel) = (guest.award(&won).await?, guest.terms(&won));
    let work = guest.work(&session, subject.small_task()?, InputTokens::fresh(8), channel);
    let work = Work { extensions, ..work };
    let what = "a task with an unknown even extension";
    job_refused(&mut guest, &mut session, work, Refusal::NotUnderstood, what).await
}

pub(super) async fn other_class(subject: &Subject) -> Checked {
    let ask = subject.model()?.ask.clone();
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    let (task, input) = match ask.kind {
        TaskKind::Generate => (task(ask.kind, "Say a word.", 1_024), 8),
        TaskKind::Embed => (task(ask.kind, &"a ".repeat(1_500), 0), 1_500),
    };
    let (mut session, channel) = (guest.award(&won).await?, guest.terms(&won));
    let work = guest.work(&session, task, InputTokens::fresh(input), channel);
    let what = "a task two classes above its call's";
    job_refused(&mut guest, &mut session, work, Refusal::OtherClass, what).await
}
