//! The loop itself: one event a turn, until the node is told to end or a part of it fails.

use std::time::Duration;

use bombyx_protocol::channel::ledger::LedgerEvent;
use bombyx_protocol::channel::pace::Pace;
use bombyx_protocol::clock::WallClock;
use bombyx_protocol::io::{Command, EngineReport, Input, Machine, Output, PersistId};
use bombyx_protocol::time::Time;
use bombyx_protocol::work::order::JobId;
use tokio::time::{Instant, sleep_until};

use super::request::NodeRequest;
use super::state::Driver;
use crate::engine::Reports;
use crate::error::NodeError;
use crate::net::{NetEvent, unix_s};
use crate::role::Role;

/// The longest sleep of the loop.
const IDLE_SLEEP_MAX: Duration = Duration::from_secs(60);

/// Seconds by which the time of day may part from what the roles take it for.
const CLOCK_DRIFT_S_MAX: u64 = 2;

/// One thing that happened.
enum LoopEvent {
    Net(NetEvent),
    Engine(JobId, EngineReport),
    Ledger(Role, LedgerEvent),
    Pace(Pace),
    Silence,
    Durable,
    Asked(NodeRequest),
    Tick,
}

impl Driver {
    /// Runs the node until it is told to end, or a part of it fails.
    pub(crate) async fn run(mut self) -> Result<(), NodeError> {
        let ran = self.turn_until_end().await;
        self.net.shutdown().await;
        // The engine's thread may be computing; it ends by itself once its inbox and reports are gone.
        drop((self.engine, self.reports, self.ledger_service));
        let closed = tokio::task::spawn_blocking(|| self.store.close());
        let closed = closed.await.map_err(|_| NodeError::Stopped("store"))?;
        // A store that failed is the cause, and "the store has stopped" only its trace.
        closed.map_err(NodeError::from).and(ran)
    }

    async fn turn_until_end(&mut self) -> Result<(), NodeError> {
        self.announce().await?;
        // Before the machines have them watched: what there is a voucher for was funded.
        for (account, cumulative) in std::mem::take(&mut self.restored) {
            let told = self.ledger_service.voucher(account, cumulative).await;
            told.map_err(|_| NodeError::Stopped("ledger service"))?;
        }
        self.refresh_friends();
        for role in Role::ALL {
            self.pending.push_back((role, Input::Tick));
        }
        loop {
            self.drain_inputs().await?;
            let now = self.now();
            let cancelled = self.orders.due(now);
            // Before it can be cancelled, the client must know of it.
            self.start_due_orders(!cancelled.is_empty() || self.ending.is_ending());
            for command in cancelled {
                self.pending.push_back((Role::Client, Input::Command(command)));
            }
            self.update_friends().await?;
            self.end_step();
            self.market_step().await?;
            if !self.pending.is_empty() {
                continue;
            }
            if self.ending.is_over() {
                self.tell_open_channels();
                return Ok(());
            }
            match self.next().await? {
                LoopEvent::Net(event) => self.on_net_event(event).await?,
                LoopEvent::Engine(job, report) => {
                    self.pending.push_back((Role::Provider, Input::Engine { job, report }));
                    // What the engine says of one step comes together.
                    while let Some((job, report)) = self.reports.as_mut().and_then(Reports::try_recv) {
                        self.pending.push_back((Role::Provider, Input::Engine { job, report }));
                    }
                }
                LoopEvent::Ledger(role, event) => {
                    if role == Role::Client && !matches!(event, LedgerEvent::Channel { state: None, .. }) {
                        self.openings.remove(&event.account());
                    }
                    self.pending.push_back((role, Input::Ledger(event)));
                }
                LoopEvent::Pace(pace) => {
                    self.pending.push_back((Role::Provider, Input::Command(Command::Pace(pace))));
                }
                LoopEvent::Silence => self.tell_silence(),
                LoopEvent::Durable => self.on_durable(),
                LoopEvent::Asked(request) => self.on_request(request).await?,
                LoopEvent::Tick => {
                    let now = self.now();
                    for role in Role::ALL.into_iter().filter(|role| *self.wakes.get(*role) <= now) {
                        self.pending.push_back((role, Input::Tick));
                    }
                }
            }
        }
    }

    /// Gives the machines every input that waits, each drained before the next. The records of one input go to the store
    /// together, so that they share one commit.
    pub(super) async fn drain_inputs(&mut self) -> Result<(), NodeError> {
        self.set_clocks();
        while let Some((role, input)) = self.pending.pop_front() {
            let now = self.now();
            match self.machine(role) {
                Some(machine) => machine.handle(now, input),
                // Who is not there has nothing due, ever.
                None => {
                    *self.wakes.get_mut(role) = Time::NEVER;
                    continue;
                }
            }
            let mut records = Vec::new();
            loop {
                let output = self.machine(role).map(Machine::poll);
                match output {
                    None => break,
                    Some(Output::Wake(at)) => {
                        *self.wakes.get_mut(role) = at;
                        break;
                    }
                    Some(Output::Persist { id, record }) => {
                        self.friends.note(&record);
                        records.push((id, *record));
                    }
                    Some(output) => self.carry_out(role, output).await?,
                }
            }
            if let Some((id, _)) = records.last() {
                *self.written.get_mut(role) = *id;
                self.store.write_all(role, records).await;
            }
        }
        Ok(())
    }

    /// Tells the roles the time of day where it has parted from theirs: the clock was put right, or the machine slept.
    fn set_clocks(&mut self) {
        let (now, unix_s) = (self.now(), unix_s());
        if self.clock.unix_s(now).abs_diff(unix_s) > CLOCK_DRIFT_S_MAX {
            self.clock = WallClock::at(now, unix_s);
            for role in [Role::Client, Role::Provider] {
                self.pending.push_front((role, Input::Command(Command::Clock { unix_s })));
            }
        }
    }

    async fn next(&mut self) -> Result<LoopEvent, NodeError> {
        let wake = self.wake_at();
        let reports = async {
            match &mut self.reports {
                Some(reports) => reports.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = self.net_events.recv() => event.map(LoopEvent::Net).ok_or(NodeError::Stopped("swarm")),
            report = reports => {
                report.map(|(job, report)| LoopEvent::Engine(job, report)).ok_or(NodeError::Stopped("engine"))
            }
            event = self.ledger_service.events.recv() => {
                event.map(|(role, event)| LoopEvent::Ledger(role, event)).ok_or(NodeError::Stopped("ledger service"))
            }
            changed = self.ledger_service.pace.changed() => match changed {
                Ok(()) => Ok(LoopEvent::Pace(*self.ledger_service.pace.borrow_and_update())),
                Err(_) => Err(NodeError::Stopped("ledger service")),
            },
            changed = self.ledger_service.silent.changed() => match changed {
                Ok(()) => Ok(LoopEvent::Silence),
                Err(_) => Err(NodeError::Stopped("ledger service")),
            },
            changed = self.durable.changed() => match changed {
                Ok(()) => Ok(LoopEvent::Durable),
                // A node that cannot write must not speak.
                Err(_) => Err(NodeError::Stopped("store")),
            },
            request = self.requests.recv(), if !self.requests.is_closed() => {
                Ok(request.map_or(LoopEvent::Tick, LoopEvent::Asked))
            }
            () = sleep_until(wake) => Ok(LoopEvent::Tick),
        }
    }

    fn wake_at(&self) -> Instant {
        let machines = Role::ALL.into_iter().map(|role| *self.wakes.get(role)).min();
        let next = [
            machines,
            self.orders.wake_at(),
            self.waiting_orders.wake_at(),
            self.ending.wake_at(self.now()),
            self.market.wake_at(),
        ]
        .into_iter()
        .flatten()
        .min();
        // Far away is far enough: the longest sleep still ends.
        let next = next.map_or(IDLE_SLEEP_MAX, |at| {
            Duration::from_micros(at.0).saturating_sub(self.started.elapsed()).min(IDLE_SLEEP_MAX)
        });
        Instant::now() + next
    }

    fn on_durable(&mut self) {
        let durable = *self.durable.borrow_and_update();
        self.unsaid.say(&durable);
        for role in Role::ALL {
            let id = *durable.get(role);
            if id > PersistId(0) {
                self.pending.push_back((role, Input::Persisted(id)));
            }
        }
    }
}
