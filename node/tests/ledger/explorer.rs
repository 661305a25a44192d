//! The devnet's pages for people: what they show, and what garbage makes of them.

use bombyx_node::ledger::{devnet::Devnet, friendly};
use bombyx_protocol::ChannelId;
use bombyx_protocol::channel::terms::Address;

use crate::server::Server;
use crate::setup::{coins, key, milli};

/// Status and text of a page.
pub(crate) async fn page(server: &Server, path: &str) -> (u16, String) {
    let response = reqwest::get(format!("{}{path}", server.base)).await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"), "{path}");
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn the_pages_tell_the_life_of_a_channel() {
    let server = Server::start().await;
    let (status, empty) = page(&server, "/").await;
    assert_eq!(status, 200);
    assert!(empty.contains("No channel is open."));

    let (client, provider) = (server.over_http(0), server.over_http(1));
    let address = friendly(client.wallet_address().unwrap(), true);
    // The form leads to who has the coins now.
    let (status, given) = page(&server, &format!("/give?address={address}&amount=5")).await;
    assert_eq!(status, 200);
    assert!(given.contains(&address) && given.contains("5 TON") && given.contains("coins, no contract"));
    let (status, _) = page(&server, &format!("/find?address=%20{address}%20")).await;
    assert_eq!(status, 200);

    let terms = crate::backends::terms(&client, &provider);
    let channel = client.open(&terms, coins(1)).await.unwrap();
    let voucher = bombyx_protocol::channel::voucher::Voucher {
        account: ChannelId(channel.account.hash),
        epoch: channel.epoch,
        cumulative: milli(250),
    };
    provider.claim(&voucher.signed(&key(1))).await.unwrap();
    client.request_close(channel.account).await.unwrap();
    let (_, front) = page(&server, "/").await;
    for word in ["top up", "claim", "request close", "payout", "closing", "wallet", "payment channel", "0.25"]
    {
        assert!(front.contains(word), "{word}");
    }
    let (_, account) = page(&server, &format!("/account/{}", channel.account)).await;
    for word in
        ["A payment channel from", "challenge time", "0.25 TON", "closing", &channel.epoch.to_string()]
    {
        assert!(account.contains(word), "{word}");
    }
}

#[tokio::test]
async fn the_coin_is_called_what_the_operator_calls_it() {
    let server = Server::serving(Devnet::new().unwrap().naming("Gram".parse().unwrap())).await;
    let (_, given) = page(&server, &format!("/give?address={}&amount=5", Address::basechain([7; 32]))).await;
    assert!(given.contains("5 Gram") && !given.contains("TON"));
}

#[tokio::test]
async fn a_refusal_is_shown_with_its_reason() {
    let server = Server::start().await;
    let stranger = server.over_http(2);
    server.devnet.faucet(stranger.wallet_address().unwrap(), coins(5)).unwrap();
    let client = server.over_http(0);
    server.devnet.faucet(client.wallet_address().unwrap(), coins(5)).unwrap();
    let channel = client.open(&crate::backends::terms(&client, &client), coins(1)).await.unwrap();
    stranger.request_close(channel.account).await.unwrap_err();
    let (_, account) = page(&server, &format!("/account/{}", channel.account)).await;
    assert!(account.contains("exit 104") && account.contains("the sender may not do this"));
}

#[tokio::test]
async fn garbage_gets_a_page_and_never_into_it() {
    let server = Server::start().await;
    let somebody = Address::basechain([7; 32]);
    for path in [
        "/account/%3Cscript%3Ealert(1)%3C%2Fscript%3E".to_owned(),
        "/account/<script>alert(1)<".to_owned(),
        "/account/%ff%fe".to_owned(),
        format!("/account/{}", "x".repeat(4_000)),
        "/find".to_owned(),
        "/find?address=%3Cscript%3E%22%27".to_owned(),
        "/give".to_owned(),
        format!("/give?address={somebody}&amount=%3Cscript%3E"),
        format!("/give?address={somebody}&amount=1e9"),
        format!("/give?address={somebody}&amount=-1"),
        format!("/give?address={somebody}&amount=99999999999"),
        "/give?address=%3Cimg%20src=x%3E&amount=1".to_owned(),
    ] {
        let (status, body) = page(&server, &path).await;
        assert_eq!(status, 400, "{path}");
        assert!(!body.contains("<script") && !body.contains("<img"), "{path}: {body}");
    }
    assert_eq!(server.over_http(0).balance(somebody).await.unwrap().0, 0);
}

#[tokio::test]
async fn a_page_loads_nothing_from_anywhere() {
    let server = Server::start().await;
    let response = reqwest::get(&server.base).await.unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let body = response.text().await.unwrap();
    for word in ["<script", "src=", "http://", "https://", "@import", "url("] {
        assert!(!body.contains(word), "{word}");
    }
}

#[tokio::test]
async fn clock_and_blocks_are_moved_by_hand() {
    let server = Server::start().await;
    let (status, answer) =
        server.post("/devnet/clock", r#"{"stop_at_s": 1790000000, "advance_s": 60}"#).await;
    assert_eq!((status, &answer["result"]["now"]), (200, &1_790_000_060.into()));
    let (_, answer) = server.get("/devnet/clock").await;
    assert_eq!(answer["result"]["now"], 1_790_000_060);
    let (status, before) = server.post("/devnet/block", "{}").await;
    let (_, after) = server.post("/devnet/block", r#"{"count": 5}"#).await;
    let block = |answer: &serde_json::Value| answer["result"]["block"].as_u64().unwrap();
    assert_eq!((status, block(&after)), (200, block(&before) + 5));
    for (path, body) in [
        ("/devnet/clock", "{}"),
        ("/devnet/clock", r#"{"advance_s": -1}"#),
        ("/devnet/clock", r#"{"advance_s": 4000000000}"#),
        ("/devnet/clock", r#"{"stop_at_s": "soon"}"#),
        ("/devnet/clock", "[]"),
        ("/devnet/block", r#"{"count": 0}"#),
        ("/devnet/block", r#"{"count": 1e9}"#),
        ("/devnet/block", "<"),
    ] {
        let (status, answer) = server.post(path, body).await;
        assert!((400..500).contains(&status), "{path} {body}: {status}");
        assert_eq!(answer["ok"], false);
    }
}
