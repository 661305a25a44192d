//! `bombyx ask`: one order from the command line; the answer to stdout as it comes, what it cost to stderr.
//!
//! It keeps keys and channels of its own in `ask` under the home directory, so that it can run beside a node that uses
//! the same home.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Bill, Failure, OrderNews};
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::{Content, Finish};
use bombyx_protocol::work::order::{
    ChatMessage, Generate, InputCount, Order, OrderFault, Role, Sampling, Task, TaskKind, Tier,
};
use clap::Args;
use serde::Serialize;

use super::coins;
use super::print::Printer;
use super::{shutdown, values};
use crate::api;
use crate::api::handle::NodeHandle;
use crate::api::vectors::Vectors;
use crate::engine::models;
use crate::error::NodeError;
use crate::home::Note;
use crate::home::config::{Coins, NodeConfig};
use crate::ledger::{CoinName, LedgerError};

/// Where the client's own keys and channels are, under the home directory.
const HOME: &str = "ask";
/// Until the first peer is connected.
const JOIN_WAIT: Duration = Duration::from_secs(15);
/// How much longer than the order's own deadline its end is awaited: the client machine ends every order itself.
const GRACE: Duration = Duration::from_secs(10);
/// Bytes of a text that is read from standard input.
const INPUT_BYTES_MAX: u64 = 1 << 20;
/// Any free port: a node of this machine may hold the usual one.
const LISTEN: [&str; 2] = ["/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0"];
/// What one millisecond less until the first token is worth.
const NANO_PER_MS: u64 = 10;

/// Flags of `bombyx ask`.
#[derive(Debug, Args)]
pub(super) struct Ask {
    /// The question, or the text to embed; read from standard input where it is left out or `-`.
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    /// Print the text's vector instead of an answer.
    #[arg(long)]
    embed: bool,
    /// A model by name or id [default: the catalogue's chat or embedding model].
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// A node to join through; may be repeated [default: the configuration's, else the node that runs in this home].
    #[arg(long, value_name = "MULTIADDR")]
    join: Vec<String>,
    /// The ledger's endpoint.
    #[arg(long, value_name = "URL", value_parser = values::endpoints)]
    ledger: Option<String>,
    /// The most that the answer may cost, in coins.
    #[arg(long, value_name = "COINS", default_value = "0.05")]
    max_cost: Coins,
    /// Seconds until the order is given up.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    deadline: u64,
    /// Output tokens at the most.
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_tokens: u32,
    /// Temperature; 0 takes the likeliest token.
    #[arg(long, value_name = "T", default_value_t = 0.0, value_parser = temperature)]
    temperature: f32,
    /// Seed of the draw.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

fn temperature(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|number| (0.0..=2.0).contains(number));
    number.ok_or_else(|| "expected a number from 0 to 2".to_owned())
}

/// What the answer came to.
#[derive(Debug, Serialize)]
struct AnswerReport {
    ok: bool,
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<Vec<f32>>,
    finish: Option<&'static str>,
    providers: Vec<String>,
    job: Option<String>,
    failed_over: bool,
    input_tokens: u64,
    output_tokens: u64,
    cost_nano: u64,
    receipts: u32,
    vouchers: u32,
    matched_ms: Option<u64>,
    first_token_ms: Option<u64>,
    wall_ms: u64,
}

/// What has been heard of an order.
struct Progress {
    text: String,
    vectors: Vectors,
    failed_over: bool,
}

impl Ask {
    pub(super) async fn run(self, home: PathBuf, printer: Printer) -> Result<(), NodeError> {
        let model = self.model.clone().unwrap_or_else(|| self.default_model().to_owned());
        let order = self.order(&model)?;
        let config = self.config(home)?;
        let (node, running) = api::start(config.clone()).await?;
        let answered = tokio::select! {
            answered = self.place(&node, &config, model, order, printer) => answered,
            _ = shutdown::requested() => Err(NodeError::Order(Failure::Cancelled)),
        };
        node.shutdown().await;
        let ended = running.await.map_err(|_| NodeError::Bug("the node's task panicked".into()))?;
        let answered = answered?;
        ended?;
        printer.note(&answered.summary(&config.ledger.coin));
        if printer.json || answered.vector.is_some() {
            printer.data(&answered, || serde_json::json!(answered.vector).to_string());
        }
        Ok(())
    }

    const fn default_model(&self) -> &'static str {
        if self.embed { crate::demo::EMBED_MODEL } else { crate::demo::CHAT_MODEL }
    }

    fn order(&self, model: &str) -> Result<Order, NodeError> {
        let (id, does) = models::named(model)?;
        let asked = if self.embed { TaskKind::Embed } else { TaskKind::Generate };
        if let Some(does) = does.filter(|does| *does != asked) {
            return Err(NodeError::WrongKind { model: model.to_owned(), does });
        }
        let text = self.text()?;
        // An answer to nothing would be served, and billed.
        if text.trim().is_empty() {
            return Err(NodeError::Order(Failure::Order(OrderFault::Empty)));
        }
        let task = if self.embed {
            Task::Embed { inputs: vec![text] }
        } else {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the flag's range is 0 to 2"
            )]
            let temperature_milli = (self.temperature * 1000.0).round() as u32;
            Task::Generate(Generate {
                messages: vec![ChatMessage { role: Role::User, content: text }],
                max_tokens: self.max_tokens,
                sampling: Sampling { temperature_milli, top_p_milli: 1000, top_k: 0, seed: self.seed },
                prefix: Vec::new(),
                stop: Vec::new(),
            })
        };
        task.check().map_err(|fault| NodeError::Order(fault.into()))?;
        Ok(Order {
            model: id,
            task,
            max_cost: self.max_cost.0,
            deadline: Span::from_s(self.deadline),
            tier: Tier::Open,
            nano_per_ms: NANO_PER_MS,
            weights: models::weights_of(&id),
            input: InputCount::Estimated,
        })
    }

    fn text(&self) -> Result<String, NodeError> {
        let given = self.text.join(" ");
        if !given.is_empty() && given != "-" {
            return Ok(given);
        }
        let mut text = String::new();
        let read = std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|source| NodeError::Io { what: "read", path: "standard input".into(), source })?;
        Ok(text.trim_end().to_owned())
    }

    /// Returns the configuration of the home with these flags over it, for a client that only buys.
    fn config(&self, home: PathBuf) -> Result<NodeConfig, NodeError> {
        let mut config = NodeConfig::load(&home)?;
        config.provide.models.clear();
        config.network.listen = LISTEN.map(String::from).to_vec();
        config.network.external.clear();
        if !self.join.is_empty() {
            config.network.join.clone_from(&self.join);
        }
        if config.network.join.is_empty() {
            let note = Note::read(&home).ok().flatten();
            config.network.join = note.map(|note| note.addresses).unwrap_or_default();
        }
        if config.network.join.is_empty() {
            let text = "no node to join: give one with --join, or start one here with `bombyx up`";
            return Err(NodeError::Usage(text.into()));
        }
        if let Some(url) = &self.ledger {
            config.ledger.url.clone_from(url);
        }
        config.home = home.join(HOME);
        Ok(config)
    }

    async fn place(
        &self,
        node: &NodeHandle,
        config: &NodeConfig,
        model: String,
        order: Order,
        printer: Printer,
    ) -> Result<AnswerReport, NodeError> {
        coins::ensure(node, config, printer).await?;
        node.wait_for_peers(1, JOIN_WAIT.min(Duration::from_secs(self.deadline))).await?;
        let began = Instant::now();
        let mut heard = Progress {
            text: String::new(),
            vectors: Vectors::new(usize::from(self.embed)),
            failed_over: false,
        };
        let within = Duration::from_secs(self.deadline) + GRACE;
        let bill = tokio::time::timeout(within, follow(node, config, order, &mut heard, printer))
            .await
            .map_err(|_| NodeError::Order(Failure::Deadline))??;
        let vector = if self.embed {
            let rows = heard.vectors.finish().map_err(|_| NodeError::Order(Failure::FalseReceipt))?;
            rows.into_iter().next()
        } else {
            if !printer.json {
                printer.line("");
            }
            None
        };
        let text = (!self.embed).then_some(heard.text);
        Ok(AnswerReport::new(model, text, vector, heard.failed_over, bill, began.elapsed()))
    }
}

/// Reads an order's news to its end; text is shown as it comes.
async fn follow(
    node: &NodeHandle,
    config: &NodeConfig,
    order: Order,
    heard: &mut Progress,
    printer: Printer,
) -> Result<Bill, NodeError> {
    let mut news = node.order(order).await?;
    loop {
        match news.recv().await.ok_or(NodeError::Stopped("driver"))? {
            OrderNews::Bids(_) | OrderNews::Awarded { .. } | OrderNews::Content(Content::End { .. }) => {}
            OrderNews::Content(Content::Tokens { text, .. }) => {
                if !printer.json {
                    printer.piece(&text);
                }
                heard.text.push_str(&text);
            }
            OrderNews::Content(Content::Vectors { first, dims, bytes }) => {
                let taken = heard.vectors.take(first, dims, &bytes);
                taken.map_err(|_| NodeError::Order(Failure::FalseReceipt))?;
            }
            OrderNews::FailedOver { from, why } => {
                heard.failed_over = true;
                tracing::warn!(provider = %from, %why, "a provider failed; the order goes on if there is another one");
            }
            OrderNews::Done(bill) => return Ok(bill),
            OrderNews::Failed { why, bill } => {
                if !heard.text.is_empty() && !printer.json {
                    printer.line("");
                }
                if bill.cost > Nano::ZERO {
                    let paid = config.ledger.coin.amount(bill.cost);
                    printer.note(&format!("paid all the same for what was delivered: {paid}"));
                }
                return Err(failed(node, config, why).await);
            }
        }
    }
}

/// Returns an order's failure; an empty wallet is named with its address.
async fn failed(node: &NodeHandle, config: &NodeConfig, why: Failure) -> NodeError {
    let (Failure::Payment(PaymentFault::NoFunds { .. }), Some(wallet)) =
        (why, node.ledger().wallet_address())
    else {
        return NodeError::Order(why);
    };
    match node.ledger().balance(wallet).await {
        Ok(have) => {
            let need = coins::need(config);
            NodeError::Ledger(LedgerError::Balance { operation: "open a channel", wallet, have, need })
        }
        Err(error) => error.into(),
    }
}

impl AnswerReport {
    fn new(
        model: String,
        text: Option<String>,
        vector: Option<Vec<f32>>,
        failed_over: bool,
        bill: Bill,
        wall: Duration,
    ) -> Self {
        Self {
            ok: true,
            model,
            text,
            vector,
            finish: bill.finish.map(|finish| match finish {
                Finish::Stop => "stop",
                Finish::Length => "length",
            }),
            providers: bill.providers.iter().map(NodeId::to_string).collect(),
            job: bill.job.map(|job| job.to_string()),
            failed_over,
            input_tokens: bill.input_tokens,
            output_tokens: bill.output_tokens,
            cost_nano: bill.cost.0,
            receipts: bill.receipts,
            vouchers: bill.vouchers,
            matched_ms: bill.matched.map(|span| span.as_ms()),
            first_token_ms: bill.first_token.map(|span| span.as_ms()),
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn summary(&self, coin: &CoinName) -> String {
        let provider = self.providers.last().and_then(|id| id.get(..8)).unwrap_or("?");
        let over = if self.failed_over { ", which took over from one that failed" } else { "" };
        format!(
            "served by {provider}{over}: {} + {} tokens for {}, first part after {} ms, all after {} ms",
            self.input_tokens,
            self.output_tokens,
            coin.amount(Nano(self.cost_nano)),
            self.first_token_ms.map_or_else(|| "?".into(), |ms| ms.to_string()),
            self.wall_ms
        )
    }
}
