//! The world's queue against the standard library's heap, in the hold model: with so many events pending, the earliest is
//! taken and one is put back a random while later, again and again.
//!
//! Both hold the same keys and the same events, take turns, and must pop the same order. `cargo bench -p bombyx-simnet
//! --bench queue`; the figures are medians.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bombyx_protocol::time::Time;
use bombyx_simnet::kernel::{Key, Queue, fold};
use rustix::time::{ClockId, clock_gettime};

/// Events that are pending all the time.
const PENDING: u64 = 100_000;
/// Pops, each followed by a push, of one measurement.
const HOLDS: u64 = 2_000_000;
const REPEATS: usize = 5;
/// Events a second on one core that the queue is meant to reach.
const GOAL: f64 = 5e6;

/// What both queues can do.
trait Pending {
    fn put(&mut self, key: Key, event: u64);
    fn take(&mut self) -> (Key, u64);
}

impl Pending for Queue<u64> {
    fn put(&mut self, key: Key, event: u64) {
        self.push(key, event);
    }

    fn take(&mut self) -> (Key, u64) {
        self.pop().expect("as much is put as is taken")
    }
}

impl Pending for BinaryHeap<Reverse<(Key, u64)>> {
    fn put(&mut self, key: Key, event: u64) {
        self.push(Reverse((key, event)));
    }

    fn take(&mut self) -> (Key, u64) {
        self.pop().expect("as much is put as is taken").0
    }
}

/// The delays of a world, roughly: most within what a message travels, some until a deadline.
fn delay(draw: u64) -> u64 {
    let spread = draw >> 8;
    if draw.is_multiple_of(64) { spread % 30_000_000 } else { 500 + spread % 300_000 }
}

fn key(at: u64, id: u64) -> Key {
    let draw = fold(id, at);
    Key {
        at: Time(at),
        kind: (draw % 12) as u8,
        dst: (draw >> 32) as u32 % 100_000,
        src: id as u32 % 977,
        id,
    }
}

/// Processor seconds for all holds, and a number that stands for the order of the pops.
fn hold(queue: &mut impl Pending) -> (f64, u64) {
    let mut draw = 1;
    for id in 0..PENDING {
        draw = fold(draw, id);
        queue.put(key(delay(draw), id), id);
    }
    let (began, mut order) = (cpu_s(), 0u64);
    for id in PENDING..PENDING + HOLDS {
        let (popped, event) = queue.take();
        order = order.rotate_left(5) ^ event;
        draw = fold(draw, id);
        queue.put(key(popped.at.0 + delay(draw), id), id);
    }
    (cpu_s() - began, order)
}

fn cpu_s() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_unstable_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn main() {
    let (mut ring, mut heap) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let (ring_s, ring_order) = hold(&mut Queue::new());
        let (heap_s, heap_order) = hold(&mut BinaryHeap::new());
        assert_eq!(ring_order, heap_order, "both pop the same order");
        ring.push(ring_s);
        heap.push(heap_s);
    }
    let rate = |seconds: Vec<f64>| HOLDS as f64 / median(seconds);
    let (ring, heap) = (rate(ring), rate(heap));
    println!("{PENDING} events pending, {HOLDS} holds, medians of {REPEATS} runs, one core");
    println!("ring of buckets        {:6.2} M events/s", ring / 1e6);
    println!("std BinaryHeap         {:6.2} M events/s", heap / 1e6);
    println!("ring over heap         {:6.2}", ring / heap);
    println!("ring over its goal     {:6.2} (goal {:.0} M events/s)", ring / GOAL, GOAL / 1e6);
}
