//! One question to a node, as `bombyx ask` puts it: to a node of its own, or to the one that runs in its home.

use std::fmt;
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Bill, Failure, OrderNews};
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::{Content, Finish};
use bombyx_protocol::work::order::{ChatMessage, Generate, Order, Role, Sampling, Task, TaskKind, Tier};
use bombyx_protocol::work::preferences::Preferences;
use bombyx_protocol::work::price::Price;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::handle::NodeHandle;
use super::holdings::Holdings;
use super::models::{MeantModel, known};
use super::quote::QuoteReport;
use super::vectors::Vectors;
use crate::engine::fit::{Fitted, fit};
use crate::error::NodeError;
use crate::status::{ChannelPhase, Direction};

/// Until the first peer is connected.
const JOIN_WAIT: Duration = Duration::from_secs(15);
/// How much longer than the order's own deadline its end is awaited: the client machine ends every order itself.
const GRACE: Duration = Duration::from_secs(10);
/// Parts of an answer that wait for their reader; it reads as fast as it can print.
const PARTS_MAX: usize = 64;

/// A question, or a text to embed, with what its answer may cost and take.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Question {
    /// The model, by name or id.
    pub model: String,
    /// Whether the text's vector is wanted.
    pub embed: bool,
    /// The text.
    pub text: String,
    /// Output tokens at the most.
    pub max_tokens: u32,
    /// Temperature, in thousandths.
    pub temperature_milli: u32,
    /// Seed of the draw.
    pub seed: u64,
    /// The most that the answer may cost, in nano.
    pub max_cost_nano: u64,
    /// The most that a bid may ask, in nano for 1,000 units, if the user says so.
    #[serde(default)]
    pub max_price_nano: Option<u64>,
    /// Seconds until it is given up.
    pub deadline_s: u64,
    /// Nodes to join through, beside those that the node knows.
    pub join: Vec<String>,
}

// The text stays out of traces.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("model", &self.model)
            .field("embed", &self.embed)
            .finish_non_exhaustive()
    }
}

/// A part of what comes back; the last one is `Done` or `Failed`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AnswerPart {
    /// A piece of the text.
    Text(String),
    /// A provider failed, and another one is asked.
    FailedOver {
        /// Who failed.
        from: String,
        /// How.
        why: String,
    },
    /// The answer is complete.
    Done(Box<AnswerReport>),
    /// There is no complete answer.
    Failed {
        /// Why.
        error: String,
        /// What to do about it.
        hint: String,
        /// The exit code that belongs to it.
        code: u8,
        /// What was billed all the same, in nano.
        cost_nano: u64,
        /// What of it is not paid yet.
        #[serde(default)]
        unpaid_nano: u64,
        /// Input tokens billed all the same.
        #[serde(default)]
        input_tokens: u64,
        /// Output tokens billed all the same.
        #[serde(default)]
        output_tokens: u64,
    },
}

/// What an answer came to.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AnswerReport {
    /// Always true: a question without an answer has no report.
    pub ok: bool,
    /// The model as it was named.
    pub model: String,
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<Vec<f32>>,
    /// `stop` or `length`.
    pub finish: Option<String>,
    /// Who served, in order.
    pub providers: Vec<String>,
    /// The last job.
    pub job: Option<String>,
    /// Whether one provider took over from another.
    pub failed_over: bool,
    /// Input tokens billed.
    pub input_tokens: u64,
    /// Output tokens billed.
    pub output_tokens: u64,
    /// Their price, in nano.
    pub cost_nano: u64,
    /// Receipts that were checked.
    pub receipts: u32,
    /// Vouchers that were signed for it, that of a channel which has opened since included.
    pub vouchers: u32,
    /// What of the price no voucher covers, as its channel is not open, in nano.
    pub unpaid_nano: u64,
    /// From the order to the award's acceptance.
    pub matched_ms: Option<u64>,
    /// From the order to the first content.
    pub first_token_ms: Option<u64>,
    /// From the order to its end.
    pub wall_ms: u64,
    /// Fees that the ledger took meanwhile out of wallet and channels, in nano; nothing while it does not answer.
    pub fees_nano: Option<u64>,
    /// What this node had before.
    pub before: Holdings,
    /// What it has now.
    pub after: Holdings,
}

impl Question {
    /// Checks what can be told before anybody is asked: a model that the catalogue lacks may be some
    /// provider's.
    ///
    /// # Errors
    /// [`NodeError::WrongKind`] and [`NodeError::Order`] for what cannot be asked.
    pub(crate) async fn check(&self) -> Result<(), NodeError> {
        match known(&self.model) {
            Some(meant) => self.order_of(meant).await.map(drop),
            None => Ok(()),
        }
    }

    /// Returns the order for it; a model that the catalogue lacks is looked for among those on offer.
    async fn order(&self, node: &NodeHandle) -> Result<Order, NodeError> {
        self.order_of(node.meant(&self.model).await?).await
    }

    async fn order_of(&self, MeantModel { id, kind, weights }: MeantModel) -> Result<Order, NodeError> {
        let asked = if self.embed { TaskKind::Embed } else { TaskKind::Generate };
        if let Some(does) = kind.filter(|does| *does != asked) {
            return Err(NodeError::WrongKind { model: self.model.clone(), does });
        }
        let task = if self.embed {
            Task::Embed { inputs: vec![self.text.clone()] }
        } else {
            Task::Generate(Generate {
                messages: vec![ChatMessage { role: Role::User, content: self.text.clone() }],
                max_tokens: self.max_tokens,
                sampling: Sampling {
                    temperature_milli: self.temperature_milli,
                    top_p_milli: 1000,
                    top_k: 0,
                    seed: self.seed,
                },
                prefix: Vec::new(),
                stop: Vec::new(),
            })
        };
        let fitted = fit(id, task).await.map_err(|fault| NodeError::Order(fault.into()))?;
        let Fitted { task, input } = fitted;
        Ok(Order {
            model: id,
            task,
            input,
            preferences: Preferences::default(),
            max_cost: Nano(self.max_cost_nano),
            deadline: Span::from_s(self.deadline_s),
            tier: Tier::Open,
            nano_per_ms: None,
            price_max: self.max_price_nano.map(Price),
            dims: None,
            weights,
        })
    }
}

/// Puts a question to a node; what comes back is read from the receiver. Dropping that cancels the order.
pub(crate) fn put(node: NodeHandle, question: Question) -> mpsc::Receiver<AnswerPart> {
    let (parts, receiver) = mpsc::channel(PARTS_MAX);
    tokio::spawn(async move {
        let mut spent = Bill::default();
        let last = tokio::select! {
            answered = answer(&node, question, &parts, &mut spent) => match answered {
                Ok(report) => AnswerPart::Done(Box::new(report)),
                Err(error) => AnswerPart::Failed {
                    error: error.to_string(),
                    hint: error.hint(),
                    code: error.code().number(),
                    cost_nano: spent.cost.0,
                    unpaid_nano: spent.unpaid.0,
                    input_tokens: spent.input_tokens,
                    output_tokens: spent.output_tokens,
                },
            },
            // Its order ends with the news that nobody reads any more.
            () = parts.closed() => return,
        };
        // A reader that is gone has ended the order itself.
        let _ = parts.send(last).await;
    });
    receiver
}

/// Returns what a question would cost, without asking it of anybody.
///
/// # Errors
/// As for an answer, as far as nothing is ordered.
pub(crate) async fn price(node: &NodeHandle, question: &Question) -> Result<QuoteReport, NodeError> {
    join(node, question).await?;
    let order = question.order(node).await?;
    node.priced(&question.model, order).await
}

/// Joins through the nodes that a question names, and waits for the first peer.
async fn join(node: &NodeHandle, question: &Question) -> Result<(), NodeError> {
    for address in question.join.clone() {
        node.join(address).await?;
    }
    node.wait_for_peers(1, JOIN_WAIT.min(Duration::from_secs(question.deadline_s))).await
}

/// What has been heard of an order.
struct Progress {
    text: String,
    vectors: Vectors,
    failed_over: bool,
}

async fn answer(
    node: &NodeHandle,
    question: Question,
    parts: &mpsc::Sender<AnswerPart>,
    spent: &mut Bill,
) -> Result<AnswerReport, NodeError> {
    let deadline = Duration::from_secs(question.deadline_s);
    let (joined, before) = tokio::join!(join(node, &question), node.holdings());
    joined?;
    let order = question.order(node).await?;
    let (before, began) = (before?, Instant::now());
    let vectors = Vectors::new(usize::from(question.embed));
    let mut heard = Progress { text: String::new(), vectors, failed_over: false };
    let ended = timeout(deadline + GRACE, follow(node, order, &mut heard, parts, spent)).await;
    let bill = ended.map_err(|_| NodeError::Order(Failure::Deadline))??;
    let wall_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let vector = if question.embed {
        let rows = heard.vectors.finish().map_err(|_| NodeError::Order(Failure::FalseReceipt))?;
        rows.into_iter().next()
    } else {
        None
    };
    let after = node.holdings_at_rest().await?;
    let (unpaid, later) = still_unpaid(node, &bill).await?;
    Ok(AnswerReport {
        ok: true,
        model: question.model,
        text: (!question.embed).then_some(heard.text),
        vector,
        finish: bill.finish.map(|finish| match finish {
            Finish::Stop => "stop".to_owned(),
            Finish::Length => "length".to_owned(),
        }),
        providers: bill.providers.iter().map(NodeId::to_string).collect(),
        job: bill.job.map(|job| job.to_string()),
        failed_over: heard.failed_over,
        input_tokens: bill.input_tokens,
        output_tokens: bill.output_tokens,
        cost_nano: bill.cost.0,
        receipts: bill.receipts,
        vouchers: bill.vouchers.saturating_add(later),
        unpaid_nano: unpaid.0,
        matched_ms: bill.matched.map(|span| span.as_ms()),
        first_token_ms: bill.first_token.map(|span| span.as_ms()),
        wall_ms,
        fees_nano: after.fees_since(&before),
        before,
        after,
    })
}

/// Reads an order's news to its end; where it fails, `spent` is what it came to all the same.
async fn follow(
    node: &NodeHandle,
    order: Order,
    heard: &mut Progress,
    parts: &mpsc::Sender<AnswerPart>,
    spent: &mut Bill,
) -> Result<Bill, NodeError> {
    let mut news = node.order(order).await?;
    loop {
        match news.recv().await.ok_or(NodeError::Stopped("driver"))? {
            OrderNews::Bids(_) | OrderNews::Awarded { .. } | OrderNews::Content(Content::End { .. }) => {}
            OrderNews::Content(Content::Tokens { text, .. }) => {
                heard.text.push_str(&text);
                let _ = parts.send(AnswerPart::Text(text)).await;
            }
            OrderNews::Content(Content::Vectors { first, dims, bytes }) => {
                let taken = heard.vectors.take(first, dims, &bytes);
                taken.map_err(|_| NodeError::Order(Failure::FalseReceipt))?;
            }
            OrderNews::FailedOver { from, why } => {
                heard.failed_over = true;
                let part = AnswerPart::FailedOver { from: from.to_string(), why: why.to_string() };
                let _ = parts.send(part).await;
            }
            OrderNews::Done(bill) => return Ok(bill),
            OrderNews::Failed { why, bill } => {
                *spent = bill;
                return Err(failed(node, why).await);
            }
        }
    }
}

/// Returns what of a bill is still unpaid, and how many vouchers were signed since it was written: one for all of it, once the
/// channel is open.
async fn still_unpaid(node: &NodeHandle, bill: &Bill) -> Result<(Nano, u32), NodeError> {
    if bill.unpaid == Nano::ZERO {
        return Ok((Nano::ZERO, 0));
    }
    let provider = bill.providers.last().map(NodeId::to_string);
    let is_paid = node.channels().await?.iter().any(|channel| {
        channel.direction == Direction::Paying
            && provider.as_ref() == Some(&channel.peer)
            && channel.state != ChannelPhase::Opening
    });
    Ok(if is_paid { (Nano::ZERO, 1) } else { (bill.unpaid, 0) })
}

/// Returns an order's failure; an empty wallet is named with its address, and what is on offer where nobody sells the model.
async fn failed(node: &NodeHandle, why: Failure) -> NodeError {
    if let Failure::Payment(PaymentFault::NoFunds { deposit, .. }) = why
        && node.ledger().wallet_address().is_some()
        && let Err(error) = node.ledger().can_open(deposit).await
    {
        return error.into();
    }
    node.unsold(why).await
}
