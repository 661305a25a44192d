//! The desk between the machines and the ledger: runs their calls and tells them how their channels change.
//!
//! Calls on one account run one after the other, those on different accounts side by side; each ends by the ledger's
//! own deadline. Watched accounts are looked at every so often; a change is told to every role that watches. The desk
//! takes calls at all times: what it has to say waits in an outbox that holds one state per role and account.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bombyx_protocol::channel::ledger::{ChannelState, LedgerCall, LedgerEvent, LedgerFault};
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::limits::CHANNELS_MAX;
use bombyx_protocol::time::Span;
use futures::stream::{self, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::role::{PerRole, Role};
use crate::ledger::contract::{self, Refusal};
use crate::ledger::{Ledger, LedgerError};

type Account = [u8; 32];

/// Calls that wait for the desk, and events that wait for the driver.
const QUEUE_MAX: usize = 1_024;
/// Calls that wait for an earlier one on the same account.
const CALLS_PER_ACCOUNT_MAX: usize = 16;
/// Accounts that are watched: those of both directions.
const WATCHED_MAX: usize = 2 * CHANNELS_MAX;
/// Accounts that are looked at side by side.
const LOOKS_AT_A_TIME: usize = 4;
/// Looks that must agree before a channel that was there is said to be gone: an endpoint may lag behind itself.
const ABSENCES_NEEDED: u32 = 2;

/// The driver's end of the desk. Dropping it stops the desk.
pub(crate) struct LedgerDesk {
    pub(crate) calls: mpsc::Sender<(Role, LedgerCall)>,
    pub(crate) events: mpsc::Receiver<(Role, LedgerEvent)>,
}

impl LedgerDesk {
    /// Starts the desk on `ledger`; watched accounts are looked at every `poll`.
    pub(crate) fn start(ledger: Arc<Ledger>, poll: Duration) -> Self {
        let (calls, inbox) = mpsc::channel(QUEUE_MAX);
        let (sender, events) = mpsc::channel(QUEUE_MAX);
        let desk = Desk::new(ledger, poll);
        tokio::spawn(desk.run(inbox, sender));
        Self { calls, events }
    }
}

struct Desk {
    ledger: Arc<Ledger>,
    poll: Duration,
    watched: BTreeMap<Account, Watched>,
    /// Calls by account; the first of each is running.
    queues: BTreeMap<Account, VecDeque<(Role, LedgerCall)>>,
    running: JoinSet<Ran>,
    looking: JoinSet<(Instant, Looks)>,
    next_look: Instant,
    outbox: VecDeque<(Role, LedgerEvent)>,
}

/// A channel as the ledger shows it, or its absence.
type Seen = Option<contract::ChannelState>;

/// One round over the watched accounts.
type Looks = Vec<(Account, Result<Seen, LedgerError>)>;

#[derive(Default)]
struct Watched {
    by: PerRole<bool>,
    seen: Option<Seen>,
    absences: u32,
    /// One look has shown a funding or a higher deposit, and none since: the provider is not told yet.
    unconfirmed: bool,
    /// When a call on it ended: looks that began earlier are older than what is known.
    settled_at: Option<Instant>,
}

/// A call that came to its end, with the channel as it was then.
struct Ran {
    account: Account,
    role: Role,
    outcome: Result<(), LedgerError>,
    seen: Result<Seen, LedgerError>,
}

impl Desk {
    fn new(ledger: Arc<Ledger>, poll: Duration) -> Self {
        Self {
            ledger,
            poll,
            watched: BTreeMap::new(),
            queues: BTreeMap::new(),
            running: JoinSet::new(),
            looking: JoinSet::new(),
            next_look: Instant::now(),
            outbox: VecDeque::new(),
        }
    }

    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<(Role, LedgerCall)>,
        events: mpsc::Sender<(Role, LedgerEvent)>,
    ) {
        loop {
            tokio::select! {
                call = inbox.recv() => match call {
                    Some((role, call)) => self.take(role, call),
                    None => return,
                },
                permit = events.reserve(), if !self.outbox.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(event) = self.outbox.pop_front() {
                            permit.send(event);
                        }
                    }
                    Err(_) => return,
                },
                Some(ran) = self.running.join_next() => match ran {
                    Ok(ran) => self.ran(ran),
                    Err(error) => tracing::error!(%error, "a ledger call panicked"),
                },
                Some(looked) = self.looking.join_next() => match looked {
                    Ok((began, looks)) => self.looked(began, looks),
                    Err(error) => tracing::error!(%error, "a look at the ledger panicked"),
                },
                () = sleep_until(self.next_look), if self.looking.is_empty() && !self.watched.is_empty() => {
                    self.look();
                }
            }
        }
    }

    fn take(&mut self, role: Role, call: LedgerCall) {
        let account = call.account();
        match &call {
            LedgerCall::Watch { .. } => return self.watch(role, account),
            LedgerCall::Unwatch { .. } => return self.unwatch(role, account),
            LedgerCall::Open { .. } => {
                if !self.watched.get(&account).is_some_and(|watched| *watched.by.get(role)) {
                    self.watch(role, account);
                }
            }
            LedgerCall::TopUp { .. }
            | LedgerCall::Claim { .. }
            | LedgerCall::Close { .. }
            | LedgerCall::RequestClose { .. }
            | LedgerCall::Finalize { .. } => {}
        }
        let queue = self.queues.entry(account).or_default();
        if queue.contains(&(role, call.clone())) {
            return;
        }
        if queue.len() >= CALLS_PER_ACCOUNT_MAX {
            tracing::warn!(account = hex::encode(account), "too many ledger calls wait on one channel");
            return self.say(role, LedgerEvent::Failed { account, fault: LedgerFault::NotSent });
        }
        queue.push_back((role, call));
        if queue.len() == 1 {
            self.start_next(account);
        }
    }

    fn watch(&mut self, role: Role, account: Account) {
        if self.watched.len() >= WATCHED_MAX && !self.watched.contains_key(&account) {
            tracing::warn!("too many channels are watched; a further one is not");
            return;
        }
        let watched = self.watched.entry(account).or_default();
        *watched.by.get_mut(role) = true;
        match watched.seen.clone() {
            // What others on this node have seen is one look.
            Some(Some(state)) if role == Role::Provider && state.epoch != 0 => {
                watched.unconfirmed = true;
                self.next_look = Instant::now();
            }
            Some(seen) => self.say(role, LedgerEvent::Channel { account, state: seen.as_ref().map(told) }),
            None => self.next_look = Instant::now(),
        }
    }

    fn unwatch(&mut self, role: Role, account: Account) {
        if let Some(watched) = self.watched.get_mut(&account) {
            *watched.by.get_mut(role) = false;
            if !Role::ALL.iter().any(|role| *watched.by.get(*role)) {
                self.watched.remove(&account);
            }
        }
    }

    fn start_next(&mut self, account: Account) {
        let Some((role, call)) = self.queues.get(&account).and_then(VecDeque::front).cloned() else {
            self.queues.remove(&account);
            return;
        };
        let ledger = Arc::clone(&self.ledger);
        self.running.spawn(async move {
            let outcome = execute(&ledger, &call).await;
            let seen = ledger.channel(Address::basechain(account)).await;
            Ran { account, role, outcome, seen }
        });
    }

    fn ran(&mut self, ran: Ran) {
        let Ran { account, role, outcome, seen } = ran;
        let done = self.queues.get_mut(&account).and_then(VecDeque::pop_front);
        let name = done.as_ref().map_or("call", |(_, call)| name(call));
        // The state first, so that a machine that hears of a failure knows what is the case.
        if let Ok(seen) = seen {
            if let Some(watched) = self.watched.get_mut(&account) {
                watched.settled_at = Some(Instant::now());
                watched.absences = ABSENCES_NEEDED;
            }
            self.observe(account, seen);
        }
        match outcome {
            Ok(()) => tracing::info!(account = hex::encode(account), "ledger: {name} done"),
            Err(error) => {
                tracing::warn!(account = hex::encode(account), %error, "ledger: {name} failed");
                // Where no channel is, the state that was told says it all.
                if !matches!(error, LedgerError::NotOpen { .. }) {
                    self.say(role, LedgerEvent::Failed { account, fault: error.fault() });
                }
            }
        }
        self.start_next(account);
    }

    fn look(&mut self) {
        let accounts: Vec<Account> = self.watched.keys().copied().collect();
        let ledger = Arc::clone(&self.ledger);
        self.looking.spawn(async move {
            let began = Instant::now();
            let look = |account| {
                let ledger = Arc::clone(&ledger);
                async move { (account, ledger.channel(Address::basechain(account)).await) }
            };
            (began, stream::iter(accounts).map(look).buffer_unordered(LOOKS_AT_A_TIME).collect().await)
        });
        self.next_look = Instant::now() + self.poll;
    }

    fn looked(&mut self, began: Instant, looks: Looks) {
        for (account, seen) in looks {
            let Some(watched) = self.watched.get_mut(&account) else { continue };
            if watched.settled_at.is_some_and(|settled| settled > began) {
                continue;
            }
            match seen {
                Ok(seen) => {
                    watched.absences = if seen.is_none() { watched.absences.saturating_add(1) } else { 0 };
                    self.observe(account, seen);
                }
                // Nothing is known now; the machines have deadlines of their own.
                Err(error) => tracing::debug!(account = hex::encode(account), %error, "ledger: no look"),
            }
        }
    }

    /// Tells whoever watches, if what is seen is new.
    fn observe(&mut self, account: Account, seen: Seen) {
        let Some(watched) = self.watched.get_mut(&account) else { return };
        let was_there = matches!(watched.seen, Some(Some(_)));
        if was_there && seen.is_none() && watched.absences < ABSENCES_NEEDED {
            return;
        }
        let state = seen.as_ref().map(told);
        let same =
            watched.seen.as_ref().is_some_and(|old| old.as_ref().map(essence) == seen.as_ref().map(essence));
        let was_unconfirmed = watched.unconfirmed;
        watched.unconfirmed = grows(watched.seen.as_ref().and_then(Option::as_ref), seen.as_ref());
        watched.seen = Some(seen);
        let (by, held) = (watched.by, watched.unconfirmed);
        for role in Role::ALL.into_iter().filter(|role| *by.get(*role)) {
            let news = match role {
                // It serves beyond its credit on this word alone. (`CH-23`)
                Role::Provider => !held && (!same || was_unconfirmed),
                Role::Client | Role::Watcher => !same,
            };
            if news {
                self.say(role, LedgerEvent::Channel { account, state });
            }
        }
    }

    fn say(&mut self, role: Role, event: LedgerEvent) {
        if let LedgerEvent::Channel { account, .. } = &event {
            let about = *account;
            // Only the newest state counts.
            self.outbox.retain(|(to, waiting)| {
                *to != role || !matches!(waiting, LedgerEvent::Channel { account, .. } if *account == about)
            });
        }
        self.outbox.push_back((role, event));
    }
}

async fn execute(ledger: &Ledger, call: &LedgerCall) -> Result<(), LedgerError> {
    let done = match call {
        LedgerCall::Open { terms, deposit } => ledger.open(terms, *deposit).await.map(drop),
        LedgerCall::TopUp { account, amount } => ledger.top_up(Address::basechain(*account), *amount).await,
        LedgerCall::Claim { voucher, signature } => ledger.claim(voucher, *signature).await,
        LedgerCall::Close { voucher, order, signature } => {
            ledger.provider_close(order, *signature, voucher.map(|(_, signature)| signature)).await
        }
        LedgerCall::RequestClose { request, signature } => {
            ledger.request_close_signed(request, *signature).await.map(drop)
        }
        LedgerCall::Finalize { account } => ledger.finalize(Address::basechain(*account)).await,
        LedgerCall::Watch { .. } | LedgerCall::Unwatch { .. } => Ok(()),
    };
    match (call, done) {
        // An earlier attempt had its effect after all, or somebody else did it.
        (LedgerCall::Open { .. }, Err(LedgerError::AlreadyOpen { .. }))
        | (LedgerCall::Claim { .. }, Err(LedgerError::Refused { refusal: Refusal::Stale, .. }))
        | (LedgerCall::RequestClose { .. }, Err(LedgerError::Refused { refusal: Refusal::Closing, .. })) => {
            Ok(())
        }
        (_, other) => other,
    }
}

const fn name(call: &LedgerCall) -> &'static str {
    match call {
        LedgerCall::Open { .. } => "opening a channel",
        LedgerCall::TopUp { .. } => "topping a channel up",
        LedgerCall::Claim { .. } => "claiming a voucher",
        LedgerCall::Close { .. } => "closing a channel",
        LedgerCall::RequestClose { .. } => "requesting a close",
        LedgerCall::Finalize { .. } => "finalizing a channel",
        LedgerCall::Watch { .. } => "watching a channel",
        LedgerCall::Unwatch { .. } => "unwatching a channel",
    }
}

/// The state in the words of the core; the time of a close is counted on the chain's clock.
fn told(state: &contract::ChannelState) -> ChannelState {
    let left = state.close_at_s.saturating_sub(state.chain_time_s);
    ChannelState {
        epoch: state.epoch,
        deposit: state.deposit,
        settled: state.settled,
        closing: (state.close_at_s != 0).then(|| Span::from_s(u64::from(left))),
    }
}

/// Whether a look shows a funding or a deposit that the one before did not.
fn grows(before: Option<&contract::ChannelState>, now: Option<&contract::ChannelState>) -> bool {
    now.is_some_and(|now| {
        now.epoch != 0
            && before.is_none_or(|before| before.epoch != now.epoch || before.deposit < now.deposit)
    })
}

/// What makes two states different for a machine: all but the passing of time, until the time has come.
fn essence(state: &contract::ChannelState) -> (u64, u64, u64, u32, bool) {
    let due = state.close_at_s != 0 && state.chain_time_s >= state.close_at_s;
    (state.epoch, state.deposit.0, state.settled.0, state.close_at_s, due)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::amount::Nano;
    use bombyx_protocol::channel::terms::ChannelTerms;
    use bombyx_protocol::channel::voucher::{CloseOrder, CloseRequest, Voucher};
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::ledger::chain::Chain;
    use crate::ledger::devnet::{DEVNET_ID, Devnet};
    use crate::ledger::wallet::Wallet;

    const PATIENCE: Duration = Duration::from_secs(30);
    const DEPOSIT: Nano = Nano(1_000_000_000);
    const CHALLENGE_S: u32 = 60;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    async fn hear(desk: &mut LedgerDesk) -> (Role, LedgerEvent) {
        tokio::time::timeout(PATIENCE, desk.events.recv()).await.unwrap().unwrap()
    }

    async fn hear_state(desk: &mut LedgerDesk, to: Role) -> Option<ChannelState> {
        match hear(desk).await {
            (role, LedgerEvent::Channel { state, .. }) if role == to => state,
            other => panic!("{other:?}"),
        }
    }

    async fn say(desk: &LedgerDesk, role: Role, call: LedgerCall) {
        desk.calls.send((role, call)).await.unwrap();
    }

    /// (`CH-23`)
    #[tokio::test]
    async fn a_provider_is_told_of_a_deposit_by_the_second_look_that_shows_it() {
        let terms = ChannelTerms {
            network_id: DEVNET_ID,
            salt: 1,
            client_key: key(1).verifying_key().to_bytes(),
            provider_key: key(2).verifying_key().to_bytes(),
            client: Address::basechain([8; 32]),
            provider: Address::basechain([9; 32]),
            challenge_s: CHALLENGE_S,
        };
        let account = terms.account().hash;
        let state = |deposit, settled| contract::ChannelState {
            terms: terms.clone(),
            epoch: 7,
            close_at_s: 0,
            deposit: Nano(deposit),
            settled: Nano(settled),
            balance: Nano(deposit),
            chain_time_s: 1,
        };
        let chain: Arc<dyn Chain> = Arc::new(Devnet::new().unwrap());
        let mut desk = Desk::new(Arc::new(Ledger::new(chain, DEVNET_ID, None)), PATIENCE);
        desk.watch(Role::Client, account);
        desk.watch(Role::Provider, account);
        let mut look = |deposit, settled| {
            desk.observe(account, Some(state(deposit, settled)));
            desk.outbox.drain(..).map(|(role, _)| role).collect::<Vec<_>>()
        };
        assert_eq!(look(5, 0), [Role::Client]);
        assert_eq!(look(5, 0), [Role::Provider]);
        assert_eq!(look(5, 0), []);
        assert_eq!(look(5, 1), [Role::Client, Role::Provider], "what was paid out binds nobody");
        assert_eq!(look(9, 1), [Role::Client]);
        assert_eq!(look(5, 1), [Role::Client, Role::Provider], "the higher deposit was not final");
        assert_eq!(look(9, 1), [Role::Client]);
        assert_eq!(look(9, 1), [Role::Provider]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_channel_is_told_to_whoever_watches_from_its_opening_to_its_end() {
        let devnet = Devnet::new().unwrap();
        let wallet = Wallet::from_words(&Wallet::generate_words(), DEVNET_ID).unwrap();
        let terms = ChannelTerms {
            network_id: DEVNET_ID,
            salt: 1,
            client_key: key(1).verifying_key().to_bytes(),
            provider_key: key(2).verifying_key().to_bytes(),
            client: wallet.address(),
            provider: Address::basechain([9; 32]),
            challenge_s: CHALLENGE_S,
        };
        let account = terms.account().hash;
        let chain: Arc<dyn Chain> = Arc::new(devnet.clone());
        let address = wallet.address();
        let ledger = Arc::new(Ledger::new(chain, DEVNET_ID, Some(wallet)).with_deadline(PATIENCE));
        let mut desk = LedgerDesk::start(ledger, Duration::from_millis(20));

        say(&desk, Role::Provider, LedgerCall::Watch { account }).await;
        let absent = LedgerEvent::Channel { account, state: None };
        assert_eq!(hear(&mut desk).await, (Role::Provider, absent.clone()));

        let open = LedgerCall::Open { terms: terms.into(), deposit: DEPOSIT };
        say(&desk, Role::Client, open.clone()).await;
        assert_eq!(hear(&mut desk).await, (Role::Client, absent.clone()));
        let poor = LedgerEvent::Failed { account, fault: LedgerFault::Funds };
        assert_eq!(hear(&mut desk).await, (Role::Client, poor));

        devnet.faucet(address, Nano(5 * DEPOSIT.0)).unwrap();
        say(&desk, Role::Client, open).await;
        let mut told = Vec::new();
        for _ in 0..2 {
            let (role, LedgerEvent::Channel { state: Some(state), .. }) = hear(&mut desk).await else {
                panic!()
            };
            assert_eq!((state.deposit, state.settled, state.closing), (DEPOSIT, Nano::ZERO, None));
            told.push((role, state.epoch));
        }
        let epoch = told[0].1;
        assert_eq!(told, [(Role::Client, epoch), (Role::Provider, epoch)]);

        // A voucher of another key: the state is told before the failure, and only its caller hears of that.
        let voucher = Voucher { account, epoch, cumulative: Nano(50_000_000) };
        let forged = LedgerCall::Claim { voucher, signature: voucher.sign(&key(3)) };
        say(&desk, Role::Provider, forged).await;
        let refused = LedgerEvent::Failed { account, fault: LedgerFault::Refused { exit_code: 105 } };
        assert_eq!(hear(&mut desk).await, (Role::Provider, refused));

        // What is settled, or asked for, already is no failure, and nothing new.
        let paid = Voucher { account, epoch, cumulative: Nano(20_000_000) };
        let claim = LedgerCall::Claim { voucher: paid, signature: paid.sign(&key(1)) };
        for call in [claim.clone(), claim] {
            say(&desk, Role::Provider, call).await;
        }
        for role in [Role::Client, Role::Provider] {
            let state = hear_state(&mut desk, role).await.unwrap();
            assert_eq!((state.settled, state.closing), (paid.cumulative, None));
        }
        let request = CloseRequest { account, epoch };
        let request = LedgerCall::RequestClose { request, signature: request.sign(&key(1)) };
        for call in [request.clone(), request] {
            say(&desk, Role::Client, call).await;
        }
        for role in [Role::Client, Role::Provider] {
            let state = hear_state(&mut desk, role).await.unwrap();
            assert!(state.closing.is_some_and(|left| left > Span(0)), "{state:?}");
        }
        // The end of the challenge is no transaction, and is told all the same.
        devnet.advance(CHALLENGE_S);
        for role in [Role::Client, Role::Provider] {
            assert_eq!(hear_state(&mut desk, role).await.unwrap().closing, Some(Span(0)));
        }

        say(&desk, Role::Client, LedgerCall::Unwatch { account }).await;
        let order = CloseOrder { account, epoch, cumulative: voucher.cumulative };
        let close = LedgerCall::Close {
            voucher: Some((voucher, voucher.sign(&key(1)))),
            order,
            signature: order.sign(&key(2)),
        };
        say(&desk, Role::Provider, close).await;
        assert_eq!(hear(&mut desk).await, (Role::Provider, absent));
    }
}
