//! Runs a client and a provider in one process: one order, one answer, one voucher for all that it costs.
//!
//! The loop is a real shell's: one input, then every output. What surrounds it are stubs: a queue for the
//! network, a disk that keeps nothing and says at once that it did, an engine that knows one answer, and a
//! ledger that shows each channel open as soon as it is asked for. Nothing is settled: the provider holds a
//! voucher and never claims it.
//!
//! ```text
//! cargo run -p bombyx-protocol --example pair
//! ```

use std::collections::{BTreeMap, VecDeque};

use bombyx_protocol::{
    Bill, ChannelState, ChatMessage, Client, ClientConfig, Command, Content, CostSheet, EngineReport, Event,
    Finish, Generate, Input, InputCount, LedgerCall, LedgerEvent, Machine, ModelId, Nano, NodeId, Offer,
    Order, OrderId, OrderNews, Output, Prefix, Provider, ProviderConfig, Role, Sampling, Span, Task,
    TaskKind, Tier, Time, Weights,
};

const MODEL: ModelId = ModelId([7; 32]);
const COIN: Nano = Nano(1_000_000_000);

fn main() {
    let (answer, bill, vouched) = trade();
    println!("answer    {answer}");
    println!("provider  {:?}", bill.providers);
    println!("tokens    {} in, {} out, {} receipts", bill.input_tokens, bill.output_tokens, bill.receipts);
    println!("cost      {} coins", bill.cost);
    println!("vouched   {vouched} coins, by a voucher that the provider holds and has not claimed");
}

/// Places an order and drives both machines until it is answered and the provider holds a voucher for all of
/// its cost. Returns the answer, the bill, and the voucher's amount.
pub(crate) fn trade() -> (String, Bill, Nano) {
    // Test keys and limits. The second argument is the records read back from disk: none yet.
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    let mut provider = Provider::new(ProviderConfig::for_tests(1), Vec::new());
    let (buyer, seller) = (client.node_id(), provider.node_id());
    let mut now = Time(1);
    let mut inputs = VecDeque::from([(seller, offer()), (buyer, order())]);
    let mut wakes: BTreeMap<NodeId, Time> = BTreeMap::new();
    let (mut answer, mut bill) = (String::new(), None);
    loop {
        // Takes one input. With none left, time passes until the first machine wants to be woken.
        let (node, input) = inputs.pop_front().unwrap_or_else(|| {
            let (node, at) = wakes.iter().min_by_key(|(_, at)| **at).expect("both have run");
            now = *at;
            (*node, Input::Tick)
        });
        let machine: &mut dyn Machine = if node == buyer { &mut client } else { &mut provider };
        machine.handle(now, input);
        // Then takes every output, to the last.
        loop {
            match machine.poll() {
                Output::Wake(at) => {
                    wakes.insert(node, at);
                    break;
                }
                // The disk keeps nothing. What follows a record leaves the machine only after this answer.
                Output::Persist { id, .. } => inputs.push_back((node, Input::Persisted(id))),
                // The network. A prefix is where a connection comes from; here there are no addresses.
                Output::Send { to, message } => {
                    inputs.push_back((to, Input::Received { from: node, prefix: Prefix::UNKNOWN, message }));
                }
                Output::Broadcast { gossip, .. } => {
                    let gossip = gossip.open().expect("a machine signs what it says");
                    inputs.push_back((seller, Input::Gossip { prefix: Prefix::UNKNOWN, gossip }));
                }
                // The engine. It counts the input; it begins with what it may make.
                Output::Count { job, .. } | Output::Run { job, .. } => {
                    let report = EngineReport::Counted { input_tokens: 9, cached_tokens: 0 };
                    inputs.push_back((node, Input::Engine { job, report }));
                }
                // `tokens` is how many more it may make now, not a total: the first allowance is enough here.
                Output::Allow { job, tokens } => {
                    assert!(tokens >= 2, "the answer has two tokens");
                    let text = Content::Tokens { ids: vec![4, 2], text: "42".into() };
                    for content in [text, Content::End { finish: Finish::Stop }] {
                        let report = EngineReport::Content(content);
                        inputs.push_back((node, Input::Engine { job, report }));
                    }
                }
                // The ledger. Both parties look at the one channel, and see it as soon as it is open.
                Output::Ledger(call) => {
                    if let LedgerCall::Open { deposit, .. } = *call {
                        let state =
                            Some(ChannelState { epoch: 1, deposit, settled: Nano::ZERO, closing: None });
                        let event = LedgerEvent::Channel { account: call.account(), state };
                        inputs.push_back((buyer, Input::Ledger(event.clone())));
                        inputs.push_back((seller, Input::Ledger(event)));
                    }
                }
                // The user.
                Output::Event(Event::Order { news, .. }) => match news {
                    OrderNews::Content(Content::Tokens { text, .. }) => answer.push_str(&text),
                    OrderNews::Done(done) => bill = Some(done),
                    OrderNews::Failed { why, .. } => panic!("{why}"),
                    OrderNews::Bids(_)
                    | OrderNews::Awarded { .. }
                    | OrderNews::Content(_)
                    | OrderNews::FailedOver { .. } => {}
                },
                Output::Event(_) | Output::Watch(_) | Output::Cancel { .. } => {}
                Output::Fault { peer, fault } => panic!("{peer:?}: {fault:?}"),
            }
        }
        // A channel counts as paid what its newest voucher covers, whether it was claimed or not.
        let vouched = provider.channels().map(|channel| channel.paid()).sum();
        if let Some(bill) = bill.take_if(|bill| bill.cost == vouched) {
            return (answer, bill, vouched);
        }
    }
}

fn offer() -> Input {
    Input::Command(Command::Offer(Offer {
        model: MODEL,
        name: "an engine that knows one answer".into(),
        kind: TaskKind::Generate,
        // Nano for the job, for 1,000 tokens of input, and for 1,000 of output: a bid is one price, made of them.
        cost: CostSheet { per_job: Nano(10_000), input_per_k: Nano(100_000), output_per_k: Nano(400_000) },
        weights: Weights::DEFAULT,
        slots: 1,
        start_ms: 100,
        read_tps: 500,
        write_tps: 50,
        context_tokens: 4_096,
        output_max: 4_096,
    }))
}

fn order() -> Input {
    let question = ChatMessage { role: Role::User, content: "What is 17 plus 25?".into() };
    let order = Order {
        model: MODEL,
        task: Task::Generate(Generate {
            messages: vec![question],
            max_tokens: 16,
            sampling: Sampling { temperature_milli: 0, top_p_milli: 1_000, top_k: 0, seed: 0 },
            // Tokens of the answer that an earlier provider delivered: none.
            prefix: Vec::new(),
            stop: Vec::new(),
        }),
        max_cost: COIN,
        deadline: Span::from_s(60),
        tier: Tier::Open,
        // A millisecond less to wait is worth nothing to this buyer: the cheapest bid wins.
        nano_per_ms: None,
        price_max: None,
        dims: None,
        weights: Weights::DEFAULT,
        // There is no tokenizer here: the provider's count is believed, within the bounds of the text.
        input: InputCount::Estimated,
        preferences: bombyx_protocol::Preferences::default(),
    };
    Input::Command(Command::Order { id: OrderId(1), order: Box::new(order) })
}
