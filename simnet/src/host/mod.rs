//! One host: a role machine with its disk, its engine, its wallet and its location in the world.
//!
//! This is the second of the two callers of the role machines (the other is the node's driver): it gives one input,
//! drains every output, and remembers when to wake the machine.

mod answer;
mod disk;
mod engine;
pub mod power;
mod speed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::client::{Client, ClientConfig};
use bombyx_protocol::ident::{Identity, NodeId};
use bombyx_protocol::io::{Command, Input, Machine, Offer, Output};
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::time::Time;
use bombyx_protocol::watcher::Watcher;
use bombyx_protocol::work::cost::CostSheet;

use crate::actors::{self, Accomplices, AttackPlan};
use crate::kernel::{Draws, Purpose};
use crate::ledger::Wallet;
use crate::network::Location;
use crate::scenario::RoleName;

pub use crate::host::disk::Disk;
pub use crate::host::engine::{BYTES_PER_TOKEN, Engine, Step, TEMPLATE_TOKENS};
pub use crate::host::speed::Speed;

/// Outputs that one input may cause: a machine that never stops is a bug.
const OUTPUTS_MAX: u32 = 100_000;
/// Ticks of one instant: a machine that always wants to be woken at once is a bug.
const TICKS_PER_INSTANT_MAX: u32 = 1_000;

/// What a host is made of, enough to start it again after a crash.
#[derive(Debug, Clone)]
pub enum Profile {
    /// Buys.
    Client {
        /// Its configuration, entropy aside.
        config: Box<ClientConfig>,
        /// The models that it orders from, most loved first.
        models: Vec<u32>,
    },
    /// Sells.
    Provider {
        /// Its configuration, entropy aside.
        config: Box<ProviderConfig>,
        /// What it offers.
        offer: Box<Offer>,
        /// What serving costs it.
        cost: CostSheet,
        /// Which model that is.
        model: u32,
        /// Its GPU class.
        gpu: u32,
    },
    /// Watches channels of others.
    Watcher {
        /// Seed of its identity.
        identity_seed: [u8; 32],
        /// The account that pays for its claims.
        wallet: Address,
    },
}

/// A machine broke the contract with its shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runaway {
    /// It never stopped giving outputs.
    Outputs,
    /// It wanted to be woken at once, again and again.
    Ticks,
}

/// A host.
pub struct Host {
    /// What it is made of.
    pub profile: Profile,
    /// Its identity.
    pub node: NodeId,
    /// Its account on the ledger.
    pub wallet: Wallet,
    /// Where it is.
    pub location: Location,
    /// What it has written.
    pub disk: Disk,
    /// Its engine; idle on a client.
    pub engine: Engine,
    /// What it does instead of following the protocol.
    pub plan: Option<AttackPlan>,
    /// With whom it does that.
    pub accomplices: Option<Box<Accomplices>>,
    /// The eclipse that is aimed at it.
    pub eclipsed: Option<Box<AttackPlan>>,
    /// Whether a test planted a bug in its machine.
    #[cfg(test)]
    pub(crate) planted: bool,
    /// How often it was started: what belongs to an earlier life is void.
    pub life: u32,
    machine: Option<Box<dyn Machine + Send>>,
    /// Outputs that the last input has caused.
    said: u32,
    /// Numbers the events that this host causes.
    sent: u64,
    /// Numbers the draws about what it does, which must not depend on how many events carry it out.
    drawn: u64,
    wake: Time,
    armed: Option<Time>,
    ticks: (Time, u32),
}

impl Profile {
    /// Returns the configuration of a client and the models that it orders from.
    fn buyer(&self) -> Option<(&ClientConfig, &[u32])> {
        match self {
            Self::Client { config, models } => Some((config, models)),
            Self::Provider { .. } | Self::Watcher { .. } => None,
        }
    }

    fn identity(&self) -> NodeId {
        let seed = match self {
            Self::Client { config, .. } => &config.identity_seed,
            Self::Provider { config, .. } => &config.identity_seed,
            Self::Watcher { identity_seed, .. } => identity_seed,
        };
        Identity::from_seed(seed).id()
    }

    fn address(&self) -> Address {
        match self {
            Self::Client { config, .. } => config.wallet,
            Self::Provider { config, .. } => config.payout,
            Self::Watcher { wallet, .. } => *wallet,
        }
    }
}

impl Host {
    /// Creates a host that is switched off.
    #[must_use]
    pub fn new(profile: Profile, location: Location, engine: Engine) -> Self {
        Self {
            node: profile.identity(),
            wallet: profile.address().hash,
            profile,
            location,
            disk: Disk::default(),
            engine,
            plan: None,
            accomplices: None,
            eclipsed: None,
            #[cfg(test)]
            planted: false,
            life: 0,
            machine: None,
            said: 0,
            sent: 0,
            drawn: 0,
            wake: Time::NEVER,
            armed: None,
            ticks: (Time(0), 0),
        }
    }

    /// Returns whether the host sells.
    #[must_use]
    pub fn is_provider(&self) -> bool {
        matches!(self.profile, Profile::Provider { .. })
    }

    /// Returns whether the host buys.
    #[must_use]
    pub fn is_client(&self) -> bool {
        matches!(self.profile, Profile::Client { .. })
    }

    /// Returns its role in a scenario; watchers have none.
    #[must_use]
    pub fn role(&self) -> Option<RoleName> {
        match self.profile {
            Profile::Client { .. } => Some(RoleName::Client),
            Profile::Provider { .. } => Some(RoleName::Provider),
            Profile::Watcher { .. } => None,
        }
    }

    /// Returns what a provider offers.
    #[must_use]
    pub fn offer(&self) -> Option<&Offer> {
        match &self.profile {
            Profile::Provider { offer, .. } => Some(offer),
            Profile::Client { .. } | Profile::Watcher { .. } => None,
        }
    }

    /// Returns what input and output tokens cost a provider.
    #[must_use]
    pub fn cost_of(&self, (input, output): (u64, u64)) -> Option<Nano> {
        match &self.profile {
            Profile::Provider { cost, .. } => Some(cost.cost(input, output)),
            Profile::Client { .. } | Profile::Watcher { .. } => None,
        }
    }

    /// Returns whether the power is on.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.machine.is_some()
    }

    /// Returns the number of the next event that this host causes.
    pub fn next_id(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// Returns the name of the next draw about what this host does.
    pub fn next_draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    /// Starts the machine from what is durable. Returns the first input to give it.
    #[must_use]
    pub fn start(&mut self, index: u32, draws: &Draws) -> Input {
        self.life += 1;
        self.wake = Time::NEVER;
        // A machine's entropy is new in each life, as it is from a real operating system: nothing may repeat.
        let entropy_seed = draws.seed32(Purpose::Entropy, &[u64::from(index), u64::from(self.life)]);
        let records: Vec<Record> = self.disk.records().cloned().collect();
        let (machine, first): (Box<dyn Machine + Send>, Input) = match &self.profile {
            Profile::Client { config, .. } => {
                let config = ClientConfig { entropy_seed, ..(**config).clone() };
                (Box::new(Client::new(config, records)), Input::Tick)
            }
            Profile::Provider { config, offer, .. } => {
                let config = ProviderConfig { entropy_seed, ..(**config).clone() };
                let first = Input::Command(Command::Offer((**offer).clone()));
                (Box::new(Provider::new(config, records)), first)
            }
            Profile::Watcher { .. } => (Box::new(Watcher::new()), Input::Tick),
        };
        #[cfg(test)]
        let machine: Box<dyn Machine + Send> = if self.planted && self.is_provider() {
            Box::new(actors::planted::Forgetful::new(machine))
        } else {
            machine
        };
        self.machine = Some(match self.plan {
            Some(plan) => actors::wrap(plan, self.profile.buyer(), self.accomplices.as_deref(), machine),
            None => machine,
        });
        first
    }

    /// Loses power.
    pub fn crash(&mut self) {
        self.machine = None;
        self.engine.crash();
        self.disk.crash();
    }

    /// Gives one input; [`Self::poll`] has to be asked for every output. A host that is off hears nothing.
    pub fn handle(&mut self, now: Time, input: Input) {
        if let Some(machine) = &mut self.machine {
            machine.handle(now, input);
            self.said = 0;
        }
    }

    /// Returns the next output, if there is one.
    ///
    /// # Errors
    /// [`Runaway`] when the machine does not stop.
    pub fn poll(&mut self) -> Result<Option<Output>, Runaway> {
        let Some(machine) = &mut self.machine else { return Ok(None) };
        let output = machine.poll();
        if let Output::Wake(at) = output {
            self.wake = at;
            return Ok(None);
        }
        self.said += 1;
        if self.said > OUTPUTS_MAX { Err(Runaway::Outputs) } else { Ok(Some(output)) }
    }

    /// Returns when the machine was to be woken and when it is to be, if that has changed.
    #[must_use]
    pub fn arm(&mut self, now: Time) -> Option<(Option<Time>, Option<Time>)> {
        let is_asleep = self.machine.is_none() || self.wake == Time::NEVER;
        let wanted = (!is_asleep).then(|| self.wake.max(now));
        let before = std::mem::replace(&mut self.armed, wanted);
        (before != wanted).then_some((before, wanted))
    }

    /// Takes a tick.
    ///
    /// # Errors
    /// [`Runaway`] when the machine is woken for ever at one instant.
    pub fn ticked(&mut self, now: Time) -> Result<(), Runaway> {
        self.armed = None;
        self.ticks = if self.ticks.0 == now { (now, self.ticks.1 + 1) } else { (now, 1) };
        if self.ticks.1 > TICKS_PER_INSTANT_MAX { Err(Runaway::Ticks) } else { Ok(()) }
    }
}
