//! A devnet with a client, a provider and a stranger, and short words for what they do.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bombyx_node::ledger::{
    Chain, ChainError, ChannelAccount, ChannelMessage, Ledger, LedgerError, OpenedChannel, Prices, Refusal,
    Wallet,
    devnet::{DEVNET_ID, Devnet},
};
use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::{CloseOrder, CloseRequest, SignedVoucher, Voucher};
use bombyx_protocol::ident::Signature;
use ed25519_dalek::SigningKey;
use tycho_types::boc::Boc;
use tycho_types::cell::Cell;

use crate::mutants;

/// Chain time at the start of every test.
pub(crate) const START_S: u32 = 1_790_000_000;
/// The challenge period of [`World::terms`].
pub(crate) const CHALLENGE_S: u32 = 3_600;

/// The machine's exit code for lack of gas.
const OUT_OF_GAS: i32 = -14;
/// How long a test waits for another process.
pub(crate) const WAIT: Duration = Duration::from_secs(60);

/// What a devnet charges unless a test changes it.
pub(crate) const TODAY: Prices = Prices::TODAY;

/// Thousandths of a coin.
pub(crate) const fn milli(coins: u64) -> Nano {
    Nano(coins * 1_000_000)
}

/// Whole coins.
pub(crate) const fn coins(coins: u64) -> Nano {
    Nano(coins * 1_000_000_000)
}

/// The wallet of one of three fixed parties. Making words and their keys takes a while, so it is done once.
pub(crate) fn wallet(index: usize) -> Wallet {
    static WALLETS: OnceLock<[Wallet; 3]> = OnceLock::new();
    let make = || Wallet::from_words(&Wallet::generate_words(), DEVNET_ID).unwrap();
    WALLETS.get_or_init(|| [(); 3].map(|()| make()))[index].clone()
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// A devnet that stands at [`START_S`]; with a wrong contract, where the test of the tests says so.
pub(crate) fn devnet() -> Devnet {
    let devnet = Devnet::with_manual_clock(START_S).unwrap();
    match mutants::wanted() {
        Some((original, code)) => devnet.substituting(original, code),
        None => devnet,
    }
}

pub(crate) struct World {
    pub(crate) devnet: Devnet,
    /// Has ten coins.
    pub(crate) client: Ledger,
    /// Has a wallet that holds nothing.
    pub(crate) provider: Ledger,
    /// Has ten coins and no part in any channel.
    pub(crate) stranger: Ledger,
    pub(crate) client_key: SigningKey,
    pub(crate) provider_key: SigningKey,
}

impl World {
    pub(crate) fn new() -> Self {
        let devnet = devnet();
        let chain: Arc<dyn Chain> = Arc::new(devnet.clone());
        let ledger = |index| {
            Ledger::new(chain.clone(), DEVNET_ID, Some(wallet(index))).with_deadline(Duration::from_secs(5))
        };
        let world = Self {
            client: ledger(0),
            provider: ledger(1),
            stranger: ledger(2),
            client_key: key(1),
            provider_key: key(2),
            devnet,
        };
        for rich in [&world.client, &world.stranger] {
            world.devnet.faucet(rich.wallet_address().unwrap(), coins(10)).unwrap();
        }
        world
    }

    pub(crate) fn terms(&self) -> ChannelTerms {
        ChannelTerms {
            network_id: DEVNET_ID,
            salt: 1,
            client_key: self.client_key.verifying_key().to_bytes(),
            provider_key: self.provider_key.verifying_key().to_bytes(),
            client: self.client.wallet_address().unwrap(),
            provider: self.provider.wallet_address().unwrap(),
            challenge_s: CHALLENGE_S,
        }
    }

    pub(crate) async fn open(&self, deposit: Nano) -> OpenedChannel {
        self.client.open(&self.terms(), deposit).await.unwrap()
    }

    pub(crate) fn voucher(&self, channel: OpenedChannel, cumulative: Nano) -> SignedVoucher {
        Voucher { account: ChannelId(channel.account.hash), epoch: channel.epoch, cumulative }
            .signed(&self.client_key)
    }

    pub(crate) fn order(&self, channel: OpenedChannel, cumulative: Nano) -> (CloseOrder, Signature) {
        let order = CloseOrder { account: ChannelId(channel.account.hash), epoch: channel.epoch, cumulative };
        (order, order.sign(&self.provider_key))
    }

    pub(crate) fn request(&self, channel: OpenedChannel) -> (CloseRequest, Signature) {
        let request = CloseRequest { account: ChannelId(channel.account.hash), epoch: channel.epoch };
        (request, request.sign(&self.client_key))
    }

    pub(crate) async fn claim(&self, channel: OpenedChannel, cumulative: Nano) -> Result<(), LedgerError> {
        self.provider.claim(&self.voucher(channel, cumulative)).await
    }

    /// The provider's last claim, refund and end.
    pub(crate) async fn close(&self, channel: OpenedChannel, cumulative: Nano) -> Result<(), LedgerError> {
        let (order, signature) = self.order(channel, cumulative);
        let voucher = self.voucher(channel, cumulative).signature;
        self.provider.provider_close(&order, signature, Some(voucher)).await
    }

    /// Sends any message to a channel from outside; the exit code if it is refused.
    pub(crate) async fn external(&self, account: Address, message: ChannelMessage) -> Result<(), Refusal> {
        self.post(message.external(account)).await
    }

    /// Sends a message from outside; the exit code if it is refused.
    pub(crate) async fn post(&self, message: Cell) -> Result<(), Refusal> {
        self.devnet.send(Boc::encode(message)).await.map_err(refusal)
    }

    /// Sends any message to a channel from the wallet with this index, with `value`; the exit code if it is refused.
    pub(crate) async fn internal(
        &self,
        index: usize,
        account: Address,
        message: ChannelMessage,
        value: Nano,
    ) -> Result<(), Refusal> {
        self.carry(index, account, message.internal(account, value, None)).await
    }

    /// Sends a message to an account from the wallet with this index; the exit code if it is refused.
    pub(crate) async fn carry(&self, index: usize, account: Address, message: Cell) -> Result<(), Refusal> {
        let wallet = wallet(index);
        let before = self.devnet.account(wallet.address()).await.unwrap();
        let until_s = self.devnet.now_s() + 60;
        let boc = wallet.transfer(Wallet::next_seqno(&before), until_s, &[message]).unwrap();
        self.devnet.send(boc).await.unwrap();
        let last = self.devnet.transactions(account, 1).await.unwrap().remove(0);
        assert_eq!(last.incoming.unwrap().from, Some(wallet.address()), "the message arrived");
        // Without gas no code runs; with too little it ends the same way.
        if last.aborted { Err(last.exit_code.unwrap_or(OUT_OF_GAS).into()) } else { Ok(()) }
    }

    /// Sends a message from the stranger's wallet to an account that is gone; whether no code ran there.
    pub(crate) async fn internal_to_nobody(
        &self,
        account: Address,
        message: ChannelMessage,
        value: Nano,
    ) -> bool {
        let wallet = wallet(2);
        let before = self.devnet.account(wallet.address()).await.unwrap();
        let message = message.internal(account, value, None);
        let until_s = self.devnet.now_s() + 60;
        let boc = wallet.transfer(Wallet::next_seqno(&before), until_s, &[message]).unwrap();
        self.devnet.send(boc).await.unwrap();
        let last = self.devnet.transactions(account, 1).await.unwrap().remove(0);
        last.aborted && last.exit_code.is_none()
    }

    pub(crate) async fn state(&self, channel: OpenedChannel) -> Option<ChannelAccount> {
        self.client.channel(channel.account).await.unwrap()
    }

    pub(crate) async fn balance(&self, ledger: &Ledger) -> Nano {
        ledger.balance(ledger.wallet_address().unwrap()).await.unwrap()
    }
}

fn refusal(error: ChainError) -> Refusal {
    let ChainError::Refused { exit_code: Some(code), .. } = error else { panic!("no exit code: {error}") };
    code.into()
}

/// The contract's reason in a ledger error.
pub(crate) fn reason<T: std::fmt::Debug>(outcome: Result<T, LedgerError>) -> Refusal {
    match outcome {
        Err(LedgerError::Refused { refusal, .. }) => refusal,
        other => panic!("expected a refusal by the contract, got {other:?}"),
    }
}
