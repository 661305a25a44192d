//! When orders that came too late for every provider are told to come back: one after the other, as they can be served.
//! (`MK-50`)

use crate::limits;
use crate::table::Table;
use crate::time::{Span, Time};
use crate::work::order::ModelId;

/// Of a provider's jobs so many are taken to run side by side.
const SIDE_BY_SIDE: u64 = 4;

/// The last appointment for each model.
#[derive(Debug, Default)]
pub(super) struct Appointments {
    last: Table<ModelId, Time>,
}

impl Appointments {
    /// Returns in how many seconds an order may come back that is `late` by this much at the best provider, where each of
    /// this client's own takes so long: after all that were told to come back before it. `draw` spreads it by up to a
    /// quarter.
    pub(super) fn make(&mut self, now: Time, model: ModelId, late: Span, job: Span, draw: u64) -> u32 {
        self.last.retain(|_, at| *at > now);
        let turn = self.last.get(&model).map_or(now, |last| *last + Span(job.0 / SIDE_BY_SIDE));
        let at = turn.max(now + late).min(now + limits::COME_BACK_MAX);
        if self.last.len() < limits::MODELS_KNOWN_MAX || self.last.contains_key(&model) {
            self.last.insert(model, at);
        }
        let wait = at.since(now);
        let spread = (wait.0 / 4).checked_add(1).and_then(|most| draw.checked_rem(most)).unwrap_or(0);
        let seconds = wait.0.saturating_add(spread).div_ceil(1_000_000).clamp(1, 60);
        u32::try_from(seconds).unwrap_or(60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (`MK-50`)
    #[test]
    fn each_that_is_told_to_come_back_comes_after_those_before_it() {
        let (mut appointments, model) = (Appointments::default(), ModelId([1; 32]));
        let mut make = |now, late| appointments.make(now, model, Span::from_s(late), Span::from_s(8), 0);
        assert_eq!([make(Time(1), 5), make(Time(1), 5), make(Time(1), 5)], [5, 7, 9]);
        assert_eq!(make(Time(1), 30), 30);
        assert_eq!(make(Time(1), 1_000), 60, "nobody is sent away for longer");
        assert_eq!(make(Time(1) + Span::from_s(100), 0), 1, "what is over is forgotten");
        assert!((40..=50).contains(&Appointments::default().make(
            Time(1),
            model,
            Span::from_s(40),
            Span(0),
            u64::MAX
        )));
    }
}
