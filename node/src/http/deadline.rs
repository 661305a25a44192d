//! When a request must have its answer: its own `deadline_ms`, or the gateway's, from when its body was there. Whatever is done for
//! it before and after its order is taken out of the same time.

use std::future::Future;
use std::time::Duration;

use bombyx_protocol::io::{Bill, Failure};
use bombyx_protocol::time::Span;
use tokio::time::{Instant, timeout_at};

use super::errors::ApiError;

/// The time by which a request is answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// Returns the deadline of a request that has just come and has so much time.
    pub(super) fn after(time: Span) -> Self {
        Self(Instant::now() + Duration::from_micros(time.0))
    }

    /// Returns the time that is left for an order.
    ///
    /// # Errors
    /// The gateway's answer where none is left.
    pub(super) fn left(self) -> Result<Span, ApiError> {
        let left = self.0.saturating_duration_since(Instant::now());
        let left = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
        if left == 0 { Err(passed()) } else { Ok(Span(left)) }
    }

    /// Returns the time so much later.
    pub(super) fn later(self, by: Duration) -> Self {
        Self(self.0 + by)
    }

    /// Waits no longer than this.
    ///
    /// # Errors
    /// The gateway's answer where the time is over.
    pub(super) async fn bound<T>(self, waited_for: impl Future<Output = T>) -> Result<T, ApiError> {
        timeout_at(self.0, waited_for).await.map_err(|_| passed())
    }
}

fn passed() -> ApiError {
    ApiError::failure(Failure::Deadline, Bill::default()).without_bill()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn what_a_request_waits_for_is_taken_out_of_its_time() {
        let deadline = Deadline::after(Span::from_ms(20));
        assert!(deadline.left().unwrap() <= Span::from_ms(20));
        assert_eq!(Deadline::after(Span::from_s(60)).bound(async { 7 }).await.unwrap(), 7);
        let error = deadline.bound(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(error.body()["error"]["code"], "deadline");
        assert!(error.body()["error"]["bombyx"].is_null(), "what it came to is not known");
        assert!(deadline.left().is_err());
        assert!(deadline.later(Duration::from_secs(60)).left().unwrap() > Span::from_s(40));
    }
}
