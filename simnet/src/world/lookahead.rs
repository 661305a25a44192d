//! Time in windows: all shards run ahead as far as none can be affected by another, then exchange what they have for
//! each other and for the coordinator. With one shard it is the same loop with nothing to exchange.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use bombyx_protocol::time::Time;

use crate::scenario::Crypto;
use crate::world::coordinator::ViolationAt;
use crate::world::shard::Shard;
use crate::world::{InvariantError, Progress, World};

/// How many events lie between two reports of progress, about.
const PROGRESS_EVERY: u64 = 8_192;

/// A thread that runs one shard at a time: it receives a shard and the end of a window, and sends the shard back.
struct Worker {
    work: Sender<(Shard, Time)>,
    done: Receiver<Shard>,
}

impl Worker {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, crypto: Crypto) -> Self {
        let (work, windows) = channel::<(Shard, Time)>();
        let (finished, done) = channel();
        // Ends with the loop that sends it work.
        scope.spawn(move || {
            crypto.with(|| {
                for (mut shard, until) in windows {
                    shard.run(until);
                    if finished.send(shard).is_err() {
                        break;
                    }
                }
            });
        });
        Self { work, done }
    }
}

impl World {
    /// Runs to the end. `progress` is called now and then.
    ///
    /// # Errors
    /// [`InvariantError`] at the first broken invariant.
    ///
    /// # Panics
    /// Where the system has no thread left for one of several shards.
    pub fn run(&mut self, progress: impl FnMut(Progress)) -> Result<(), Box<InvariantError>> {
        let crypto = self.environment.scenario.crypto;
        let ended = std::thread::scope(|scope| {
            let crew: Vec<Worker> = (1..self.shards.len()).map(|_| Worker::start(scope, crypto)).collect();
            crypto.with(|| self.run_to_the_end(&crew, progress))
        });
        ended.map_err(|violation| self.stopped(violation))
    }

    fn run_to_the_end(
        &mut self,
        crew: &[Worker],
        mut progress: impl FnMut(Progress),
    ) -> Result<(), ViolationAt> {
        let mut told = 0;
        while self.window(crew, Time::NEVER)? {
            let events = self.events();
            if events >= told + PROGRESS_EVERY {
                told = events;
                progress(Progress { events, now: self.now, ended: self.coordinator.ended() });
            }
        }
        self.coordinator.count_money(self.now)
    }

    /// Returns when anything happens next; the end of time where nothing is pending.
    pub(crate) fn next_event(&mut self) -> Time {
        let coordinator = self.coordinator.next_at();
        self.shards.iter_mut().map(|shard| shard.next_at()).fold(coordinator, Time::min)
    }

    /// Processes one window that ends before `limit`. Returns whether there was one.
    fn window(&mut self, crew: &[Worker], limit: Time) -> Result<bool, ViolationAt> {
        let next = self.next_event();
        if self.is_over || next >= limit {
            return Ok(false);
        }
        self.pass_seconds(next)?;
        if self.is_over {
            return Ok(false);
        }
        // What happens from `next` on reaches other shards in a later window only; a sample ends a window.
        let until = (next + self.environment.lookahead()).min(self.coordinator.next_sample).min(limit);
        self.coordinator.deal(until);
        self.post();
        self.run_shards(crew, until);
        self.exchange(until)?;
        Ok(true)
    }

    /// Samples at the end of every second up to `now`, until it is over.
    fn pass_seconds(&mut self, now: Time) -> Result<(), ViolationAt> {
        while self.coordinator.next_sample <= now && !self.is_over {
            let at = self.coordinator.next_sample;
            let sum = self.sum();
            self.is_over = self.coordinator.sample(&sum)?;
            if self.is_over {
                self.now = at;
            }
        }
        Ok(())
    }

    /// Runs every shard that has something to do: one on this thread, the others on the crew's.
    fn run_shards(&mut self, crew: &[Worker], until: Time) {
        let mut due: usize = self.shards.iter_mut().map(|shard| usize::from(shard.next_at() < until)).sum();
        if due <= 1 || crew.is_empty() {
            self.shards.iter_mut().for_each(|shard| shard.run(until));
            return;
        }
        let mut crew = crew.iter();
        let mut away = Vec::with_capacity(self.shards.len());
        for mut shard in self.shards.drain(..) {
            let is_due = shard.next_at() < until;
            due -= usize::from(is_due);
            // The last of them is this thread's own.
            match crew.next().filter(|_| is_due && due > 0) {
                Some(worker) => {
                    worker.work.send((shard, until)).expect("a worker lives as long as this loop");
                    away.push(Err(worker));
                }
                None => away.push(Ok(shard)),
            }
        }
        away.iter_mut().flatten().for_each(|shard| shard.run(until));
        let back = away.into_iter().map(|shard| {
            shard.unwrap_or_else(|worker| worker.done.recv().expect("a worker lives as long as this loop"))
        });
        self.shards.extend(back);
    }

    /// Brings to every shard what others have for it, and to the coordinator what concerns everyone.
    pub(crate) fn exchange(&mut self, until: Time) -> Result<(), ViolationAt> {
        for from in 0..self.shards.len() {
            for to in 0..self.shards.len() {
                if let Ok([sender, receiver]) = self.shards.get_disjoint_mut([from, to]) {
                    sender.hand_over(receiver);
                }
            }
        }
        self.shards.iter_mut().for_each(|shard| self.coordinator.hear(shard.log()));
        let taken = self.coordinator.take(until);
        self.post();
        self.now =
            self.shards.iter().map(|shard| shard.now).fold(self.now.max(self.coordinator.now), Time::max);
        taken
    }

    /// Gives shards what happens to their hosts on the coordinator's account.
    pub(crate) fn post(&mut self) {
        for (key, event) in self.coordinator.out() {
            self.shards[self.environment.shard_map.shard(key.dst)].push(key, event);
        }
    }

    /// Processes everything that is due before `limit` on this thread. Returns whether the world is over.
    pub(crate) fn run_before(&mut self, limit: Time) -> Result<bool, Box<InvariantError>> {
        while self.window(&[], limit).map_err(|violation| self.stopped(violation))? {}
        Ok(self.is_over || self.next_event() == Time::NEVER)
    }
}
