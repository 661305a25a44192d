//! What providers do with their jobs that mean to be paid for nothing.

use bombyx_protocol::wire::message::Refusal;

/// What a thief does with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// It answers no award.
    Deaf,
    /// It takes the award and says no more.
    Mute,
    /// It wants to see money, and says no more.
    MoneyFirst,
    /// It bills the whole price for an empty chunk.
    BillsNothing,
    /// It sends an empty chunk with a true receipt, again and again.
    Empty,
    /// So many tokens, then nothing.
    Tokens(u32),
    /// So many tokens and an end.
    Short(u32),
    /// It says that it is busy.
    Busy,
    /// It takes the award and refuses the task for this reason.
    Refuses(Refusal),
    /// It takes the award and counts so many tokens more each time.
    Counts(u32),
    /// So many tokens, and once they are paid it counts more input.
    CountsLate(u32),
    /// It takes the award, refuses the task as busy, and bills so many tokens all the same.
    BillsRefused(u32),
    /// It takes the award, sends an empty chunk, and refuses the task as busy.
    EmptyBusy,
    /// It wants to see money, so many times at once.
    Demands(u32),
    /// It sends its first chunk so many times, each in a frame of its own.
    Copies(u32),
    /// It answers well, and then sends its last chunk and a frame that says nothing, so many times each.
    Chatters(u32),
    /// One job at a time gets a token each three seconds, and this becomes of the others.
    Trickles(Others),
    /// It takes the award, wants to see money, and says at once that there is none.
    NoMoney,
    /// It takes so many, calls the first one unpaid, and wants to see money for the others.
    Unpaid(usize),
    /// It takes the award and says for ever that the job begins in a millisecond.
    Waits,
    /// It takes the award and says for ever that it has read one token more.
    Reads,
    /// It bids for nothing.
    Silent,
    /// It says why it does not bid, for this reason.
    Declines(Refusal),
}

/// What becomes of the other jobs of one that trickles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They are told that they wait.
    Wait,
    /// Nothing.
    Silence,
    /// They are refused as busy.
    Busy,
    /// They are told for fifteen seconds that they wait, and then refused as busy.
    BusyLater,
}
