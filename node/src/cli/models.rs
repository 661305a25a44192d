//! `bombyx models`: what is on offer, and at what price, before anything is asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::work::order::TaskKind;
use clap::{Args, Subcommand};
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use tokio::time::{Instant, sleep};

use super::print::Printer;
use super::{own, reach, shutdown, values};
use crate::api;
use crate::api::models::find;
use crate::error::NodeError;
use crate::home::config::NodeConfig;
use crate::home::peers;
use crate::ledger::CoinName;
use crate::net::check_join;
use crate::status::count;
use crate::status::models::{ModelPrice, OfferedModel};

/// Until the first peer is connected.
const JOIN_WAIT: Duration = Duration::from_secs(15);
/// How long a node that has just joined looks for the first model.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(500);

/// Flags of `bombyx models`.
#[derive(Debug, Args)]
pub(super) struct ModelsArgs {
    /// A node to join through, beside those that answered before; may be repeated.
    #[arg(long, global = true, value_name = "MULTIADDR")]
    join: Vec<String>,
    /// The ledger's endpoint, where no node runs.
    #[arg(long, global = true, value_name = "URL", value_parser = values::endpoints)]
    ledger: Option<String>,
    #[command(subcommand)]
    verb: ModelsVerb,
}

#[derive(Debug, Subcommand)]
enum ModelsVerb {
    /// List the models on offer, with their prices.
    List,
    /// Show one model.
    Show {
        /// Its name, a name with an `@` and the first digits of the id, or the id.
        name: String,
    },
}

impl ModelsArgs {
    pub(super) async fn run(self, home: PathBuf, printer: Printer) -> Result<(), NodeError> {
        let config = NodeConfig::load(&home)?;
        let coin = &config.ledger.coin;
        match &self.verb {
            ModelsVerb::List => {
                let models = self.offered(&home, &config, |models| !models.is_empty()).await?;
                printer.data(&models, || table(&models, coin));
            }
            ModelsVerb::Show { name } => {
                let models = self.offered(&home, &config, |models| find(name, models).is_ok()).await?;
                let model = find(name, &models)?;
                printer.data(model, || page(model, coin));
            }
        }
        Ok(())
    }

    /// Returns what is on offer: as the node of this home knows it, else as a node that joins for it
    /// finds it. One that has just joined, or come up, looks on for a while until `is_enough`.
    async fn offered(
        &self,
        home: &Path,
        config: &NodeConfig,
        is_enough: impl Fn(&[OfferedModel]) -> bool,
    ) -> Result<Vec<OfferedModel>, NodeError> {
        self.join.iter().try_for_each(|address| check_join(address))?;
        own::once_free(own::HOME_WAIT, async || self.offered_now(home, config, &is_enough).await).await
    }

    async fn offered_now(
        &self,
        home: &Path,
        config: &NodeConfig,
        is_enough: impl Fn(&[OfferedModel]) -> bool,
    ) -> Result<Vec<OfferedModel>, NodeError> {
        match reach::running(home).await {
            Ok(node) => {
                if !self.join.is_empty() {
                    node.post::<()>("/join", &self.join).await?;
                } else if node.status.uptime_s >= FIRST_WAIT.as_secs() {
                    return node.get("/models").await;
                }
                return looked(is_enough, async || node.get("/models").await).await;
            }
            Err(NodeError::NotRunning { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut config = NodeConfig { home: home.to_path_buf(), ..own::buyer(config) };
        if !self.join.is_empty() {
            config.network.join.clone_from(&self.join);
        }
        if let Some(url) = &self.ledger {
            config.ledger.url.clone_from(url);
        }
        if config.network.join.is_empty() && peers::read(&config.home).map_or(true, |known| known.is_empty())
        {
            let text = "no node to join: give one with --join, or start one here with `bombyx up`";
            return Err(NodeError::Usage(text.into()));
        }
        let (node, running) = api::start(config).await?;
        let look = async {
            node.wait_for_peers(1, JOIN_WAIT).await?;
            looked(is_enough, async || node.models().await).await
        };
        let found = tokio::select! {
            found = look => found,
            _ = shutdown::requested() => Ok(Vec::new()),
        };
        node.shutdown().await;
        running.await.map_err(|_| NodeError::Bug("the node's task panicked".into()))??;
        found
    }
}

/// Returns what a node that has just joined finds, once it is enough or a while has passed.
async fn looked(
    is_enough: impl Fn(&[OfferedModel]) -> bool,
    look: impl AsyncFn() -> Result<Vec<OfferedModel>, NodeError>,
) -> Result<Vec<OfferedModel>, NodeError> {
    let until = Instant::now() + FIRST_WAIT;
    loop {
        let models = look().await?;
        if is_enough(&models) || Instant::now() >= until {
            return Ok(models);
        }
        sleep(PAUSE).await;
    }
}

fn table(models: &[OfferedModel], coin: &CoinName) -> String {
    if models.is_empty() {
        return "nobody offers a model at the moment".to_owned();
    }
    let price_head = format!("price in {coin}, per 1,000 tokens");
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["model", "task", "context", "answer", "providers", "tier", &price_head]);
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for model in models {
        table.add_row([
            model.label.clone(),
            model.task.clone(),
            number(model.context_tokens),
            number(model.output_tokens_max),
            model.providers.to_string(),
            model.tiers.join(", "),
            price(&model.usual),
        ]);
    }
    table.to_string()
}

fn price(price: &ModelPrice) -> String {
    let coins = |nano: Option<u64>| nano.map_or_else(|| "too much".to_owned(), |nano| Nano(nano).to_string());
    format!(
        "{} out, {} in, {} a job",
        coins(price.output_per_k_nano),
        coins(price.input_per_k_nano),
        coins(price.per_job_nano)
    )
}

fn page(model: &OfferedModel, coin: &CoinName) -> String {
    let number = |number: Option<u32>| {
        number.map_or_else(|| "unknown".to_owned(), |number| count(number.into(), "token"))
    };
    let mut lines = vec![
        format!("model      {}", model.label),
        format!("id         {}", model.id),
        format!("task       {}", model.task),
        format!("context    {}", number(model.context_tokens)),
    ];
    if model.kind() == Some(TaskKind::Generate) {
        lines.push(format!("answer     {} at most", number(model.output_tokens_max)));
    }
    lines.extend([
        format!("providers  {}", model.providers),
        format!("tier       {}", model.tiers.join(", ")),
        format!("price      {} (in {coin}, per 1,000 tokens)", price(&model.usual)),
        format!("cheapest   {}", price(&model.lowest)),
    ]);
    if model.name.is_none() {
        lines.push("note       no provider has sent its manifest yet, so its name is not proven".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::models::ModelWeights;

    fn model(label: &str) -> OfferedModel {
        let price = ModelPrice {
            per_k_units_nano: 500_000,
            per_job_nano: Some(1),
            input_per_k_nano: Some(2_000),
            output_per_k_nano: Some(30_000_000),
        };
        OfferedModel {
            id: "0a".repeat(32),
            name: Some(label.to_owned()),
            label: label.to_owned(),
            task: "chat".into(),
            context_tokens: Some(2_048),
            output_tokens_max: Some(1_024),
            weights: ModelWeights { input: 10, cached: 1, output: 60 },
            tiers: vec!["open".into()],
            providers: 3,
            lowest: price,
            usual: price,
        }
    }

    #[test]
    fn a_list_has_a_line_for_each_model_with_its_price_and_what_it_can() {
        let models = [model("own"), model("a-longer-name")];
        let text = table(&models, &CoinName::default());
        let line = text.lines().find(|line| line.contains("own")).unwrap_or_default();
        for words in ["chat", "2048", "1024", " 3 ", "open", "0.03 out, 0.000002 in, 0.000000001 a job"] {
            assert!(line.contains(words), "{words}: {text}");
        }
        assert!(text.contains("a-longer-name") && text.contains("price in TON"));
        assert_eq!(table(&[], &CoinName::default()), "nobody offers a model at the moment");
    }

    #[test]
    fn a_page_says_what_a_model_is_and_what_is_not_proved() {
        let text = page(&model("own"), &CoinName::default());
        for words in ["own", &"0a".repeat(32), "2048 tokens", "1024 tokens at most", "0.03 out", "open"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(!text.contains("note"));
        let unproved = OfferedModel { name: None, context_tokens: None, ..model("own") };
        let text = page(&unproved, &CoinName::default());
        assert!(text.contains("not proven") && text.contains("context    unknown"), "{text}");
    }
}
