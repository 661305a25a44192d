//! A whole conversation between the real machines, with fixed keys: every byte that crosses is that of
//! `spec/vectors/conversation/conversation.json`, which an independent implementation of the pages wrote.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod drive;
mod vectors;

use std::collections::VecDeque;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{ChannelState, LedgerCall, LedgerEvent};
use bombyx_protocol::client::{Client, ClientConfig};
use bombyx_protocol::ident::Prefix;
use bombyx_protocol::io::{Command, EngineReport, Event, Input, Machine, OrderNews, Output};
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::provider::{CreditLimits, Provider, ProviderConfig};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Content, Finish};
use bombyx_protocol::work::order::JobId;
use drive::{MODEL, offer, order};
use serde_json::Value;
use vectors::{file, list, text};

const CONVERSATION: &str = include_str!("../../spec/vectors/conversation/conversation.json");
/// How long anything takes from one to the other, and a token to be made.
const WAY: Span = Span::from_ms(5);
const TOKEN: Span = Span(500);
const COUNTING: Span = Span::from_ms(2);
/// How long a ledger takes to show what it was asked for.
const BLOCK: Span = Span::from_ms(500);
const EPOCH: u64 = 1_000_007;
/// Tokens of the answers: the second job begins in the session of the first.
const TOKENS: [u32; 2] = [40, 5];
/// When it begins: 2026-11-29, noon.
const CLOCK_S: u64 = 1_795_953_600;

/// What one of them is given, and when.
struct Due {
    at: Time,
    to_client: bool,
    input: Input,
}

/// The two machines, and everything between them.
struct Scene {
    client: Client,
    provider: Provider,
    now: Time,
    due: VecDeque<Due>,
    wakes: [Time; 2],
    /// Of the job that is served: tokens that the engine may make, has made, and makes in all.
    allowed: u32,
    made: u32,
    wanted: u32,
    deposit: Nano,
    /// What crossed: when, what, and its bytes.
    crossed: Vec<(Time, &'static str, Vec<u8>)>,
    done: bool,
}

fn token(position: u32) -> Content {
    Content::Tokens { ids: vec![1_000 + position], text: format!("{position} ") }
}

impl Scene {
    fn new() -> Self {
        let client = ClientConfig { clock_s: CLOCK_S, ..ClientConfig::for_tests(1) };
        // Nobody is lent anything here: the channel has to be shown first.
        let credit = CreditLimits { per_client: Nano::ZERO, per_hour: Nano::ZERO };
        let provider = ProviderConfig { clock_s: CLOCK_S, credit, ..ProviderConfig::for_tests(1) };
        Self {
            client: Client::new(client, Vec::new()),
            provider: Provider::new(provider, Vec::new()),
            now: Time(0),
            due: VecDeque::new(),
            wakes: [Time::NEVER; 2],
            allowed: 0,
            made: 0,
            wanted: 0,
            deposit: Nano::ZERO,
            crossed: Vec::new(),
            done: false,
        }
    }

    fn later(&mut self, wait: Span, to_client: bool, input: Input) {
        let at = self.now + wait;
        let place = self.due.iter().position(|due| due.at > at).unwrap_or(self.due.len());
        self.due.insert(place, Due { at, to_client, input });
    }

    /// Gives an input now, and carries what comes of it. Its disk writes at once.
    fn give(&mut self, to_client: bool, input: Input) {
        let machine: &mut dyn Machine = if to_client { &mut self.client } else { &mut self.provider };
        machine.handle(self.now, input);
        let (mut said, mut written) = (Vec::new(), None);
        loop {
            match machine.poll() {
                Output::Persist { id, .. } => written = Some(id),
                Output::Wake(at) => match written.take() {
                    Some(id) => machine.handle(self.now, Input::Persisted(id)),
                    None => {
                        self.wakes[usize::from(to_client)] = at;
                        break;
                    }
                },
                output => said.push(output),
            }
        }
        for output in said {
            self.carry(to_client, output);
        }
    }

    fn cross(&mut self, kind: &'static str, bytes: Vec<u8>) {
        self.crossed.push((self.now, kind, bytes));
    }

    fn carry(&mut self, from_client: bool, output: Output) {
        let (client, provider) = (self.client.node_id(), self.provider.node_id());
        let from = if from_client { client } else { provider };
        match output {
            Output::Broadcast { gossip, .. } => {
                self.cross("gossip", codec::encode(&gossip));
                let gossip = gossip.open().unwrap();
                self.later(WAY, false, Input::Gossip { prefix: Prefix::UNKNOWN, gossip });
            }
            Output::Send { to, message } => {
                assert_eq!(to, if from_client { provider } else { client });
                self.cross(if from_client { "to provider" } else { "to client" }, codec::encode(&message));
                self.later(WAY, !from_client, Input::Received { from, prefix: Prefix::UNKNOWN, message });
            }
            Output::Count { job, .. } => self.count(job, COUNTING),
            Output::Run { job, .. } => self.count(job, Span(0)),
            Output::Allow { job, tokens } => {
                let is_idle = self.made == self.allowed;
                self.allowed += tokens;
                if is_idle {
                    self.make(job);
                }
            }
            Output::Ledger(call) => self.call(from_client, &call),
            Output::Event(Event::Order { news, .. }) => match news {
                OrderNews::Done(_) => self.done = true,
                OrderNews::Failed { why, .. } => panic!("{why}"),
                _ => {}
            },
            Output::Fault { fault, .. } => panic!("{fault:?}"),
            _ => {}
        }
    }

    fn count(&mut self, job: JobId, takes: Span) {
        let report = EngineReport::Counted { input_tokens: INPUT_TOKENS, cached_tokens: 0 };
        self.later(takes, false, Input::Engine { job, report });
    }

    /// The engine makes its next token.
    fn make(&mut self, job: JobId) {
        let report = EngineReport::Content(token(self.made));
        self.later(TOKEN, false, Input::Engine { job, report });
    }

    fn call(&mut self, from_client: bool, call: &LedgerCall) {
        let account = call.account();
        let state = match call {
            LedgerCall::Open { terms, deposit } => {
                self.deposit = *deposit;
                self.cross("open", [&codec::encode(&**terms)[..], &deposit.0.to_le_bytes()].concat());
                Some(ChannelState { epoch: EPOCH, deposit: *deposit, settled: Nano::ZERO, closing: None })
            }
            LedgerCall::Close { voucher, order, signature } => {
                assert!(!from_client);
                let voucher = voucher.unwrap();
                assert_eq!(voucher.cumulative, order.cumulative);
                let amounts = [order.epoch.to_le_bytes(), order.cumulative.0.to_le_bytes()].concat();
                self.cross("close", [&amounts[..], &voucher.signature.0, &signature.0].concat());
                None
            }
            _ => return,
        };
        for to_client in [true, false] {
            self.later(BLOCK, to_client, Input::Ledger(LedgerEvent::Channel { account, state }));
        }
    }

    /// Runs until `until` is so.
    fn run(&mut self, until: impl Fn(&Self) -> bool) {
        while !until(self) {
            let woken = [1, 0].map(|side| self.wakes[side]);
            let wake = woken.into_iter().min().unwrap();
            match self.due.front() {
                Some(due) if due.at <= wake => {
                    let Due { at, to_client, input } = self.due.pop_front().unwrap();
                    self.now = at;
                    let produced = match &input {
                        Input::Engine { job, report: EngineReport::Content(Content::Tokens { .. }) } => {
                            Some(*job)
                        }
                        _ => None,
                    };
                    self.give(to_client, input);
                    if let Some(job) = produced {
                        self.made += 1;
                        if self.made == self.wanted {
                            let report = EngineReport::Content(Content::End { finish: Finish::Stop });
                            self.later(Span(0), false, Input::Engine { job, report });
                        } else if self.made < self.allowed {
                            self.make(job);
                        }
                    }
                }
                _ => {
                    self.now = wake;
                    self.give(woken[0] == wake, Input::Tick);
                }
            }
            assert!(self.now < Time(60_000_000), "nothing more happens");
        }
    }
}

/// Input tokens of the question.
const INPUT_TOKENS: u32 = 12;

/// (WI-8, MK-9, MK-67, SE-7, SE-24, WR-2, WR-10, CH-12, CH-13)
#[test]
fn every_byte_of_a_conversation_is_that_of_the_pages() {
    let mut scene = Scene::new();
    scene.give(false, offer(400_000));
    scene.give(true, Input::Command(Command::Seek(Topic::Model(MODEL))));
    // The answers to a seek are counted when its time is over: then one call is enough. (MK-17)
    scene.later(Span::from_s(3), true, Input::Tick);
    scene.run(|scene| scene.due.is_empty());
    assert_eq!(scene.client.asks(scene.now).count(), 1);
    for (id, wanted) in (1..).zip(TOKENS) {
        (scene.allowed, scene.made, scene.wanted, scene.done) = (0, 0, wanted, false);
        scene.give(true, order(id, "count for me"));
        scene.run(|scene| scene.done);
        scene.run(|scene| scene.due.is_empty());
    }
    scene.give(false, Input::Command(Command::Settle));
    scene.run(|scene| scene.due.is_empty());
    let vectors = file(CONVERSATION);
    let expected: Vec<(u64, &str, &str)> = list(&vectors, "crossed").iter().map(expected).collect();
    let found: Vec<(u64, &str, String)> =
        scene.crossed.iter().map(|(at, kind, bytes)| (at.0 / 1_000, *kind, hex::encode(bytes))).collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((found.0, found.1, found.2.as_str()), *expected);
    }
    assert_eq!(found.len(), expected.len());
}

/// When something crosses by the vectors, how, and its bytes.
fn expected(entry: &Value) -> (u64, &str, &str) {
    let kind = match (text(entry, "way"), text(entry, "from")) {
        ("topic", _) => "gossip",
        ("stream", "client") => "to provider",
        ("stream", _) => "to client",
        ("ledger", _) => text(entry, "what"),
        (other, _) => panic!("no way {other}"),
    };
    (entry["at_ms"].as_u64().unwrap(), kind, text(entry, "bytes"))
}
