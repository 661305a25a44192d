//! `bombyx conform`: which rules of the network a node keeps, and which it breaks.

use clap::Args;

use super::print::Printer;
use crate::conform::{CheckReport, Conformance, Options, Outcome, run};
use crate::error::NodeError;
use crate::home::config::NodeConfig;

/// Flags of `bombyx conform`.
#[derive(Debug, Args)]
pub(super) struct Conform {
    /// The node's address, with its peer id.
    #[arg(value_name = "MULTIADDR")]
    address: String,
    /// The network's name [default: that of this program's own nodes].
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// A model to ask for: its name, `NAME@` and the first digits of its id, or the id.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Make this check alone; may be repeated.
    #[arg(long, value_name = "CHECK")]
    only: Vec<String>,
    /// Seed of the identities, 64 hexadecimal digits [default: drawn].
    #[arg(long, value_name = "HEX", value_parser = seed)]
    seed: Option<Seed>,
}

/// 32 bytes.
#[derive(Debug, Clone, Copy)]
struct Seed([u8; 32]);

fn seed(text: &str) -> Result<Seed, String> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Seed).ok_or_else(|| "expected 64 hexadecimal digits".to_owned())
}

impl Conform {
    pub(super) async fn run(self, printer: Printer) -> Result<(), NodeError> {
        let seed = self.seed.map_or_else(rand::random, |Seed(seed)| seed);
        let network = self.network.unwrap_or(NodeConfig::default().network.name);
        let Self { address, model, only, .. } = self;
        let options = Options { network, address, model, only, seed };
        let tell = |report: &CheckReport| {
            if !printer.json {
                printer.line(&line(report));
            }
        };
        let found = run(options, tell).await?;
        printer.data(&found, || summary(&found));
        let [_, failed, _] = found.counts();
        if failed == 0 {
            return Ok(());
        }
        let names: Vec<&str> = found.failed().map(|report| report.check).collect();
        Err(NodeError::Nonconformant(names.join(", ")))
    }
}

fn line(report: &CheckReport) -> String {
    let CheckReport { check, what, rules, outcome } = report;
    let rules = rules.join(" ");
    match outcome {
        Outcome::Pass => format!("pass  {check:18} {what} ({rules})"),
        Outcome::Fail(why) => format!("FAIL  {check:18} {why} ({rules}: {what})"),
        Outcome::NotApplicable(why) => format!("n/a   {check:18} {why} ({rules})"),
    }
}

fn summary(found: &Conformance) -> String {
    let [passed, failed, idle] = found.counts();
    format!("{passed} passed, {failed} failed, {idle} not applicable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_check_outcome_and_rules() {
        let report =
            |outcome| CheckReport { check: "call", what: "it bids", rules: &["MK-5", "MK-6"], outcome };
        let text = line(&report(Outcome::Fail("it is mute".into())));
        assert!(
            text.starts_with("FAIL  call ") && text.contains("it is mute (MK-5 MK-6: it bids)"),
            "{text}"
        );
        assert!(line(&report(Outcome::Pass)).starts_with("pass  call "));
        let text = line(&report(Outcome::NotApplicable("it sells nothing".into())));
        assert!(text.starts_with("n/a   call ") && text.contains("it sells nothing"), "{text}");
        let found = Conformance { node: String::new(), model: None, checks: vec![report(Outcome::Pass)] };
        assert_eq!(summary(&found), "1 passed, 0 failed, 0 not applicable");
    }

    #[test]
    fn a_seed_is_thirty_two_bytes() {
        assert!(seed(&"0a".repeat(32)).is_ok_and(|Seed(seed)| seed == [10; 32]));
        assert!(seed("0a").is_err() && seed(&"0g".repeat(32)).is_err());
    }
}
