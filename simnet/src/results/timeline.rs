//! Sampled orders as a trace that Perfetto and Chrome open: one track for each order with the parts of its wait, one process
//! for each provider with what it was paid to do.

use std::collections::BTreeSet;

use bombyx_protocol::time::Time;
use serde_json::{Value, json};

use crate::host::Profile;
use crate::measures::{JobRow, Outcome};
use crate::scenario::Regions;
use crate::world::World;

/// The process that holds the orders; a provider's is its host's number after it.
const ORDERS: u64 = 1;
const PROVIDERS: u64 = 1_000;

/// Returns the trace of every `every`-th order of a run.
#[must_use]
pub fn trace(world: &World, every: u32) -> Value {
    let sampled = (0u32..).zip(world.jobs()).filter(|(number, _)| number.is_multiple_of(every.max(1)));
    let mut events = vec![process(ORDERS, "orders")];
    let mut providers = BTreeSet::new();
    for (number, job) in sampled {
        let end = job.ended().unwrap_or(world.now);
        events.extend(order(number, job, end));
        if let (Some(server), Some(awarded)) = (job.server(), job.awarded_at()) {
            providers.insert(server);
            events.extend(service(number, job, server, awarded, end));
        }
    }
    let regions = Regions::shipped().names;
    for host in providers {
        events.push(process(PROVIDERS + u64::from(host), &name_of(world, host, &regions)));
    }
    json!({ "displayTimeUnit": "ms", "traceEvents": events })
}

fn process(pid: u64, name: &str) -> Value {
    json!({ "ph": "M", "pid": pid, "tid": 0, "name": "process_name", "args": { "name": name } })
}

fn name_of(world: &World, host: u32, regions: &[String]) -> String {
    let of = world.host(host);
    let class = match &of.profile {
        Profile::Provider { gpu, .. } => world.environment.scenario.population.gpu.get(*gpu as usize),
        Profile::Client { .. } | Profile::Watcher { .. } => None,
    };
    let region = regions.get(usize::from(of.location.region)).map_or("", String::as_str);
    format!("provider {host}, {}, {region}", class.map_or("", |class| class.name.as_str()))
}

fn span(name: &str, tid: u32, from: Time, until: Time, args: &Value) -> Value {
    let took = until.since(from.min(until)).0;
    json!({ "ph": "X", "pid": ORDERS, "tid": tid, "name": name, "ts": from.0, "dur": took, "args": args })
}

/// Returns the track of one order: the whole, and inside it what it waited for.
fn order(number: u32, job: &JobRow, end: Time) -> Vec<Value> {
    let outcome = match job.outcome() {
        Outcome::Open => "open".to_owned(),
        Outcome::Done => "done".to_owned(),
        Outcome::Failed(why) => format!("failed: {why}"),
        Outcome::Lost => "lost with its client".to_owned(),
    };
    let told = json!({
        "outcome": outcome,
        "client": job.client,
        "cost_nano": job.cost.0,
        "input_tokens": job.tokens().0,
        "output_tokens": job.tokens().1,
        "bidders": job.bidders,
        "vouchers": job.vouchers,
    });
    let none = json!({});
    let mut events = vec![
        json!({ "ph": "M", "pid": ORDERS, "tid": number, "name": "thread_name",
            "args": { "name": format!("order {number}") } }),
        span(&format!("order {number}"), number, job.at, end, &told),
    ];
    let mut from = job.at;
    let parts = [
        ("bids", job.bids_at()),
        ("award", job.awarded_at()),
        ("first content", job.first_at()),
        ("answer", job.ended()),
    ];
    for (name, until) in parts {
        if let Some(until) = until.filter(|until| *until >= from) {
            events.push(span(name, number, from, until, &none));
            from = until;
        }
    }
    for failover in job.failovers() {
        events.push(json!({ "ph": "i", "s": "t", "pid": ORDERS, "tid": number, "ts": failover.at.0,
            "name": failover.why.to_string(), "args": { "provider": failover.from } }));
    }
    events
}

/// Returns a job on its provider's process: jobs overlap there, so it is an asynchronous span.
fn service(number: u32, job: &JobRow, server: u32, from: Time, until: Time) -> [Value; 2] {
    let edge = |phase: &str, at: Time| {
        json!({ "ph": phase, "cat": "job", "id": number, "pid": PROVIDERS + u64::from(server), "tid": 0,
            "name": format!("order {number}"), "ts": at.0, "args": { "client": job.client } })
    };
    [edge("b", from), edge("e", until)]
}
