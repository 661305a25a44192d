//! What a run simulates, as a TOML file: every key has a default, an unknown or impossible one is refused by name.
//!
//! One file for each table: [`Population`], [`WorkloadSpec`], [`Market`], [`Network`], [`Ledger`] and [`Disks`], what
//! switches hosts off, and [`AttackSpec`].

mod attack;
mod coins;
mod error;
mod feasible;
mod kernel;
mod market;
mod network;
mod population;
mod power;
mod regions;
mod request;
mod shipped;
mod storage;
mod sweep;
mod workload;

use bombyx_protocol::time::{Span, Time};
use serde::{Deserialize, Serialize};

use error::locate;

pub use attack::{AttackKind, AttackSpec};
pub use coins::Coins;
pub use error::ScenarioError;
pub use kernel::{Crypto, Fidelity, HAS_FAKE_CRYPTO};
pub use market::{Market, Mechanism};
pub use network::{Access, Faults, Jitter, Network, PartitionSpec};
pub use population::{CALENDAR_S, GpuClass, Population, model_id};
pub use power::{Churn, CrashSpec, OutageSpec, RoleName, SessionLaw};
pub use regions::Regions;
pub use request::Request;
pub use shipped::{FIRST, SHIPPED};
pub use storage::{Disks, Ledger};
pub use sweep::{ArmSpec, Axis, MarkSpec, Sweep};
pub use workload::{Arrivals, LengthFit, Lengths, TraceFile, WorkloadSpec};

/// Everything about a run except its command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// A short name.
    pub title: String,
    /// The question that the scenario answers.
    pub question: String,
    /// Seed of all randomness.
    pub seed: u64,
    /// Hosts.
    pub nodes: u32,
    /// How much is carried out message by message.
    pub fidelity: Fidelity,
    /// What signs, seals and encrypts.
    pub crypto: Crypto,
    /// Who they are.
    pub population: Population,
    /// What is ordered.
    pub workload: WorkloadSpec,
    /// How both sides trade.
    pub market: Market,
    /// Links and faults.
    pub network: Network,
    /// Blocks and wallets.
    pub ledger: Ledger,
    /// Disks.
    pub disk: Disks,
    /// Regions that are cut off for a while.
    pub partition: Vec<PartitionSpec>,
    /// Providers that come and go.
    pub churn: Churn,
    /// Regions whose hosts lose power together.
    pub outage: Vec<OutageSpec>,
    /// Hosts that lose power.
    pub crash: Vec<CrashSpec>,
    /// Hosts that do not follow the protocol.
    pub attack: Vec<AttackSpec>,
    /// What `simnet sweep` varies; a single run does not read it.
    pub sweep: Sweep,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            title: String::new(),
            question: String::new(),
            seed: 1,
            nodes: 100,
            fidelity: Fidelity::Message,
            crypto: Crypto::Real,
            population: Population::default(),
            workload: WorkloadSpec::default(),
            market: Market::default(),
            network: Network::default(),
            ledger: Ledger::default(),
            disk: Disks::default(),
            partition: Vec::new(),
            churn: Churn::default(),
            outage: Vec::new(),
            crash: Vec::new(),
            attack: Vec::new(),
            sweep: Sweep::default(),
        }
    }
}

/// Returns a point in time given in seconds.
#[must_use]
pub fn at(seconds: f64) -> Time {
    Time((seconds * 1e6) as u64)
}

/// Returns a length of time given in seconds.
#[must_use]
pub fn span(seconds: f64) -> Span {
    Span((seconds * 1e6) as u64)
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] names the file, the line and, for an unknown key, the nearest one that exists.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| ScenarioError::of_toml(file, text, &error))?;
        scenario.check().map_err(|(path, what)| ScenarioError {
            file: file.to_owned(),
            line: locate(text, &path),
            what,
            nearest: None,
        })?;
        Ok(scenario)
    }

    /// Names the run: equal for equal scenarios, seeds and versions.
    #[must_use]
    pub fn run_id(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(env!("CARGO_PKG_VERSION").as_bytes());
        hasher.update(include_bytes!("../../data/region-latency-20.json"));
        let one = Self { sweep: Sweep::default(), ..self.clone() };
        hasher.update(serde_json::to_string(&one).unwrap_or_default().as_bytes());
        hasher.finalize().to_hex()[..16].to_owned()
    }

    /// Returns the honest twin: the same world, whose attackers keep to the protocol; none where nobody attacks. (`SI-10`)
    #[must_use]
    pub fn twin(&self) -> Option<Self> {
        let attacks = self.attack.iter().any(|attack| !attack.honest && attack.takes_anybody());
        attacks.then(|| Self { attack: self.attack.iter().map(AttackSpec::twin).collect(), ..self.clone() })
    }

    /// Returns how many hosts buy.
    #[must_use]
    pub fn client_count(&self) -> u32 {
        ((f64::from(self.nodes) * self.population.clients) as u32).clamp(1, self.nodes - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Scenario::parse("try.toml", text).expect_err("it must be refused").to_string()
    }

    #[test]
    fn the_shipped_scenario_is_read_and_an_empty_one_is_all_defaults() {
        let first = Scenario::parse("first.toml", FIRST).expect("it ships");
        assert_eq!((first.nodes, first.client_count(), first.population.gpu.len()), (1_000, 100, 3));
        assert_eq!(Scenario::parse("empty.toml", "").ok(), Some(Scenario::default()));
    }

    #[test]
    fn every_shipped_scenario_asks_a_question_and_plans_a_sweep() {
        let listed = SHIPPED.iter().map(|(name, _)| *name);
        let folder =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).expect("it is there");
        assert!(listed.is_sorted() && SHIPPED.len() == folder.count(), "each file of the folder ships");
        for (name, text) in SHIPPED.iter().copied() {
            let scenario = Scenario::parse(name, text).expect(name);
            assert_eq!(scenario.title, name);
            assert!(scenario.question.trim().ends_with('?'), "{name}");
            scenario.planned().expect(name);
        }
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_key() {
        let shown = refused("seed = 1\n[workload]\njobs = 3\nrate_pers = 4.0\n");
        assert!(shown.contains("try.toml, line 4"), "{shown}");
        assert!(shown.contains("`rate_pers`") && shown.contains("did you mean `rate_per_s`?"), "{shown}");
        let shown = refused("noodles = 5\n");
        assert!(shown.contains("line 1") && shown.contains("did you mean `nodes`?"), "{shown}");
        let far = refused("quux = 5\n");
        assert!(!far.contains("did you mean"), "{far}");
    }

    #[test]
    fn an_impossible_value_names_its_line() {
        for (text, line, word) in [
            ("nodes = 10\n\n[population]\nclients = 1.5\n", 4, "share"),
            ("[workload]\nmax_cost = 5\n", 2, "string"),
            ("[workload]\nmax_cost = \"five\"\n", 2, "amount"),
            ("[[partition]]\nfrom_s = 1.0\nuntil_s = 2.0\nregions = [\"ATL\"]\n", 4, "ATL"),
            ("nodes = 1\n", 1, "sell"),
            ("[network.faults]\ndrop = 2.0\n", 1, "probabilities"),
            ("[ledger]\nwallet = \"9000000000\"\n", 2, "together"),
        ] {
            let shown = refused(text);
            assert!(shown.contains(&format!("line {line}:")) && shown.contains(word), "{text}: {shown}");
        }
    }

    /// Nobody shall take the time before a beginning that has no effect for a time without the attack.
    #[test]
    fn an_attack_refuses_times_that_cannot_act_and_keys_that_are_not_its_own() {
        for (kind, keys, word) in [
            ("garbage", "start_s = 5.0", "start_s cannot act on an attack of kind \"garbage\""),
            ("substitution", "stop_s = 5.0", "stop_s cannot act on an attack of kind \"substitution\""),
            ("wash-trader", "start_s = 5.0", "\"wash-trader\""),
            ("sybil", "stop_s = 5.0", "its names share one card"),
            ("shill", "start_s = 1.0", "\"shill\""),
            ("odd-client", "start_s = 1.0", "\"odd-client\""),
            ("deviant", "speed_factor = 0.5\nstart_s = 1.0", "start_s cannot act on speed_factor"),
            ("thief", "names = 2\nstop_s = 1.0", "stop_s cannot act on names"),
            ("spammer", "bid_factor = 2.0", "bid_factor says nothing about an attack of kind \"spammer\""),
            ("cartel", "rate_per_s = 2.0", "rate_per_s says nothing"),
            ("deviant", "bid_factor = 0.0", "out of range"),
            ("deviant", "count = 1\nshare = 0.5", "not both"),
        ] {
            let shown = refused(&format!("[[attack]]\nkind = \"{kind}\"\n{keys}\n"));
            assert!(shown.contains(word), "{kind} {keys}: {shown}");
        }
        for kind in ["cartel", "false-bidder", "eclipse", "newcomer", "ring", "thief"] {
            let text = format!("[[attack]]\nkind = \"{kind}\"\nshare = 0.1\nstart_s = 5.0\nstop_s = 9.0\n");
            assert!(Scenario::parse("try.toml", &text).is_ok(), "{kind}");
        }
    }
}
