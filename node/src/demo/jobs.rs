//! The three jobs of the demo: what is asked, what was heard on the way, and whether the answer is right.

use std::fmt::Write as _;
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Bill, OrderNews};
use bombyx_protocol::market::auction::BidReport;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Content;
use bombyx_protocol::work::order::{ChatMessage, Generate, InputCount, Order, Role, Sampling, Task, Tier};
use tokio::time::timeout;

use super::error::DemoError;
use super::nodes::Client;
use super::setting::{CHAT_MODEL, EMBED_MODEL};
use crate::api::vectors::Vectors;
use crate::engine::models;
use crate::error::NodeError;

pub(super) const EMBED: &str = "embeddings";
pub(super) const CHAT: &str = "chat";
pub(super) const LONG: &str = "chat, provider killed";

const JOB_DEADLINE: Span = Span::from_s(60);
const MAX_COST: Nano = Nano(200_000_000);
/// What a millisecond is worth to the second job: among providers that are equally known, the fastest wins it.
const NANO_PER_MS: u64 = 700_000;
/// Silence after which a job counts as hung: more than its deadline.
const SILENCE: Duration = Duration::from_secs(70);

const SENTENCES: [&str; 4] = [
    "A silk moth spins a cocoon.",
    "The caterpillar wraps itself in silk.",
    "The invoice is due on Friday.",
    "Payment is expected by the end of the week.",
];

/// A finished job.
pub(super) struct Job {
    pub(super) task: &'static str,
    pub(super) model: &'static str,
    pub(super) bids: Vec<BidReport>,
    pub(super) bill: Bill,
    pub(super) failed_over: bool,
    pub(super) answer: String,
}

/// What came of an order.
#[derive(Default)]
struct Progress {
    bids: Vec<BidReport>,
    text: String,
    failed_over: bool,
}

/// Embeds four sentences; the two pairs that mean nearly the same must come out nearest to each other.
pub(super) async fn embed(client: &Client, say: &(dyn Fn(&str) + Sync)) -> Result<Job, DemoError> {
    say(&format!("job 1: {} sentences to vectors ({EMBED_MODEL}), lowest price wins", SENTENCES.len()));
    let inputs = SENTENCES.map(String::from).to_vec();
    let mut vectors = Vectors::new(inputs.len());
    let mut strange = None;
    let (heard, bill) =
        follow(client, EMBED, order(EMBED_MODEL, Task::Embed { inputs }, 0)?, async |content, _| {
            if let Content::Vectors { first, dims, bytes } = content {
                strange = strange.or(vectors.take(first, dims, &bytes).err());
            }
            Ok(())
        })
        .await?;
    let wrong = |what: String| DemoError::Answer { job: EMBED, what };
    if let Some(error) = strange {
        return Err(wrong(error.to_string()));
    }
    let rows = vectors.finish().map_err(|error| wrong(error.to_string()))?;
    let [Some(pair), Some(other), Some(across)] = [(0, 1), (2, 3), (0, 2)].map(|(a, b)| cosine(&rows, a, b))
    else {
        return Err(wrong("a vector is missing".into()));
    };
    let answer = format!("alike {pair:.2} and {other:.2}, unlike {across:.2}");
    say(&format!("  {} vectors of {} numbers; {answer}\n", rows.len(), rows.first().map_or(0, Vec::len)));
    if pair <= across || other <= across {
        return Err(wrong(format!(
            "vectors of unlike sentences are nearer than those of like ones: {answer}"
        )));
    }
    Ok(Job {
        task: EMBED,
        model: EMBED_MODEL,
        bids: heard.bids,
        bill,
        failed_over: heard.failed_over,
        answer,
    })
}

/// Asks a sum with a known answer, and is ready to pay for speed.
pub(super) async fn chat(client: &Client, say: &(dyn Fn(&str) + Sync)) -> Result<Job, DemoError> {
    let question = "What is 17 plus 25?";
    say(&format!("job 2: \"{question}\" ({CHAT_MODEL}), a millisecond less is worth {NANO_PER_MS} nano"));
    let (heard, bill) =
        follow(client, CHAT, order(CHAT_MODEL, prompt(question, 16), NANO_PER_MS)?, async |_, _| Ok(()))
            .await?;
    say(&format!("  {}\n", heard.text));
    finished(CHAT, CHAT_MODEL, heard, bill, "42")
}

/// Asks for something longer; `kill` ends the winner after the first words, and another must finish the answer.
pub(super) async fn long(
    client: &Client,
    say: &(dyn Fn(&str) + Sync),
    kill: impl AsyncFnOnce(NodeId) -> Result<(), DemoError>,
) -> Result<Job, DemoError> {
    let question = "Count from 10 to 20.";
    say(&format!("job 3: \"{question}\" ({CHAT_MODEL}), lowest price wins"));
    let mut kill = Some(kill);
    let (heard, bill) =
        follow(client, LONG, order(CHAT_MODEL, prompt(question, 96), 0)?, async |content, provider| {
            let words = matches!(&content, Content::Tokens { text, .. } if !text.is_empty());
            match provider {
                Some(provider) if words => match kill.take() {
                    Some(kill) => kill(provider).await,
                    None => Ok(()),
                },
                _ => Ok(()),
            }
        })
        .await?;
    say(&format!("  {}\n", heard.text));
    if !heard.failed_over {
        let what = "the answer was complete before its provider was gone".into();
        return Err(DemoError::Answer { job: LONG, what });
    }
    let numbers: Vec<String> = (10..=20).map(|number: u32| number.to_string()).collect();
    finished(LONG, CHAT_MODEL, heard, bill, &numbers.join(", "))
}

fn finished(
    task: &'static str,
    model: &'static str,
    heard: Progress,
    bill: Bill,
    right: &str,
) -> Result<Job, DemoError> {
    let Progress { bids, text: answer, failed_over } = heard;
    if answer.trim() != right {
        let mut what = String::from("the answer is not the one that the model is known to give");
        // The demo's own questions are no secret.
        let _ = write!(what, ": `{}` instead of `{right}`", answer.trim());
        return Err(DemoError::Answer { job: task, what });
    }
    Ok(Job { task, model, bids, bill, failed_over, answer })
}

fn prompt(question: &str, max_tokens: u32) -> Task {
    Task::Generate(Generate {
        messages: vec![ChatMessage { role: Role::User, content: question.to_owned() }],
        max_tokens,
        sampling: Sampling { temperature_milli: 0, top_p_milli: 1000, top_k: 0, seed: 0 },
        prefix: Vec::new(),
        stop: Vec::new(),
    })
}

fn order(model: &str, task: Task, nano_per_ms: u64) -> Result<Order, DemoError> {
    let model = models::id_of(model).map_err(NodeError::from)?;
    Ok(Order {
        weights: models::weights_of(&model),
        input: InputCount::Estimated,
        preferences: bombyx_protocol::Preferences::default(),
        model,
        task,
        max_cost: MAX_COST,
        deadline: JOB_DEADLINE,
        tier: Tier::Open,
        nano_per_ms: Some(nano_per_ms),
        price_max: None,
        dims: None,
    })
}

/// Reads an order's news to its end; each content goes to `on_content` with the provider it came from.
async fn follow(
    client: &Client,
    job: &'static str,
    order: Order,
    mut on_content: impl AsyncFnMut(Content, Option<NodeId>) -> Result<(), DemoError>,
) -> Result<(Progress, Bill), DemoError> {
    let mut news = client.order(order).await?;
    let mut heard = Progress::default();
    let mut provider = None;
    loop {
        let next = timeout(SILENCE, news.recv()).await;
        let next = next.map_err(|_| DemoError::TooSlow { what: "a job says nothing", within: SILENCE })?;
        match next.ok_or(NodeError::Stopped("driver"))? {
            // Of the auction that its first provider won: who is left of it takes over.
            OrderNews::Bids(bids) if provider.is_none() => heard.bids = bids,
            OrderNews::Bids(_) => {}
            OrderNews::Awarded { provider: winner, .. } => provider = Some(winner),
            OrderNews::FailedOver { .. } => heard.failed_over = true,
            OrderNews::Content(content) => {
                if let Content::Tokens { text, .. } = &content {
                    heard.text.push_str(text);
                }
                on_content(content, provider).await?;
            }
            OrderNews::Done(bill) => return Ok((heard, bill)),
            OrderNews::Failed { why, .. } => return Err(DemoError::Job { job, why }),
        }
    }
}

/// Returns the cosine of two rows, which are of length one.
fn cosine(rows: &[Vec<f32>], a: usize, b: usize) -> Option<f32> {
    let (a, b) = (rows.get(a)?, rows.get(b)?);
    Some(a.iter().zip(b).map(|(a, b)| a * b).sum())
}
