//! A proxy in front of a ledger's HTTP face that does to requests what public endpoints do on bad days.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bombyx_node::ledger::{Chain, Toncenter};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// One request's time-out at clients of a proxy.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_millis(1_500);

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// The ledger gets the request all the same.
    pub(crate) forwarded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer is lost.
    Cut,
    /// It comes too late.
    Late,
    ServerError,
    RateLimit,
    /// `ok: false` in the service's words, without an exit code.
    NotOk,
    Html,
    Garbage,
    Empty,
    /// `ok: true`, and a result of another form.
    WrongContent,
}

pub(crate) const KINDS: [Kind; 9] = [
    Kind::Cut,
    Kind::Late,
    Kind::ServerError,
    Kind::RateLimit,
    Kind::NotOk,
    Kind::Html,
    Kind::Garbage,
    Kind::Empty,
    Kind::WrongContent,
];

impl Fault {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        KINDS.into_iter().flat_map(|kind| [false, true].map(|forwarded| Self { kind, forwarded }))
    }
}

/// Decides what happens to a request, by the name of its method.
type Plan = Box<dyn FnMut(&str) -> Option<Fault> + Send>;

pub(crate) struct Proxy {
    pub(crate) base: String,
    plan: Arc<Mutex<Plan>>,
}

impl Proxy {
    /// A proxy without faults before the service at `target`.
    pub(crate) async fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let plan: Arc<Mutex<Plan>> = Arc::new(Mutex::new(Box::new(|_| None)));
        let (decide, target) = (Arc::clone(&plan), target.trim_start_matches("http://").to_owned());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // A client that leaves early is its own affair.
                tokio::spawn(serve(socket, target.clone(), Arc::clone(&decide)));
            }
        });
        Self { base, plan }
    }

    pub(crate) fn set(&self, plan: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    pub(crate) fn clear(&self) {
        self.set(|_| None);
    }

    pub(crate) fn chain(&self) -> Arc<dyn Chain> {
        let client = Toncenter::new(&format!("{}/api/v2", self.base), None, None).unwrap();
        Arc::new(client.with_request_timeout(REQUEST_TIMEOUT))
    }
}

async fn serve(mut socket: TcpStream, target: String, plan: Arc<Mutex<Plan>>) -> std::io::Result<()> {
    loop {
        let Some(request) = read_request(&mut socket).await? else { return Ok(()) };
        let start = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(0);
        let body: Value =
            serde_json::from_slice(request.get(start + 4..).unwrap_or_default()).unwrap_or_default();
        let fault = (*plan.lock().unwrap())(body["method"].as_str().unwrap_or_default());
        let answer = match fault {
            Some(Fault { forwarded: false, .. }) => Vec::new(),
            Some(Fault { forwarded: true, .. }) | None => forward(&target, &request).await?,
        };
        match fault.map(|fault| fault.kind) {
            None => socket.write_all(&answer).await?,
            Some(kind) => {
                if kind == Kind::Late {
                    tokio::time::sleep(REQUEST_TIMEOUT + REQUEST_TIMEOUT / 4).await;
                }
                if let Some(spoilt) = spoilt(kind) {
                    socket.write_all(spoilt.as_bytes()).await?;
                }
                return Ok(());
            }
        }
    }
}

/// What is answered instead; nothing for a cut.
fn spoilt(kind: Kind) -> Option<String> {
    let (status, content, body) = match kind {
        Kind::Cut => return None,
        Kind::Late => ("200 OK", "application/json", r#"{"ok":true,"result":{"@type":"ok"}}"#),
        Kind::ServerError => ("500 Internal Server Error", "text/plain", "Internal Server Error"),
        Kind::RateLimit => (
            "429 Too Many Requests",
            "application/json",
            r#"{"ok":false,"result":"Ratelimit exceed","code":429}"#,
        ),
        Kind::NotOk => (
            "200 OK",
            "application/json",
            r#"{"ok":false,"error":"LITE_SERVER_NETWORK: timeout","code":500}"#,
        ),
        Kind::Html => ("502 Bad Gateway", "text/html", "<html><body>502 Bad Gateway</body></html>"),
        Kind::Garbage => ("200 OK", "application/json", "{\"ok\":tru\u{0}\u{1}]"),
        Kind::Empty => ("200 OK", "application/json", ""),
        Kind::WrongContent => ("200 OK", "application/json", r#"{"ok":true,"result":["?"],"balance":-7}"#),
    };
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))
}

/// One request, head and body; nothing at the end of the stream.
async fn read_request(socket: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut request = Vec::new();
    loop {
        let head = request.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
            let length = text.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
            let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
            if request.len() >= head + 4 + length {
                return Ok(Some(request));
            }
        }
        if socket.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
    }
}

/// The service's own answer, whole.
async fn forward(target: &str, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(target).await?;
    socket.write_all(request).await?;
    Ok(read_request(&mut socket).await?.unwrap_or_default())
}
