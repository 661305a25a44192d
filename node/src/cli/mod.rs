//! The command line: one verb a file.

mod ask;
mod channels;
mod coins;
mod conform;
mod demo;
mod devnet;
mod error;
mod hardening;
mod init;
mod models;
mod observe;
mod own;
mod print;
mod reach;
mod recover;
mod runtime;
mod shutdown;
mod status;
mod up;
mod values;
mod wallet;
mod watch;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use self::hardening::harden;

use self::error::VerbError;
use self::observe::LogFormat;
use self::print::Printer;
use crate::error::NodeError;
use crate::error::exit::ExitKind;
use crate::home;
use crate::home::permissions;

/// A peer-to-peer network for paid AI inference.
#[derive(Debug, Parser)]
#[command(name = "bombyx", version, after_long_help = ExitKind::table(), disable_help_subcommand = true)]
pub struct Cli {
    /// Directory of the node's keys, records and configuration [default: `bombyx` in the user's data directory].
    #[arg(long, global = true, env = "BOMBYX_HOME", value_name = "DIR")]
    home: Option<PathBuf>,
    /// Write data as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// How messages on stderr are written.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    log: LogFormat,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make keys and a commented configuration in the home directory.
    Init,
    /// Run a node: sell models, serve the gateway, or both.
    Up(Box<up::Up>),
    /// Ask one question, or embed one text.
    Ask(Box<ask::Ask>),
    /// Show what is on offer, with prices.
    Models(models::ModelsArgs),
    /// Watch a private swarm do all of it: bids, answers, payment, a crash, settlement.
    Demo,
    /// Show a running node.
    Status,
    /// Show the wallet, or move its coins.
    Wallet(wallet::WalletArgs),
    /// Show the payment channels, or act on one.
    Channels(channels::ChannelsArgs),
    /// Run a private ledger with a faucet, for trying things out.
    Devnet(devnet::DevnetArgs),
    /// Check which rules of the network a node keeps.
    Conform(conform::Conform),
    /// Find, fetch or check ONNX Runtime.
    #[command(subcommand)]
    Runtime(runtime::RuntimeVerb),
    /// Explain a topic: `exit-codes`.
    Help(HelpArgs),
}

#[derive(Debug, clap::Args)]
struct HelpArgs {
    /// The topic, or a verb.
    topic: Option<String>,
}

impl Cli {
    /// Does what the command line says, and returns how the process is to end.
    pub async fn run(self) -> ExitKind {
        let printer = Printer { json: self.json };
        let level = match self.verb {
            Verb::Up(_) | Verb::Devnet(_) => "info",
            Verb::Init
            | Verb::Ask(_)
            | Verb::Models(_)
            | Verb::Status
            | Verb::Wallet(_)
            | Verb::Channels(_)
            | Verb::Conform(_)
            | Verb::Runtime(_)
            | Verb::Help(_) => "warn",
            // Providers go away in it on purpose: that is no news.
            Verb::Demo => "error",
        };
        observe::start(self.log, level);
        match self.dispatch(printer).await {
            Ok(()) => ExitKind::Ok,
            Err(error) => {
                printer.error(&error, &error.hint());
                error.code()
            }
        }
    }

    async fn dispatch(self, printer: Printer) -> Result<(), VerbError> {
        let home = home::resolve(self.home).map_err(NodeError::from)?;
        if matches!(
            self.verb,
            Verb::Init | Verb::Up(_) | Verb::Ask(_) | Verb::Models(_) | Verb::Wallet(_) | Verb::Channels(_)
        ) {
            permissions::tighten(&home).map_err(NodeError::from)?;
        }
        match self.verb {
            Verb::Init => init::run(&home, printer)?,
            Verb::Up(up) => up.run(home, printer).await?,
            Verb::Ask(ask) => ask.run(home, printer).await?,
            Verb::Models(models) => models.run(home, printer).await?,
            Verb::Demo => demo::run(printer).await?,
            Verb::Status => status::run(&home, printer).await?,
            Verb::Wallet(wallet) => wallet.run(&home, printer).await?,
            Verb::Channels(channels) => channels.run(&home, printer).await?,
            Verb::Devnet(devnet) => devnet.run(printer).await?,
            Verb::Conform(conform) => conform.run(printer).await?,
            Verb::Runtime(verb) => runtime::run(verb, &home, printer).await?,
            Verb::Help(help) => explain(help.topic.as_deref(), printer)?,
        }
        Ok(())
    }
}

fn explain(topic: Option<&str>, printer: Printer) -> Result<(), NodeError> {
    use clap::CommandFactory as _;
    let mut command = Cli::command();
    // A usage names the program only once the command is built.
    command.build();
    let text = match topic {
        None => command.render_long_help().to_string(),
        Some("exit-codes") => ExitKind::table(),
        Some(verb) => match command.find_subcommand_mut(verb) {
            Some(command) => command.render_long_help().to_string(),
            None => {
                return Err(NodeError::Usage(format!(
                    "there is no help on `{verb}`; try `exit-codes` or a verb"
                )));
            }
        },
    };
    printer.line(text.trim_end());
    Ok(())
}
