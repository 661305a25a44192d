//! Requests to a server that speaks OpenAI's dialect, one after the other, as fast as it answers, or at a rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::ms;

/// What is asked for one token.
pub(crate) const SMALL: &str = "What is 17 plus 25?";
/// What is streamed.
pub(crate) const COUNTING: &str = "Count from 10 to 60.";
/// Until a server answers at all: a Python program may load for half a minute.
const READY: Duration = Duration::from_secs(180);
/// What every server takes for a key.
pub(crate) const KEY: &str = "sk-bench-0123456789abcdef0123456789abcdef";

/// Where requests go.
pub(crate) struct Target {
    url: String,
    model: String,
}

/// How long answers took, in order, and how many requests had none.
#[derive(Default)]
pub(crate) struct Load {
    times: Vec<Duration>,
    pub(crate) errors: u32,
    took: Duration,
}

/// What was seen of one stream.
pub(crate) struct Stream {
    pub(crate) longest_gap: Duration,
    pub(crate) whole: Duration,
}

impl Load {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { times, ..Self::default() }
    }

    pub(crate) fn answered(&self) -> u32 {
        u32::try_from(self.times.len()).unwrap()
    }

    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.answered()) / self.took.as_secs_f64()
    }

    /// The time that so many of a hundred answers took at the most.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.times.get(self.times.len() * percent / 100).copied().unwrap_or_default()
    }

    /// Median and 99th percentile above what is taken off.
    pub(crate) fn added(&self, bare: Duration) -> String {
        let above = |percent| ms(self.percentile(percent).saturating_sub(bare));
        format!("{} / {}", above(50), above(99))
    }
}

/// One connection.
#[derive(Clone)]
struct Connection {
    http: reqwest::Client,
    url: String,
    model: String,
}

impl Connection {
    fn request(&self, content: &str, max_tokens: u32, stream: bool) -> reqwest::RequestBuilder {
        let messages = serde_json::json!([{ "role": "user", "content": content }]);
        let body = serde_json::json!({
            "model": self.model, "messages": messages, "max_tokens": max_tokens, "stream": stream,
        });
        self.http.post(&self.url).bearer_auth(KEY).json(&body)
    }

    /// Whether one token came.
    async fn ask(&self) -> bool {
        let Ok(answer) = self.request(SMALL, 1, false).send().await else { return false };
        let is_good = answer.status().is_success();
        answer.bytes().await.is_ok() && is_good
    }
}

impl Target {
    pub(crate) fn new(server: &str, model: &str) -> Self {
        Self { url: format!("{server}/v1/chat/completions"), model: model.into() }
    }

    fn connection(&self) -> Connection {
        let http = reqwest::Client::builder().no_proxy().timeout(READY).build().unwrap();
        Connection { http, url: self.url.clone(), model: self.model.clone() }
    }

    /// Waits until it answers, and has it answer so many.
    pub(crate) async fn warm_up(&self, requests: u32) {
        let (connection, until) = (self.connection(), Instant::now() + READY);
        while !connection.ask().await {
            assert!(Instant::now() < until, "it does not answer");
            sleep(Duration::from_millis(100)).await;
        }
        for _ in 0..requests {
            connection.ask().await;
        }
        // What was asked of the ledger is there.
        sleep(Duration::from_secs(2)).await;
    }

    /// One request after the other.
    pub(crate) async fn in_turn(&self, requests: u32) -> Load {
        let (connection, began) = (self.connection(), Instant::now());
        connection.ask().await;
        let (mut times, mut errors) = (Vec::new(), 0);
        for _ in 0..requests {
            let sent = Instant::now();
            if connection.ask().await { times.push(sent.elapsed()) } else { errors += 1 }
        }
        Load { errors, took: began.elapsed(), ..Load::of(times) }
    }

    /// Each connection asks again as soon as it has its answer.
    pub(crate) async fn closed_loop(&self, connections: usize, time: Duration) -> Load {
        let until = Instant::now() + time;
        self.side_by_side(connections, move |_| {
            let now = Instant::now();
            (now < until).then_some(now)
        })
        .await
    }

    /// Requests are due at a rate; a free connection takes the next.
    pub(crate) async fn open_loop(&self, connections: usize, rate: f64, time: Duration) -> Load {
        let began = Instant::now();
        self.side_by_side(connections, move |number| {
            let due = Duration::from_secs_f64(f64::from(number) / rate);
            (due < time).then(|| began + due)
        })
        .await
    }

    /// `due` says when the request of this number is to be sent, until there is none.
    async fn side_by_side(
        &self,
        connections: usize,
        due: impl Fn(u32) -> Option<Instant> + Clone + Send + 'static,
    ) -> Load {
        let (next, began) = (Arc::new(AtomicU32::new(0)), Instant::now());
        let mut workers = JoinSet::new();
        for _ in 0..connections {
            let (connection, next, due) = (self.connection(), Arc::clone(&next), due.clone());
            workers.spawn(async move {
                let (mut times, mut errors) = (Vec::new(), 0);
                while let Some(at) = due(next.fetch_add(1, Ordering::Relaxed)) {
                    sleep_until(at).await;
                    if connection.ask().await { times.push(at.elapsed()) } else { errors += 1 }
                }
                (times, errors)
            });
        }
        let (mut times, mut errors) = (Vec::new(), 0);
        for (took, failed) in workers.join_all().await {
            times.extend(took);
            errors += failed;
        }
        Load { errors, took: began.elapsed(), ..Load::of(times) }
    }

    /// Streams one answer.
    pub(crate) async fn stream(&self) -> Stream {
        let connection = self.connection();
        // A connection that is kept, as a client's is.
        connection.ask().await;
        let began = Instant::now();
        let mut answer = connection.request(COUNTING, 64, true).send().await.unwrap();
        assert!(answer.status().is_success());
        let (mut last, mut longest_gap) = (None, Duration::ZERO);
        while answer.chunk().await.unwrap().is_some() {
            let now = Instant::now();
            longest_gap = longest_gap.max(last.map_or(Duration::ZERO, |last| now - last));
            last = Some(now);
        }
        Stream { longest_gap, whole: began.elapsed() }
    }
}
