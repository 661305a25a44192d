//! The clairvoyant optimum with capacity: who should have served whom, had somebody known every order beforehand.
//!
//! Every order begins at once with a provider that has a slot free for all of its time, or not at all; each choice has a
//! value, and the sum is to be as large as it can be. That is a packing of intervals on unlike machines, hard in general, so
//! it is closed in on from both sides: prices on slots (Lagrange multipliers, moved along the subgradient) give a bound that
//! no assignment passes, and the same prices guide a plan that keeps every capacity. Where the two meet, the plan is the
//! optimum; where they do not, the gap between them is known.

/// Rounds of the price search at the most.
const ROUNDS_MAX: usize = 300;
/// Every so many rounds a plan is made from the prices.
const PLAN_EVERY: usize = 20;
/// Passes over all orders that improve a plan.
const PASSES_MAX: usize = 4;
/// Rounds without a better bound after which prices move half as far.
const PATIENCE: usize = 12;
/// The gap, relative to the bound, at which plan and bound count as equal.
const EQUAL: f64 = 1e-6;
/// Choices of one instance at the most: beyond, only bounds without capacity are computed.
pub const CHOICES_MAX: usize = 400_000;

/// One way to serve an order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The provider.
    pub provider: u32,
    /// From when it holds a slot, in microseconds.
    pub from: u64,
    /// Until when.
    pub until: u64,
    /// What this is worth.
    pub value: f64,
}

/// Orders with their choices, and the slots of every provider.
#[derive(Debug, Clone, Default)]
pub struct Instance {
    /// For each order, every way to serve it.
    pub orders: Vec<Vec<Choice>>,
    /// Slots by provider.
    pub slots: Vec<u16>,
}

/// How good an assignment can be.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimum {
    /// No assignment is worth more.
    pub bound: f64,
    /// The best that was found.
    pub plan: f64,
    /// Which choice each order has in it.
    pub chosen: Vec<Option<usize>>,
}

/// A choice's moments on its provider: those of all choices that begin while it holds its slot.
#[derive(Debug, Clone, Copy)]
struct MomentRange {
    first: usize,
    end: usize,
}

/// The instance in the form that the search works on. A *moment* is a provider and the time at which some choice on it
/// begins; load can only be highest at one of them.
struct Search<'a> {
    instance: &'a Instance,
    /// The slots at each moment.
    capacity: Vec<f64>,
    spans: Vec<Vec<MomentRange>>,
}

impl<'a> Search<'a> {
    fn new(instance: &'a Instance) -> Self {
        let mut moments: Vec<(u32, u64)> =
            instance.orders.iter().flatten().map(|choice| (choice.provider, choice.from)).collect();
        moments.sort_unstable();
        moments.dedup();
        let place = |provider: u32, at: u64| moments.partition_point(|moment| *moment < (provider, at));
        let span = |choice: &Choice| MomentRange {
            first: place(choice.provider, choice.from),
            end: place(choice.provider, choice.until.max(choice.from + 1)),
        };
        let spans = instance.orders.iter().map(|choices| choices.iter().map(span).collect()).collect();
        let slots = |provider: u32| instance.slots.get(provider as usize).copied().unwrap_or(0);
        let capacity = moments.iter().map(|(provider, _)| f64::from(slots(*provider))).collect();
        Self { instance, capacity, spans }
    }

    /// Returns the best choice of each order at these prices, and the bound that they prove.
    fn at_prices(&self, prices: &[f64]) -> (Vec<Option<usize>>, f64) {
        let sums = prefix_sums(prices);
        let mut bound: f64 = prices.iter().zip(&self.capacity).map(|(price, slots)| price * slots).sum();
        let chosen = self
            .instance
            .orders
            .iter()
            .zip(&self.spans)
            .map(|(choices, spans)| {
                let worth = |(place, (choice, span)): (usize, (&Choice, &MomentRange))| {
                    (place, choice.value - (sums[span.end] - sums[span.first]))
                };
                let best =
                    choices.iter().zip(spans).enumerate().map(worth).max_by(|a, b| a.1.total_cmp(&b.1));
                let (place, worth) = best.filter(|(_, worth)| *worth > 0.0)?;
                bound += worth;
                Some(place)
            })
            .collect();
        (chosen, bound)
    }

    /// Returns how many slots are held at each moment.
    fn load(&self, chosen: &[Option<usize>]) -> Vec<f64> {
        let mut change = vec![0.0; self.capacity.len() + 1];
        for (spans, place) in self.spans.iter().zip(chosen) {
            if let Some(span) = place.and_then(|place| spans.get(place)) {
                change[span.first] += 1.0;
                change[span.end] -= 1.0;
            }
        }
        let mut held = 0.0;
        change
            .iter()
            .take(self.capacity.len())
            .map(|by| {
                held += by;
                held
            })
            .collect()
    }

    /// Returns a plan within all capacities: orders take what is best at these prices and free,
    /// those first that lose most by their second choice; then it is improved until no order gains
    /// by moving, nor by pushing one other away.
    fn plan(&self, prices: &[f64]) -> Assignment {
        let sums = prefix_sums(prices);
        let price = |span: &MomentRange| sums[span.end] - sums[span.first];
        let mut plan =
            Assignment { chosen: vec![None; self.spans.len()], load: vec![0.0; self.capacity.len()] };
        let mut turns: Vec<(f64, usize)> =
            (0..self.spans.len()).map(|order| (self.regret(order, price), order)).collect();
        turns.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (_, order) in turns {
            let best = self.best(order, &plan.load, price);
            self.set(&mut plan, order, best);
        }
        for _ in 0..PASSES_MAX {
            let mut gained = false;
            for order in 0..self.spans.len() {
                gained |= self.move_alone(&mut plan, order) || self.push_away(&mut plan, order);
            }
            if !gained {
                break;
            }
        }
        plan
    }

    /// Returns what an order loses by its second choice at these prices.
    fn regret(&self, order: usize, price: impl Fn(&MomentRange) -> f64) -> f64 {
        let choices = self.instance.orders[order].iter().zip(&self.spans[order]);
        let (best, second) = choices.fold((0.0f64, 0.0f64), |(best, second), (choice, span)| {
            let worth = choice.value - price(span);
            if worth > best { (worth, best) } else { (best, second.max(worth)) }
        });
        best - second
    }

    fn move_alone(&self, plan: &mut Assignment, order: usize) -> bool {
        let before = plan.chosen[order];
        self.set(plan, order, None);
        let best = self.best(order, &plan.load, |_| 0.0);
        let gains = self.value(order, best) > self.value(order, before);
        self.set(plan, order, if gains { best } else { before });
        gains
    }

    /// Gives an order a better choice that one other order stands in the way of, if both together gain.
    fn push_away(&self, plan: &mut Assignment, order: usize) -> bool {
        let before = plan.chosen[order];
        for (place, choice) in self.instance.orders[order].iter().enumerate() {
            if choice.value <= self.value(order, before) {
                continue;
            }
            let span = self.spans[order][place];
            for other in 0..self.spans.len() {
                let Some(held) = plan.chosen[other].filter(|_| other != order) else { continue };
                let (theirs, at) = (self.spans[other][held], self.instance.orders[other][held]);
                let is_in_the_way =
                    at.provider == choice.provider && theirs.first < span.end && span.first < theirs.end;
                if !is_in_the_way {
                    continue;
                }
                let sum = self.value(order, before) + self.value(other, Some(held));
                self.set(plan, order, None);
                self.set(plan, other, None);
                if self.is_free(&span, &plan.load) {
                    self.set(plan, order, Some(place));
                    let next = self.best(other, &plan.load, |_| 0.0);
                    if choice.value + self.value(other, next) > sum {
                        self.set(plan, other, next);
                        return true;
                    }
                }
                self.set(plan, order, before);
                self.set(plan, other, Some(held));
            }
        }
        false
    }

    fn value(&self, order: usize, place: Option<usize>) -> f64 {
        place.and_then(|place| self.instance.orders[order].get(place)).map_or(0.0, |choice| choice.value)
    }

    fn is_free(&self, span: &MomentRange, load: &[f64]) -> bool {
        (span.first..span.end).all(|moment| load[moment] < self.capacity[moment])
    }

    /// Returns the best choice of an order that is free and worth something.
    fn best(&self, order: usize, load: &[f64], price: impl Fn(&MomentRange) -> f64) -> Option<usize> {
        let choices = self.instance.orders[order].iter().zip(&self.spans[order]).enumerate();
        let free = choices.filter(|(_, (choice, span))| choice.value > 0.0 && self.is_free(span, load));
        free.map(|(place, (choice, span))| (place, choice.value - price(span)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(place, _)| place)
    }

    fn set(&self, plan: &mut Assignment, order: usize, place: Option<usize>) {
        let before = std::mem::replace(&mut plan.chosen[order], place);
        for (place, by) in [(before, -1.0), (place, 1.0)] {
            if let Some(span) = place.and_then(|place| self.spans[order].get(place)) {
                for held in &mut plan.load[span.first..span.end] {
                    *held += by;
                }
            }
        }
    }
}

/// An assignment of choices to orders, with the slots held at each moment.
struct Assignment {
    chosen: Vec<Option<usize>>,
    load: Vec<f64>,
}

fn prefix_sums(values: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    std::iter::once(0.0)
        .chain(values.iter().map(|value| {
            sum += value;
            sum
        }))
        .collect()
}

impl Instance {
    /// Returns how good an assignment can be. `None` where there are more than [`CHOICES_MAX`]
    /// choices.
    #[must_use]
    pub fn optimum(&self) -> Option<Optimum> {
        if self.orders.iter().map(Vec::len).sum::<usize>() > CHOICES_MAX {
            return None;
        }
        let search = Search::new(self);
        let mut prices = vec![0.0; search.capacity.len()];
        let mut best = Optimum { bound: f64::INFINITY, plan: 0.0, chosen: Vec::new() };
        best.take(&search, &prices);
        let (mut reach, mut stale) = (1.0, 0);
        for round in 0..ROUNDS_MAX {
            let (wanted, bound) = search.at_prices(&prices);
            stale += 1;
            if bound < best.bound {
                best.bound = bound;
                stale = 0;
            }
            if round % PLAN_EVERY == PLAN_EVERY - 1 {
                best.take(&search, &prices);
            }
            if best.gap() <= EQUAL {
                break;
            }
            if stale >= PATIENCE {
                (reach, stale) = (reach / 2.0, 0);
            }
            // Slots that more orders want than there are become dearer, the others cheaper.
            let excess: Vec<f64> =
                search.load(&wanted).iter().zip(&search.capacity).map(|(load, slots)| load - slots).collect();
            let counts = |(excess, price): (&f64, &f64)| *excess > 0.0 || *price > 0.0;
            let square: f64 =
                excess.iter().zip(&prices).filter(|pair| counts(*pair)).map(|(by, _)| by * by).sum();
            if square == 0.0 {
                break;
            }
            let step = reach * (bound - best.plan).max(0.0) / square;
            for (price, by) in prices.iter_mut().zip(&excess) {
                *price = (*price + step * by).max(0.0);
            }
        }
        Some(best)
    }
}

impl Optimum {
    /// Takes the plan at these prices if it is better.
    fn take(&mut self, search: &Search<'_>, prices: &[f64]) {
        let plan = search.plan(prices);
        let sum = plan.chosen.iter().enumerate().map(|(order, place)| search.value(order, *place)).sum();
        if sum > self.plan || self.chosen.is_empty() {
            (self.plan, self.chosen) = (sum, plan.chosen);
        }
    }

    /// Returns how far the bound is above the plan, as a share of the bound.
    #[must_use]
    pub fn gap(&self) -> f64 {
        if self.bound > 0.0 { (self.bound - self.plan).max(0.0) / self.bound } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Draws, Purpose};

    fn choice(provider: u32, from: u64, until: u64, value: f64) -> Choice {
        Choice { provider, from, until, value }
    }

    /// Returns the optimum by trying everything.
    fn by_force(instance: &Instance, order: usize, taken: &mut Vec<Choice>) -> f64 {
        let Some(choices) = instance.orders.get(order) else { return taken.iter().map(|of| of.value).sum() };
        let mut best = by_force(instance, order + 1, taken);
        for choice in choices {
            taken.push(*choice);
            let fits = taken.iter().all(|at| {
                let held = taken
                    .iter()
                    .filter(|of| of.provider == at.provider && of.from <= at.from && at.from < of.until);
                held.count() <= usize::from(instance.slots[at.provider as usize])
            });
            if fits {
                best = best.max(by_force(instance, order + 1, taken));
            }
            taken.pop();
        }
        best
    }

    #[test]
    fn two_orders_that_want_one_slot_are_told_apart_by_what_they_lose() {
        let orders = vec![
            vec![choice(0, 0, 10, 9.0), choice(1, 0, 10, 8.0)],
            vec![choice(0, 5, 15, 9.0), choice(1, 5, 15, 3.0)],
            vec![choice(0, 10, 20, 4.0)],
        ];
        let optimum = Instance { orders, slots: vec![1, 1] }.optimum().expect("it is small");
        // The first gives way to the second, which needs the slot more; the third comes too early for it.
        assert_eq!(optimum.chosen, [Some(1), Some(0), None]);
        assert!((optimum.plan - 17.0).abs() < 1e-9 && optimum.bound >= optimum.plan - 1e-9, "{optimum:?}");
    }

    #[test]
    fn the_optimum_lies_between_plan_and_bound_and_mostly_they_meet() {
        let mut met = 0;
        for world in 0..60u64 {
            let draws = Draws::new(world);
            let below = |n: u64, about: [u64; 3]| draws.below(n, Purpose::World, &about);
            let orders = (0..6u64)
                .map(|order| {
                    let from = below(20, [order, 9, 0]);
                    (0..3u64)
                        .map(|provider| {
                            let takes = 4 + below(8, [order, provider, 1]);
                            let value = 1.0 + below(90, [order, provider, 2]) as f64 / 10.0;
                            choice(provider as u32, from + provider, from + provider + takes, value)
                        })
                        .collect()
                })
                .collect();
            let instance = Instance { orders, slots: vec![1, 1, 2] };
            let exact = by_force(&instance, 0, &mut Vec::new());
            let optimum = instance.optimum().expect("it is small");
            assert!(
                optimum.plan <= exact + 1e-9 && exact <= optimum.bound + 1e-9,
                "{world}: {optimum:?} {exact}"
            );
            met += u32::from((optimum.plan - exact).abs() < 1e-9);
        }
        assert!(met >= 50, "the plan is the optimum in {met} of 60");
    }

    #[test]
    fn without_scarcity_everyone_gets_the_best() {
        let orders = (0..50).map(|at| vec![choice(0, at, at + 9, 2.0), choice(1, at, at + 9, 1.0)]).collect();
        let optimum = Instance { orders, slots: vec![100, 1] }.optimum().expect("it is small");
        assert_eq!((optimum.plan, optimum.bound, optimum.gap()), (100.0, 100.0, 0.0));
        let empty = Instance::default().optimum().expect("it is empty");
        assert_eq!((empty.plan, empty.gap()), (0.0, 0.0));
    }
}
