//! Which scenarios a world can be built from: the values that make no sense, refused by the path of their key.

use super::regions::Regions;
use super::{
    Access, Arrivals, AttackKind, AttackSpec, Crypto, GpuClass, HAS_FAKE_CRYPTO, RoleName, Scenario,
    SessionLaw,
};

/// More coins than any ledger has, in nano, and room to add a few such amounts.
const COINS_MAX: u64 = 9_000_000_000_000_000_000;

/// The path of a key and what is wrong with its value.
type Impossible = (Vec<&'static str>, String);

impl Scenario {
    /// Refuses what no world can be built from: the path of the key, and what is wrong with it.
    ///
    /// # Errors
    /// The first impossible value.
    pub fn check(&self) -> Result<(), Impossible> {
        let (population, workload) = (&self.population, &self.workload);
        let (jitter, churn) = (&self.network.jitter, &self.churn);
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let spread = |value: f64| value.is_finite() && (0.0..=5.0).contains(&value);
        let weights = |access: &Access| {
            access.shares().iter().all(|weight| *weight >= 0.0) && access.shares().iter().sum::<f64>() > 0.0
        };
        let rules: [(bool, &[&'static str], String); 41] = [
            (
                self.crypto == Crypto::Real || HAS_FAKE_CRYPTO,
                &["crypto"],
                "this simnet has real cryptography only; build it with `--features fake-crypto`".into(),
            ),
            (workload.jobs > 0, &["workload", "jobs"], "there must be at least one order".into()),
            (
                (0.01..=100.0).contains(&self.market.posted_markup),
                &["market", "posted_markup"],
                "posted_markup is from 0.01 to 100".into(),
            ),
            (
                (2..=10_000_000).contains(&self.nodes),
                &["nodes"],
                format!("{} nodes; at least one must buy and one sell", self.nodes),
            ),
            (
                share(population.clients),
                &["population", "clients"],
                "clients is a share of all nodes, from 0 to 1".into(),
            ),
            (population.models > 0, &["population", "models"], "there must be at least one model".into()),
            (
                population.models_per_client > 0,
                &["population", "models_per_client"],
                "a client must order from at least one model".into(),
            ),
            (
                spread(population.demand_zipf),
                &["population", "demand_zipf"],
                "a Zipf exponent is from 0 to 5".into(),
            ),
            (
                spread(population.supply_zipf),
                &["population", "supply_zipf"],
                "a Zipf exponent is from 0 to 5".into(),
            ),
            (
                spread(population.price_sigma),
                &["population", "price_sigma"],
                "a spread is from 0 to 5".into(),
            ),
            (
                !population.gpu.is_empty(),
                &["population"],
                "there must be at least one [[population.gpu]]".into(),
            ),
            (
                population.gpu.iter().all(GpuClass::is_possible),
                &["population", "gpu"],
                "a GPU class needs a share, slots, prefill_per_s and decode_per_s above 0, start_ms of an hour at most, a batch_slowdown from 0 to 10 and a bid_factor from 0.001 to 1000".into(),
            ),
            (
                positive(workload.rate_per_s),
                &["workload", "rate_per_s"],
                "the rate of orders must be above 0".into(),
            ),
            (
                (0.01..=100.0).contains(&workload.burst_cv),
                &["workload", "burst_cv"],
                "a coefficient of variation is from 0.01 to 100".into(),
            ),
            (
                (0.0..=0.95).contains(&workload.daily_swing),
                &["workload", "daily_swing"],
                "daily_swing is a share of the mean rate, from 0 to 0.95".into(),
            ),
            (
                positive(workload.day_s) && workload.peak_s.is_finite(),
                &["workload", "day_s"],
                "a day is longer than 0 seconds, and its peak some number of them from the start".into(),
            ),
            (
                workload.arrivals != Arrivals::Trace
                    || workload.trace.as_ref().is_some_and(|trace| !trace.file.is_empty()),
                &["workload", "arrivals"],
                "arrivals from a trace need its file: [workload.trace] file = \"requests.csv\"".into(),
            ),
            (
                workload.trace.as_ref().is_none_or(|trace| positive(trace.speed)),
                &["workload", "trace", "speed"],
                "the speed of a trace must be above 0".into(),
            ),
            (
                workload.warm_up_s.is_finite() && workload.warm_up_s >= 0.0,
                &["workload", "warm_up_s"],
                "the warm-up cannot be negative".into(),
            ),
            (
                positive(workload.prompt_tokens) && workload.prompt_tokens <= 10_000.0,
                &["workload", "prompt_tokens"],
                "the median prompt is from 1 to 10000 tokens".into(),
            ),
            (
                positive(workload.answer_tokens),
                &["workload", "answer_tokens"],
                "the median answer must be above 0 tokens".into(),
            ),
            (spread(workload.prompt_sigma), &["workload", "prompt_sigma"], "a spread is from 0 to 5".into()),
            (spread(workload.answer_sigma), &["workload", "answer_sigma"], "a spread is from 0 to 5".into()),
            (
                workload.max_tokens > 0 && workload.report_tokens > 0,
                &["workload", "max_tokens"],
                "max_tokens and report_tokens must be above 0".into(),
            ),
            (
                positive(workload.deadline_s),
                &["workload", "deadline_s"],
                "the deadline must be above 0 seconds".into(),
            ),
            (
                workload.grace_s.is_none_or(|grace| (-86_400.0..=86_400.0).contains(&grace)),
                &["workload", "grace_s"],
                "the grace is from -86400 to 86400 seconds".into(),
            ),
            (
                share(self.network.faults.drop) && share(self.network.faults.duplicate),
                &["network", "faults"],
                "drop and duplicate are probabilities, from 0 to 1".into(),
            ),
            (
                share(self.network.provider_nat_share) && share(self.network.client_nat_share),
                &["network"],
                "provider_nat_share and client_nat_share are from 0 to 1".into(),
            ),
            (
                share(self.network.punch_share),
                &["network", "punch_share"],
                "punch_share is a share of pairs, from 0 to 1".into(),
            ),
            (
                share(churn.share) && share(churn.late_share) && share(churn.leave_share),
                &["churn"],
                "share, late_share and leave_share are shares of the providers, from 0 to 1".into(),
            ),
            (
                (0.1..=86_400_000.0).contains(&churn.session_s)
                    && (0.1..=86_400_000.0).contains(&churn.away_s)
                    && (0.0..=86_400_000.0).contains(&churn.over_s)
                    && (-0.95..=0.95).contains(&churn.daily_swing),
                &["churn"],
                "session_s and away_s are from 0.1 to 86400000, over_s from 0, daily_swing from -0.95 to 0.95".into(),
            ),
            (
                match churn.session_law {
                    SessionLaw::Exponential => true,
                    SessionLaw::Weibull => (0.1..=100.0).contains(&churn.session_shape),
                    SessionLaw::Pareto => churn.session_shape > 1.0 && churn.session_shape <= 100.0,
                },
                &["churn", "session_shape"],
                "a shape is from 0.1 to 100 for weibull, above 1 for pareto: its mean must exist".into(),
            ),
            (
                weights(&self.network.provider_access),
                &["network", "provider_access"],
                "access weights must not be negative and not all 0".into(),
            ),
            (
                weights(&self.network.client_access),
                &["network", "client_access"],
                "access weights must not be negative and not all 0".into(),
            ),
            (population.models <= 100_000, &["population", "models"], "more than 100000 models".into()),
            (
                self.network.mesh_degree <= 64,
                &["network", "mesh_degree"],
                "a host has 64 gossip links in one topic at the most".into(),
            ),
            (
                spread(jitter.median_share)
 && spread(jitter.sigma)
 && jitter.burst_min_ms <= jitter.burst_max_ms && jitter.burst_max_ms <= 600_000,
                &["network", "jitter"],
                "median_share and sigma are from 0 to 5, burst_min_ms is at most burst_max_ms and that 600000".into(),
            ),
            (
                spread(self.disk.commit_sigma) && (0.0..=60_000.0).contains(&self.disk.commit_ms),
                &["disk"],
                "a commit takes 0 to 60000 ms and its spread is from 0 to 5".into(),
            ),
            (
                self.market.deposit.0.0 <= COINS_MAX && self.wallets() <= u128::from(COINS_MAX),
                &["ledger", "wallet"],
                "a deposit and all wallets together must stay below 9 billion coins".into(),
            ),
            (self.ledger.block_ms > 0, &["ledger", "block_ms"], "blocks need some time between them".into()),
            (self.ledger.rpc_ms > 0, &["ledger", "rpc_ms"], "the way to the ledger takes some time".into()),
        ];
        for (holds, path, what) in rules {
            if !holds {
                return Err((path.to_vec(), what));
            }
        }
        self.check_faults()
    }

    fn wallets(&self) -> u128 {
        u128::from(self.nodes) * u128::from(self.ledger.wallet.0.0)
    }

    fn check_faults(&self) -> Result<(), Impossible> {
        let regions = Regions::shipped();
        let unknown = |names: &[String]| {
            let unknown = names.iter().find(|name| regions.find(name).is_none())?;
            Some(format!("no region {unknown:?}; there are {}", regions.names.join(" ")))
        };
        for partition in &self.partition {
            if let Some(what) = unknown(&partition.regions) {
                return Err((vec!["partition", "regions"], what));
            }
            if !(partition.from_s >= 0.0 && partition.from_s < partition.until_s) {
                return Err((vec!["partition", "from_s"], "a partition must begin before it ends".into()));
            }
        }
        for outage in &self.outage {
            if let Some(what) = unknown(&outage.regions) {
                return Err((vec!["outage", "regions"], what));
            }
            let is_a_while = outage.from_s >= 0.0 && outage.from_s < outage.until_s;
            if !(is_a_while && (0.0..=1.0).contains(&outage.share)) {
                let what = "an outage must begin before it ends and take a share from 0 to 1".into();
                return Err((vec!["outage"], what));
            }
        }
        for crash in &self.crash {
            if !(crash.at_s >= 0.0 && crash.for_s > 0.0 && (0.0..=1.0).contains(&crash.share)) {
                let what = "a crash needs at_s from 0, for_s above 0 and a share from 0 to 1".into();
                return Err((vec!["crash"], what));
            }
        }
        self.check_attacks()
    }

    fn check_attacks(&self) -> Result<(), Impossible> {
        self.attack.iter().try_for_each(AttackSpec::check)
    }
}

impl AttackSpec {
    fn check(&self) -> Result<(), Impossible> {
        let share = |share: f64| (0.0..=1.0).contains(&share);
        let span = self.start_s >= 0.0 && self.stop_s.is_none_or(|stop_s| stop_s > self.start_s);
        if !(span && share(self.share) && share(self.victims)) {
            let what =
                "an attack needs share and victims from 0 to 1, start_s from 0 and stop_s after it".into();
            return Err((vec!["attack"], what));
        }
        if self.count.is_some() && self.share > 0.0 {
            return Err((
                vec!["attack", "count"],
                "an attack has a share of its role or a count, not both".into(),
            ));
        }
        self.check_times()?;
        self.check_keys()
    }

    /// Refuses a beginning or an end where neither can act: nobody shall take such a run for one before or after the attack.
    fn check_times(&self) -> Result<(), Impossible> {
        let fixed = [
            (self.speed_factor.is_some(), "speed_factor"),
            (self.names.is_some(), "names"),
            (self.jobs_per_name.is_some(), "jobs_per_name"),
        ];
        let fixed = fixed.iter().find(|(is_set, _)| *is_set).map(|(_, key)| *key);
        let times = [(self.start_s > 0.0, "start_s"), (self.stop_s.is_some(), "stop_s")];
        let kind = self.kind.name();
        for key in times.into_iter().filter(|(is_set, _)| *is_set).map(|(_, key)| key) {
            if let Some(why) = self.kind.lasts() {
                let what = format!("{key} cannot act on an attack of kind {kind:?}: {why}");
                return Err((vec!["attack", key], what));
            }
            if let Some(fixed) = fixed {
                let what = format!("{key} cannot act on {fixed}, which holds for all of the run");
                return Err((vec!["attack", key], what));
            }
        }
        Ok(())
    }

    /// Refuses keys that say nothing about this kind, and factors that nobody can have.
    fn check_keys(&self) -> Result<(), Impossible> {
        let provides = self.kind.role() == RoleName::Provider;
        let factor = |value: Option<f64>| value.is_none_or(|value| (0.001..=1_000.0).contains(&value));
        let count = |value: Option<u32>| value.is_none_or(|value| (1..=10_000).contains(&value));
        let keys: [(&'static str, bool, bool, bool); 15] = [
            ("bid_factor", self.bid_factor.is_some(), provides, factor(self.bid_factor)),
            ("one_price", self.one_price, provides, true),
            ("promise_factor", self.promise_factor.is_some(), provides, factor(self.promise_factor)),
            ("speed_factor", self.speed_factor.is_some(), provides, factor(self.speed_factor)),
            ("slots_factor", self.slots_factor.is_some(), provides, factor(self.slots_factor)),
            ("input_factor", self.input_factor.is_some(), provides, factor(self.input_factor)),
            (
                "window_share",
                self.window_share.is_some(),
                self.kind == AttackKind::Sniper,
                self.window_share.is_none_or(|share| (0.0..=1.0).contains(&share)),
            ),
            ("names", self.names.is_some(), provides, count(self.names)),
            ("jobs_per_name", self.jobs_per_name.is_some(), provides, count(self.jobs_per_name)),
            (
                "honest_jobs",
                self.honest_jobs.is_some(),
                self.kind == AttackKind::Thief,
                count(self.honest_jobs),
            ),
            ("cut_tokens", self.cut_tokens.is_some(), self.kind == AttackKind::Thief, count(self.cut_tokens)),
            ("prefixes", self.prefixes.is_some(), true, count(self.prefixes)),
            ("near", self.near, provides, true),
            (
                "rate_per_s",
                self.rate_per_s.is_some(),
                self.kind == AttackKind::Spammer,
                self.rate_per_s.is_none_or(|rate| (0.001..=10_000.0).contains(&rate)),
            ),
            (
                "answer_factor",
                self.answer_factor.is_some(),
                self.kind == AttackKind::OddClient,
                factor(self.answer_factor),
            ),
        ];
        for (key, is_set, applies, is_possible) in keys {
            if is_set && !applies {
                let what = format!("{key} says nothing about an attack of kind {:?}", self.kind.name());
                return Err((vec!["attack", key], what));
            }
            if !is_possible {
                let what =
                    format!("{key} is out of range: factors are from 0.001 to 1000, counts from 1 to 10000");
                return Err((vec!["attack", key], what));
            }
        }
        Ok(())
    }
}

impl GpuClass {
    fn is_possible(&self) -> bool {
        self.share > 0.0
            && self.slots > 0
            && self.prefill_per_s > 0
            && self.decode_per_s > 0
            && self.start_ms <= 3_600_000
            && (0.0..=10.0).contains(&self.batch_slowdown)
            && (0.001..=1_000.0).contains(&self.bid_factor)
    }
}
