//! The scheduler on virtual time: many channels, a counted number of looks, and looks that take long.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;
use bombyx_protocol::ChannelId;
use bombyx_protocol::limits::{CHANNELS_MAX, WATCH_SHARE_MAX, WATCH_TIMES};

const SECOND: Span = Span::from_s(1);
const POLL: Span = Span::from_ms(500);

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn range(&mut self, from: u64, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        from + (mixed ^ (mixed >> 31)) % (below - from)
    }
}

fn account(number: usize) -> ChannelId {
    let mut account = [0; 32];
    account[..8].copy_from_slice(&(number as u64).to_be_bytes());
    ChannelId(account)
}

fn funded(challenge_s: u32) -> Standing {
    Standing::Funded { challenge_s, settled: Nano::ZERO, closing: false }
}

/// A ledger on virtual time, on which some channels begin to close at some time.
struct World {
    looks: Looks,
    now: Time,
    apart: Span,
    latency: Span,
    under_way: Vec<(Time, Time, ChannelId)>,
    channels: BTreeMap<ChannelId, u32>,
    closes: BTreeMap<ChannelId, Time>,
    /// How long each close took to be seen.
    seen: BTreeMap<ChannelId, Span>,
    /// How many looks each account had.
    count: BTreeMap<ChannelId, usize>,
    /// Accounts whose looks never end.
    hung: Vec<ChannelId>,
}

impl World {
    fn new(pace: Pace, latency: Span) -> Self {
        let mut looks = Looks::new(POLL);
        looks.set_pace(pace);
        Self {
            looks,
            now: Time(1),
            apart: pace.every,
            latency,
            under_way: Vec::new(),
            channels: BTreeMap::new(),
            closes: BTreeMap::new(),
            seen: BTreeMap::new(),
            count: BTreeMap::new(),
            hung: Vec::new(),
        }
    }

    /// Makes one request a second.
    fn slow() -> Self {
        Self::new(Pace { every: Span::from_ms(1_375), delay: Span::from_ms(1_700) }, Span::from_ms(300))
    }

    fn fund(&mut self, number: usize, challenge_s: u32, stake: u64) {
        let account = account(number);
        self.looks.watch(self.now, account, true);
        self.looks.seen(&account, funded(challenge_s), false);
        self.looks.voucher(&account, Nano(stake));
        self.channels.insert(account, challenge_s);
    }

    fn name(&mut self, number: usize) {
        self.looks.watch(self.now, account(number), true);
    }

    /// Runs for `span`; looks begin as often as they may.
    fn run(&mut self, span: Span) {
        let end = self.now + span;
        while self.now < end {
            let next = match self.looks.next(self.now, false) {
                Ok(account) => {
                    *self.count.entry(account).or_default() += 1;
                    if !self.hung.contains(&account) {
                        self.under_way.push((self.now + self.latency, self.now, account));
                    }
                    self.now + self.apart
                }
                Err(at) => {
                    // A look that ends may make another one due.
                    let ended = self.under_way.iter().map(|(at, ..)| *at).min();
                    at.into_iter().chain(ended).min().unwrap_or(end).max(self.now + self.apart)
                }
            };
            self.under_way.sort_unstable();
            while self.under_way.first().is_some_and(|(at, ..)| *at <= next) {
                let (at, began, account) = self.under_way.remove(0);
                self.end(at, began, account);
            }
            self.now = next;
        }
    }

    fn end(&mut self, at: Time, began: Time, account: ChannelId) {
        let close = self.closes.get(&account).filter(|close| **close <= began);
        if let Some(close) = close {
            self.seen.entry(account).or_insert(at.since(*close));
        }
        let standing = self.channels.get(&account).map_or(Standing::Unfunded, |challenge_s| {
            Standing::Funded { challenge_s: *challenge_s, settled: Nano::ZERO, closing: close.is_some() }
        });
        self.looks.ended(&account, true);
        self.looks.seen(&account, standing, false);
    }

    /// Lists every account that is begun with, one after the other, without time passing.
    fn order(&mut self, most: usize) -> Vec<ChannelId> {
        (0..most).map_while(|_| self.looks.next(self.now, false).ok()).collect()
    }
}

/// (CH-36)
#[test]
fn closing_channels_come_first_among_as_many_as_there_may_be() {
    let mut world = World::slow();
    for number in 0..CHANNELS_MAX {
        world.fund(number, 3_600, number as u64);
    }
    for channel in world.looks.channels.values_mut() {
        (channel.began_at, channel.again) = (Some(world.now), false);
    }
    for (number, closing) in [(17, true), (4_000, true)] {
        let standing = Standing::Funded { challenge_s: 3_600, settled: Nano::ZERO, closing };
        world.looks.seen(&account(number), standing, false);
    }
    world.now = world.now + Span::from_s(3_600);
    let order = world.order(4);
    assert!(order[..2].contains(&account(17)) && order[..2].contains(&account(4_000)), "{:?}", &order[..2]);
    assert_eq!(order[2], account(CHANNELS_MAX - 1), "then the most money");
}

/// (CH-36)
#[test]
fn channels_that_nobody_has_funded_delay_nobody_and_are_forgotten() {
    let mut world = World::slow();
    world.fund(0, 60, 12_000_000);
    world.run(Span::from_s(60));
    let before = world.count[&account(0)];
    for number in 1..=300 {
        world.now = world.now + Span::from_ms(1);
        world.name(number);
    }
    world.closes.insert(account(0), world.now + SECOND);
    world.run(Span::from_s(60));
    assert!(world.seen[&account(0)] <= Span::from_s(6), "{:?}", world.seen);
    let after = world.count[&account(0)] - before;
    assert!(
        after + 2 >= Span::from_s(60).0 as usize / Span::from_ms(4_300).0 as usize,
        "{after} of {before}"
    );
    let named = |world: &World| {
        (1..=300).filter(|number| world.looks.channels.contains_key(&account(*number))).count()
    };
    assert_eq!(named(&world), NEW_MAX, "the oldest make room");
    assert!(world.count.contains_key(&account(300)), "the newest are looked at: {:?}", world.count.len());
    assert_eq!(world.looks.expire(world.now + NEW_WATCHED + SECOND).len(), NEW_MAX);
    assert_eq!(named(&world), 0);
}

/// (CH-36)
#[test]
fn a_look_that_never_ends_and_one_that_fails_hold_nobody() {
    let mut world = World::slow();
    for number in 0..10 {
        world.fund(number, 3_600, 1);
    }
    world.hung.push(account(3));
    world.closes.insert(account(9), world.now + Span::from_s(500));
    world.run(Span::from_s(1_000));
    assert_eq!(world.count[&account(3)], 1);
    assert!(world.seen[&account(9)] <= Span::from_s(360), "{:?}", world.seen);
    // One that fails is tried again, ever more rarely, and no more than its gap allows.
    let mut world = World::slow();
    world.fund(0, 3_600, 1);
    let mut tries = Vec::new();
    while world.now < Time(Span::from_s(600).0) {
        match world.looks.next(world.now, false) {
            Ok(failed) => {
                tries.push(world.now);
                world.looks.ended(&failed, false);
            }
            Err(at) => world.now = at.unwrap(),
        }
    }
    assert!(tries.len() > 8 && tries.len() < 30, "{} tries", tries.len());
}

#[test]
fn while_calls_are_made_nothing_is_looked_at_that_can_wait() {
    let mut world = World::slow();
    world.fund(0, 3_600, 0);
    assert_eq!(world.order(1), [account(0)]);
    world.looks.ended(&account(0), true);
    world.now = world.now + Span::from_s(2);
    assert!(world.looks.next(world.now, true).is_err());
    assert_eq!(world.looks.next(world.now, false), Ok(account(0)));
    world.looks.ended(&account(0), true);
    // The first voucher on a channel is worth a look, and the end of its gap is.
    world.looks.voucher(&account(0), Nano(1));
    assert_eq!(world.looks.next(world.now, true), Ok(account(0)));
    world.looks.ended(&account(0), true);
    assert_eq!(world.looks.next(world.now, true), Err(Some(world.now + POLL)));
    assert_eq!(world.looks.next(world.now + Span::from_s(180), true), Ok(account(0)));
}

/// Where a provider accepts what the rule allows, every close is seen in a tenth of its challenge, whatever strangers name and
/// whatever is closing already. (CH-35, CH-36)
#[test]
fn every_close_is_seen_in_time_among_all_that_the_rule_accepts() {
    for seed in 0..16 {
        let mut dice = Dice(seed);
        let every = [500, 2_000, 20_000, 137_500, 1_375_000, 2_750_000][dice.range(0, 6) as usize];
        let latency = Span(dice.range(1_000, 600_000));
        let pace = Pace { every: Span(every), delay: Span(latency.0 + every) };
        let mut world = World::new(pace, latency);
        let (mut taken, mut number) = (0, 0_usize);
        let shortest = u64::from(pace.least_challenge_s(0).unwrap());
        while number < 200 {
            let asked = u64::from(pace.least_challenge_s(taken).unwrap_or(u32::MAX));
            let challenge_s = match dice.range(0, 3) {
                0 => dice.range(shortest / 20 + 1, shortest * 3),
                1 => asked.min(1_209_600),
                _ => dice.range(shortest, 172_800.max(shortest + 1)),
            };
            let challenge_s = u32::try_from(challenge_s).unwrap();
            number += 1;
            if !fits(taken + pace.share(challenge_s)) {
                continue;
            }
            taken += pace.share(challenge_s);
            world.fund(number, challenge_s, dice.range(0, 3) * 1_000_000);
        }
        assert!(taken <= WATCH_SHARE_MAX && !world.channels.is_empty());
        for stranger in 0..dice.range(0, 100) as usize {
            world.name(10_000 + stranger);
        }
        // The first looks after a start come as they can.
        world.run(Span(every * 800 + 2_000_000));
        let longest = world.channels.values().copied().max().unwrap();
        let span = Span::from_s(u64::from(longest) / 5).0.min(every * 1_500);
        for (account, _) in world.channels.clone() {
            let at = world.now + Span(dice.range(0, span / 2 + 1));
            world.closes.insert(account, at);
        }
        world.run(Span(span));
        for stranger in 0..dice.range(0, 50) as usize {
            world.name(20_000 + stranger);
        }
        world.run(Span(span));
        for (account, challenge_s) in &world.channels {
            let bound = Span::from_s(u64::from(*challenge_s)).0 / WATCH_TIMES;
            match world.seen.get(account) {
                Some(took) => {
                    assert!(took.0 <= bound, "seed {seed}: {took:?} of {challenge_s} s / 10, {pace:?}")
                }
                // The run was shorter than the time it has.
                None => assert!(
                    world.now.since(world.closes[account]).0 < bound,
                    "seed {seed}: {challenge_s} s, never"
                ),
            }
        }
    }
}

/// (CH-36)
#[test]
fn where_not_all_can_be_seen_in_time_the_most_money_is() {
    let mut world = World::slow();
    for number in 0..100 {
        world.fund(number, 60, if number == 50 { 500_000_000 } else { 1_000_000 });
    }
    world.run(Span::from_s(600));
    assert!(world.looks.load().1 > WATCH_SHARE_MAX);
    let most = world.count[&account(50)];
    assert!((0..100).filter(|number| *number != 50).all(|number| world.count[&account(number)] < most));
    assert!((0..100).all(|number| world.count[&account(number)] > 0), "and nobody is forgotten");
}

/// As many as there may be come back from disk at once, before the ledger has shown any of them.
#[test]
fn channels_with_vouchers_are_none_that_nobody_funded() {
    let mut world = World::slow();
    for number in 0..1_000 {
        world.looks.voucher(&account(number), Nano(1));
        assert_eq!(world.looks.watch(world.now, account(number), true), None);
    }
    assert_eq!(world.looks.expire(world.now + NEW_WATCHED + SECOND), Vec::<ChannelId>::new());
    assert_eq!(world.order(2_000).len(), 1_000);
}
