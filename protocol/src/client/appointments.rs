//! When orders that came too late for every provider are told to come back: one after the other, as they can be served.
//! (`MK-50`)

use std::collections::VecDeque;

use crate::limits;
use crate::table::Table;
use crate::time::{Span, Time};
use crate::work::order::ModelId;

/// Of a provider's jobs so many are taken to run side by side.
const SIDE_BY_SIDE: u64 = 4;

/// The appointments for each model that are still to come, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Appointments {
    made: Table<ModelId, VecDeque<Time>>,
}

impl Appointments {
    /// Returns in how many seconds an order may come back that is `late` by this much at the best provider, where each of
    /// this client's own takes so long: after all that were told to come back before it. `draw` spreads it by up to a
    /// quarter.
    pub(super) fn make(&mut self, now: Time, model: ModelId, late: Span, job: Span, draw: u64) -> u32 {
        self.made.retain(|_, made| {
            made.retain(|at| *at > now);
            !made.is_empty()
        });
        let turn = Span(job.0 / SIDE_BY_SIDE);
        // As soon as any can be told, so that it stands until then and the next comes after it.
        let earliest = now + late.max(Span::from_s(1));
        let at = self.made.get(&model).map_or(earliest, |made| {
            // Those that come back too early are told anew: the line is no longer than those in it.
            let others = u64::try_from(made.len()).unwrap_or(u64::MAX);
            let last = made.back().map_or(now, |last| *last + turn);
            last.min(earliest + Span(turn.0.saturating_mul(others))).max(earliest)
        });
        let at = at.min(now + limits::COME_BACK_MAX);
        self.remember(model, at);
        let wait = at.since(now);
        let spread = (wait.0 / 4).checked_add(1).and_then(|most| draw.checked_rem(most)).unwrap_or(0);
        let seconds = wait.0.saturating_add(spread).div_ceil(1_000_000).clamp(1, 60);
        u32::try_from(seconds).unwrap_or(60)
    }

    fn remember(&mut self, model: ModelId, at: Time) {
        if !self.made.contains_key(&model) && self.made.len() < limits::MODELS_KNOWN_MAX {
            self.made.insert(model, VecDeque::new());
        }
        if let Some(made) = self.made.get_mut(&model).filter(|made| made.len() < limits::COMING_BACK_MAX) {
            made.push_back(at);
        }
    }

    /// Notes that an order for a model has come: one of those that were told to come back is here.
    pub(super) fn is_back(&mut self, model: &ModelId) {
        if let Some(made) = self.made.get_mut(model) {
            made.pop_front();
        }
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
        let later = Time(1) + Span::from_s(100);
        assert_eq!([make(later, 0), make(later, 0), make(later, 0)], [1, 3, 5], "what is over is forgotten");
        assert!((40..=50).contains(&Appointments::default().make(
            Time(1),
            model,
            Span::from_s(40),
            Span(0),
            u64::MAX
        )));
    }

    /// (`MK-50`)
    #[test]
    fn one_that_asks_again_and_again_does_not_send_itself_away_for_ever_longer() {
        let (mut appointments, model) = (Appointments::default(), ModelId([1; 32]));
        let mut now = Time(1);
        for _ in 0..100 {
            appointments.is_back(&model);
            let told = appointments.make(now, model, Span::from_s(5), Span::from_s(40), 0);
            assert_eq!(told, 5);
            now = now + Span::from_ms(300);
        }
        // Nor do two, of which each is behind the other at the most.
        let mut told = 0;
        appointments.make(now, model, Span::from_s(5), Span::from_s(40), 0);
        for _ in 0..100 {
            appointments.is_back(&model);
            told = appointments.make(now, model, Span::from_s(5), Span::from_s(40), 0);
            now = now + Span::from_ms(300);
        }
        assert!((5..=15).contains(&told), "{told}");
    }
}
