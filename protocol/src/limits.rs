//! Every bound of the protocol, with its unit and its reason. (`CO-4`)

use crate::amount::Nano;
use crate::time::Span;

pub use crate::market::limits::*;

/// Bytes of one direct message on the wire: the largest session frame, 32,784 bytes, in its envelope.
pub const FRAME_BYTES_MAX: usize = 33_000;
/// Bytes of one gossip message: what a topic's members forward for free.
pub const GOSSIP_BYTES_MAX: usize = 4_096;
/// Bytes of one sealed message before padding: what fits the largest padding bucket.
pub const SEALED_BODY_BYTES_MAX: usize = crate::session::BODY_BYTES_MAX;
/// Entries in the extensions of one statement.
pub const EXTENSIONS_MAX: usize = 16;
/// Bytes of all values in the extensions of one statement: with them gossip still fits its limit.
pub const EXTENSION_BYTES_MAX: usize = 1_024;
/// Seconds by which a call's or a seek's clock may differ from the receiver's, either way: machines without a time service
/// drift by seconds a day, and a recorded statement is worth nothing two minutes later. (`WI-18`)
pub const CLOCK_SKEW_S_MAX: u64 = 120;
/// Bytes of all text in one task, prompt and inputs together: with a full prefix it still fits one sealed message.
pub const TASK_BYTES_MAX: usize = 20 * 1024;
/// Inputs of one embedding task.
pub const EMBED_INPUTS_MAX: usize = 256;
/// Messages of one chat.
pub const CHAT_MESSAGES_MAX: usize = 128;
/// Bytes of all text in one task and four for each prefix token, which a next provider is made to repeat after a
/// failover: with the heads of its messages and the channel's terms a task fits one sealed message. An answer to a
/// prompt of 1 KiB can be continued after 7,168 tokens.
pub const TASK_AND_PREFIX_BYTES_MAX: usize = 29 * 1024;
/// Stop strings of one task.
pub const STOPS_MAX: usize = 4;
/// Bytes of one stop string: so much of an answer's end may be held back.
pub const STOP_BYTES_MAX: usize = 256;
/// Bytes of vectors in one chunk: 20 vectors of 384 dimensions.
pub const VECTOR_BYTES_MAX: usize = 30_720;

/// Bids kept for one call; later ones are not read, so that a flood of bidders costs the client nothing.
pub const BIDS_MAX: usize = 64;
/// Bids a provider keeps outstanding for each of its slots: most calls are lost, so it may overbook.
pub const BIDS_PER_SLOT_MAX: usize = 16;
/// Bids that a provider holds awardable, leases included: those who award and never pay must not
/// fill its memory.
pub const PROMISES_MAX: usize = 4_096;
/// Bids that a call is made to bring where there are many: more of a crowd make the second score little better.
pub const BIDS_WANTED: usize = 16;
/// Bids of proven providers that end the gathering early. (`MK-20`)
pub const PROVEN_WANTED: usize = 8;
/// Asks that a seek is made to bring where there are many.
pub const ASKS_WANTED: usize = 32;
/// Calls and seeks of a client whose answers are counted at a time.
pub const INVITATIONS_MAX: usize = 1_024;
/// Models for which a client remembers the number of providers.
pub const MODELS_KNOWN_MAX: usize = 1_024;
/// Bytes of a model's name in an ask.
pub const ASK_NAME_BYTES_MAX: usize = 64;
/// Asks kept in a client's book.
pub const ASKS_MAX: usize = 4_096;
/// Of them, those of providers of one prefix: an owner's many names leave room for others.
pub const ASKS_PER_PREFIX_MAX: usize = ASKS_MAX / 4;
/// Asks with which one provider answers one seek; one that offers more models names the others the next time.
pub const ASKS_PER_SEEK_MAX: usize = 16;
/// Seeks of a client whose answers are read at a time.
pub const SEEKS_OPEN_MAX: usize = 1_024;
/// Nodes that a provider tells when it leaves: those that it answered last.
pub const TOLD_MAX: usize = 1_024;
/// Of [`PROMISES_MAX`], those that strangers may hold: a quarter, so that customers' bids never lack room.
pub const STRANGERS_PROMISES_MAX: usize = PROMISES_MAX / 4;
/// Answers a second to all strangers together, to calls, seeks and awards: each costs some 0.3 ms of signatures and seals,
/// so this is a sixteenth of one core. Half of it is free for all; beyond, prefixes share it evenly. (`MK-44`)
pub const STRANGERS_ANSWERS_PER_S: u64 = 200;
/// The same for all customers together: they have paid, and each of their channels has cost them fees.
pub const CUSTOMERS_ANSWERS_PER_S: u64 = 800;
/// Units that an answer takes of these budgets.
pub const ANSWER_UNITS: u64 = 8;
/// What the answer to an award in a kept session takes: it needs no handshake and no seal, and one signature is checked.
pub const KEPT_ANSWER_UNITS: u64 = 2;
/// Answers that an identity may have at once of its share.
pub const ANSWERS_BURST: u64 = 4;
/// Answers that a prefix may have at once of its share: one for each home of a household.
pub const PREFIX_ANSWERS_BURST: u64 = 8;
/// Prefixes whose answers are counted at a time; any beyond them get what nobody else needs.
pub const PACED_PREFIXES_MAX: usize = 1_024;
/// Identities of one prefix whose answers are counted at a time; beyond, they share what the prefix has.
pub const PACED_NODES_MAX: usize = 16;
/// How long a prefix or an identity counts as one that shares, after it last asked.
pub const PACED: Span = Span::from_s(10);
/// Customers remembered, 40 bytes each: those that paid last.
pub const CUSTOMERS_MAX: usize = 8_192;
/// Identities, and prefixes, whose wasted room is remembered.
pub const MARKS_MAX: usize = 1_024;
/// How long an identity gets nothing new after it first wasted room; twice as long after each further time. (`MK-45`)
pub const BACK_OFF: Span = Span::from_s(2);
/// The longest of that.
pub const BACK_OFF_MAX: Span = Span::from_s(64);
/// Times that identities of one prefix may waste room before the prefix comes last: a household has some bad lines.
pub const PREFIX_MARKS_FREE: u32 = 4;
/// How long wasted room is remembered.
pub const MARKED: Span = Span::from_s(600);
/// Strangers' jobs that hold no slot, some 2 KiB each: without their task, without their money, or at their end. (`MK-43`)
pub const STRANGERS_JOBS_MAX: usize = 256;
/// Strangers have one part in this many of a model's slots while customers want more. (`MK-42`)
pub const STRANGERS_SLOTS_PART: u16 = 4;
/// Clients whose answers are remembered for each model and output class: those that were served last.
pub const VOICES_MAX: usize = 16;
/// Of them, those of one prefix, which have one voice together. (`MK-5`)
pub const VOICES_PER_PREFIX_MAX: usize = 4;
/// Clients of whose tasks a provider keeps what they cost against what was expected.
pub const CORRECTIONS_MAX: usize = 4_096;
/// Input of strangers that a provider counts in a second, in the most tokens that it can have (`WR-8`), which are about its bytes: a
/// tokenizer needs a quarter of a core for so much. Half of it is free for all; beyond, prefixes share it evenly. (`WR-25`)
pub const STRANGERS_COUNTS_PER_S: u64 = 256 * 1024;
/// What an identity may have counted at once of its share: more than the largest task.
pub const COUNTS_BURST: u64 = 32 * 1024;
/// The same of a prefix.
pub const PREFIX_COUNTS_BURST: u64 = 64 * 1024;
/// Counts that the engine is asked for at a time, of one client one: an input that comes waits for so many at the most. (`WR-25`)
pub const COUNTS_MAX: usize = 8;
/// Of them, those of strangers.
pub const STRANGERS_COUNTS_MAX: usize = 1;
/// Tasks of one model that wait for a slot. (`MK-48`)
pub const QUEUE_MAX: usize = 64;
/// Of them, those of strangers that keep their places where a customer wants one: a quarter. (`MK-48`)
pub const STRANGERS_QUEUE_MAX: usize = QUEUE_MAX / 4;
/// The longest that a task is let wait for a slot, as far as that can be told.
pub const QUEUE_WAIT_MAX: Span = Span::from_s(60);
/// The latest that a client comes back by appointment. (`MK-50`)
pub const COME_BACK_MAX: Span = Span::from_s(60);
/// An order asks again as long as the wait that is foretold is not so many times as long as it has. (`MK-50`)
pub const WAIT_TIMES_HOPED: u64 = 2;
/// One part in so many is added to a wait that a provider foretells, before an order is told to come back after it. (`MK-50`)
pub const COME_BACK_PARTS: u64 = 8;
/// Appointments to come back that a provider remembers. (`MK-50`)
pub const COMING_BACK_MAX: usize = 256;
/// Of them, those of strangers: a quarter, so that nobody fills the list for nothing.
pub const STRANGERS_COMING_BACK_MAX: usize = COMING_BACK_MAX / 4;
/// Those of one customer: as many as could stand in the line.
pub const COMING_BACK_PER_CUSTOMER_MAX: usize = QUEUE_MAX;
/// Those of one stranger: what it will bring is a word that has cost it nothing.
pub const COMING_BACK_PER_STRANGER_MAX: usize = 4;
/// Declines of one call that are read.
pub const DECLINES_MAX: usize = 64;
/// Turns that customers have at a slot for each one of a stranger, where both wait.
pub const CUSTOMERS_TURNS: u8 = 3;
/// How often a provider says that a job is alive of whose answer nothing has come.
pub const PROGRESS_EVERY: Span = Span::from_s(1);
/// How long a customer's award holds a slot before its task is there: some round trips. (`MK-45`)
pub const AWARD_HOLD: Span = Span::from_s(1);
/// Channels that the ledger has not shown funded, all together: each costs a look at the ledger now and then. (`CH-51`)
pub const UNFUNDED_MAX: usize = 128;
/// Channels of one client that the ledger has not shown funded: one, and one that takes its place.
pub const UNFUNDED_PER_CLIENT_MAX: usize = 2;
/// How long a channel that the ledger has not shown is kept for a voucher that came early, once no job is on it.
pub const EARLY_KEPT: Span = Span::from_s(300);
/// The time over which credit is counted for clients whose channel the ledger has not shown.
/// (`CH-50`)
pub const CREDIT_HOUR: Span = Span::from_s(3_600);
/// Channels on which credit is outstanding; more get none.
pub const LOANS_MAX: usize = 1_024;
/// How often a node is told that the same budget is used up.
pub const CROWD_TOLD: Span = Span::from_s(10);
/// Calls remembered so that a second copy is not answered twice.
pub const CALLS_SEEN_MAX: usize = 4_096;
/// How long a call is remembered at least, unless [`CALLS_SEEN_MAX`] others come: as long as a copy of it can be fresh, which
/// is from two minutes before its time to two minutes after it.
pub const CALL_SEEN: Span = Span::from_s(2 * CLOCK_SKEW_S_MAX);
/// Orders that one client works on at a time: as many as one provider's jobs.
pub const ORDERS_MAX: usize = 1_024;
/// Jobs that one provider serves or has promised to serve at a time.
pub const JOBS_MAX: usize = 1_024;
/// Channels of one node in each direction.
pub const CHANNELS_MAX: usize = 4_096;
/// Providers that a client remembers, well or ill: as many as it can have channels.
pub const PROVIDERS_REMEMBERED_MAX: usize = CHANNELS_MAX;
/// Channels that one client can have, one after the other, with one provider before a salt comes again: so many accounts
/// are looked for when a store is lost. (`CH-28`)
pub const SALTS_PER_PROVIDER: u32 = 1_024;
/// Channels of each direction that are gone from the ledger and kept all the same, those with most at stake: an answer of the
/// ledger can be untrue. (`CH-37`)
pub const GONE_MAX: usize = 256;
/// Channels that could not be opened, kept for what is owed on them: those with the most. (`CH-56`)
pub const DEBTS_MAX: usize = 64;
/// How often an order's largest answer is lowered to what can be paid for. (`MK-13`)
pub const SHORTENINGS_MAX: u8 = 4;
/// How often an order is called anew for what a provider has counted, where its bid was for another class. (`WR-22`)
pub const RECOUNTS_MAX: u8 = 2;
/// How long after a channel is gone the ledger is looked at again; the wait doubles from look to look.
pub const GONE_LOOK: Span = Span::from_s(600);
/// The longest wait between two such looks: a deposit that stands unseen waits no longer than this for its owner.
pub const GONE_LOOK_MAX: Span = Span::from_s(24 * 3_600);
/// The longest wait before a close that the contract refuses is brought again while no challenge runs.
pub const CLOSE_RETRY_MAX: Span = Span::from_s(3_600);
/// The least that the contract pays out at a close: less would use itself up on the way. (`CH-26`)
pub const PAYOUT_MIN: Nano = Nano(500_000);
/// Leases kept by a client.
pub const LEASES_MAX: usize = 256;

/// Output tokens that a provider reckons with for an answer, beside a quarter of what is allowed, until it knows better.
pub const CHAT_TOKENS: u64 = 128;
/// Tokens that a provider gathers into one chunk.
pub const CHUNK_TOKENS: u32 = 8;
/// The longest that a token waits for its chunk to fill.
pub const CHUNK_WAIT: Span = Span::from_ms(5);
/// Chunks sent and not yet acknowledged. They are kept for retransmission.
pub const CHUNKS_UNACKED_MAX: usize = 64;
/// Units that a manifest may let one token count.
pub const WEIGHT_MAX: u32 = 10_000;
/// Output tokens that a provider serves ahead of payment.
pub const WINDOW_TOKENS: u64 = 96;
/// How far ahead of payment an engine is let go by its speed: a receipt, its voucher and a disk at each side take less, and what
/// it makes later may be another job's.
pub const AHEAD: Span = Span::from_s(2);
/// The most that a window counts for, in multiples of the provider's own price, where it bounds
/// what a channel may lose: a second price is above the bid, but what a client offers beyond that
/// is no reason to lose more to it. (`CH-9`)
pub const WINDOW_PRICE_TIMES: u64 = 4;
/// What a client pays on a channel until one nano less is in doubt there. What may be lost to a client that does not pay, by
/// crashes that it cannot cause, grows by no more than that part of what it pays. (`CH-38`)
pub const PAID_PER_DOUBT: u64 = 8;
/// Receipts of one window: one that is about to be due, one on its way and one being paid.
pub const WINDOW_RECEIPTS: u64 = 3;
/// Output tokens of one receipt, which costs both sides a signature, a check and a durable write.
pub const RECEIPT_TOKENS: u64 = WINDOW_TOKENS / WINDOW_RECEIPTS;
/// Chunks of one receipt: half of what may be unacknowledged, as a client acknowledges receipts.
pub const RECEIPT_CHUNKS: u32 = 32;
/// Of what a job and its input come to, reading it for a client that gives up earns one part in so many. (`WR-24`)
pub const READING_PARTS: u128 = 4;
/// Good jobs in a row after which a client pays a provider for reading alone. (`WR-24`)
pub const READING_LEVEL: u8 = 2;
/// The longest that a chunk goes without a receipt while others follow.
pub const RECEIPT_WAIT: Span = Span::from_s(1);

/// How long a client gathers bids unless enough come in before.
pub const BID_WINDOW: Span = Span::from_ms(400);
/// How long bids of those that were called directly are gathered, unless all have answered.
pub const DIRECT_WINDOW: Span = Span::from_ms(150);
/// Of those that are known to sell, how many of the best are called directly; beside them one proven by chance, and one stranger.
/// (`MK-66`)
pub const DIRECT_BEST: usize = 3;
/// Fewer that are known are no market: everybody is called.
pub const DIRECT_MIN: usize = 2;
/// Orders that go without a direct call after one that brought too few bids in time; twice as many after each further one.
pub const DIRECT_SPARED: u16 = 4;
/// The most of that.
pub const DIRECT_SPARED_MAX: u16 = 64;
/// How long a client knows what a provider bid last.
pub const BID_KNOWN: Span = Span::from_s(600);
/// Bids that a client knows so.
pub const BIDS_KNOWN_MAX: usize = 1_024;
/// How long a bid can be awarded, so that the runner-up stays warm for a failover.
pub const BID_VALID: Span = Span::from_s(30);
/// How long a bid that is out counts as a job that may come: the call's window and a few round trips.
pub const BID_EXPECTED: Span = Span::from_s(3);
/// How long a client waits for the answer to an award; it is sent again at half of it.
pub const AWARD_WAIT: Span = Span::from_ms(2_000);
/// How long the end of an order waits for the last bill of what was delivered.
pub const LAST_BILL_WAIT: Span = Span::from_ms(200);
/// Jobs that a provider knows to be over and settled.
pub const ENDED_JOBS_MAX: usize = 16_384;
/// Outputs of one channel that wait for the disk; of what would be said to its peer beyond that, nothing waits: it is said again.
pub const LANE_MAX: usize = 256;
/// How long a provider that has taken an award in a kept session leaves that unsaid.
pub const ACCEPT_WAIT: Span = Span::from_ms(300);
/// How long a session is kept for further jobs, from its handshake.
pub const SESSION_KEPT: Span = Span::from_s(300);
/// Sessions that a provider keeps for one client.
pub const CLIENT_SESSIONS_MAX: usize = 4;
/// The same for all of them together.
pub const SESSIONS_MAX: usize = 4_096;
/// How long a provider that was awarded waits for the task.
pub const TASK_WAIT: Span = Span::from_s(5);
/// How long a client waits between chunks before it asks for the missing one again.
pub const CHUNK_RETRY: Span = Span::from_ms(700);
/// How long a client waits without any progress before it goes elsewhere.
pub const STALL_WAIT: Span = Span::from_ms(4_000);
/// How much longer than twice what it promised a provider's word alone keeps a client waiting for its turn. (`WR-16`)
pub const WORD_WAIT: Span = Span::from_s(20);
/// A provider's promise of time counts for at most one part in this many of the time that its order
/// has left: three times that, and [`STALL_WAIT`], are waited for, and the rest is left to another
/// provider. (`WR-16`)
pub const PROMISE_PARTS: u64 = 4;
/// How long a provider waits for payment before it stops a job.
pub const PAYMENT_WAIT: Span = Span::from_s(20);
/// Vouchers that a provider has asked for on a channel and not looked at: as many as tokens are on their way. (`CH-54`)
pub const VOUCHERS_ASKED_MAX: u32 = 96;
/// How long after an answer to a demand of payment a client answers none on the same job: half as long as demands are apart. (`CH-55`)
pub const DEMAND_EVERY: Span = CHUNK_RETRY.half();
/// Demands on one job that a client accuses nobody of, beside one for each chunk and each [`CHUNK_RETRY`]. (`CH-55`)
pub const DEMANDS_MAX: u64 = CHUNKS_UNACKED_MAX as u64;
/// A job that has stood still for money for longer says nothing of how fast its engine is. (`MK-48`)
pub const STOOD_STILL: Span = Span::from_ms(250);
/// How long a provider waits for its own engine to say anything about a job before it gives the job up.
pub const ENGINE_WAIT: Span = Span::from_s(60);
/// How long a provider waits for the payment of a stranger that has a channel and does not pay on it, while the engine stands
/// still for it: a voucher takes a round trip and a write.
pub const STRANGER_PAYMENT_WAIT: Span = Span::from_s(5);
/// Bytes of chunks that one repetition sends to a client that acknowledges nothing; the first chunk always goes. (`WR-12`)
pub const REPEAT_BYTES_MAX: usize = 64 * 1024;
/// For how long a client that speaks of other jobs on a channel has not spoken of one that it was asked about when it is taken to have
/// forgotten that. (`CH-9`)
pub const FORGOTTEN_AFTER: Span = Span::from_ms(2_800);
/// How long a provider repeats unacknowledged chunks before it gives a client up.
pub const CLIENT_WAIT: Span = Span::from_s(10);
/// How long a provider keeps a finished job to answer repeated messages.
pub const LINGER: Span = Span::from_s(5);
/// The longest time between two calls of one order: a client that is not served calls again until the order's deadline,
/// and each time waits twice as long. (`MK-15`)
pub const CALL_WAIT_MAX: Span = Span::from_s(5);
/// How often it is said that nobody can do a task before an order believes it: by prefixes of those that have served, or to
/// calls for which nobody else bids. (`MK-47`)
pub const FINAL_REFUSALS: usize = 2;
/// Prefixes that refuse a task for what it is, before an order believes them although others may bid.
pub const FINAL_REFUSALS_MAX: usize = 8;
/// How long an order whose model nobody sells waits for a seller that has just come.
pub const SELLER_GRACE: Span = Span::from_s(3);
/// How long one that has let a call to everybody pass, and has asked anew since, may be silent before its asks count for nothing.
/// (`MK-65`)
pub const SILENT_ASK: Span = Span::from_s(10);
/// Life of an ask.
pub const ASK_VALID: Span = Span::from_s(60);
/// How long asks that answer a seek are read.
pub const SEEK_WAIT: Span = Span::from_s(2);
/// Sellers that are asked for their price of a task before it is quoted. (`MK-64`)
pub const PRICES_ASKED_MAX: usize = 16;
/// How long a client waits before it seeks a model again that somebody offers.
pub const SEEK_EVERY: Span = Span::from_s(5);
/// How long it waits after a seek that nobody answered.
pub const SEEK_RETRY: Span = Span::from_s(1);
/// Where the lowest ask of those that have served well has fallen to this part of what it was when a lease was won, the market is
/// worth another look. (`MK-14`)
pub const LEASE_DEAR_PARTS: u128 = 7;
/// The whole of it.
pub const LEASE_DEAR_OF: u128 = 8;
/// How long the winner of an auction is used again without a new one.
pub const LEASE_VALID: Span = Span::from_s(300);
/// How long a client asks for no top-up before a job needs it, after one that came to nothing. (`CH-20`)
pub const EARLY_TOP_UP_PAUSE: Span = Span::from_s(600);
/// How long a client waits for a ledger call before it says that the ledger does not answer.
pub const LEDGER_WAIT: Span = Span::from_s(30);
/// How often a provider must be able to see a close within the channel's challenge time: it has half of that time to answer
/// alone, and several tries in it.
pub const WATCH_TIMES: u64 = 10;
/// How often it must be able to, or else it closes channels: a close that is seen later than
/// half-way is the watcher's to answer.
pub const WATCH_TIMES_LEAST: u64 = 2;
/// Millionths of all looks at the ledger that channels may need: three of four turns are theirs, and placing each look in the
/// second half of its gap costs half of that.
pub const WATCH_SHARE_MAX: u64 = 375_000;
/// The part of the room left that a bid asks a new channel to be content with: a sixteenth, so that there always is some.
pub const WATCH_ROOM_PARTS: u64 = 16;
/// How long a channel on which less than [`SETTLE_AT_STRAINED`] was ever paid must have been
/// without a job before it makes room for a newcomer, where room to watch is scarce: a client that
/// asks more often keeps its channel. (`CH-35`)
pub const POOR_IDLE: Span = Span::from_s(3_600);
/// Unsettled nano at which a channel is settled while its node looks at the ledger too seldom: the least that a claim
/// without a wallet may bring.
pub const SETTLE_AT_STRAINED: Nano = Nano(5_000_000);
