//! One row for each order with its outcome, packed tightly because a run may have a million of them.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Bill, Failure};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::message::Finish;

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has not.
    Open,
    /// With a complete answer.
    Done,
    /// Without.
    Failed(Failure),
    /// Its client lost power.
    Lost,
}

/// One order, in little room: a run may have a million of them.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// The host that ordered.
    pub client: u32,
    /// When.
    pub at: Time,
    /// Auctions that were held for it.
    pub auctions: u32,
    /// How many hosts' bids could have been awarded in the last of them.
    pub bidders: u32,
    /// What it cost, all attempts together.
    pub cost: Nano,
    /// Receipts that were checked.
    pub receipts: u32,
    /// Vouchers that were signed.
    pub vouchers: u32,
    input_tokens: u32,
    output_tokens: u32,
    /// The host that served it last, or [`NOBODY`].
    server: u32,
    state: State,
    finish: Option<Finish>,
    ended: Time,
    bids_at: Time,
    awarded_at: Time,
    first_at: Time,
    matched: Span,
    first_content: Span,
    lowest_list: Nano,
    trouble: Option<Box<Trouble>>,
}

/// Stands for a time, a span or an amount that there is not, in the room of one that there is.
const NONE: u64 = u64::MAX;
/// Stands for no host.
const NOBODY: u32 = u32::MAX;

/// An [`Outcome`] without its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Done,
    Failed,
    Lost,
}

/// The part of a row that few orders need, kept apart so that the others stay small.
#[derive(Debug, Clone, Default)]
struct Trouble {
    failovers: Vec<Failover>,
    /// Providers that served it before the last one.
    earlier: Vec<u32>,
    why: Option<Failure>,
}

/// A provider that failed an order and was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failover {
    /// When.
    pub at: Time,
    /// The provider.
    pub from: Option<u32>,
    /// How.
    pub why: Failure,
}

fn time(at: Time) -> Option<Time> {
    (at.0 != NONE).then_some(at)
}

fn span(span: Span) -> Option<Span> {
    (span.0 != NONE).then_some(span)
}

impl JobRow {
    /// Creates an order that is given now.
    pub(crate) fn new(client: u32, at: Time) -> Self {
        let (never, endless) = (Time(NONE), Span(NONE));
        Self {
            client,
            at,
            auctions: 0,
            bidders: 0,
            cost: Nano::ZERO,
            receipts: 0,
            vouchers: 0,
            input_tokens: 0,
            output_tokens: 0,
            server: NOBODY,
            state: State::Open,
            finish: None,
            ended: never,
            bids_at: never,
            awarded_at: never,
            first_at: never,
            matched: endless,
            first_content: endless,
            lowest_list: Nano(NONE),
            trouble: None,
        }
    }

    /// Returns how it ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match (self.state, self.trouble.as_ref().and_then(|trouble| trouble.why)) {
            (State::Done, _) => Outcome::Done,
            (State::Failed, Some(why)) => Outcome::Failed(why),
            (State::Lost, _) => Outcome::Lost,
            (State::Open | State::Failed, _) => Outcome::Open,
        }
    }

    /// Returns whether it ended with a complete answer.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Returns when it ended.
    #[must_use]
    pub fn ended(&self) -> Option<Time> {
        time(self.ended)
    }

    /// Returns when the first auction for it was over; never for an order on a lease.
    #[must_use]
    pub fn bids_at(&self) -> Option<Time> {
        time(self.bids_at)
    }

    /// Returns when the provider that made the first content took it.
    #[must_use]
    pub fn awarded_at(&self) -> Option<Time> {
        time(self.awarded_at)
    }

    /// Returns when the first content was there.
    #[must_use]
    pub fn first_at(&self) -> Option<Time> {
        time(self.first_at)
    }

    /// Returns the time from the order to the award's acceptance, as its client measured it.
    #[must_use]
    pub fn matched(&self) -> Option<Span> {
        span(self.matched)
    }

    /// Returns the time from the order to the first content, as its client measured it.
    #[must_use]
    pub fn first_content(&self) -> Option<Span> {
        span(self.first_content)
    }

    /// Returns input and output tokens billed, all attempts together.
    #[must_use]
    pub fn tokens(&self) -> (u64, u64) {
        (u64::from(self.input_tokens), u64::from(self.output_tokens))
    }

    /// Returns the host that served it last.
    #[must_use]
    pub fn server(&self) -> Option<u32> {
        (self.server != NOBODY).then_some(self.server)
    }

    /// Returns what the answer would have cost at the lowest list price among the bidders, if there
    /// was an auction.
    #[must_use]
    pub fn lowest_list(&self) -> Option<Nano> {
        (self.lowest_list.0 != NONE).then_some(self.lowest_list)
    }

    /// Providers that failed it.
    #[must_use]
    pub fn failovers(&self) -> &[Failover] {
        self.trouble.as_ref().map_or(&[], |trouble| &trouble.failovers)
    }

    /// Returns the wait for the first content in three: for bids, for a provider that takes the
    /// job, for what it does. Failures in between are of the second.
    #[must_use]
    pub fn phases(&self) -> Option<[Span; 3]> {
        let (awarded, first) = (self.awarded_at()?, self.first_at()?);
        let bids = self.bids_at().unwrap_or(self.at).min(awarded);
        Some([bids.since(self.at), awarded.since(bids), first.since(awarded)])
    }

    /// Records that an auction for it is over, in which the bids of so many hosts could have been awarded.
    pub(crate) fn auctioned(&mut self, now: Time, bidders: u32) {
        self.auctions += 1;
        self.bidders = bidders;
        self.bids_at = self.bids_at.min(now);
    }

    /// Records that a provider took it.
    pub(crate) fn awarded(&mut self, now: Time) {
        if self.first_at().is_none() {
            self.awarded_at = now;
        }
    }

    /// Records that a part of the answer is there.
    pub(crate) fn told(&mut self, now: Time) {
        self.first_at = self.first_at.min(now);
    }

    /// Records that a provider failed it.
    pub(crate) fn failed_over(&mut self, failover: Failover) {
        self.trouble().failovers.push(failover);
    }

    /// Records that it has a complete answer.
    pub(crate) fn done(&mut self, now: Time) {
        (self.state, self.ended) = (State::Done, now);
    }

    /// Records that it has no answer.
    pub(crate) fn failed(&mut self, now: Time, why: Failure) {
        (self.state, self.ended) = (State::Failed, now);
        self.trouble().why = Some(why);
    }

    /// Records that its client lost power.
    pub(crate) fn lost(&mut self, now: Time) {
        (self.state, self.ended) = (State::Lost, now);
    }

    /// Returns what it came to, and what that would have been at the lowest list price among the
    /// bidders.
    pub(crate) fn billed(
        &mut self,
        bill: &Bill,
        lowest: Option<Nano>,
        host_of: impl Fn(&NodeId) -> Option<u32>,
    ) {
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        self.cost = bill.cost;
        (self.input_tokens, self.output_tokens) = (small(bill.input_tokens), small(bill.output_tokens));
        (self.receipts, self.vouchers, self.finish) = (bill.receipts, bill.vouchers, bill.finish);
        self.matched = bill.matched.unwrap_or(Span(NONE));
        self.first_content = bill.first_token.unwrap_or(Span(NONE));
        self.lowest_list = lowest.unwrap_or(Nano(NONE));
        if let Some((last, earlier)) = bill.providers.split_last() {
            self.server = host_of(last).unwrap_or(NOBODY);
            if !earlier.is_empty() {
                self.trouble().earlier = earlier.iter().filter_map(host_of).collect();
            }
        }
    }

    /// Adds the outcome to a digest: how and when the order ended, which hosts served it and what was billed.
    pub(crate) fn digest(&self, hasher: &mut blake3::Hasher) {
        for number in [self.ended.0, self.cost.0, self.matched.0, self.first_content.0] {
            hasher.update(&number.to_le_bytes());
        }
        for count in [self.input_tokens, self.output_tokens, self.receipts, self.vouchers, self.server] {
            hasher.update(&count.to_le_bytes());
        }
        hasher.update(&[self.state as u8, self.finish.map_or(0, |finish| 1 + finish as u8)]);
        if let Some(trouble) = &self.trouble {
            trouble.earlier.iter().for_each(|host| _ = hasher.update(&host.to_le_bytes()));
            hasher.update(format!("{:?}", trouble.why).as_bytes());
        }
    }

    fn trouble(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    #[test]
    fn an_order_is_kept_whole_in_two_lines_of_the_cache() {
        let mut row = JobRow::new(7, Time(100));
        assert_eq!(
            (row.outcome(), row.ended(), row.server(), row.phases()),
            (Outcome::Open, None, None, None)
        );
        row.auctioned(Time(200), 5);
        row.awarded(Time(250));
        row.failed_over(Failover { at: Time(260), from: Some(1), why: Failure::Stalled });
        row.auctioned(Time(300), 4);
        row.awarded(Time(350));
        row.told(Time(400));
        row.told(Time(450));
        row.done(Time(500));
        let bill = Bill {
            providers: vec![node(1), node(2)],
            input_tokens: 3,
            output_tokens: 4,
            cost: Nano(9),
            matched: Some(Span(250)),
            ..Bill::default()
        };
        row.billed(&bill, Some(Nano(8)), |node| Some(u32::from(node.0[0])));
        assert_eq!((row.outcome(), row.ended(), row.server()), (Outcome::Done, Some(Time(500)), Some(2)));
        assert_eq!((row.auctions, row.bidders, row.tokens(), row.cost), (2, 4, (3, 4), Nano(9)));
        assert_eq!(row.phases(), Some([Span(100), Span(150), Span(50)]));
        assert_eq!(
            (row.matched(), row.first_content(), row.lowest_list()),
            (Some(Span(250)), None, Some(Nano(8)))
        );
        assert_eq!(row.failovers().len(), 1);
        row.failed(Time(600), Failure::Deadline);
        assert_eq!(row.outcome(), Outcome::Failed(Failure::Deadline));
        assert!(size_of::<JobRow>() <= 128, "{}", size_of::<JobRow>());
    }

    #[test]
    fn a_digest_depends_on_what_came_of_an_order() {
        let digest = |change: &dyn Fn(&mut JobRow)| {
            let (mut row, mut hasher) = (JobRow::new(7, Time(100)), blake3::Hasher::new());
            row.done(Time(500));
            change(&mut row);
            row.digest(&mut hasher);
            hasher.finalize()
        };
        let bill = |cost, by| Bill { providers: vec![node(by)], cost: Nano(cost), ..Bill::default() };
        let by = |node: &NodeId| Some(u32::from(node.0[0]));
        let changes: [&dyn Fn(&mut JobRow); 6] = [
            &|_| (),
            &|row| row.done(Time(501)),
            &|row| row.lost(Time(500)),
            &|row| row.failed(Time(500), Failure::Deadline),
            &|row| row.billed(&bill(1, 1), None, by),
            &|row| row.billed(&bill(1, 2), None, by),
        ];
        let digests: std::collections::BTreeSet<_> =
            changes.iter().map(|change| *digest(change).as_bytes()).collect();
        assert_eq!(digests.len(), changes.len());
    }
}
