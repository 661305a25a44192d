//! Drives one machine by hand: gives an input, drains to `Wake`, and writes its records at once.
#![allow(clippy::wildcard_enum_match_arm, dead_code, unreachable_pub, missing_docs)]

use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::{Command, Input, Machine, Offer, Output};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::work::order::{
    ChatMessage, Generate, ModelId, Order, OrderId, Role, Sampling, Task, TaskKind, Tier,
};
use bombyx_protocol::work::price::PriceSheet;

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

pub fn price(per_k: u64) -> PriceSheet {
    PriceSheet { per_job: Nano(10), input_per_k: Nano(per_k), output_per_k: Nano(per_k) }
}

pub fn offer(per_k: u64) -> Input {
    Input::Command(Command::Offer(Offer {
        model: MODEL,
        name: "counter".into(),
        kind: TaskKind::Generate,
        price: price(per_k),
        slots: 2,
        first_token_ms: 10,
        tokens_per_s: 100,
        context_tokens: 4_096,
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
    let order = Order {
        model: MODEL,
        task: chat(text, 50),
        max_cost: Nano(1_000_000_000),
        deadline: Span::from_s(60),
        tier: Tier::Open,
        nano_per_ms: 0,
    };
    Input::Command(Command::Order { id: OrderId(id), order: Box::new(order) })
}
