//! A long prompt through the node's own joint to its engine, on the clock of the machine: an engine that reads for longer than its client's
//! patience is waited for as long as it says so, and left when it falls silent.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bombyx_gpu::engine::{
    Engine, EngineError, EngineEvent, Finish, InputCounter, ModelId as GpuModel, ModelInfo, Progress,
    RequestId, Task as GpuTask,
};
use bombyx_node::engine::{EngineHandle, Reports};
use bombyx_protocol::{
    ChannelState, ChatMessage, Client, ClientConfig, Command, Content, CostSheet, Event, Failure, Generate,
    Input, InputCount, LedgerCall, LedgerEvent, Machine, ModelId, Nano, NodeId, Offer, Order, OrderId,
    OrderNews, Output, Prefix, Provider, ProviderConfig, Role, Sampling, Span, Task, TaskKind, Tier, Time,
    Weights,
};

const MODEL: ModelId = ModelId([7; 32]);
const COIN: Nano = Nano(1_000_000_000);
/// The prompt has so many pieces of ten tokens; the engine reads one at a time, and all of them in six seconds. A client's patience
/// with one that promised to be quick is four.
const PIECES: u32 = 24;
const PIECE: Duration = Duration::from_millis(250);

/// Reads slowly, and answers with one token.
struct Reader {
    /// It says no more after so many pieces.
    silent_after: u32,
    jobs: BTreeMap<RequestId, (u32, u32)>,
}

/// Knows how long its prompts are.
struct Pieces;

impl InputCounter for Pieces {
    fn count(&self, _: &GpuModel, _: &GpuTask) -> Result<u32, EngineError> {
        Ok(PIECES * 10)
    }
}

impl Engine for Reader {
    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }

    fn input_counter(&self) -> Arc<dyn InputCounter> {
        Arc::new(Pieces)
    }

    fn submit(&mut self, request: RequestId, _: &GpuModel, _: GpuTask) -> Result<(), EngineError> {
        self.jobs.insert(request, (0, 0));
        Ok(())
    }

    fn allow(&mut self, request: RequestId, tokens: u32) {
        if let Some((_, allowed)) = self.jobs.get_mut(&request) {
            *allowed += tokens;
        }
    }

    fn cancel(&mut self, request: RequestId) {
        self.jobs.remove(&request);
    }

    fn step(&mut self, out: &mut Vec<(RequestId, EngineEvent)>) -> Progress {
        let silent_after = self.silent_after;
        let reading = self.jobs.iter_mut().find(|(_, (read, allowed))| *allowed > 0 && *read < silent_after);
        let Some((request, (read, _))) = reading else { return Progress::Idle };
        std::thread::sleep(PIECE);
        let request = *request;
        if *read == 0 {
            out.push((request, EngineEvent::Started { input_tokens: PIECES * 10 }));
        }
        *read += 1;
        if *read < PIECES {
            out.push((request, EngineEvent::Read { tokens: *read * 10 }));
        } else {
            self.jobs.remove(&request);
            out.push((request, EngineEvent::Tokens { ids: vec![42], text: "42".into() }));
            out.push((request, EngineEvent::Finished { reason: Finish::Stop }));
        }
        Progress::Worked
    }
}

/// How an order went.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Answered(String),
    FailedOver(Failure),
}

/// A client and a provider with nothing between them but the engine's thread.
struct Pair {
    client: Client,
    provider: Provider,
    engine: EngineHandle,
    reports: Reports,
    began: Instant,
    inputs: VecDeque<(NodeId, Input)>,
    wakes: BTreeMap<NodeId, Time>,
    answer: String,
}

impl Pair {
    fn new(silent_after: u32) -> Self {
        let client = Client::new(ClientConfig::for_tests(1), Vec::new());
        let provider = Provider::new(ProviderConfig::for_tests(1), Vec::new());
        let reader = Reader { silent_after, jobs: BTreeMap::new() };
        let (engine, reports) = EngineHandle::start(Box::new(reader), 0).unwrap();
        let inputs = VecDeque::from([(provider.node_id(), offer()), (client.node_id(), order())]);
        let (wakes, answer) = (BTreeMap::new(), String::new());
        Self { client, provider, engine, reports, began: Instant::now(), inputs, wakes, answer }
    }

    fn now(&self) -> Time {
        Time(1 + u64::try_from(self.began.elapsed().as_micros()).unwrap())
    }

    /// Returns the next input: what was said, what the engine reports, or that it is time to look again.
    fn next(&mut self) -> (NodeId, Input) {
        loop {
            if let Some(next) = self.inputs.pop_front() {
                return next;
            }
            if let Some((job, report)) = self.reports.try_recv() {
                return (self.provider.node_id(), Input::Engine { job, report });
            }
            let now = self.now();
            if let Some((node, _)) = self.wakes.iter().find(|(_, at)| **at <= now) {
                return (*node, Input::Tick);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn run(mut self) -> Outcome {
        loop {
            let (node, input) = self.next();
            let now = self.now();
            self.machine(node).handle(now, input);
            loop {
                match self.machine(node).poll() {
                    Output::Wake(at) => {
                        self.wakes.insert(node, at);
                        break;
                    }
                    Output::Event(Event::Order { news, .. }) => match news {
                        OrderNews::Content(Content::Tokens { text, .. }) => self.answer.push_str(&text),
                        OrderNews::Done(_) => return Outcome::Answered(self.answer),
                        OrderNews::FailedOver { why, .. } | OrderNews::Failed { why, .. } => {
                            return Outcome::FailedOver(why);
                        }
                        _ => {}
                    },
                    output => self.act(node, output),
                }
            }
        }
    }

    fn machine(&mut self, node: NodeId) -> &mut dyn Machine {
        if node == self.client.node_id() { &mut self.client } else { &mut self.provider }
    }

    fn act(&mut self, node: NodeId, output: Output) {
        let (buyer, seller, prefix) = (self.client.node_id(), self.provider.node_id(), Prefix::UNKNOWN);
        match output {
            Output::Persist { id, .. } => self.inputs.push_back((node, Input::Persisted(id))),
            Output::Send { to, message } => {
                self.inputs.push_back((to, Input::Received { from: node, prefix, message }));
            }
            Output::Broadcast { gossip, .. } => {
                self.inputs.push_back((seller, Input::Gossip { prefix, gossip: gossip.open().unwrap() }));
            }
            Output::Count { job, model, task } => self.engine.count(job, model, task).unwrap(),
            Output::Run { job, model, task } => self.engine.run(job, model, task).unwrap(),
            Output::Allow { job, tokens } => self.engine.allow(job, tokens),
            Output::Cancel { job } => self.engine.cancel(job),
            Output::Ledger(call) => {
                if let LedgerCall::Open { deposit, .. } = *call {
                    let state = Some(ChannelState { epoch: 1, deposit, settled: Nano::ZERO, closing: None });
                    let event = LedgerEvent::Channel { account: call.account(), state };
                    self.inputs.push_back((buyer, Input::Ledger(event.clone())));
                    self.inputs.push_back((seller, Input::Ledger(event)));
                }
            }
            _ => {}
        }
    }
}

/// One that promises to begin at once and to read without end.
fn offer() -> Input {
    Input::Command(Command::Offer(Offer {
        model: MODEL,
        name: "a slow reader".into(),
        kind: TaskKind::Generate,
        cost: CostSheet { per_job: Nano(10_000), input_per_k: Nano(100_000), output_per_k: Nano(400_000) },
        weights: Weights::DEFAULT,
        slots: 1,
        start_ms: 1,
        read_tps: u32::MAX,
        write_tps: 1_000,
        context_tokens: 4_096,
        output_max: 4_096,
    }))
}

fn order() -> Input {
    let question = ChatMessage { role: Role::User, content: "x".repeat(1_000) };
    let order = Order {
        model: MODEL,
        task: Task::Generate(Generate {
            messages: vec![question],
            max_tokens: 16,
            sampling: Sampling { temperature_milli: 0, top_p_milli: 1_000, top_k: 0, seed: 0 },
            prefix: Vec::new(),
            stop: Vec::new(),
        }),
        max_cost: COIN,
        deadline: Span::from_s(120),
        tier: Tier::Open,
        nano_per_ms: None,
        price_max: None,
        dims: None,
        weights: Weights::DEFAULT,
        input: InputCount::Counted(vec![PIECES * 10]),
        preferences: bombyx_protocol::Preferences::default(),
    };
    Input::Command(Command::Order { id: OrderId(1), order: Box::new(order) })
}

/// (`WR-16`, `WR-23`)
#[test]
fn an_engine_that_reads_for_longer_than_its_client_s_patience_is_waited_for() {
    assert_eq!(Pair::new(PIECES).run(), Outcome::Answered("42".into()));
}

/// (`WR-16`)
#[test]
fn an_engine_that_falls_silent_while_it_reads_is_left() {
    assert_eq!(Pair::new(4).run(), Outcome::FailedOver(Failure::Stalled));
}
