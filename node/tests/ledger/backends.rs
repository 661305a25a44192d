//! The same life of a channel over every way to a ledger, by the client that testnet and mainnet get too.

use std::time::Duration;

use bombyx_node::ledger::{
    Chain as _, ChainError, ChannelMessage, Ledger, LedgerError, Liteserver, Refusal, Wallet, friendly,
};
use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::{CloseOrder, Voucher};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tycho_types::boc::Boc;

use crate::server::{Server, reached};
use crate::setup::{WAIT, coins, key, milli, reason};

#[tokio::test]
async fn a_channel_lives_its_life_over_http() {
    let server = Server::start().await;
    live(&server, server.over_http(0), server.over_http(1)).await;
}

#[tokio::test]
async fn a_channel_lives_its_life_over_a_liteserver() {
    let server = Server::start().await;
    live(&server, server.over_lite(0), server.over_lite(1)).await;
}

#[tokio::test]
async fn a_channel_lives_its_life_over_both_at_once() {
    let server = Server::start().await;
    let both = format!("{},{}", server.lite, server.base);
    live(&server, reached(&both, 0), reached(&both, 1)).await;
}

/// Open, pay, claim, be refused, ask for the close, close.
pub(crate) async fn live(server: &Server, client: Ledger, provider: Ledger) {
    let client_address = client.wallet_address().unwrap();
    let (status, _) =
        server.get(&format!("/faucet?address={}&amount=5", friendly(client_address, true))).await;
    assert_eq!(status, 200);
    assert_eq!(client.balance(client_address).await.unwrap(), coins(5));
    assert_eq!(provider.balance(Address::basechain([9; 32])).await.unwrap(), Nano::ZERO);

    let terms = terms(&client, &provider);
    let channel = client.open(&terms, coins(1)).await.unwrap();
    let state = provider.channel(channel.account).await.unwrap().unwrap();
    assert_eq!((state.epoch, state.deposit, state.terms), (channel.epoch, coins(1), terms.clone()));

    let voucher = |cumulative| {
        Voucher { account: ChannelId(channel.account.hash), epoch: channel.epoch, cumulative }.signed(&key(1))
    };
    let paid = voucher(milli(300));
    provider.claim(&paid).await.unwrap();
    assert_eq!(reason(provider.claim(&paid).await), Refusal::Stale);
    let much = voucher(coins(2));
    assert_eq!(reason(provider.claim(&much).await), Refusal::OverDeposit);
    assert_eq!(reason(client.finalize(channel.account).await), Refusal::TooEarly);
    client.request_close(channel.account).await.unwrap();

    // Every face of the ledger tells the same history. Of an account that was deleted a liteserver tells none: nothing names
    // its last transaction any more.
    let compare = async || {
        for address in [provider.wallet_address().unwrap(), client_address, channel.account] {
            let told = provider.transactions(address, 50).await.unwrap();
            if address != channel.account || !told.is_empty() {
                assert_eq!(told, server.devnet.transactions(address, 50).await.unwrap());
            }
        }
    };
    let provider_address = provider.wallet_address().unwrap();
    // Where messages take blocks, coins come after the channel shows that they left.
    holds(&provider, provider_address, milli(299)).await;
    assert!(provider.transactions(channel.account, 50).await.unwrap().len() >= 3);
    compare().await;
    let order =
        CloseOrder { account: ChannelId(channel.account.hash), epoch: channel.epoch, cumulative: milli(400) };
    let last = voucher(milli(400)).signature;
    provider.provider_close(&order, order.sign(&key(2)), Some(last)).await.unwrap();
    assert_eq!(provider.channel(channel.account).await.unwrap(), None);

    holds(&provider, provider_address, milli(399)).await;
    holds(&client, client_address, milli(4_500)).await;
    compare().await;
    let history = provider.transactions(provider_address, 10).await.unwrap();
    let received: Nano =
        history.iter().filter_map(|t| t.incoming.as_ref()).map(|message| message.value).sum();
    assert!(received > milli(399) && received < milli(400));
}

/// Waits until more than `least` is on an account.
async fn holds(ledger: &Ledger, address: Address, least: Nano) {
    let arrived = async {
        while ledger.balance(address).await.unwrap() <= least {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WAIT, arrived).await.expect("the coins come");
}

pub(crate) fn terms(client: &Ledger, provider: &Ledger) -> ChannelTerms {
    ChannelTerms {
        network_id: client.network_id(),
        salt: 7,
        client_key: key(1).verifying_key().to_bytes(),
        provider_key: key(2).verifying_key().to_bytes(),
        client: client.wallet_address().unwrap(),
        provider: provider.wallet_address().unwrap(),
        challenge_s: 60,
    }
}

#[tokio::test]
async fn a_long_history_comes_whole_from_a_liteserver_that_gives_it_in_parts() {
    let server = Server::start().await;
    let ledger = server.over_lite(0);
    let address = ledger.wallet_address().unwrap();
    server.devnet.faucet(address, coins(100)).unwrap();
    for _ in 0..40 {
        ledger.send(Address::basechain([5; 32]), milli(1)).await.unwrap();
    }
    for limit in [0, 1, 16, 17, 40, 99] {
        let told = ledger.transactions(address, limit).await.unwrap();
        assert_eq!(told, server.devnet.transactions(address, limit).await.unwrap(), "{limit}");
    }
    assert_eq!(ledger.transactions(address, 99).await.unwrap().len(), 40);
}

#[tokio::test]
async fn a_liteserver_with_another_key_is_not_believed() {
    let server = Server::start().await;
    let mut address = server.lite.clone();
    address.key = key(78).verifying_key().to_bytes();
    let error = Liteserver::new(address).account(Address::basechain([1; 32])).await.unwrap_err();
    assert!(matches!(error, ChainError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_broken_stream_to_a_liteserver_is_made_anew() {
    let devnet = bombyx_node::ledger::devnet::Devnet::new().unwrap();
    let first = Server::serving(devnet.clone()).await;
    // A relay that drops its first connection after the handshake.
    let relay = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut address = first.lite.clone();
    let target = std::mem::replace(&mut address.socket, relay.local_addr().unwrap().to_string());
    tokio::spawn(async move {
        for connection in 0.. {
            let (mut inner, _) = relay.accept().await.unwrap();
            let mut outer = TcpStream::connect(&target).await.unwrap();
            if connection > 0 {
                tokio::io::copy_bidirectional(&mut inner, &mut outer).await.ok();
                continue;
            }
            let mut hello = [0; 256];
            inner.read_exact(&mut hello).await.unwrap();
            outer.write_all(&hello).await.unwrap();
            let mut welcome = [0; 68];
            outer.read_exact(&mut welcome).await.unwrap();
            inner.write_all(&welcome).await.unwrap();
        }
    });
    let client = Liteserver::new(address);
    assert_eq!(client.network_id().await, Ok(Some(bombyx_node::ledger::devnet::DEVNET_ID)));
}

#[tokio::test]
async fn garbage_harms_neither_the_lite_face_nor_those_beside_it() {
    let server = Server::start().await;
    for garbage in [&[0_u8; 0][..], &[0; 255], &[7; 256], &[0xff; 4_096]] {
        let mut socket = TcpStream::connect(&server.lite.socket).await.unwrap();
        // The server may hang up before all of it is written.
        let _ = socket.write_all(garbage).await;
        socket.shutdown().await.ok();
        let mut rest = Vec::new();
        let read = socket.read_to_end(&mut rest).await;
        assert!(read.is_err() || rest.is_empty(), "nothing is said to a stranger's noise");
    }
    let ledger = server.over_lite(0);
    assert_eq!(ledger.balance(ledger.wallet_address().unwrap()).await.unwrap(), Nano::ZERO);
    // What is no message is refused; what an account does not accept comes with its exit code.
    let client = Liteserver::new(server.lite.clone());
    assert!(client.send(vec![1, 2, 3]).await.is_err());
    let nobody = ChannelMessage::Finalize.external(Address::basechain([3; 32]));
    assert!(client.send(Boc::encode(nobody)).await.is_err());
}

#[tokio::test]
async fn an_endpoint_of_another_network_is_named_over_every_way() {
    let server = Server::start().await;
    for endpoint in [server.base.clone(), server.lite.to_string()] {
        let chain = bombyx_node::ledger::endpoints::connect(&endpoint, "", "", -239).unwrap();
        let wallet = Wallet::from_words(&Wallet::generate_words(), -239).unwrap();
        let ledger = Ledger::new(std::sync::Arc::new(chain), -239, Some(wallet));
        let error = ledger.now_s().await.unwrap_err();
        let LedgerError::Chain(ChainError::OtherNetwork { found, expected, .. }) = error else {
            panic!("{error}")
        };
        assert_eq!((found, expected), (-777, -239));
    }
}
