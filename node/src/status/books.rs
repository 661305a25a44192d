//! The books of a wallet and its channels: what each holds and has paid, and what is between them, each coin once.
//!
//! Every amount is that of one moment of its account, and so is what is taken of the account's past. Two accounts are looked at
//! one after the other; what crosses meanwhile is found by the messages that one has sent and the other has received.

use std::collections::BTreeMap;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;

use super::channels::{self, ChannelList, ChannelView};
use super::{ChannelPhase, Direction};
use crate::ledger::{Crossing, Past, WalletView};

impl ChannelList {
    /// Completes a list of channels as the ledger has shown them by the wallet, and by the past of these channels and of all
    /// others that it has paid into.
    pub(crate) fn account_for(&mut self, wallet: Option<&WalletView>, mut pasts: BTreeMap<ChannelId, Past>) {
        let mut crossing = Some(Crossing::default());
        let mut cross = |account: ChannelId, there: Option<&Past>| {
            let sum = crossing
                .take()
                .zip(there)
                .zip(wallet.and_then(|wallet| Some((wallet, wallet.past.as_ref()?))));
            crossing = sum.map(|((mut sum, there), (wallet, own))| {
                wallet.cross(own, account, there, &mut sum);
                sum
            });
        };
        let mut listed = Vec::new();
        for view in &mut self.channels {
            let Some(account) = channels::account(&view.channel.account) else { continue };
            let past = pasts.remove(&account).and_then(|past| led_to(view, past));
            view.lived(past.as_ref());
            if view.channel.direction == Direction::Paying {
                cross(account, past.as_ref());
                self.pasts.extend(past.map(|past| (account.address(), past)));
            }
            listed.push(account);
        }
        let Some(wallet) = wallet else { return };
        self.balance_nano = Some(wallet.balance.0);
        let Some(own) = &wallet.past else { return };
        self.wallet_fees_nano = Some(own.fees().0);
        self.pasts.insert(wallet.address, own.clone());
        let mut fees = Some(Nano::ZERO);
        for account in own.paid_into() {
            if listed.contains(&account) {
                continue;
            }
            let past = pasts.remove(&account).filter(|past| !past.is_empty());
            cross(account, past.as_ref());
            fees = fees.zip(past.as_ref()).map(|(sum, past)| sum.saturating_plus(past.fees()));
            self.pasts.extend(past.map(|past| (account.address(), past)));
        }
        self.other_fees_nano = fees.map(|Nano(nano)| nano);
        if let Some(Crossing { on_its_way, twice }) = crossing {
            self.on_its_way_nano = Some(on_its_way.0);
            // What is on two accounts counts where it was looked at first.
            self.balance_nano = Some(wallet.balance.saturating_minus(twice).0);
        }
    }
}

/// Returns the fees of what happened between two moments, by the past of each account then. A sum of fees is of the newest
/// transactions, of which the oldest drop out: two sums differ by less.
pub(crate) fn fees_between(before: &BTreeMap<Address, Past>, after: &BTreeMap<Address, Past>) -> Nano {
    after.iter().map(|(account, past)| past.fees_since(before.get(account))).sum()
}

/// Returns what has led to what is shown of a channel; nothing where it is not known.
fn led_to(view: &ChannelView, past: Past) -> Option<Past> {
    view.seen_ago_s?;
    match (view.last_lt, view.channel.state) {
        (Some(lt), _) => past.until(lt),
        (None, ChannelPhase::Opening) => Some(past.until_gone()),
        (None, _) => Some(past.until_gone()).filter(|past| !past.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::time::Duration;

    use bombyx_protocol::channel::terms::ChannelTerms;
    use bombyx_protocol::channel::voucher::{CloseOrder, Voucher};
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::ledger::devnet::{DEVNET_ID, Devnet};
    use crate::ledger::{Chain, ChannelAccount, Ledger, Wallet};
    use crate::status::ChannelStatus;

    const FAUCET: Nano = Nano(10_000_000_000);
    const DEPOSIT: Nano = Nano(1_000_000_000);
    /// Blocks until a message has come from one account to another.
    const HOP: u32 = 3;
    const BLOCK: Duration = Duration::from_millis(5);
    const DEADLINE: Duration = Duration::from_secs(3);

    /// What looks at the wallet and at each channel have shown after one block that changed something.
    #[derive(PartialEq)]
    struct Moment {
        wallet: (Nano, Option<Past>),
        channels: Vec<(Option<ChannelAccount>, Past)>,
    }

    struct World {
        devnet: Devnet,
        client: Ledger,
        provider: Ledger,
        keys: [SigningKey; 2],
        terms: Vec<ChannelTerms>,
        moments: Vec<Moment>,
    }

    impl World {
        /// Two channels that nobody has opened yet.
        fn new() -> Self {
            let devnet = Devnet::new().unwrap().in_blocks(HOP);
            let chain: Arc<dyn Chain> = Arc::new(devnet.clone());
            let ledger = || {
                let wallet = Wallet::from_words(&Wallet::generate_words(), DEVNET_ID).unwrap();
                Ledger::new(Arc::clone(&chain), DEVNET_ID, Some(wallet)).with_deadline(DEADLINE)
            };
            let (client, provider) = (ledger(), ledger());
            for ledger in [&client, &provider] {
                devnet.faucet(ledger.wallet_address().unwrap(), FAUCET).unwrap();
            }
            for _ in 0..HOP {
                devnet.produce_block();
            }
            let keys = [1, 2].map(|seed| SigningKey::from_bytes(&[seed; 32]));
            let terms = |salt| ChannelTerms {
                network_id: DEVNET_ID,
                salt,
                client_key: keys[0].verifying_key().to_bytes(),
                provider_key: keys[1].verifying_key().to_bytes(),
                client: client.wallet_address().unwrap(),
                provider: provider.wallet_address().unwrap(),
                challenge_s: 60,
            };
            let terms = vec![terms(1), terms(2)];
            Self { devnet, client, provider, keys, terms, moments: Vec::new() }
        }

        /// Looks at all after each block, until this has ended and everything has come.
        async fn during<T>(&mut self, done: impl Future<Output = T>) -> T {
            let mut done = Box::pin(done);
            let mut ended = None;
            let mut more = 2 * HOP;
            while more > 0 {
                match &ended {
                    None => ended = tokio::time::timeout(BLOCK, &mut done).await.ok(),
                    Some(_) => more -= 1,
                }
                self.devnet.produce_block();
                let wallet = self.client.wallet_view(self.client.wallet_address().unwrap()).await.unwrap();
                let mut channels = Vec::new();
                for terms in &self.terms {
                    let state = self.client.channel(terms.account()).await.unwrap();
                    channels.push((state, self.client.past(terms.id()).await.unwrap()));
                }
                let moment = Moment { wallet: (wallet.balance, wallet.past), channels };
                if self.moments.last() != Some(&moment) {
                    self.moments.push(moment);
                }
            }
            ended.unwrap()
        }

        /// Returns the books of a wallet that was looked at in one moment, and of each channel in another, with the past of a third.
        fn books(&self, wallet: usize, seen: [usize; 2], told: [usize; 2]) -> ChannelList {
            let mut pasts = BTreeMap::new();
            let mut views = Vec::new();
            for (index, terms) in self.terms.iter().enumerate() {
                let (state, _) = &self.moments[seen[index]].channels[index];
                let was_open = |moment: &Moment| moment.channels[index].0.is_some();
                let is_known = self.moments[..=seen[index]].iter().any(was_open);
                let mut view = ChannelView::from(ChannelStatus {
                    account: terms.id().to_string(),
                    direction: Direction::Paying,
                    peer: "peer".into(),
                    deposit_nano: 0,
                    addition_nano: 0,
                    paid_nano: 0,
                    state: if is_known { ChannelPhase::Open } else { ChannelPhase::Opening },
                    challenge_s: 60,
                });
                view.show(state.as_ref(), Duration::ZERO);
                views.push(view);
                pasts.insert(terms.id(), self.moments[told[index]].channels[index].1.clone());
            }
            let mut list = ChannelList::new("id".into(), views, Vec::new());
            let (balance, past) = self.moments[wallet].wallet.clone();
            let address = self.client.wallet_address().unwrap();
            list.account_for(Some(&WalletView { address, balance, past }), pasts);
            list
        }

        /// Adds everything up in mixtures of moments in which a channel's past is told no earlier than its state, nor much later.
        fn check(&self) {
            let end = self.moments.len() - 1;
            let mut on_its_way = 0;
            for wallet in 0..=end {
                for seen in (0..=end).flat_map(|one| [[one, one], [one, wallet], [wallet, one]]) {
                    for told in [0, 1, 2].map(|later| seen.map(|seen| end.min(seen + later))) {
                        let list = self.books(wallet, seen, told);
                        let settled = settled(&list);
                        let sum =
                            held(&list).zip(list.fees()).map(|(held, Nano(fees))| held + fees + settled);
                        assert_eq!(
                            sum,
                            Some(FAUCET.0),
                            "wallet {wallet}, channels {seen:?}, told {told:?}: {list:?}"
                        );
                        on_its_way += usize::from(list.on_its_way_nano != Some(0));
                    }
                }
            }
            let now = |at: usize| self.books(at, [at; 2], [at; 2]);
            for (before, after) in (0..end).map(|at| (now(at), now(end))) {
                let fees =
                    before.fees().zip(after.fees()).map(|(before, after)| after.saturating_minus(before));
                assert_eq!(Some(fees_between(&before.pasts, &after.pasts)), fees);
            }
            assert!(on_its_way > 0);
        }
    }

    /// Everything that a list accounts for, beside fees and what was settled.
    fn held(list: &ChannelList) -> Option<u64> {
        let channels = [list.locked(), list.reserved()].map(|sum| sum.map(|Nano(nano)| nano));
        [list.balance_nano, list.on_its_way_nano].into_iter().chain(channels).sum()
    }

    fn settled(list: &ChannelList) -> u64 {
        list.channels.iter().filter_map(|view| view.settled_nano).sum()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_coin_is_in_the_books_once_whenever_wallet_and_channels_are_looked_at() {
        let mut world = World::new();
        let (client, provider) = (world.client.clone(), world.provider.clone());
        let accounts: Vec<_> = world.terms.iter().map(ChannelTerms::account).collect();
        // Two in one transfer.
        let both: Vec<_> = world.terms.iter().map(|terms| (terms.clone(), DEPOSIT)).collect();
        let opened = world.during(async { client.open_all(&both).await.unwrap() }).await;
        world.during(async { client.top_up(accounts[0], DEPOSIT).await.unwrap() }).await;
        // A claim from outside, and one that is too small for that; what they cost comes out of what they bring.
        let (account, epoch) = (world.terms[0].id(), opened[0].epoch);
        let [first, second, last] = [300_000_000, 300_100_000, 400_000_000]
            .map(|nano| Voucher { account, epoch, cumulative: Nano(nano) }.signed(&world.keys[0]));
        world.during(async { provider.claim(&first).await.unwrap() }).await;
        world.during(async { provider.claim(&second).await.unwrap() }).await;
        // One that its contract refuses comes back.
        world.during(async { client.request_close(accounts[1]).await.unwrap() }).await;
        world.during(async { client.top_up(accounts[1], DEPOSIT).await.unwrap_err() }).await;
        // So does one to a channel that is closed meanwhile.
        let order = CloseOrder { account, epoch, cumulative: last.cumulative };
        let close = provider.provider_close(&order, order.sign(&world.keys[1]), Some(last.signature));
        let (topped, closed) =
            world.during(async { tokio::join!(client.top_up(accounts[0], DEPOSIT), close) }).await;
        closed.unwrap();
        topped.unwrap_err();
        world.check();
    }
}
