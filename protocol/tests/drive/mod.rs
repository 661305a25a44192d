//! Drives one machine by hand: gives an input, drains to `Wake`, and writes its records at once.
#![allow(clippy::wildcard_enum_match_arm, dead_code, unreachable_pub, missing_docs)]

use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::{Command, Input, Machine, Offer, Output};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::work::cost::CostSheet;
use bombyx_protocol::work::order::{
    ChatMessage, Generate, InputCount, ModelId, Order, OrderId, Role, Sampling, Task, TaskKind, Tier,
};
use bombyx_protocol::work::price::{Price, Weights};

pub const MODEL: ModelId = ModelId([0xab; 32]);

/// Gives an input and returns everything said before and after its records are on disk.
pub fn give(machine: &mut impl Machine, now: Time, input: Input) -> Vec<Output> {
    machine.handle(now, input);
    let mut said = Vec::new();
    let mut written = None;
    loop {
        match machine.poll() {
            Output::Persist { id, record } => {
                written = Some(id);
                said.push(Output::Persist { id, record });
            }
            Output::Wake(_) => match written.take() {
                Some(id) => machine.handle(now, Input::Persisted(id)),
                None => return said,
            },
            output => said.push(output),
        }
    }
}

/// What an owner wants who asks this price for tasks of any size.
pub fn sheet(price: Price) -> CostSheet {
    let per_k = |weight: u32| Nano(price.0 * u64::from(weight));
    let Weights { input, output, .. } = Weights::DEFAULT;
    CostSheet {
        per_job: Nano(price.0 * u64::from(Weights::JOB) / 1_000),
        input_per_k: per_k(input),
        output_per_k: per_k(output),
    }
}

pub fn offer(price: u64) -> Input {
    Input::Command(Command::Offer(Offer {
        model: MODEL,
        name: "counter".into(),
        kind: TaskKind::Generate,
        cost: sheet(Price(price)),
        weights: Weights::DEFAULT,
        slots: 2,
        start_ms: 10,
        read_tps: 1_000,
        write_tps: 100,
        context_tokens: 4_096,
        output_max: 4_096,
    }))
}

pub fn chat(text: &str, max_tokens: u32) -> Task {
    Task::Generate(Generate {
        messages: vec![ChatMessage { role: Role::User, content: text.into() }],
        max_tokens,
        sampling: Sampling { temperature_milli: 0, top_p_milli: 1000, top_k: 0, seed: 0 },
        prefix: vec![],
        stop: vec![],
    })
}

pub fn order(id: u64, text: &str) -> Input {
    let task = chat(text, 50);
    let input = InputCount::Counted(vec![text.len() as u32]);
    let order = Order {
        preferences: bombyx_protocol::Preferences::default(),
        model: MODEL,
        task,
        max_cost: Nano(1_000_000_000),
        deadline: Span::from_s(60),
        tier: Tier::Open,
        nano_per_ms: Some(0),
        price_max: None,
        dims: None,
        weights: Weights::DEFAULT,
        input,
    };
    Input::Command(Command::Order { id: OrderId(id), order: Box::new(order) })
}
