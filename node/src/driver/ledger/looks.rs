//! Which channel is looked at next: a plain structure, told what was seen and asked for the next account.
//!
//! Turns are dealt in a fixed cycle ([`CYCLE`]), so that no kind of channel can take those of another:
//!
//! | turn | channels | in which order |
//! |---|---|---|
//! | at stake | those whose missed close would cost money, in the second half of the gap that [`Pace::gap`] allows | the one that must be seen first; where not all can be, closing ones, then the most money times the time unseen |
//! | pressing | closing channels, then those whose last look needs a second one | the one that waits longest |
//! | new | channels that the ledger has not shown funded | the newest first; each ever more rarely, and none for long |
//!
//! A turn that its kind does not need goes to the next kind; what all leave goes to any channel that was not looked at for the
//! configured time, money first. A look that is under way holds up no other. (`CH-36`)

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::pace::{Pace, fits};
use bombyx_protocol::time::{Span, Time};

use super::limits::{
    CLOSING_GAP_MAX, CYCLE, FAILURES_COUNTED, NEW_MAX, NEW_WATCHED, SPARE_APART, Turn, WATCHED_MAX,
};

/// What the ledger has shown of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Standing {
    /// Nothing yet, or no funded channel.
    #[default]
    Unfunded,
    /// A deposit.
    Funded { challenge_s: u32, settled: Nano, closing: bool },
}

/// Every watched channel, and which is looked at next.
pub(super) struct Looks {
    channels: BTreeMap<ChannelId, Channel>,
    /// Vouchers on accounts that are not watched yet.
    early: BTreeMap<ChannelId, Nano>,
    pace: Pace,
    /// The least time between two looks at one channel that nothing urges.
    poll: Span,
    turn: usize,
}

#[derive(Debug, Default)]
struct Channel {
    /// Whether a close that is missed costs this node, or whom it watches for, money.
    at_stake: bool,
    standing: Standing,
    /// What the newest voucher that this node knows of comes to.
    cumulative: Nano,
    named_at: Time,
    /// When the last look began.
    began_at: Option<Time>,
    looking: bool,
    /// The last look needs a second one.
    again: bool,
    /// Looks in a row that showed nothing.
    failures: u32,
}

/// The next account to look at, or when to ask again; `None` is at the next news.
pub(super) type Next = Result<ChannelId, Option<Time>>;

/// What a channel asks for at one moment.
enum Wish {
    /// Not before.
    At(Time),
    /// A look by this time.
    AtStake(Time),
    Pressing,
    New,
    /// A look some time, if there is a turn to spare.
    Spare,
}

impl Looks {
    pub(super) fn new(poll: Span) -> Self {
        let pace = Pace { every: Span(0), delay: Span(0) };
        Self { channels: BTreeMap::new(), early: BTreeMap::new(), pace, poll, turn: 0 }
    }

    pub(super) fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Watches an account. Returns one that is watched no more for it: the oldest of too many that were never funded.
    pub(super) fn watch(&mut self, now: Time, account: ChannelId, at_stake: bool) -> Option<ChannelId> {
        let channel =
            self.channels.entry(account).or_insert_with(|| Channel { named_at: now, ..Channel::default() });
        channel.at_stake |= at_stake;
        channel.again = true;
        channel.cumulative = channel.cumulative.max(self.early.remove(&account).unwrap_or(Nano::ZERO));
        let new = self.channels.iter().filter(|(_, channel)| channel.is_new());
        if new.clone().count() <= NEW_MAX {
            return None;
        }
        let oldest = new.min_by_key(|(_, channel)| channel.named_at).map(|(account, _)| *account)?;
        self.forget(&oldest);
        Some(oldest)
    }

    /// Whether a missed close of it costs money from now on.
    pub(super) fn set_at_stake(&mut self, account: &ChannelId, at_stake: bool) {
        if let Some(channel) = self.channels.get_mut(account) {
            channel.at_stake = at_stake;
        }
    }

    pub(super) fn forget(&mut self, account: &ChannelId) {
        self.channels.remove(account);
    }

    /// There is a voucher over this total: the first one on a channel makes a look due. One that is told before its channel is
    /// watched keeps that from counting as one that nobody has funded.
    pub(super) fn voucher(&mut self, account: &ChannelId, cumulative: Nano) {
        if let Some(channel) = self.channels.get_mut(account) {
            channel.again |= channel.stake() == Nano::ZERO && cumulative > channel.settled();
            channel.cumulative = channel.cumulative.max(cumulative);
        } else if self.early.len() < WATCHED_MAX {
            self.early.insert(*account, cumulative);
        }
    }

    /// Notes that a look at it, or a call on it, has shown this; with `again`, a second look is
    /// needed at once.
    pub(super) fn seen(&mut self, account: &ChannelId, standing: Standing, again: bool) {
        if let Some(channel) = self.channels.get_mut(account) {
            channel.standing = standing;
            channel.again = again;
        }
    }

    /// What the last look showed needs a second one.
    pub(super) fn again(&mut self, account: &ChannelId) {
        if let Some(channel) = self.channels.get_mut(account) {
            channel.again = true;
        }
    }

    /// Notes that a look at it has ended, and `showed` something or failed.
    pub(super) fn ended(&mut self, account: &ChannelId, showed: bool) {
        if let Some(channel) = self.channels.get_mut(account) {
            channel.looking = false;
            channel.failures = if showed { 0 } else { channel.failures.saturating_add(1) };
        }
    }

    /// Notes that the ledger answers again: what could not be looked at waits no longer than anything else.
    pub(super) fn retry(&mut self) {
        self.channels.values_mut().for_each(|channel| channel.failures = 0);
    }

    /// Accounts that were never funded and have been watched long enough. They are watched no more.
    pub(super) fn expire(&mut self, now: Time) -> Vec<ChannelId> {
        let old = |channel: &Channel| channel.is_new() && now.since(channel.named_at) > NEW_WATCHED;
        let expired: Vec<ChannelId> =
            self.channels.iter().filter(|(_, channel)| old(channel)).map(|(account, _)| *account).collect();
        expired.iter().for_each(|account| self.forget(account));
        expired
    }

    /// Returns how many channels are at stake, and the share of all looks that they need.
    pub(super) fn load(&self) -> (usize, u64) {
        let at_stake = self.channels.values().filter_map(|channel| channel.staked_challenge_s());
        at_stake.fold((0, 0), |(count, taken), s| (count + 1, self.pace.share(s).saturating_add(taken)))
    }

    /// Begins a look at the account that it returns. While the ledger is `busy` with calls, no look is spared for what
    /// nothing urges.
    pub(super) fn next(&mut self, now: Time, busy: bool) -> Next {
        let overloaded = !fits(self.load().1);
        let number = u64::try_from(self.channels.len()).unwrap_or(u64::MAX);
        let spare = Span(SPARE_APART.0.saturating_mul(number)).max(self.poll);
        let mut best = Best::default();
        for (account, channel) in self.channels.iter().filter(|(_, channel)| !channel.looking) {
            match channel.wish(now, self.pace, self.poll, spare) {
                Wish::At(at) => best.at = Some(best.at.map_or(at, |known| known.min(at))),
                Wish::AtStake(by) if overloaded => {
                    best.at_stake
                        .offer((channel.is_closing(), channel.urgency(now), u64::MAX - by.0), *account);
                }
                Wish::AtStake(by) => best.at_stake.offer((false, 0, u64::MAX - by.0), *account),
                Wish::Pressing => {
                    best.pressing.offer((channel.is_closing(), channel.unseen(now).0), *account)
                }
                Wish::New => best.new.offer(channel.named_at, *account),
                Wish::Spare => {
                    best.spare
                        .offer((channel.at_stake, channel.urgency(now), channel.unseen(now).0), *account);
                }
            }
        }
        // A turn is not worth more than a gap that is about to end.
        let last_moment =
            best.at_stake.rank().is_some_and(|(_, _, rank)| u64::MAX - rank <= (now + self.pace.every).0);
        let turn = if last_moment && !overloaded {
            Turn::AtStake
        } else {
            CYCLE.get(self.turn).copied().unwrap_or(Turn::AtStake)
        };
        let (at_stake, pressing, new) = (best.at_stake.get(), best.pressing.get(), best.new.get());
        let spare = best.spare.get().filter(|_| !busy);
        let found = match turn {
            Turn::AtStake => at_stake.or(pressing).or(spare).or(new),
            Turn::Pressing => pressing.or(at_stake).or(new).or(spare),
            Turn::New => new.or(pressing).or(at_stake).or(spare),
        };
        let Some(account) = found else {
            // What has to wait for the calls to end is asked for again when one has.
            return Err(best.at);
        };
        self.turn = (self.turn + 1) % CYCLE.len();
        if let Some(channel) = self.channels.get_mut(&account) {
            channel.looking = true;
            channel.again = false;
            channel.began_at = Some(now);
        }
        Ok(account)
    }
}

/// The best account of each kind.
#[derive(Default)]
struct Best {
    at_stake: Top<(bool, u128, u64)>,
    pressing: Top<(bool, u64)>,
    new: Top<Time>,
    spare: Top<(bool, u128, u64)>,
    at: Option<Time>,
}

/// The account with the highest rank so far; of equals, the first.
struct Top<R>(Option<(R, ChannelId)>);

impl<R> Default for Top<R> {
    fn default() -> Self {
        Self(None)
    }
}

impl<R: PartialOrd> Top<R> {
    fn offer(&mut self, rank: R, account: ChannelId) {
        if self.0.as_ref().is_none_or(|(best, _)| rank > *best) {
            self.0 = Some((rank, account));
        }
    }

    fn rank(&self) -> Option<&R> {
        self.0.as_ref().map(|(rank, _)| rank)
    }

    fn get(&self) -> Option<ChannelId> {
        self.0.as_ref().map(|(_, account)| *account)
    }
}

impl Channel {
    /// Returns whether it was named, by a stranger perhaps, and never funded.
    fn is_new(&self) -> bool {
        self.at_stake && self.standing == Standing::Unfunded && self.cumulative == Nano::ZERO
    }

    const fn settled(&self) -> Nano {
        match self.standing {
            Standing::Unfunded => Nano::ZERO,
            Standing::Funded { settled, .. } => settled,
        }
    }

    /// Returns what a close would take away.
    fn stake(&self) -> Nano {
        self.cumulative.saturating_minus(self.settled())
    }

    const fn is_closing(&self) -> bool {
        matches!(self.standing, Standing::Funded { closing: true, .. })
    }

    const fn staked_challenge_s(&self) -> Option<u32> {
        match self.standing {
            Standing::Funded { challenge_s, .. } if self.at_stake => Some(challenge_s),
            Standing::Funded { .. } | Standing::Unfunded => None,
        }
    }

    /// Returns since when it was not looked at.
    fn unseen(&self, now: Time) -> Span {
        now.since(self.began_at.unwrap_or(self.named_at))
    }

    /// Returns the money times the time unseen.
    fn urgency(&self, now: Time) -> u128 {
        u128::from(self.stake().0) * u128::from(self.unseen(now).0)
    }

    fn wish(&self, now: Time, pace: Pace, poll: Span, spare: Span) -> Wish {
        let Some(began_at) = self.began_at else {
            return if self.is_new() { Wish::New } else { Wish::Pressing };
        };
        let wait =
            |span: Span, then: Wish| if now >= began_at + span { then } else { Wish::At(began_at + span) };
        if self.is_new() {
            // Ever more rarely: half as long again as it is known.
            let pause = began_at.since(self.named_at).half().max(poll);
            return wait(pause, Wish::New);
        }
        if self.failures > 0 {
            let pause = Span(poll.0.saturating_mul(1 << self.failures.min(FAILURES_COUNTED)));
            let gap = self.staked_challenge_s().and_then(|s| pace.gap(s));
            return wait(gap.map_or(pause, |gap| pause.min(gap.half())), Wish::Pressing);
        }
        let gap = self.staked_challenge_s().map(|s| pace.gap(s).unwrap_or(pace.every).max(Span(1)));
        if let Some(gap) = gap.filter(|gap| now >= began_at + gap.half()) {
            return Wish::AtStake(began_at + gap);
        }
        if self.again {
            return Wish::Pressing;
        }
        let rest = if self.is_closing() {
            wait(gap.map_or(CLOSING_GAP_MAX, Span::half).min(CLOSING_GAP_MAX).max(poll), Wish::Pressing)
        } else {
            wait(spare, Wish::Spare)
        };
        match (rest, gap) {
            (Wish::At(at), Some(gap)) => Wish::At(at.min(began_at + gap.half())),
            (rest, _) => rest,
        }
    }
}
