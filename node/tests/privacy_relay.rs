//! What somebody in the middle, a log reader and a disk reader learn of a prompt and its answer: nothing.
#![allow(clippy::unwrap_used)]

mod processes;

use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE};
use processes::{CHAT, EMBED, Ledger, Node, ask, bombyx, finish, last_object};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Stands in the prompt and nowhere else in the world.
const CANARY: &str = "zebra-quince-4711-orchard-8086-velvet";

/// Every byte that went through a relay, in both directions.
type Capture = Arc<Mutex<Vec<u8>>>;

/// Passes bytes on to `target` and keeps a copy. Returns its port.
async fn relay(target: u16) -> (u16, Capture) {
    let capture = Capture::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let copy = Arc::clone(&capture);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            tokio::spawn(pass(near_read, far_write, Arc::clone(&copy)));
            tokio::spawn(pass(far_read, near_write, Arc::clone(&copy)));
        }
    });
    (port, capture)
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    capture: Capture,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        capture.lock().unwrap().extend_from_slice(&buffer[..length]);
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// A secret and the forms in which it could be written down.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec(), hex::encode(secret).into(), hex::encode_upper(secret).into()];
    // In base64 the same bytes look different at each of three offsets; the ends depend on their neighbours.
    for offset in 0..3 {
        let padded = [&vec![0; offset][..], secret].concat();
        for alphabet in [BASE64, URL_SAFE] {
            let text = alphabet.encode(&padded);
            let inner = text.as_bytes()[(offset * 8).div_ceil(6)..text.len() - 4].to_vec();
            forms.push(inner);
        }
    }
    // How `Debug` writes bytes.
    let numbers: Vec<String> = secret.iter().map(u8::to_string).collect();
    forms.push(numbers.join(", ").into_bytes());
    forms
}

fn found(secret: &[u8], text: &[u8]) -> bool {
    forms(secret).iter().any(|form| text.windows(form.len()).any(|window| window == form))
}

fn files_under(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_under(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            files.push((path.display().to_string(), bytes));
        }
    }
    files
}

#[test]
fn the_search_itself_finds_every_form() {
    let secret = CANARY.as_bytes();
    for text in [
        format!("before {CANARY} after").into_bytes(),
        hex::encode(format!("x{CANARY}y")).into(),
        BASE64.encode(format!("{CANARY}yy")).into(),
        BASE64.encode(format!("x{CANARY}y")).into(),
        URL_SAFE.encode(format!("xx{CANARY}yyy")).into(),
        format!("{:?}", format!("x{CANARY}").as_bytes()).into(),
    ] {
        assert!(found(secret, &text), "{}", String::from_utf8_lossy(&text));
    }
    assert!(!found(secret, b"nothing of the kind"));
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_wire_nor_log_nor_disk_holds_prompt_or_answer() {
    let ledger = Ledger::start().await;
    let trace = [("RUST_LOG", "trace")];
    let flags = ["--provide", EMBED, "--provide", CHAT, "--listen", "/ip4/127.0.0.1/tcp/0"];
    let mut provider = Node::up(&ledger, &flags, &trace).await;
    let direct = provider.address().to_owned();
    let port: u16 = direct.split('/').nth(4).unwrap().parse().unwrap();
    let (relayed, capture) = relay(port).await;
    let join = direct.replace(&format!("/tcp/{port}/"), &format!("/tcp/{relayed}/"));

    let home = tempfile::tempdir().unwrap();
    let run = async |flags: &[&str]| {
        let mut command = ask(home.path(), &ledger, &join, flags);
        command.env("RUST_LOG", "trace");
        finish(command).await
    };
    // Long enough that its absence from the capture would show.
    let text = format!("{CANARY} ").repeat(20);
    let embedded = run(&["--json", "--embed", &text[..400]]).await;
    let answered = run(&["--json", &format!("Spell {CANARY}.")]).await;
    let vector: Vec<u8> = last_object(&embedded)["vector"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|number| (number.as_f64().unwrap() as f32).to_le_bytes())
        .collect();
    let answer = last_object(&answered)["text"].as_str().unwrap().to_owned();

    let mut secrets = vec![CANARY.as_bytes().to_vec(), vector[..32].to_vec()];
    // A short answer can occur anywhere by chance.
    if answer.len() >= 8 {
        secrets.push(answer.clone().into_bytes());
    }
    let wire = capture.lock().unwrap().clone();
    assert!(wire.len() > text.len() + vector.len(), "the jobs went through the relay: {} bytes", wire.len());
    let mut status = bombyx(&provider.home());
    status.args(["--json", "status"]);
    let status = finish(status).await;
    let metrics = provider.page("/status").send().await.unwrap();
    assert_eq!(metrics.status(), 200);
    let metrics = metrics.bytes().await.unwrap();
    let mut places = vec![
        ("the wire".to_owned(), wire),
        ("the provider's log".to_owned(), provider.log().into_bytes()),
        ("the client's log of the embedding".to_owned(), embedded.stderr),
        ("the client's log of the chat".to_owned(), answered.stderr),
        ("the status".to_owned(), [status.stdout, status.stderr, metrics.to_vec()].concat()),
    ];
    assert!(places[1].1.len() > 10_000, "the log is at the level of traces");
    places.extend(files_under(home.path()));
    places.extend(files_under(&provider.home()));
    assert!(provider.runs());
    for (place, bytes) in &places {
        for secret in &secrets {
            assert!(!found(secret, bytes), "{place} holds what is nobody's business");
        }
    }
}
