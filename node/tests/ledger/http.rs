//! The devnet's HTTP face: what it answers to questions, to silence and to garbage.

use bombyx_node::ledger::{Chain as _, ChainError, Toncenter, devnet::DEVNET_ID};
use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::ChannelTerms;
use bombyx_protocol::channel::voucher::Voucher;
use serde_json::{Value, json};

use crate::server::Server;
use crate::setup::{coins, key};

/// A service that refuses every request with an exit code that nobody threw.
pub(crate) async fn refusing() -> String {
    answering(0).await
}

/// A service that drops the first `silent` requests after reading them and refuses the rest as stale.
async fn forgetful(silent: usize) -> Toncenter {
    Toncenter::new(&format!("{}/api/v2", answering(silent).await), None, None).unwrap()
}

async fn answering(silent: usize) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for served in 0.. {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert!(socket.read_buf(&mut request).await.unwrap() > 0, "a whole request came");
            }
            if served >= silent {
                let body = r#"{"ok":false,"error":"exitcode=106, steps=1","code":500}"#;
                let head = format!("content-length: {}\r\nconnection: close", body.len());
                let answer = format!("HTTP/1.1 500 Refused\r\n{head}\r\n\r\n{body}");
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    base
}

#[tokio::test]
async fn a_message_refused_after_a_lost_answer_may_have_been_executed() {
    let error = forgetful(0).await.send(vec![1]).await.unwrap_err();
    assert!(matches!(error, ChainError::Refused { exit_code: Some(106), .. }), "{error}");
    // The first attempt was read and never answered: its effect is for the ledger to show, not for the refusal to deny.
    assert_eq!(forgetful(1).await.send(vec![1]).await, Ok(()));
}

#[tokio::test]
async fn a_get_method_answers_over_http() {
    let server = Server::start().await;
    let client = server.over_http(0);
    server.devnet.faucet(client.wallet_address().unwrap(), coins(2)).unwrap();
    let terms = ChannelTerms {
        network_id: DEVNET_ID,
        salt: 1,
        client_key: key(1).verifying_key().to_bytes(),
        provider_key: key(2).verifying_key().to_bytes(),
        client: client.wallet_address().unwrap(),
        provider: client.wallet_address().unwrap(),
        challenge_s: 60,
    };
    let channel = client.open(&terms, coins(1)).await.unwrap();
    let request = json!({ "id": 5, "jsonrpc": "2.0", "method": "runGetMethod", "params": {
        "address": channel.account.to_string(), "method": "voucherHash", "stack": [["num", "1000"]],
    }});
    let (status, answer) = server.post("/api/v2/jsonRPC", request.to_string()).await;
    assert_eq!((status, &answer["id"]), (200, &json!(5)));
    let voucher =
        Voucher { account: ChannelId(channel.account.hash), epoch: channel.epoch, cumulative: Nano(1_000) };
    let hash = answer["result"]["stack"][0][1].as_str().unwrap().trim_start_matches("0x");
    assert_eq!(format!("{hash:0>64}"), hex::encode(voucher.hash()));
    let (_, information) =
        server.get(&format!("/api/v2/getAddressInformation?address={}", channel.account)).await;
    assert_eq!(information["result"]["state"], "active");
    let (_, info) = server.get("/api/v2/getMasterchainInfo").await;
    assert!(info["result"]["last"]["seqno"].as_u64().unwrap() > 1);
}

#[tokio::test]
async fn bad_requests_get_an_answer_in_json() {
    let server = Server::start().await;
    let address = format!("0:{}", "ab".repeat(32));
    for path in [
        "/api/v2/getAddressBalance".to_owned(),
        "/api/v2/getAddressBalance?address=nowhere".to_owned(),
        format!("/api/v2/getTransactions?address={address}&limit=many"),
        "/api/v2/noSuchMethod".to_owned(),
        "/api/v3/anything".to_owned(),
        format!("/faucet?address={address}&amount=-1"),
        format!("/faucet?address={address}&amount=100000000000"),
        "/faucet".to_owned(),
        "/time?advance=soon".to_owned(),
        "/time?advance=%ff".to_owned(),
        "/api/v2/%ff%fe".to_owned(),
        "/api/v2/getAddressBalance?address=%00%ff&=&&".to_owned(),
    ] {
        let (status, answer) = server.get(&path).await;
        assert!((400..500).contains(&status), "{path}: {status}");
        assert_eq!(answer["ok"], false, "{path}");
        assert!(answer["error"].as_str().is_some_and(|text| !text.is_empty()), "{path}");
    }
    let pair = |value: Value| json!({ "address": address, "method": "seqno", "stack": [value] }).to_string();
    for (path, body) in [
        ("/api/v2/jsonRPC", "not json".to_owned()),
        ("/api/v2/jsonRPC", "[]".to_owned()),
        ("/api/v2/jsonRPC", "{}".to_owned()),
        ("/api/v2/sendBoc", json!({ "boc": "%%%" }).to_string()),
        ("/api/v2/sendBoc", json!({ "boc": "te6cckEBAQEAAgAAAEysuc0=" }).to_string()),
        ("/api/v2/sendBoc", json!({ "boc": "AAAA" }).to_string()),
        ("/api/v2/runGetMethod", pair(json!(["num", "x"]))),
        ("/api/v2/runGetMethod", pair(json!(["num", "9".repeat(200)]))),
        ("/api/v2/runGetMethod", pair(json!(["tvm.Cell", "AAAA"]))),
        ("/api/v2/runGetMethod", pair(json!({}))),
        ("/api/v2/sendBoc", "x".repeat(200_000)),
    ] {
        let (status, answer) = server.post(path, body).await;
        assert!((400..500).contains(&status), "{path}: {status} {answer}");
        assert_eq!(answer["ok"], false, "{path}");
    }
    let (status, answer) = server.get("/time?advance=10").await;
    assert_eq!((status, &answer["ok"]), (200, &json!(true)));
}
