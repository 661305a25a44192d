//! A purse on the devnet's page for people.

use bombyx_node::ledger::friendly;
use bombyx_protocol::channel::purse::Cut;

use super::setup::{Purse, cuts};
use crate::explorer::page;
use crate::server::Server;
use crate::setup::{CHALLENGE_S, coins, milli};

#[tokio::test]
async fn a_purses_page_shows_its_lanes() {
    let purse = Purse::with_lanes(coins(2), milli(500)).await;
    purse.external(purse.claim(0, milli(200)).await).await.unwrap();
    purse.order(cuts(&[Cut::Shrink { lane: 1, keep: milli(100) }])).await.unwrap();
    let server = Server::serving(purse.world.devnet.clone()).await;
    let (_, account) = page(&server, &format!("/account/{}", purse.account)).await;
    let provider = friendly(purse.world.provider.wallet_address().unwrap(), true);
    let words = ["A purse of", "locked in lanes", "0.8 TON", &provider, "40 % paid", "shrinks to 0.1"];
    for word in words.into_iter().chain(["arrange lanes", "claim from a lane", "<dd>purse</dd>"]) {
        assert!(account.contains(word), "{word}: {account}");
    }
    purse.world.devnet.advance(CHALLENGE_S);
    purse.order(cuts(&[Cut::Finalize { lane: 1 }])).await.unwrap();
    let (_, account) = page(&server, &format!("/account/{}", purse.account)).await;
    assert!(account.contains("0.4 TON") && !account.contains("shrinks to"), "{account}");
}
