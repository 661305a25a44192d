//! The role machine that sells. A provider routes each input to what it is about, and lets its jobs take their steps:
//!
//! ```text
//! Call ─► answer ─► Bid        Award ─► award ─► Job: awarded ──► serving ─► over
//!          │ bidder                       │ admission      │ task      │ bill, kept for a late payment
//!          └ admission                    └ bidder         └ schedule: runs as far as its channel's money goes
//! ```
//!
//! 1. **Bid** (`answer`): a call is priced from the load (`bidder`) and answered, if there is a budget for its caller
//!    (`admission`, with `clientele` and `shared_budget`).
//! 2. **Award** (`award`): a bid that is awarded becomes a job with a session, if a slot is free.
//! 3. **Work** (`schedule`): the task names the channel that pays for it (`earnings`). Its input is counted (`counting`,
//!    `counts`), and it waits for a slot (`line`, `turns`). The job (`job`) runs as far as vouchers, the window and the credit
//!    of unseen channels (`credit`) cover; it stands still where they do not.
//! 4. **Over**: the bill is told; the job is kept for a while, so that its last voucher counts (`room`).
//!
//! Each of these owns its state. Jobs are driven through borrowed views and say what comes next; the provider alone knows them
//! all (`jobs`) and moves on.

mod admission;
mod answer;
mod answered;
mod appointments;
mod award;
mod bidder;
mod class_answers;
mod clientele;
mod config;
mod counting;
mod counts;
mod credit;
mod earnings;
mod ended;
mod freed;
mod job;
mod job_index;
mod jobs;
mod kept;
mod line;
mod offers;
mod quotes;
mod room;
mod sales;
mod schedule;
mod shared_budget;
mod told;
mod turns;
mod win_rate;

use crate::amount::Nano;
use crate::channel::earn::Earner;
use crate::channel::record::Record;
use crate::clock::WallClock;
use crate::entropy::Entropy;
use crate::ident::{Identity, NodeId, Origin};
use crate::io::{Command, Input, Machine, Offer, Output, PeerFault};
use crate::market::bid::Payee;
use crate::outbox::Outbox;
use crate::session::StaticKey;
use crate::time::{Span, Time};
use crate::wire::message::{Message, Refusal, ReleaseReason, ToClient, ToProvider, VerifiedGossip};
use crate::work::order::JobId;

use admission::Admission;
use bidder::Bidder;
use clientele::Clientele;
use counts::Counts;
use credit::Credit;
use earnings::{CloseKey, Earnings};
use ended::EndedJobs;
use jobs::Jobs;
use kept::KeptSessions;
use told::Told;
use turns::Lines;

pub use config::ProviderConfig;
pub use credit::{CreditLimits, OpenLoan};
pub use sales::Sales;

/// The seller in a node.
#[derive(Debug)]
pub struct Provider {
    identity: Identity,
    /// Sessions are opened to it.
    session_key: StaticKey,
    entropy: Entropy,
    bidder: Bidder,
    admission: Admission,
    jobs: Jobs,
    ended: EndedJobs,
    /// Jobs that were to begin in a session that was not kept: a copy of their award begins none once it is.
    refused: EndedJobs,
    kept: KeptSessions,
    lines: Lines,
    counts: Counts,
    earnings: Earnings,
    credit: Credit,
    clock: WallClock,
    /// Whom it has answered lately.
    told: Told,
    /// Whether it takes no new jobs.
    draining: bool,
    outbox: Outbox,
}

impl Provider {
    /// Creates a provider with what its shell read back from disk.
    #[must_use]
    pub fn new(config: ProviderConfig, records: Vec<Record>) -> Self {
        let mut outbox = Outbox::default();
        let close_key = CloseKey::new(config.close_seed);
        let payee = Payee {
            network_id: config.network_id,
            key: close_key.public(),
            address: config.payout,
            challenge_s: config.challenge_s,
        };
        let earnings =
            Earnings::restored(close_key, payee, config.settle_at, records, config.clock_s, &mut outbox);
        Self {
            identity: Identity::from_seed(&config.identity_seed),
            session_key: StaticKey::from_seed(config.session_seed),
            entropy: Entropy::new(config.entropy_seed),
            bidder: Bidder::default(),
            admission: Admission::new(Clientele::new(earnings.payers())),
            jobs: Jobs::default(),
            ended: EndedJobs::default(),
            refused: EndedJobs::default(),
            kept: KeptSessions::default(),
            lines: Lines::default(),
            counts: Counts::default(),
            earnings,
            credit: Credit::new(config.credit),
            clock: WallClock::new(config.clock_s),
            told: Told::default(),
            draining: false,
            outbox,
        }
    }

    /// Returns this node's id.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.identity.id()
    }

    /// Returns what came of its bids since the start.
    #[must_use]
    pub const fn sales(&self) -> Sales {
        self.bidder.sales
    }

    /// Counts the jobs that hold a slot.
    #[must_use]
    pub fn jobs_in_flight(&self) -> usize {
        self.jobs.running()
    }

    /// Returns what the jobs that are not over have come to so far. Each is told when it is over, with all that it came to
    /// ([`Event::Served`](crate::io::Event::Served)).
    #[must_use]
    pub fn under_way(&self) -> Nano {
        self.jobs.cost()
    }

    /// Returns every channel that this node earns on.
    pub fn channels(&self) -> impl Iterator<Item = &Earner> {
        self.earnings.channels()
    }

    /// Returns what it has served on credit in the last hour and was not paid for, on channels that the ledger does not show: where
    /// it does, the channel says what is unpaid. (`CH-50`)
    pub fn loans(&self, now: Time) -> impl Iterator<Item = OpenLoan> {
        let is_awaited = |loan: &OpenLoan| {
            let is_gone = self.earnings.find(&loan.account).is_none();
            loan.is_lost || (!is_gone && self.earnings.is_unseen(&loan.account))
        };
        // What a running job may come to is kept from others, and owed by nobody before it is delivered.
        let served = |loan: OpenLoan| match self.earnings.find(&loan.account).filter(|_| !loan.is_lost) {
            Some(earner) => OpenLoan { amount: loan.amount.min(earner.unpaid()), ..loan },
            None => loan,
        };
        self.credit.open(now).filter(is_awaited).map(served).filter(|loan| loan.amount > Nano::ZERO)
    }

    /// Returns what it has served and nobody will pay, as far as that came out since its start: what was due or unpaid on channels
    /// that are gone, what was lent more than an hour ago on such as never came, and what was read for clients that need not pay it.
    #[must_use]
    pub fn lost(&self, now: Time) -> Nano {
        self.earnings.lost().saturating_plus(self.credit.lost(now))
    }

    /// Returns how it wants to be paid, as its bids say. (`CH-35`)
    #[must_use]
    pub fn payee(&self) -> Payee {
        self.earnings.payee()
    }

    fn command(&mut self, now: Time, command: Command) {
        match command {
            Command::Clock { unix_s } => {
                self.earnings.put_clock(self.clock.unix_s(now), unix_s);
                self.clock = WallClock::at(now, unix_s);
            }
            Command::Offer(offer) => self.offered(now, offer),
            Command::Drain => self.drain(now),
            Command::Pace(pace) => self.earnings.set_pace(pace, &mut self.outbox),
            Command::Settle => self.earnings.close_all(),
            Command::Close { account } => self.earnings.close(account),
            Command::Order { .. }
            | Command::Cancel(_)
            | Command::Seek(_)
            | Command::SeekFrom(_)
            | Command::SeekPrices(_)
            | Command::Surveyed { .. }
            | Command::Open { .. }
            | Command::TopUp { .. }
            | Command::Watch(_) => {}
        }
    }

    /// Offers a model from now on, or no more: then tasks that the engine does not have go elsewhere. (`MK-48`)
    fn offered(&mut self, now: Time, offer: Offer) {
        let (model, is_withdrawn) = (offer.model, offer.slots == 0);
        self.bidder.offers.offer(offer);
        if is_withdrawn {
            let waiting = self.jobs.without_engine().filter(|(_, job, _)| job.promised.model == model);
            for id in waiting.map(|(id, ..)| id).collect::<Vec<JobId>>() {
                self.end(now, id, Some(Refusal::Leaving));
            }
        }
    }

    /// Takes no new jobs from now on, and says so to those who may count on it. (`MK-61`)
    fn drain(&mut self, now: Time) {
        self.draining = true;
        for client in self.told.take(now) {
            self.outbox.send_to_client(client, ToClient::Leaving);
        }
    }

    fn received(&mut self, now: Time, origin: Origin, message: ToProvider) {
        match message {
            ToProvider::Award(award) => self.awarded(now, origin, &award),
            ToProvider::KeptAward(award) => self.awarded_kept(now, origin, award),
            ToProvider::Sealed(frame) => self.sealed(now, origin.node, &frame),
            ToProvider::Release(release) => {
                if release.why == ReleaseReason::TooLate && release.come_back_ms > 0 {
                    let after = Span::from_ms(u64::from(release.come_back_ms));
                    self.bidder.comes_back(now, origin.node, release.call, after);
                }
                self.bidder.release(origin.node, &release);
            }
            ToProvider::Seek(seek) if seek.client == origin.node => self.sought(now, origin.prefix, &seek),
            ToProvider::Call(call) if call.client == origin.node => self.called(now, origin.prefix, &call),
            ToProvider::Seek(_) | ToProvider::Call(_) => {
                self.outbox.peer_fault(origin.node, PeerFault::Malformed)
            }
        }
    }
}

impl Machine for Provider {
    fn handle(&mut self, now: Time, input: Input) {
        self.bidder.expire(now);
        match input {
            Input::Command(command) => self.command(now, command),
            Input::Gossip { prefix, gossip: VerifiedGossip::Call(call) } => self.called(now, prefix, &call),
            Input::Gossip { prefix, gossip: VerifiedGossip::Seek(seek) } => self.sought(now, prefix, &seek),
            Input::Received { from, prefix, message: Message::ToProvider(message) } => {
                self.received(now, Origin { node: from, prefix }, message)
            }
            Input::Received { message: Message::ToClient(_), .. }
            | Input::Undelivered { .. }
            | Input::Tick => {}
            Input::Persisted(id) => self.outbox.persisted(id),
            Input::Engine { job, report } => self.engine(now, job, report),
            Input::Ledger(event) => self.ledger(now, &event),
        }
        self.timers(now);
        self.kept.expire(now);
        self.resume_freed(now);
        self.resume_waiting(now);
        self.begin_counts(now);
        self.earnings.settle(|account, is_owing| self.jobs.need(account, is_owing), &mut self.outbox);
        self.earnings.timers(now, self.clock.unix_s(now), &mut self.outbox);
    }

    fn poll(&mut self) -> Output {
        let Self { jobs, earnings, kept, outbox, .. } = self;
        let mut due = || [jobs.wake_at(), earnings.wake_at(), kept.wake_at()].into_iter().flatten().min();
        outbox.poll(|| due().unwrap_or(Time::NEVER))
    }
}

impl Outbox {
    /// Sends a message to a client.
    pub(super) fn send_to_client(&mut self, to: NodeId, message: ToClient) {
        self.push(Output::Send { to, message: Message::ToClient(message) });
    }
}
