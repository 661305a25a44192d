//! Hostile peers against real nodes: what honest customers and newcomers get meanwhile, and what it costs them.
//!
//! `cargo test -p bombyx-node --test hostile` runs small ones of each kind and asserts; the whole table is printed by
//! `cargo test -p bombyx-node --test hostile -- --ignored --nocapture table`.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod attacks;
mod honest;
mod peer;
#[path = "../processes/mod.rs"]
mod processes;
mod sellers;

use std::time::Duration;

use bombyx_protocol::amount::Nano;

use self::attacks::Attack;
use self::honest::World;
use self::sellers::Kind;

/// Names the attack of a process that was started for one: its number in [`ATTACKS`], and the victim.
const ATTACKER_VARIABLE: &str = "BOMBYX_TEST_ATTACKER";

/// How long an attack lasts before anything is measured: for the table, and for the tests.
const RUN_UP: Duration = Duration::from_secs(25);
const SHORT: Duration = Duration::from_secs(8);

/// Attacks on a provider, as strong as the review's and stronger.
const ATTACKS: [Attack; 14] = [
    Attack::Nothing,
    Attack::Calls(100),
    Attack::Calls(300),
    Attack::CallsOfFreshKeys(100),
    Attack::Seeks(5),
    Attack::AwardsWithoutTask(4),
    Attack::AwardsWithoutTask(40),
    Attack::InventedChannels(150),
    Attack::AwardsCancelled(100),
    Attack::SilentSockets(256),
    Attack::SybilsOfOnePrefix(64),
    Attack::SybilsOfManyPrefixes(64),
    Attack::Garbage(100),
    Attack::Replay(100),
];

/// A process of its own, so that honest customers do not wait for what hostile ones compute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the others"]
async fn attacker() {
    let Ok(wanted) = std::env::var(ATTACKER_VARIABLE) else { return };
    let (number, victim) = wanted.split_once(' ').unwrap();
    ATTACKS[number.parse::<usize>().unwrap()].run(&victim.parse().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes for each row; prints the table"]
async fn table() {
    let only = std::env::var("BOMBYX_TEST_ATTACK").unwrap_or_default();
    println!("| attack | customer answered | p50 | newcomers answered | p50 |");
    println!("|---|---|---|---|---|");
    for attack in ATTACKS.into_iter().filter(|attack| attack.name().contains(&only)) {
        let rows = World::start().await.under(attack, RUN_UP, (6, 4)).await;
        println!("| {} | {} | {} |", attack.name(), rows.customer, rows.newcomers);
    }
    println!(
        "| six sellers that | orders answered | p50 | paid for nothing, nano | locked with them, nano |"
    );
    println!("|---|---|---|---|---|");
    for kind in [Kind::Mute, Kind::Thief, Kind::OneToken, Kind::EndAtOnce] {
        if kind.name().contains(&only) {
            let world = World::start().await;
            let loss = world.sold_to(kind, 6, RUN_UP, 4).await;
            println!("| {} | {loss} |", kind.name());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_is_served_whatever_strangers_send() {
    for attack in [Attack::Calls(100), Attack::AwardsWithoutTask(40), Attack::InventedChannels(150)] {
        let rows = World::start().await.under(attack, SHORT, (3, 1)).await;
        assert_eq!(rows.customer.answered, 3, "{}: {} | {}", attack.name(), rows.customer, rows.newcomers);
        assert_eq!(rows.newcomers.answered, 1, "{}: {} | {}", attack.name(), rows.customer, rows.newcomers);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thieves_cost_their_first_steps_once_and_the_honest_provider_is_reached() {
    let world = World::start().await;
    let loss = world.sold_to(Kind::Thief, 6, SHORT, 2).await;
    assert_eq!(loss.orders.answered, 2, "{loss}");
    assert_eq!(loss.paid, Nano::ZERO, "an empty chunk is worth nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints what a gossiped message costs the node that hears it"]
async fn gossip_cost() {
    let world = World::start().await;
    let (cost, messages) = world.cost_of_gossip(200, Duration::from_secs(30)).await;
    println!("{messages} messages, {} µs of processor time each", cost.as_micros() / u128::from(messages));
}
