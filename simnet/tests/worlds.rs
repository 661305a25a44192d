//! Behaviours of whole worlds: calm, lossy, cut in two, and losing power. Every run also keeps all invariants.
#![allow(clippy::unwrap_used)]

use bombyx_simnet::results::{Report, table};
use bombyx_simnet::scenario::{Fidelity, Scenario};
use bombyx_simnet::world::World;
use bombyx_simnet::world::fuzz::random_scenario;

fn run(text: &str) -> Report {
    let scenario = Scenario::parse("test.toml", text).unwrap();
    let mut world = World::new(&scenario);
    world.run(|_| ()).unwrap();
    Report::of(&world, 0.0)
}

const BASE: &str = "nodes = 40\n[population]\nmodels = 3\n[workload]\njobs = 30\nrate_per_s = 4.0\n";

#[test]
fn in_a_calm_network_every_order_is_answered_and_every_channel_closed() {
    let report = run(BASE);
    let summary = &report.summary;
    assert_eq!((summary.done, summary.failed, summary.lost), (30, 0, 0));
    assert_eq!(summary.false_accusations, 0);
    assert_eq!((summary.ledger.open_channels, summary.ledger.imbalance), (0, 0));
    assert_eq!(summary.ledger.transactions.refused, 0);
    assert!(summary.leased > 0 && summary.auctions > 0);
    assert!(summary.match_ms.p50 > 0.0 && summary.first_content_ms.p50 > summary.match_ms.p50);
    assert!(summary.vouchers > 0 && summary.receipts > 0);
    let shown = table(&report);
    assert!(shown.contains("every nano accounted for") && shown.contains("done 30 (100.0 %)"), "{shown}");
}

#[test]
fn a_lossy_network_still_ends_every_order_and_conserves_money() {
    let faults = "[network.faults]\ndrop = 0.08\nduplicate = 0.05\n";
    let summary = run(&format!("{BASE}{faults}")).summary;
    assert_eq!(summary.done + summary.failed, 30);
    assert!(summary.done >= 24, "most get through: {}", summary.done);
    assert_eq!((summary.false_accusations, summary.ledger.imbalance), (0, 0));
}

/// The same orders with and without a partition, which lasts from the fifth to the ninth second.
#[test]
fn a_partition_heals() {
    let cut = "[[partition]]\nfrom_s = 5.0\nuntil_s = 9.0\nregions = [\"EUS\", \"CUS\", \"SCUS\", \"WUS\", \"CAC\", \"BRS\", \"UKS\"]\n";
    let scenario = Scenario::parse("test.toml", &format!("{BASE}{cut}")).unwrap();
    let mut world = World::new(&scenario);
    world.run(|_| ()).unwrap();
    let cut = Report::of(&world, 0.0).summary;
    let mut calm = World::new(&Scenario::parse("test.toml", BASE).unwrap());
    calm.run(|_| ()).unwrap();
    let meanwhile = |world: &World| -> u64 {
        let ordered = world.jobs().iter().filter(|job| (5_000_000..9_000_000).contains(&job.at.0));
        ordered.filter_map(|job| job.matched()).map(|span| span.0).sum()
    };
    let (felt, usual) = (meanwhile(&world), meanwhile(&calm));
    assert!(felt > usual + 100_000, "the partition is felt: {felt} us against {usual}");
    let after = |job: &&bombyx_simnet::measures::JobRow| job.at.0 >= 9_000_000;
    let late: Vec<_> = world.jobs().iter().filter(after).collect();
    assert!(!late.is_empty());
    assert!(late.iter().all(|job| job.is_done()), "after it all goes well");
    assert_eq!((cut.ledger.imbalance, cut.ledger.open_channels), (0, 0));
}

#[test]
fn hosts_that_lose_power_come_back_with_what_was_durable_and_every_channel_is_closed() {
    let crashes = "[[crash]]\nat_s = 5.0\nfor_s = 4.0\nrole = \"provider\"\nshare = 0.4\n\
                   [[crash]]\nat_s = 6.0\nfor_s = 2.0\nrole = \"client\"\nshare = 0.5\n";
    let summary = run(&format!("{BASE}{crashes}")).summary;
    assert!(summary.lost > 0, "a client that is off orders nothing");
    assert_eq!(summary.done + summary.failed + summary.lost, 30);
    assert_eq!((summary.ledger.imbalance, summary.ledger.open_channels), (0, 0));
}

/// Everything at once, over a few seeds: a broken invariant would stop the run.
#[test]
fn storms_break_no_invariant() {
    let storm = "[market]\ndeposit = \"0.006\"\nsettle_at = \"0.002\"\nchallenge_s = 30\n\
                 [network.faults]\ndrop = 0.08\nduplicate = 0.05\n\
                 [[partition]]\nfrom_s = 5.0\nuntil_s = 8.0\nregions = [\"EUS\", \"WUS\", \"UKS\", \"WEU\", \"JPE\", \"AUE\"]\n\
                 [[crash]]\nat_s = 6.0\nfor_s = 3.0\nrole = \"provider\"\nshare = 0.3\n\
                 [[crash]]\nat_s = 7.0\nfor_s = 2.0\nrole = \"client\"\nshare = 0.3\n";
    for seed in 1..=6 {
        let summary = run(&format!("seed = {seed}\n{BASE}{storm}")).summary;
        assert_eq!(summary.done + summary.failed + summary.lost, 30, "seed {seed}");
        assert_eq!((summary.false_accusations, summary.ledger.imbalance), (0, 0), "seed {seed}");
        assert_eq!(summary.ledger.open_channels, 0, "seed {seed}");
    }
}

/// A commit that takes longer than a message: a host that speaks before it is written is found out by the other side.
#[test]
fn slow_disks_slow_the_market_down_and_break_nothing() {
    let slow = run(&format!("{BASE}[disk]\ncommit_ms = 400\n")).summary;
    let fast = run(BASE).summary;
    assert_eq!((slow.done, slow.false_accusations, slow.ledger.open_channels), (30, 0, 0));
    assert!(slow.whole_ms.p50 > fast.whole_ms.p50);
}

#[test]
fn money_and_time_bound_what_an_order_may_cost() {
    let dear = run(&BASE.replace("rate_per_s = 4.0", "rate_per_s = 4.0\nmax_cost = \"0.00001\"")).summary;
    assert_eq!((dear.done, dear.failed), (0, 30));
    assert!(
        dear.failures.keys().all(|why| why.contains("can cost more than the order allows")),
        "{:?}",
        dear.failures
    );
    let hasty = run(&BASE.replace("rate_per_s = 4.0", "rate_per_s = 4.0\ndeadline_s = 1.0")).summary;
    assert!(
        hasty.failed > 20 && hasty.failures.keys().any(|why| why.contains("deadline")),
        "{:?}",
        hasty.failures
    );
}

/// Half of the providers lose power for good before the close, and every client keeps their vouchers back.
#[test]
fn watchers_claim_for_providers_that_are_away_and_leave_a_stale_close_nothing() {
    let away = "[[crash]]\nat_s = 12.0\nfor_s = 9000.0\nrole = \"provider\"\nshare = 0.5\n\
                [[attack]]\nkind = \"stale-state\"\nshare = 1.0\n";
    let watchers = |count: u32| run(&format!("{BASE}[market]\nwatchers = {count}\n{away}")).summary.ledger;
    let (alone, guarded) = (watchers(0), watchers(3));
    let lost = |ledger: &bombyx_simnet::results::LedgerSummary| ledger.unsettled.parse::<f64>().unwrap();
    assert!(lost(&alone) > 0.0, "without a watcher the vouchers of the absent are worth nothing");
    assert_eq!(lost(&guarded), 0.0, "with one they are worth what they say");
    assert!(guarded.transactions.claim > alone.transactions.claim);
    assert_eq!((guarded.imbalance, guarded.open_channels), (0, 0));
}

fn summary(changes: &str) -> bombyx_simnet::results::Summary {
    run(&format!("{BASE}{changes}")).summary
}

#[test]
fn a_first_price_is_lower_than_a_second_score_while_everyone_bids_truthfully_and_random_is_dear() {
    let of = |mechanism: &str| {
        let made = summary(&format!("[market]\nleases = false\nmechanism = \"{mechanism}\"\n"));
        assert_eq!(made.ledger.imbalance, 0, "{mechanism}");
        assert_eq!(made.done, 30, "{mechanism}");
        made.paid_over_lowest.p50
    };
    let (second, first, cheapest, random) =
        (of("second-score"), of("first-price"), of("cheapest"), of("random"));
    assert!(first <= second && cheapest <= second, "{first} {cheapest} {second}");
    assert!(random > cheapest, "{random} {cheapest}");
    assert!(of("posted") > 0.0);
}

#[test]
fn attackers_break_no_invariant_and_their_gain_is_counted() {
    let attack = |kind: &str, share: f64| {
        let made = summary(&format!("[[attack]]\nkind = \"{kind}\"\nshare = {share}\n"));
        assert_eq!(made.ledger.imbalance, 0, "{kind}");
        assert_eq!(made.done + made.failed, 30, "{kind}");
        made
    };
    let calm = summary("");
    let none = attack("cartel", 0.0);
    assert_eq!((none.attacks[0].hosts, none.done), (0, 30));

    let unpaid = attack("non-paying", 1.0);
    assert!(unpaid.attacks[0].gained > 0.0, "credit is given to strangers");
    assert_eq!(unpaid.attacks[0].spent, 0.0);
    let cartel = attack("cartel", 1.0);
    assert!(cartel.price_coins.p50 > calm.price_coins.p50 * 1.2, "nobody is left to bid against it");
    let no_show = attack("false-bidder", 0.3);
    assert!(no_show.failovers > calm.failovers);
    let garbage = attack("garbage", 0.3);
    assert!(garbage.attacks[0].gained > 0.0 && garbage.attacks[0].profit_per_spent.is_none());
    let spam = attack("spammer", 0.5);
    assert!(spam.messages["call"].count > calm.messages["call"].count * 2);
    let free = attack("free-rider", 0.5);
    assert!(free.messages["call"].count < calm.messages["call"].count);
}

/// When orders came, in microseconds since the first, and the lengths of prompts and answers.
fn orders(text: &str) -> Vec<(u64, u64, u64)> {
    let mut scenario = Scenario::parse("test.toml", text).unwrap();
    bombyx_simnet::workload::requests::load(&mut scenario).unwrap();
    let mut world = World::new(&scenario);
    world.run(|_| ()).unwrap();
    let first = world.jobs()[0].at;
    let row = |job: &bombyx_simnet::measures::JobRow| (job.at.since(first).0, job.tokens().0, job.tokens().1);
    world.jobs().iter().map(row).collect()
}

#[test]
fn a_trace_is_replayed_with_its_times_and_lengths() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("requests.csv");
    std::fs::write(
        &file,
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.5,40,7\n2023-11-16 18:17:05.5,80,900\n",
    )
    .unwrap();
    let trace = format!("arrivals = \"trace\"\n[workload.trace]\nspeed = 2.0\nfile = {:?}\n", file);
    // A prompt in tokens is billed with eight more for its template; an answer is cut at the order's limit.
    let made = orders(&BASE.replace("rate_per_s = 4.0\n", &trace));
    assert_eq!(made, [(0, 48, 7), (1_000_000, 88, 400)]);
}

#[test]
fn bursts_and_a_day_move_orders_together_and_keep_their_number() {
    let gaps = |changes: &str| {
        let at: Vec<u64> =
            orders(&BASE.replace("rate_per_s = 4.0\n", changes)).iter().map(|of| of.0).collect();
        at.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect::<Vec<f64>>()
    };
    let spread = |gaps: &[f64]| {
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt() / mean
    };
    let even = gaps("rate_per_s = 4.0\narrivals = \"gamma\"\nburst_cv = 0.1\n");
    let bursts = gaps("rate_per_s = 4.0\narrivals = \"gamma\"\nburst_cv = 4.0\n");
    assert_eq!((even.len(), bursts.len()), (29, 29));
    assert!(spread(&even) < 0.2 && spread(&bursts) > 1.5, "{} {}", spread(&even), spread(&bursts));
    let day = gaps(
        "rate_per_s = 4.0\narrivals = \"gamma\"\nburst_cv = 0.1\ndaily_swing = 0.9\nday_s = 8.0\npeak_s = 2.0\n",
    );
    assert!(spread(&day) > 0.4, "the same orders crowd at the peak: {}", spread(&day));
}

#[test]
fn a_region_that_loses_power_and_providers_that_come_and_go_break_no_invariant() {
    let churn = "[churn]\nshare = 0.5\nsession_law = \"weibull\"\nsession_s = 6.0\naway_s = 3.0\nlate_share = 0.2\n\
                 leave_share = 0.1\nover_s = 8.0\n[[outage]]\nfrom_s = 5.0\nuntil_s = 9.0\nregions = [\"EUS\", \"WEU\", \"SEA\"]\n";
    let (calm, stormy) = (summary(""), summary(churn));
    assert_eq!(stormy.done + stormy.failed + stormy.lost, 30);
    assert!(stormy.done >= 20, "most get through: {}", stormy.done);
    assert!(stormy.failovers + stormy.failed > calm.failovers + calm.failed, "it is felt");
    assert_eq!((stormy.ledger.imbalance, stormy.false_accusations), (0, 0));
}

#[test]
fn relays_of_hosts_behind_nats_cost_time_and_holes_spare_it() {
    let nat = |punch: f64| {
        let keys =
            format!("[network]\nprovider_nat_share = 1.0\nclient_nat_share = 1.0\npunch_share = {punch}\n");
        summary(&keys).first_content_ms.p50
    };
    let (open, relayed, punched) = (summary("").first_content_ms.p50, nat(0.0), nat(1.0));
    assert!(relayed > open + 50.0, "{relayed} over {open}");
    assert!((punched - open).abs() < 1e-9, "{punched} against {open}");
}

/// Thirty calls in a thirtieth of a second, forwarded over 5 Mbit/s by everyone.
#[test]
fn a_rush_of_calls_waits_on_thin_uplinks() {
    let rushed = |access: &str, queues: bool| {
        let network =
            format!("uplink_queues = {queues}\nmesh_degree = 12\nprovider_access = {{ {access} = 1.0 }}\n");
        let rush = BASE.replace("models = 3", "models = 1").replace("rate_per_s = 4.0", "rate_per_s = 900.0");
        let text = format!("{rush}[network]\n{network}[market]\nleases = false\n");
        let mut world = World::new(&Scenario::parse("test.toml", &text).unwrap());
        world.run(|_| ()).unwrap();
        let summary = Report::of(&world, 0.0).summary;
        assert_eq!((summary.done, summary.ledger.imbalance), (30, 0));
        bombyx_simnet::results::metrics::of(&world, &summary).get("uplink_wait_ms").copied()
    };
    let (thin, thick) = (rushed("dsl", true).unwrap(), rushed("dc", true).unwrap());
    assert!(thin > 20.0 * thick, "{thin} against {thick}");
    assert_eq!(rushed("dsl", false), None);
}

/// One attack of this kind and with these keys on the same orders.
fn attacked(keys: &str) -> bombyx_simnet::results::Summary {
    let made = summary(&format!("[[attack]]\n{keys}"));
    assert_eq!(made.ledger.imbalance, 0, "{keys}");
    assert_eq!(made.done + made.failed, 30, "{keys}");
    made
}

#[test]
fn victims_of_an_eclipse_pay_their_attackers_price_and_others_do_not() {
    let price = |victims: f64| {
        let made = attacked(&format!("kind = \"eclipse\"\nshare = 0.4\nvictims = {victims}\n"));
        assert_eq!(made.done, 30);
        (made.price_coins.p50, made.attacks[0].gained)
    };
    let (nobody, everybody) = (price(0.0), price(1.0));
    assert!(everybody.0 > nobody.0 * 2.0, "{everybody:?} against {nobody:?}");
    assert!(everybody.1 > nobody.1);
}

#[test]
fn a_bidder_at_the_last_moment_learns_nothing_and_comes_too_late_in_a_crowd() {
    let crowd = "nodes = 70\n[population]\nmodels = 1\n[workload]\njobs = 160\nrate_per_s = 4.0\n[market]\nleases = false\n";
    let earned = |direct: bool, start_s: f64| -> f64 {
        let attack =
            format!("direct = {direct}\n[[attack]]\nkind = \"sniper\"\nshare = 0.4\nstart_s = {start_s}\n");
        let earned = (1..=3).map(|seed| {
            let made = run(&format!("seed = {seed}\n{crowd}{attack}")).summary;
            assert_eq!(made.done, 160);
            made.attacks[0].gained
        });
        earned.sum()
    };
    // The same hosts, bidding at once in a world where their attack never begins. A call invites about as many as it waits
    // for, so that few auctions are over when a late bid comes; and a client that calls some directly waits for all of them.
    for (direct, most) in [(false, 0.95), (true, 1.0)] {
        let (late, at_once) = (earned(direct, 0.0), earned(direct, 1e6));
        assert!(late < at_once * most, "{late} against {at_once}, direct: {direct}");
    }
}

#[test]
fn a_cheaper_model_earns_more_for_each_coin_and_nobody_notices() {
    let made = attacked("kind = \"substitution\"\nshare = 0.5\n");
    let attack = &made.attacks[0];
    assert!(attack.profit_per_spent.unwrap() > 2.0, "{attack:?}");
    assert_eq!(made.false_accusations, 0);
}

#[test]
fn names_without_a_card_win_more_than_they_can_serve() {
    let crowd = attacked("kind = \"sybil\"\nshare = 0.6\n");
    assert!(crowd.attacks[0].hosts > 10 && crowd.attacks[0].gained > 0.0);
    let busy = |of: &bombyx_simnet::results::Summary| {
        of.failover_reasons.get("the provider refused: the provider has no free slot").copied().unwrap_or(0)
    };
    assert!(busy(&crowd) > busy(&summary("")), "{:?}", crowd.failover_reasons);
}

#[test]
fn who_trades_with_himself_pays_the_ledger_for_nothing() {
    let made = attacked("kind = \"wash-trader\"\nshare = 1.0\n");
    let attack = &made.attacks[0];
    assert!(attack.hosts >= 2 && attack.spent > 0.0, "{attack:?}");
    assert!(attack.gained < attack.spent, "fees are all that comes of it: {attack:?}");
}

/// Random worlds that raised a false alarm once: on disks of 400 ms the word of an order's end waits for two commits, and a
/// provider that crashes writes what its disk held before.
#[test]
fn random_worlds_on_slow_disks_break_no_invariant() {
    for (seed, fidelity) in [
        (53, Fidelity::Message),
        (60, Fidelity::Message),
        (138, Fidelity::Message),
        (4_343, Fidelity::Message),
        (4_358, Fidelity::Message),
        (541_585_362, Fidelity::Message),
        (541_585_438, Fidelity::Message),
        (3_952_597_410, Fidelity::Message),
        (3_162_271_890, Fidelity::Message),
        (960_917_588, Fidelity::Fast),
    ] {
        let scenario = Scenario { fidelity, ..random_scenario(seed) };
        if let Err(stopped) = World::new(&scenario).run(|_| ()) {
            panic!("seed {seed}: {stopped}");
        }
    }
}

/// The attacks that may begin and end while a world runs.
const TIMED: [&str; 12] = [
    "stale-state",
    "non-paying",
    "spammer",
    "false-bidder",
    "cartel",
    "free-rider",
    "eclipse",
    "sniper",
    "deviant",
    "thief",
    "ring",
    "newcomer",
];

fn market(keys: &str) -> String {
    let base = BASE.replace("nodes = 40", "nodes = 24").replace("jobs = 30", "jobs = 12");
    let scenario = Scenario::parse("test.toml", &format!("{base}{keys}")).unwrap();
    let mut world = World::new(&scenario);
    world.run(|_| ()).unwrap();
    world.market_digest()
}

/// An attack that begins after the end and the honest twin of one are worlds without an attack, to the bit. (`SI-10`)
#[test]
fn an_attack_that_never_begins_and_an_honest_twin_change_nothing() {
    let calm = market("");
    for kind in TIMED {
        let factors = match kind {
            "stale-state" | "non-paying" | "spammer" => "",
            _ => "bid_factor = 2.0\n",
        };
        let attack = format!("[[attack]]\nkind = \"{kind}\"\nshare = 0.4\n{factors}");
        assert_eq!(market(&format!("{attack}honest = true\n")), calm, "the twin of a {kind}");
        // A newcomer is nobody before it comes.
        if kind != "newcomer" {
            assert_eq!(market(&format!("{attack}start_s = 1000000.0\n")), calm, "a {kind} that never begins");
        }
    }
    for kind in ["garbage", "substitution", "wash-trader", "odd-client"] {
        let twin = format!("[[attack]]\nkind = \"{kind}\"\nshare = 0.4\nhonest = true\n");
        assert_eq!(market(&twin), calm, "the twin of a {kind}");
    }
}

/// Each key makes another world than without it, while the attack lasts.
#[test]
fn every_key_of_an_attack_acts() {
    let keys = [
        ("deviant", "bid_factor = 0.5\n"),
        ("deviant", "one_price = true\n"),
        ("deviant", "promise_factor = 0.01\n"),
        ("deviant", "slots_factor = 0.01\n"),
        ("deviant", "input_factor = 2.0\n"),
        ("deviant", "speed_factor = 0.25\n"),
        ("deviant", "names = 2\n"),
        ("deviant", "near = true\n"),
        ("deviant", "names = 2\njobs_per_name = 1\n"),
        ("thief", ""),
        ("thief", "cut_tokens = 40\n"),
        ("thief", "honest_jobs = 1\n"),
        ("ring", "bid_factor = 0.5\n"),
        ("shill", "bid_factor = 0.5\n"),
        // After the first order: who comes before it was always there.
        ("newcomer", "start_s = 7.0\n"),
        ("sniper", "window_share = 0.5\n"),
        ("odd-client", "answer_factor = 0.5\n"),
    ];
    let calm = market("");
    for (kind, key) in keys {
        let made = market(&format!("[[attack]]\nkind = \"{kind}\"\nshare = 0.7\n{key}"));
        assert_ne!(made, calm, "{kind} with {key}");
    }
}

/// The price of a cartel holds while it lasts: orders before its start and after its end cost what they cost without it.
#[test]
fn a_cartel_is_dear_from_its_start_to_its_end() {
    let costs = |attack: &str| -> Vec<(u64, u64)> {
        let base = BASE.replace("jobs = 30", "jobs = 60");
        let text = format!("{base}[market]\nleases = false\n{attack}");
        let mut world = World::new(&Scenario::parse("test.toml", &text).unwrap());
        world.run(|_| ()).unwrap();
        world.jobs().iter().map(|job| (job.at.0, job.cost.0)).collect()
    };
    let (calm, dear) =
        (costs(""), costs("[[attack]]\nkind = \"cartel\"\nshare = 1.0\nstart_s = 7.0\nstop_s = 12.0\n"));
    let sum = |of: &[(u64, u64)], from: u64, until: u64| -> u64 {
        of.iter().filter(|(at, _)| (from..until).contains(at)).map(|(_, cost)| cost).sum()
    };
    assert_eq!(sum(&calm, 0, 6_000_000), sum(&dear, 0, 6_000_000));
    let (cheap, within) = (sum(&calm, 7_000_000, 11_500_000), sum(&dear, 7_000_000, 11_500_000));
    assert!(within * 10 > cheap * 13, "{within} against {cheap}");
    let (cheap, after) = (sum(&calm, 13_000_000, u64::MAX), sum(&dear, 13_000_000, u64::MAX));
    assert!(after * 10 < cheap * 12, "{after} against {cheap}");
}
