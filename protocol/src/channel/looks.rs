//! When the ledger is looked at again for a channel that it showed gone.

use crate::limits;
use crate::time::{Span, Time};

/// Looks at one account, each after twice the wait of the one before. (`CH-37`)
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Looks {
    next: Option<(Time, Span)>,
}

impl Looks {
    /// Notes that the account was seen to be gone.
    pub(crate) fn after(now: Time) -> Self {
        Self { next: Some((now + limits::GONE_LOOK, limits::GONE_LOOK)) }
    }

    /// Returns whether a look is due, which is then taken for done. The first of a life comes after
    /// the first wait, so that a node that starts does not look at all of them at once.
    pub(crate) fn is_due(&mut self, now: Time) -> bool {
        let Some((at, wait)) = self.next else { return self.begin(now) };
        if now < at {
            return false;
        }
        let wait = Span(wait.0.saturating_mul(2)).min(limits::GONE_LOOK_MAX);
        self.next = Some((now + wait, wait));
        true
    }

    fn begin(&mut self, now: Time) -> bool {
        *self = Self::after(now);
        false
    }

    /// Returns when the next one is due.
    pub(crate) fn at(&self) -> Option<Time> {
        self.next.map(|(at, _)| at)
    }
}
