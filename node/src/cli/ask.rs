//! `bombyx ask`: one order from the command line; the answer to stdout as it comes, what it cost to stderr.
//!
//! It buys with the keys, wallet and channels of its home. Where a node runs in it, the question is handed to that one over its
//! pages; otherwise a node is started for as long as the answer takes, one `ask` after the other.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::Failure;
use clap::Args;
use tokio::sync::mpsc;

use super::print::Printer;
use super::reach::{self, LocalNode};
use super::{coins, own};
use super::{shutdown, values};
use crate::api;
use crate::api::holdings::Holdings;
use crate::api::question::{AnswerPart, AnswerReport, Question, price, put};
use crate::api::quote::QuoteReport;
use crate::error::NodeError;
use crate::error::exit::ExitKind;
use crate::home::config::{Coins, NodeConfig};
use crate::home::keys::FOLDER;
use crate::home::{OLD_ASK, peers};
use crate::ledger::{CoinName, parse_address};
use crate::net::check_join;
use crate::status::count;

/// Bytes of a text that is read from standard input.
const INPUT_BYTES_MAX: u64 = 1 << 20;

/// Flags of `bombyx ask`.
#[derive(Debug, Args)]
pub(super) struct Ask {
    /// The question, or the text to embed; read from standard input where it is left out or `-`.
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    /// Print the text's vector instead of an answer.
    #[arg(long)]
    embed: bool,
    /// Say what it would cost, and ask nobody.
    #[arg(long)]
    quote: bool,
    /// A model by name or id [default: the catalogue's chat or embedding model].
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// A node to join through, beside those that answered before; may be repeated.
    #[arg(long, value_name = "MULTIADDR")]
    join: Vec<String>,
    /// The ledger's endpoint, where no node runs in this home.
    #[arg(long, value_name = "URL", value_parser = values::endpoints)]
    ledger: Option<String>,
    /// The most that the answer may cost, in coins.
    #[arg(long, value_name = "COINS", default_value = "0.05")]
    max_cost: Coins,
    /// The most that a bid may ask, in nano for 1,000 units, as quotes say it [default: where providers of fewer than three address
    /// prefixes bid, twice what was paid lately].
    #[arg(long, value_name = "NANO")]
    max_price: Option<u64>,
    /// Seconds until the order is given up. Where another `ask` of this home runs, its end is awaited for as long before that.
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

impl Ask {
    pub(super) async fn run(self, home: PathBuf, printer: Printer) -> Result<(), NodeError> {
        let question = self.question()?;
        // What cannot be asked is said before anything is started.
        question.check().await?;
        question.join.iter().try_for_each(|address| check_join(address))?;
        let mut config = NodeConfig::load(&home)?;
        config.ledger.url = self.ledger.clone().unwrap_or(config.ledger.url);
        name_old_home(&home, printer);
        own::once_free(Duration::from_secs(self.deadline), async || {
            self.ask_in(&home, &config, &question, printer).await
        })
        .await
    }

    /// Has the question answered by the node that runs in the home, or by one of its own.
    async fn ask_in(
        &self,
        home: &Path,
        config: &NodeConfig,
        question: &Question,
        printer: Printer,
    ) -> Result<(), NodeError> {
        let running = match reach::running(home).await {
            // One that ends takes nothing new.
            Ok(node) => Some(node).filter(|node| !node.status.ending),
            Err(NodeError::NotRunning { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(node) = running {
            match self.hand_over(&node, config, question, printer).await {
                // It has ended meanwhile.
                Err(NodeError::NotRunning { .. }) => {}
                ended => return ended,
            }
        }
        self.ask_alone(config, question, printer).await
    }

    fn question(&self) -> Result<Question, NodeError> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the flag's range is 0 to 2"
        )]
        let temperature_milli = (self.temperature * 1000.0).round() as u32;
        let default = if self.embed { crate::demo::EMBED_MODEL } else { crate::demo::CHAT_MODEL };
        Ok(Question {
            model: self.model.clone().unwrap_or_else(|| default.to_owned()),
            embed: self.embed,
            text: self.text()?,
            max_tokens: self.max_tokens,
            temperature_milli,
            seed: self.seed,
            max_cost_nano: self.max_cost.0.0,
            max_price_nano: self.max_price,
            deadline_s: self.deadline,
            join: self.join.clone(),
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

    /// Has the node that runs in this home answer.
    async fn hand_over(
        &self,
        node: &LocalNode,
        config: &NodeConfig,
        question: &Question,
        printer: Printer,
    ) -> Result<(), NodeError> {
        let ledger = &node.status.ledger;
        if self.ledger.is_some() {
            let named = api::connect::name_ledger(&config.ledger, None)?.endpoint();
            if named != ledger.url {
                let text = format!(
                    "the node that runs in this home is on the ledger {}, not on {named}; leave --ledger out, or name \
                     another --home",
                    ledger.url
                );
                return Err(NodeError::Usage(text));
            }
        }
        let sold = node.status.provider.iter().flat_map(|provider| &provider.models);
        if sold.into_iter().any(|model| [&model.name, &model.id].contains(&&question.model)) {
            printer.note(&format!(
                "the node of this home sells {} itself; a node buys from others only",
                question.model
            ));
        }
        if self.quote {
            let quote: QuoteReport = node.post("/quote", question).await?;
            printer.data(&quote, || quote.page(&ledger.coin));
            return Ok(());
        }
        if let (Some(wallet), Some(held)) = (parse_address(&ledger.wallet), ledger.balance_nano) {
            coins::fill(wallet, Nano(held), &ledger.url, config, printer).await?;
        }
        let parts = node.ask(question).await?;
        self.show(parts, &ledger.coin, printer).await
    }

    /// Answers with a node of its own, for which this process must be the only one in the home.
    async fn ask_alone(
        &self,
        config: &NodeConfig,
        question: &Question,
        printer: Printer,
    ) -> Result<(), NodeError> {
        let mut config = own::buyer(config);
        if !question.join.is_empty() {
            config.network.join.clone_from(&question.join);
        }
        let knows_nobody = config.network.join.is_empty()
            && peers::read(&config.home).map_or(true, |known| known.is_empty());
        if knows_nobody {
            let text = "no node to join: give one with --join, or start one here with `bombyx up`";
            return Err(NodeError::Usage(text.into()));
        }
        let (node, running) = api::start(config.clone()).await?;
        let answered = tokio::select! {
            answered = async {
                let question = Question { join: Vec::new(), ..question.clone() };
                if self.quote {
                    let quote = price(&node, &question).await?;
                    printer.data(&quote, || quote.page(&config.ledger.coin));
                    return Ok(());
                }
                coins::ensure(&node, &config, printer).await?;
                self.show(put(node.clone(), question), &config.ledger.coin, printer).await
            } => answered,
            _ = shutdown::requested() => Err(NodeError::Order(Failure::Cancelled)),
        };
        node.shutdown().await;
        let ended = running.await.map_err(|_| NodeError::Bug("the node's task panicked".into()))?;
        answered.and(ended)
    }

    /// Shows an answer as it comes, and at its end what it came to.
    async fn show(
        &self,
        mut parts: mpsc::Receiver<AnswerPart>,
        coin: &CoinName,
        printer: Printer,
    ) -> Result<(), NodeError> {
        let (mut is_line_open, mut text) = (false, String::new());
        let end_line = |is_open: bool| {
            if is_open {
                printer.line("");
            }
        };
        loop {
            match parts.recv().await.ok_or(NodeError::Stopped("admin page"))? {
                AnswerPart::Text(piece) if printer.json => text.push_str(&piece),
                AnswerPart::Text(piece) => {
                    printer.piece(&piece);
                    is_line_open = true;
                }
                AnswerPart::FailedOver { from, why } => {
                    tracing::warn!(
                        provider = from,
                        why,
                        "a provider failed; the order goes on if there is another one"
                    );
                }
                AnswerPart::Done(report) => {
                    end_line(!printer.json && !self.embed);
                    printer.note(&summary(&report, coin));
                    let price = Nano(report.cost_nano);
                    printer.note(&Holdings::bill(
                        &report.before,
                        &report.after,
                        price,
                        report.fees_nano,
                        coin,
                    ));
                    if report.unpaid_nano > 0 {
                        printer.note(&unpaid(&report, coin));
                    }
                    if printer.json || report.vector.is_some() {
                        printer.data(&*report, || serde_json::json!(report.vector).to_string());
                    }
                    return Ok(());
                }
                AnswerPart::Failed {
                    error,
                    hint,
                    code,
                    cost_nano,
                    unpaid_nano,
                    input_tokens,
                    output_tokens,
                } => {
                    end_line(is_line_open);
                    if printer.json {
                        let failed = serde_json::json!({
                            "error": error, "hint": hint, "code": code, "cost_nano": cost_nano,
                            "unpaid_nano": unpaid_nano,
                            "input_tokens": input_tokens, "output_tokens": output_tokens,
                            // It is paid for.
                            "text": (!text.is_empty()).then_some(text),
                        });
                        printer.data(&failed, String::new);
                    } else if cost_nano > 0 {
                        let [cost, unpaid] = [cost_nano, unpaid_nano].map(|nano| coin.amount(Nano(nano)));
                        let paid = if unpaid_nano > 0 {
                            format!(", of which {unpaid} is not paid yet")
                        } else {
                            String::new()
                        };
                        printer.note(&format!("billed all the same for what was delivered: {cost}{paid}"));
                    }
                    return Err(NodeError::Denied { error, hint, code: ExitKind::of(code) });
                }
            }
        }
    }
}

/// Names the home within this one where earlier versions of `ask` kept another wallet, with the way to its coins.
fn name_old_home(home: &Path, printer: Printer) {
    let old = home.join(OLD_ASK);
    if old.join(FOLDER).is_dir() {
        let (home, old) = (home.display(), old.display());
        printer.note(&format!(
            "{old} holds a wallet and channels of an earlier version, and is not used any more; its coins come home by\n  \
             bombyx --home {old} channels close --all\n  \
             bombyx --home {old} wallet send ADDRESS all     (ADDRESS: as `bombyx --home {home} wallet` shows it)\n\
             after that the folder can be deleted"
        ));
    }
}

/// Says what of an answer is not paid, and why.
fn unpaid(report: &AnswerReport, coin: &CoinName) -> String {
    let held = report.after.balance_nano.filter(|_| report.after.ledger_answers).map_or_else(
        || "the ledger does not answer".to_owned(),
        |held| format!("the wallet holds {}", coin.amount(Nano(held))),
    );
    format!(
        "unpaid {}: the channel to its provider is not open, and {held}; the next answer of that provider for which \
         the wallet can open it pays this one too, and a provider that is owed serves no more than its credit",
        coin.amount(Nano(report.unpaid_nano))
    )
}

fn summary(report: &AnswerReport, coin: &CoinName) -> String {
    let provider = report.providers.last().and_then(|id| id.get(..8)).unwrap_or("?");
    let over = if report.failed_over { ", which took over from one that failed" } else { "" };
    format!(
        "served by {provider}{over}: {} in and {} out for {}; the first part after {} ms, the last after {} ms",
        count(report.input_tokens, "token"),
        report.output_tokens,
        coin.amount(Nano(report.cost_nano)),
        report.first_token_ms.map_or_else(|| "?".into(), |ms| ms.to_string()),
        report.wall_ms
    )
}
