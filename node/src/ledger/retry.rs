//! One request to an endpoint, made again after a pause that doubles, a few times and for a bounded time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::chain::ChainError;

/// How often a request is made, and for how long.
pub(super) struct Retry {
    /// How often before the endpoint counts as unreachable.
    pub(super) attempts: u32,
    /// The pause before the second attempt; each further one is twice as long.
    pub(super) backoff: Duration,
    /// No attempt begins later than this after the first one.
    pub(super) patience: Duration,
}

/// What one attempt came to.
pub(super) enum Attempt<T> {
    /// There is an answer.
    Done(T),
    /// Nothing else will be answered.
    Final(ChainError),
    /// Worth another try: what went wrong.
    Again {
        error: ChainError,
        /// Whether the request may have been taken all the same.
        was_heard: bool,
    },
}

/// What all attempts came to.
pub(super) struct Outcome<T> {
    pub(super) answer: Result<T, ChainError>,
    /// Whether an attempt before the last may have been taken and had no answer. A repeated message is refused then because it was
    /// executed already; what the ledger shows will tell. (`LE-6`)
    pub(super) unanswered: bool,
}

impl Retry {
    /// Attempts a request until there is an answer, or none is to be expected.
    pub(super) async fn run<T, F>(&self, attempt: impl Fn() -> F) -> Outcome<T>
    where
        F: Future<Output = Attempt<T>>,
    {
        let began = Instant::now();
        let (mut unanswered, mut backoff, mut count) = (false, self.backoff, 1);
        loop {
            let (error, was_heard) = match attempt().await {
                Attempt::Done(answer) => return Outcome { answer: Ok(answer), unanswered },
                Attempt::Final(error) => return Outcome { answer: Err(error), unanswered },
                Attempt::Again { error, was_heard } => (error, was_heard),
            };
            unanswered |= was_heard;
            if count >= self.attempts || began.elapsed() + backoff >= self.patience {
                return Outcome { answer: Err(error), unanswered };
            }
            sleep(backoff).await;
            backoff *= 2;
            count += 1;
        }
    }
}
