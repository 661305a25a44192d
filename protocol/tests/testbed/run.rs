//! How the testbed runs: what is due happens, and what the machines want done is done, with the
//! weather's delays and losses.

use bombyx_protocol::channel::ledger::LedgerCall;
use bombyx_protocol::channel::record::RecordKey;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Command, Event, Input, OrderNews, Output, PersistId};
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Content, Gossip, Message, ToProvider};

use super::{MODEL, Testbed};

pub(super) enum Happening {
    Message { to: NodeId, from: NodeId, bytes: Vec<u8> },
    Gossip { to: NodeId, from: NodeId, bytes: Vec<u8> },
    Persisted { node: NodeId, id: PersistId, life: u32 },
    Engine { node: NodeId, life: u32 },
    Chain,
    Tick { node: NodeId },
}

impl Testbed {
    /// Runs until `done` or until the virtual span is over.
    pub fn run(&mut self, span: Span, mut done: impl FnMut(&Self) -> bool) {
        let end = self.now + span;
        while !done(self) {
            let Some(((at, _), happening)) = self.queue.pop_first() else { break };
            if at > end {
                self.queue.insert((at, 0), happening);
                break;
            }
            self.now = at;
            self.events += 1;
            assert!(self.events < 3_000_000, "the testbed does not come to rest");
            self.happen(happening);
            self.chain.check();
        }
        if !done(self) {
            self.now = end;
        }
    }

    /// Lets a client seek the model's sellers: it knows how many they are then, and calls all of a few.
    pub fn seek(&mut self, client: NodeId) {
        self.command(client, Command::Seek(Topic::Model(MODEL)));
        self.run(Span::from_s(3), |_| false);
    }

    /// Makes a provider's engine keep so many tokens of what it has read.
    pub fn keep(&mut self, id: NodeId, tokens: u32) {
        self.hosts.get_mut(&id).unwrap().engine.keeps = tokens;
    }

    /// Makes a provider's answers end after so many tokens.
    pub fn stop_at(&mut self, id: NodeId, tokens: u32) {
        self.hosts.get_mut(&id).unwrap().engine.stops_at = Some(tokens);
    }

    /// Makes a provider's engine read so many tokens of its input in a step, and fall silent when it has read as many.
    pub fn slow_reading(&mut self, id: NodeId, tokens: u32, silent_at: Option<u32>) {
        let engine = &mut self.hosts.get_mut(&id).unwrap().engine;
        (engine.reads, engine.silent_at) = (tokens, silent_at);
    }

    /// Makes a provider's engine count so many tokens for one.
    pub fn inflate(&mut self, id: NodeId, times: u32) {
        self.hosts.get_mut(&id).unwrap().engine.inflates = times;
    }

    /// Runs until every order has ended, and then a little on.
    pub fn run_to_end(&mut self, span: Span) {
        self.run(span, |testbed| testbed.outcomes.values().all(|outcome| outcome.end.is_some()));
        self.run(Span::from_s(40), |_| false);
    }

    fn at(&mut self, delay: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now + Span(delay), self.sequence), happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Message { to, from, bytes } => {
                if let Ok(message) = codec::decode::<Message>(&bytes) {
                    self.feed(to, Input::Received { from, prefix: self.prefix_of(&from), message });
                }
            }
            Happening::Gossip { to, from, bytes } => {
                let read = codec::decode_gossip::<Gossip>(&bytes);
                if let Some(gossip) = read.ok().and_then(|gossip| gossip.open().ok()) {
                    self.feed(to, Input::Gossip { prefix: self.prefix_of(&from), gossip });
                }
            }
            Happening::Persisted { node, id, life } => {
                let host = self.hosts.get_mut(&node).unwrap();
                if host.life != life {
                    return;
                }
                for (_, record) in host.unsynced.extract_if(.., |(record_id, _)| *record_id <= id) {
                    if let RecordKey::Gone(account) = record.key() {
                        host.disk.remove(&RecordKey::Payer(account));
                        host.disk.remove(&RecordKey::Earner(account));
                    } else {
                        host.disk.insert(record.key(), record);
                    }
                }
                self.feed(node, Input::Persisted(id));
            }
            Happening::Engine { node, life } => {
                let host = self.hosts.get_mut(&node).unwrap();
                if host.life != life {
                    return;
                }
                host.stepping = false;
                let (reports, busy) = host.engine.step();
                if busy {
                    self.step_engine(node);
                }
                for (job, report) in reports {
                    self.feed(node, Input::Engine { job, report });
                }
            }
            Happening::Chain => {
                for (node, event) in self.chain.block(self.now) {
                    self.feed(node, Input::Ledger(event));
                }
                if self.chain.is_busy() {
                    self.at(200_000, Happening::Chain);
                }
            }
            Happening::Tick { node } => {
                self.hosts.get_mut(&node).unwrap().ticking_at = None;
                self.feed(node, Input::Tick);
            }
        }
    }

    pub fn feed(&mut self, node: NodeId, input: Input) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&node).filter(|host| host.alive) else { return };
        host.machine().handle(now, input);
        loop {
            let host = self.hosts.get_mut(&node).unwrap();
            match host.machine().poll() {
                Output::Wake(at) => {
                    let soonest = host.ticking_at.is_none_or(|ticking| at < ticking);
                    if at.0 != u64::MAX && soonest {
                        host.ticking_at = Some(at);
                        let delay = at.since(now).0;
                        self.at(delay, Happening::Tick { node });
                    }
                    return;
                }
                output => self.act(node, output),
            }
        }
    }

    fn act(&mut self, node: NodeId, output: Output) {
        match output {
            Output::Send { to, message } => {
                if let Message::ToProvider(said) = &message {
                    let kind = match said {
                        ToProvider::Award(_) => "award",
                        ToProvider::KeptAward(_) => "kept award",
                        ToProvider::Sealed(_) => "sealed",
                        ToProvider::Seek(_) => "seek",
                        _ => "other",
                    };
                    *self.to_providers.entry(kind).or_default() += 1;
                }
                self.transmit(node, to, &message);
            }
            Output::Broadcast { gossip, .. } => {
                let bytes = codec::encode(&gossip);
                let others: Vec<NodeId> = self.hosts.keys().copied().filter(|id| *id != node).collect();
                for to in others {
                    for _ in 0..self.copies() {
                        let delay = self.delay() + self.slow_us.get(&to).copied().unwrap_or(0);
                        if !self.cut.contains(&to) && !self.cut.contains(&node) {
                            self.at(delay, Happening::Gossip { to, from: node, bytes: bytes.clone() });
                        }
                    }
                }
            }
            Output::Persist { id, record } => {
                let commit = self.weather.commit_us;
                let host = self.hosts.get_mut(&node).unwrap();
                host.unsynced.push((id, *record));
                let life = host.life;
                self.at(commit, Happening::Persisted { node, id, life });
            }
            Output::Count { job, task, .. } => {
                self.hosts.get_mut(&node).unwrap().engine.count(job, &task);
                self.step_engine(node);
            }
            Output::Run { job, task, .. } => {
                let host = self.hosts.get_mut(&node).unwrap();
                host.engine.run(job, task);
                self.step_engine(node);
            }
            Output::Allow { job, tokens } => {
                let host = self.hosts.get_mut(&node).unwrap();
                host.engine.allow(job, tokens);
                self.step_engine(node);
            }
            Output::Cancel { job } => self.hosts.get_mut(&node).unwrap().engine.cancel(job),
            Output::Ledger(call) => self.ledger(node, *call),
            Output::Watch(watched) => {
                if let Some(watcher) = self.hosts.get(&node).and_then(|host| host.watcher) {
                    self.feed(watcher, Input::Command(Command::Watch(*watched)));
                }
            }
            Output::Event(event) => self.note(node, event),
            Output::Fault { peer, fault } => self.faults.push((peer, fault)),
            Output::Wake(_) => {}
        }
    }

    fn step_engine(&mut self, node: NodeId) {
        let host = self.hosts.get_mut(&node).unwrap();
        if !core::mem::replace(&mut host.stepping, true) {
            let (delay, life) = (host.engine.step_us(), host.life);
            self.at(delay, Happening::Engine { node, life });
        }
    }

    fn ledger(&mut self, node: NodeId, call: LedgerCall) {
        let wallet = self.clients.get(&node).map(|config| config.wallet.hash);
        let idle = !self.chain.is_busy();
        self.chain.call(node, wallet, call);
        if idle {
            self.at(200_000, Happening::Chain);
        }
    }

    fn transmit(&mut self, from: NodeId, to: NodeId, message: &Message) {
        if let Some(mail) = self.outsiders.get_mut(&to) {
            mail.push(message.clone());
            return;
        }
        let bytes = codec::encode(message);
        assert!(bytes.len() <= bombyx_protocol::limits::FRAME_BYTES_MAX);
        for _ in 0..self.copies() {
            let slow = |id: &NodeId| self.slow_us.get(id).copied().unwrap_or(0);
            let slow = slow(&to) + slow(&from);
            let delay = self.delay() + slow;
            if !self.cut.contains(&to) && !self.cut.contains(&from) {
                self.at(delay, Happening::Message { to, from, bytes: bytes.clone() });
            }
        }
    }

    fn copies(&mut self) -> usize {
        if self.random() % 1_000 < self.weather.lost_permille {
            0
        } else if self.random() % 1_000 < self.weather.copied_permille {
            2
        } else {
            1
        }
    }

    fn delay(&mut self) -> u64 {
        let jitter = self.random() % (self.weather.jitter_us + 1);
        self.weather.delay_us + jitter
    }

    fn note(&mut self, node: NodeId, event: Event) {
        match event {
            Event::Order { id, news } => {
                let outcome = self.outcomes.entry(id).or_default();
                assert!(outcome.end.is_none(), "an order ends once");
                match news {
                    OrderNews::Bids(bids) => outcome.bids = bids,
                    OrderNews::Awarded { .. } => {}
                    OrderNews::Content(Content::Tokens { ids, text }) => {
                        outcome.ids.extend(ids);
                        outcome.text.push_str(&text);
                    }
                    OrderNews::Content(Content::Vectors { first, dims, bytes }) => {
                        let rows = bytes.len() / (dims as usize * 4);
                        for row in 0..rows {
                            *outcome.rows.entry(first + row as u32).or_default() += 1;
                        }
                    }
                    OrderNews::Content(Content::End { .. }) => {}
                    OrderNews::FailedOver { why, .. } => outcome.failed_over.push(why),
                    OrderNews::Done(bill) => outcome.end = Some(Ok(bill)),
                    OrderNews::Failed { why, bill } => outcome.end = Some(Err((why, bill))),
                }
            }
            Event::Served(served) => self.served.push((node, served)),
            Event::Channel(news) => self.news.push((node, news)),
            Event::Crowded(crowd) => self.crowds.push(crowd),
        }
    }
}
