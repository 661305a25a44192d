//! What attackers gain, what it costs the others, and when an attack is none.

use bombyx_simnet::results::Summary;
use bombyx_simnet::scenario::Scenario;
use bombyx_simnet::world::World;

use super::{BASE, run, summary};

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

/// One attack of this kind and with these keys on the same orders.
fn attacked(keys: &str) -> Summary {
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
        // Of three seeds, one auction that goes otherwise decides.
        let earned = (1..=6).map(|seed| {
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
    let busy = |of: &Summary| {
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
