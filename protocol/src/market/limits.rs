//! What a client goes by when it weighs bids: how long it remembers whom, when it tries somebody else, and what a bid may ask.

use crate::time::Span;

/// Seconds for which a provider is not asked after its first failure; each further one makes it four times as long.
pub const FAILURE_REST_S: u64 = 120;
/// The longest of these rests in seconds: a machine that was mended overnight is tried again.
pub const FAILURE_REST_S_MAX: u64 = 86_400;
/// How long after its failure a provider that is being left alone is asked all the same where nobody else bids; twice as long
/// after each further one. (`MK-31`)
pub const SECOND_CHANCE: Span = Span::from_s(4);
/// The longest of these pauses.
pub const SECOND_CHANCE_MAX: Span = Span::from_s(32);
/// Good jobs that make up for one failure.
pub const GOOD_JOBS_A_FAILURE: u8 = 3;
/// Failures of unproven providers of one prefix after which no unproven one of it is asked: the first may be a neighbour's
/// bad luck, the third is the owner's.
pub const PREFIX_FAILURES: u8 = 3;
/// Refusals and empty answers in a row of one that never served that count as a failure: overbooked newcomers refuse
/// now and then.
pub const REFUSALS_A_FAILURE: u8 = 3;
/// Times in a row that a provider may be too slow for one order of a client while it works on others of it. (`MK-31`)
pub const SLOW_WHILE_IT_WORKS: u8 = 4;
/// How many times as long as it promised a provider may take for what it writes, and [`SLOW_BEYOND`] more, before an order's deadline
/// is its fault. (`MK-31`)
pub const SLOW_TIMES: u64 = 4;
/// What is added to that, for the way and small answers.
pub const SLOW_BEYOND: Span = Span::from_s(2);
/// How long after anything of use came from a provider it counts as at work for this client, so that it may well be full. (`MK-31`)
pub const WORKS: Span = Span::from_s(10);
/// Orders of a client for a model for each one that may go to somebody else than the best bidder. (`MK-33`)
pub const EXPLORE_EVERY: u32 = 8;
/// The same where all strangers that were tried so far have failed.
pub const EXPLORE_EVERY_MAX: u32 = 128;
/// The same where those tried were known and no better.
pub const EXPLORE_KNOWN_EVERY_MAX: u32 = 32;
/// Time for each order that passes its lease over for such a try: their calls go to everybody, and an author who gossips more
/// than eight a second is not heard. (`MK-33`)
pub const EXPLORE_PACE: Span = Span::from_ms(500);
/// How far ahead of that time they may be: eight at once.
pub const EXPLORE_BURST: Span = Span::from_s(4);
/// Prefixes of which a client remembers how often it tried them, for each model.
pub const PREFIXES_TRIED_MAX: usize = 1_024;
/// Newest good jobs of a model, bids that won it, and answers of one class that a client measures the next by: one dear
/// order does not move their median.
pub const HISTORY_JOBS: usize = 16;
/// Bids that must have won before their median says anything. Who is new pays bids, so that it is no prey for shills.
pub const WON_MIN: usize = 4;
/// Of the bids that won lately, those of one prefix while others have won as well.
pub const WON_A_PREFIX_MAX: usize = 4;
/// Jobs over which the speed of a provider is measured.
pub const TIMED_JOBS: u64 = 32;
/// A winner is paid at most this many eighths of the median of the bids that won lately: it is the least that pays truth, from
/// two bidders to sixteen. (`MK-8`)
pub const PAID_EIGHTHS_MAX: u64 = 9;
/// A bid asks at most so many times the median of the bids that won lately, unless the user says otherwise. (`MK-52`)
pub const CEILING_TIMES: u64 = 2;
/// That is doubled once in this time for orders that end because all bids ask more. (`MK-52`)
pub const CEILING_LIFTED_EVERY: Span = Span::from_s(600);
/// Bids of so many prefixes that ask about the same are a market, whose price may have risen: what won lately bounds none of them.
/// (`MK-52`)
pub const MARKET_PREFIXES_MIN: usize = 3;
/// Bids ask about the same within one part in so many of the lowest.
pub const MARKET_PARTS: u64 = 4;
/// Scores are equal within one part in so many of the best: less than padding a bid can gain.
pub const TIE_PARTS: u64 = 50;
/// A second of waiting is worth one part in ten of the bill, unless the user says otherwise: a millisecond one in so many.
pub const WAIT_PARTS: u64 = 10_000;
/// Bids of one prefix that are read in an auction, of proven providers; of others it is one. (`MK-51`)
pub const BIDS_A_PREFIX_MAX: usize = 2;
/// The most that a new channel to a provider that never finished a job holds, in ceilings of the
/// job: the job itself, and a second one beside it.
pub const STRANGER_CEILINGS: u64 = 2;
/// Good jobs in a row that let a deposit grow: it is 64 ceilings then. (`CH-31`)
pub const DEPOSIT_LEVEL_MAX: u8 = 5;
/// Good jobs in a row after which a provider may ask for a long challenge time.
pub const CHALLENGE_LEVEL: u8 = 2;
/// The longest challenge time, in seconds, that a provider with fewer good jobs gets, unless the client itself proposes a
/// longer one.
pub const CHALLENGE_STRANGER_S: u32 = 3_600;
/// How long a channel that was opened to a stranger keeps others waiting with theirs: a ledger's few blocks, and a first
/// token after them.
pub const STRANGER_TURN: Span = Span::from_s(15);
/// Nano-seconds of locked coins that weigh one nano in a score: a coin locked for a day weighs 0.000864.
pub const LOCK_NANO_S: u64 = 100_000_000;
