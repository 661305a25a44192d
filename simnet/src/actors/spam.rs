//! A client that gossips calls it wants no answer to: every one floods a topic and binds promises of who bids.

use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::clock::WallClock;
use bombyx_protocol::ident::{Identity, NodeId};
use bombyx_protocol::io::{Input, Machine, Output};
use bombyx_protocol::market::call::{Call, CallId};
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::Gossip;
use bombyx_protocol::work::order::{ModelId, TaskKind, Tier};

use super::plan::AttackPlan;
use crate::scenario::{CALENDAR_S, model_id};

/// The machine.
pub(super) struct Spammer {
    plan: AttackPlan,
    honest: Box<dyn Machine + Send>,
    identity: Identity,
    models: Vec<ModelId>,
    now: Time,
    next: Time,
    said: u64,
}

impl Spammer {
    pub(super) fn new(
        plan: AttackPlan,
        config: &ClientConfig,
        models: &[u32],
        honest: Box<dyn Machine + Send>,
    ) -> Self {
        Self {
            next: plan.from,
            plan,
            honest,
            identity: Identity::from_seed(&config.identity_seed),
            models: models.iter().map(|model| model_id(*model)).collect(),
            now: Time(0),
            said: 0,
        }
    }

    fn call(&mut self) -> Option<Output> {
        if self.now < self.next || !self.plan.is_on(self.now) {
            return None;
        }
        let place = usize::try_from(self.said).unwrap_or(0).checked_rem(self.models.len())?;
        self.said += 1;
        self.next = self.now + self.plan.call_every;
        let client = self.identity.id();
        let call = Call {
            id: call_id(&client, self.said),
            client,
            // A point that bids can be sealed to; nobody will open them.
            seal_key: client.0,
            model: self.models[place],
            kind: TaskKind::Generate,
            input_log2: 8,
            output_log2: 8,
            tier: Tier::Open,
            window_ms: 400,
            invited: Share::ALL,
            made_s: WallClock::new(CALENDAR_S).unix_s(self.now),
            deadline_ms: 1_000,
            stamp: 0,
            features: Features::OWN,
            extensions: Extensions::NONE,
        };
        Some(Output::Broadcast {
            topic: Topic::Model(call.model),
            gossip: Gossip::Call(call.sign(&self.identity)),
        })
    }
}

fn call_id(client: &NodeId, number: u64) -> CallId {
    let hash = blake3::keyed_hash(&client.0, &number.to_le_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hash.as_bytes()[..16]);
    CallId(id)
}

impl Machine for Spammer {
    fn handle(&mut self, now: Time, input: Input) {
        self.now = now;
        self.honest.handle(now, input);
    }

    fn poll(&mut self) -> Output {
        if let Some(call) = self.call() {
            return call;
        }
        let output = self.honest.poll();
        if let Output::Wake(at) = output {
            let more = self.next < self.plan.until;
            return Output::Wake(if more { at.min(self.next) } else { at });
        }
        output
    }
}
