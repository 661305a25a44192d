//! One card under many names: every identity bids as though it had a card of its own, and refuses what it won while the
//! card is full.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bombyx_protocol::io::{Event, Input, Machine, Output};
use bombyx_protocol::limits;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::message::{Message, Refusal, Refuse, ToClient};
use bombyx_protocol::work::order::JobId;

/// How long a job that was taken is waited for: as long as the machine itself does, and a little.
const TASK_WAIT: Span = Span(limits::TASK_WAIT.0 + 1_000_000);

/// The card that all identities of one owner share.
#[derive(Debug, Clone)]
pub struct Card {
    slots: u32,
    busy: Arc<AtomicU32>,
}

impl Card {
    /// Creates an idle card.
    #[must_use]
    pub fn new(slots: u16) -> Self {
        Self { slots: u32::from(slots), busy: Arc::default() }
    }

    fn take(&self) -> bool {
        let is_free = self.busy.load(Ordering::Relaxed) < self.slots;
        self.busy.fetch_add(u32::from(is_free), Ordering::Relaxed);
        is_free
    }

    fn give_back(&self, jobs: usize) {
        self.busy.fetch_sub(u32::try_from(jobs).unwrap_or(0), Ordering::Relaxed);
    }
}

/// The machine of one identity.
pub(super) struct Sybil {
    honest: Box<dyn Machine + Send>,
    card: Card,
    now: Time,
    /// Jobs on the card and until when each is waited for.
    jobs: BTreeMap<JobId, Time>,
}

impl Sybil {
    pub(super) fn new(card: Card, honest: Box<dyn Machine + Send>) -> Self {
        Self { honest, card, now: Time(0), jobs: BTreeMap::new() }
    }

    fn forget(&mut self, is_over: impl Fn(&JobId, Time) -> bool) {
        let before = self.jobs.len();
        self.jobs.retain(|job, until| !is_over(job, *until));
        self.card.give_back(before - self.jobs.len());
    }
}

impl Drop for Sybil {
    fn drop(&mut self) {
        self.card.give_back(self.jobs.len());
    }
}

impl Machine for Sybil {
    fn handle(&mut self, now: Time, input: Input) {
        self.now = now;
        self.forget(|_, until| until <= now);
        self.honest.handle(now, input);
    }

    fn poll(&mut self) -> Output {
        let output = self.honest.poll();
        match &output {
            Output::Send { to, message: Message::ToClient(ToClient::Accept(accept)) } => {
                if !self.jobs.contains_key(&accept.job) && !self.card.take() {
                    let refuse = Refuse::of(accept.job, Refusal::Busy);
                    return Output::Send { to: *to, message: Message::ToClient(ToClient::Refuse(refuse)) };
                }
                self.jobs.entry(accept.job).or_insert(self.now + TASK_WAIT);
            }
            Output::Run { job, .. } => {
                if let Some(until) = self.jobs.get_mut(job) {
                    *until = Time::NEVER;
                }
            }
            Output::Event(Event::Served(served)) => {
                let over = served.job;
                self.forget(|job, _| *job == over);
            }
            Output::Send { .. }
            | Output::Broadcast { .. }
            | Output::Persist { .. }
            | Output::Count { .. }
            | Output::Allow { .. }
            | Output::Cancel { .. }
            | Output::Ledger(_)
            | Output::Watch(_)
            | Output::Event(_)
            | Output::Fault { .. }
            | Output::Wake(_) => {}
        }
        output
    }
}
