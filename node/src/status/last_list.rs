//! The last list of what is on offer: enough for whoever only wants to know what a name means.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::models::OfferedModel;

/// How long a list says what names mean: as long as it may take until a seller is listed, whose model may have such a name too.
const AGE_MAX: Duration = Duration::from_secs(10);

/// What was on offer when those that sell had last been asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastList {
    made: Option<Instant>,
    models: Arc<[OfferedModel]>,
}

impl LastList {
    /// Makes a list of now.
    pub(crate) fn new(now: Instant, models: Vec<OfferedModel>) -> Self {
        Self { made: Some(now), models: models.into() }
    }

    /// Returns what was on offer, unless that is too long ago.
    pub(crate) fn fresh(&self, now: Instant) -> Option<&[OfferedModel]> {
        self.made.filter(|made| now.saturating_duration_since(*made) < AGE_MAX).map(|_| &*self.models)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_gone_by_for_ten_seconds_and_none_was_made_at_first() {
        let now = Instant::now();
        assert!(LastList::default().fresh(now).is_none());
        let list = LastList::new(now, Vec::new());
        assert!(list.fresh(now + Duration::from_secs(9)).is_some());
        assert!(list.fresh(now + Duration::from_secs(10)).is_none());
    }
}
