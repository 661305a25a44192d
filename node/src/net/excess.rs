//! A word in the log when a budget is used up.

use bombyx_protocol::ident::Prefix;
use web_time::Instant;

use super::limits;

/// Tells of what is refused: the first time at once, then how often it was, each [`limits::EXCESS_TOLD_EVERY`].
#[derive(Debug)]
pub(super) struct Excess {
    what: &'static str,
    untold: u64,
    next: Option<Instant>,
    /// All that was ever refused.
    pub(super) total: u64,
}

impl Excess {
    pub(super) const fn of(what: &'static str) -> Self {
        Self { what, untold: 0, next: None, total: 0 }
    }

    /// Notes that something was refused; says whether it was told.
    pub(super) fn note(&mut self, prefix: Prefix, now: Instant) -> bool {
        self.total += 1;
        self.untold += 1;
        if self.next.is_some_and(|next| now < next) {
            return false;
        }
        self.next = Some(now + limits::EXCESS_TOLD_EVERY);
        tracing::warn!(?prefix, refused = self.untold, "a budget is used up: {}", self.what);
        self.untold = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_told_at_once_and_then_now_and_then() {
        let (mut excess, now) = (Excess::of("test"), Instant::now());
        let prefix = Prefix::of_ipv4([10, 0, 1, 1]);
        assert!(excess.note(prefix, now));
        assert!((0..1_000).all(|_| !excess.note(prefix, now)));
        assert!(excess.note(prefix, now + limits::EXCESS_TOLD_EVERY));
        assert_eq!(excess.total, 1_002);
    }
}
