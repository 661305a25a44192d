//! A guest that buys on credit: calls, bids, awards, and what is said inside a session.

use std::time::Duration;

use bombyx_protocol::channel::key_proof::KeyProof;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::limits;
use bombyx_protocol::market::bid::{Bid, BidHash};
use bombyx_protocol::market::call::{Call, CallId, Classes};
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::session::{Initiator, Secure, SecureError, prologue, unseal};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::{
    Ack, Award, FromClient, FromProvider, Refusal, SealedBid, SealedFrame, ToClient, ToProvider, Work,
};
use bombyx_protocol::wire::signed::Signed;
use bombyx_protocol::work::order::{JobId, Task, Tier};
use bombyx_protocol::work::price::{InputTokens, Price};

use super::guest::Guest;
use super::subject::{ANSWER, Subject};
use super::verdict::{Checked, broken, holds, idle};
use crate::net::unix_s;

/// Milliseconds in which a call's bids are read.
pub(super) const WINDOW_MS: u32 = 4_000;

/// A bid that this guest could open.
#[derive(Clone)]
pub(super) struct Won {
    pub(super) bid: Bid,
    pub(super) hash: BidHash,
}

/// What a call is answered with.
pub(super) enum CallAnswer {
    Bid(Box<Won>),
    Decline(Refusal),
}

/// What an award is answered with.
pub(super) enum AwardAnswer {
    Accepted(Box<Session>),
    Refused(Refusal),
    Silence,
}

/// An open session.
pub(super) struct Session {
    pub(super) job: JobId,
    pub(super) secure: Secure,
    /// The second half of its handshake.
    pub(super) reply: Vec<u8>,
    /// Numbers of the frames that were opened.
    pub(super) numbers: Vec<u64>,
}

/// What a provider says of a job.
pub(super) enum Said {
    /// Inside the session, and whether the frame is marked as the last.
    Inside(FromProvider, bool),
    Refused(Refusal),
}

/// Why what is asked of a count does not apply to a node that lends nothing. (`WR-25`)
pub(super) const UNCOUNTED: &str = "the node counts nothing before it has seen money";

/// What a node says of one job, on the way to its session or inside of it.
pub(super) enum JobWord {
    /// The award is taken; the second half of the handshake.
    Accepted(Vec<u8>),
    Refused(Refusal),
    Frame(SealedFrame),
}

impl JobWord {
    /// Returns what a message says of a job; nothing where it is about anything else.
    pub(super) fn of(job: JobId, said: ToClient) -> Option<Self> {
        let (about, word) = match said {
            ToClient::Accept(accept) => (accept.job, Self::Accepted(accept.handshake)),
            ToClient::Refuse(refuse) => (refuse.job, Self::Refused(refuse.why)),
            ToClient::Sealed(frame) => (frame.job, Self::Frame(frame)),
            ToClient::Bid(_) | ToClient::Decline(_) | ToClient::Ask(_) | ToClient::Leaving => return None,
        };
        (about == job).then_some(word)
    }
}

impl Guest {
    /// Makes a call to everybody for a task of these classes.
    pub(super) fn call(&mut self, subject: &Subject, classes: Classes) -> Checked<Call> {
        let model = subject.model()?;
        Ok(Call {
            id: CallId(self.entropy.bytes()),
            client: self.id(),
            seal_key: self.seal_key.public(),
            model: model.ask.model,
            kind: model.ask.kind,
            input_log2: classes.input_log2,
            output_log2: classes.output_log2,
            tier: Tier::Open,
            window_ms: WINDOW_MS,
            invited: Share::ALL,
            made_s: unix_s(),
            deadline_ms: 64_000,
            stamp: 0,
            features: Features::OWN,
            extensions: Extensions::NONE,
        })
    }

    /// Waits for the answer to a call; `None` when none comes within the window.
    pub(super) async fn hear_bid(&mut self, subject: &Subject, call: &Call) -> Checked<Option<CallAnswer>> {
        enum Heard {
            Bid(SealedBid),
            Decline(Refusal),
        }
        let window = Duration::from_millis(u64::from(call.window_ms));
        let id = call.id;
        let heard = self.hear(window, |said| match said {
            ToClient::Bid(bid) if bid.call == id => Some(Heard::Bid(bid)),
            ToClient::Decline(decline) if decline.call == id => Some(Heard::Decline(decline.why)),
            ToClient::Bid(_)
            | ToClient::Decline(_)
            | ToClient::Accept(_)
            | ToClient::Refuse(_)
            | ToClient::Sealed(_)
            | ToClient::Ask(_)
            | ToClient::Leaving => None,
        });
        Ok(match heard.await? {
            None => None,
            Some(Heard::Decline(why)) => Some(CallAnswer::Decline(why)),
            Some(Heard::Bid(sealed)) => {
                Some(CallAnswer::Bid(Box::new(self.open_bid(subject, call, &sealed)?)))
            }
        })
    }

    /// Opens a bid and checks it as a client does. (`MK-5`, `MK-6`)
    fn open_bid(&self, subject: &Subject, call: &Call, sealed: &SealedBid) -> Checked<Won> {
        let plain = match unseal(&self.seal_key, &call.id.0, &sealed.sealed) {
            Ok(plain) => plain,
            Err(why) => return broken(format!("a bid does not open with the call's key and id: {why}")),
        };
        let signed = match codec::decode_sealed::<Signed>(&plain) {
            Ok(signed) => signed,
            Err(why) => return broken(format!("what is sealed is no signed bid: {why}")),
        };
        let bid = match signed.open::<Bid>() {
            Ok(bid) => bid.into_inner(),
            Err(why) => return broken(format!("a bid: {why}")),
        };
        holds(bid.provider == subject.node, || "a bid names another provider than its sender".into())?;
        holds(bid.call == call.id, || "a bid names another call than the one that it answers".into())?;
        holds(bid.model == call.model, || "a bid is for another model than the call".into())?;
        holds(bid.tier == call.tier, || "a bid is of another tier than the call".into())?;
        holds(bid.valid_ms > 0, || "a bid is valid for no time".into())?;
        Ok(Won { hash: BidHash::of(&signed), bid })
    }

    /// Calls the node directly for the small task, and returns its bid.
    pub(super) async fn win(&mut self, subject: &Subject) -> Checked<Won> {
        let task = subject.small_task()?;
        let call = self.call(subject, Classes::of(task.input_tokens_estimate(), task.output_tokens_max()))?;
        self.win_call(subject, call).await
    }

    /// Sends a call directly, and returns the bid that answers it.
    pub(super) async fn win_call(&mut self, subject: &Subject, call: Call) -> Checked<Won> {
        self.send(ToProvider::Call(call.clone())).await?;
        match self.hear_bid(subject, &call).await? {
            Some(CallAnswer::Bid(won)) => Ok(*won),
            Some(CallAnswer::Decline(why)) => idle(format!("the node will not bid: {why:?}")),
            None => broken("a call to everybody gets neither a bid nor a reason within its window"),
        }
    }

    /// Makes an award on a bid, and what finishes its handshake.
    pub(super) fn make_award(&mut self, won: &Won, price: Price) -> Checked<(Award, Initiator)> {
        let job = JobId(self.entropy.bytes());
        let prologue = prologue(&self.id(), &won.bid.provider, &job.0);
        let started = Initiator::start(&won.bid.session_key, &prologue, &mut self.entropy);
        let Ok((initiator, handshake)) = started else {
            return broken("a bid's session key is of small order");
        };
        let (call, bid) = (won.bid.call, won.hash);
        Ok((Award { job, call, bid, price, handshake, extensions: Extensions::NONE }, initiator))
    }

    /// Sends an award and waits for its answer.
    pub(super) async fn offer(&mut self, award: Award, initiator: Initiator) -> Checked<AwardAnswer> {
        let job = award.job;
        self.send(ToProvider::Award(award)).await?;
        let is_answer = |word: &JobWord| !matches!(word, JobWord::Frame(_));
        let reply = match self.hear(ANSWER, |said| JobWord::of(job, said).filter(is_answer)).await? {
            Some(JobWord::Accepted(reply)) => reply,
            Some(JobWord::Refused(why)) => return Ok(AwardAnswer::Refused(why)),
            Some(JobWord::Frame(_)) | None => return Ok(AwardAnswer::Silence),
        };
        match initiator.finish(&reply) {
            Ok(secure) => {
                let session = Session { job, secure, reply, numbers: Vec::new() };
                Ok(AwardAnswer::Accepted(Box::new(session)))
            }
            Err(why) => broken(format!("the reply to a handshake: {why}")),
        }
    }

    /// Takes a bid at its price, and returns the session.
    pub(super) async fn award(&mut self, won: &Won) -> Checked<Session> {
        let (award, initiator) = self.make_award(won, won.bid.price)?;
        match self.offer(award, initiator).await? {
            AwardAnswer::Accepted(session) => Ok(*session),
            AwardAnswer::Refused(why @ (Refusal::Busy | Refusal::Leaving)) => {
                idle(format!("the node takes no job at the moment: {why:?}"))
            }
            AwardAnswer::Refused(why) => broken(format!("an award at the bid's price is refused: {why:?}")),
            AwardAnswer::Silence => broken("an award gets no answer"),
        }
    }

    /// Returns terms of a channel that nobody will fund.
    pub(super) fn terms(&mut self, won: &Won) -> ChannelTerms {
        let payee = won.bid.payee;
        ChannelTerms {
            network_id: payee.network_id,
            salt: self.entropy.number(),
            client_key: self.channel_key.verifying_key().to_bytes(),
            provider_key: payee.key,
            client: Address::basechain(self.entropy.bytes()),
            provider: payee.address,
            challenge_s: payee.challenge_s,
        }
    }

    /// Makes the word that gives a task within a session, with the proof that the channel is this guest's.
    pub(super) fn work(
        &self,
        session: &Session,
        task: Task,
        input: InputTokens,
        channel: ChannelTerms,
    ) -> Work {
        let proof = KeyProof { binding: session.secure.binding(), account: channel.id() };
        let key_proof = proof.sign(&self.channel_key);
        Work { task, input, channel, key_proof, extensions: Extensions::NONE }
    }

    /// Says something inside a session.
    pub(super) async fn say(&mut self, session: &mut Session, said: &FromClient) -> Checked {
        let last = matches!(said, FromClient::Cancel(_));
        match session.secure.seal(&codec::encode(said), last) {
            Ok(frame) => self.send_frame(session.job, frame.nonce, frame.bytes).await,
            Err(why) => broken(format!("this side cannot speak: {why}")),
        }
    }

    pub(super) async fn send_frame(&mut self, job: JobId, nonce: u64, bytes: Vec<u8>) -> Checked {
        self.send(ToProvider::Sealed(SealedFrame { job, nonce, bytes })).await
    }

    /// Acknowledges what has come, without a payment.
    pub(super) async fn ack(&mut self, session: &mut Session, next: u32) -> Checked {
        let (payment, countersignature) = (None, None);
        let ack = Ack { next, payment, countersignature, extensions: Extensions::NONE };
        self.say(session, &FromClient::Ack(ack)).await
    }

    /// Waits for the node's next word on a job; `None` when none comes in time.
    pub(super) async fn hear_said(
        &mut self,
        session: &mut Session,
        within: Duration,
    ) -> Checked<Option<Said>> {
        let job = session.job;
        // A repeated award is answered again.
        let is_later = |word: &JobWord| !matches!(word, JobWord::Accepted(_));
        let frame = match self.hear(within, |said| JobWord::of(job, said).filter(is_later)).await? {
            Some(JobWord::Frame(frame)) => frame,
            Some(JobWord::Refused(why)) => return Ok(Some(Said::Refused(why))),
            Some(JobWord::Accepted(_)) | None => return Ok(None),
        };
        let opened = match session.secure.open(frame.nonce, &frame.bytes) {
            Ok(opened) => opened,
            Err(SecureError::Malformed { cause, .. }) => {
                return broken(format!("a frame's block: {cause}"));
            }
            Err(why) => return broken(format!("a frame of the session: {why}")),
        };
        session.numbers.push(frame.nonce);
        match codec::decode_sealed::<FromProvider>(&opened.body) {
            Ok(said) => Ok(Some(Said::Inside(said, opened.last))),
            Err(why) => broken(format!("what a frame holds is no message: {why}")),
        }
    }

    /// Gives a task, states its input again where the node counts another number, and returns the count with the node's
    /// first word on it. (`WR-22`)
    pub(super) async fn give_task(
        &mut self,
        session: &mut Session,
        task: &Task,
        channel: &ChannelTerms,
    ) -> Checked<(InputTokens, Option<Said>)> {
        let estimate = u32::try_from(task.input_tokens_estimate()).unwrap_or(u32::MAX);
        let mut input = InputTokens::fresh(estimate);
        for again in [false, true] {
            let work = self.work(session, task.clone(), input, channel.clone());
            self.say(session, &FromClient::Work(work.clone())).await?;
            let mut first = self.hear_said(session, ANSWER).await?;
            // A lost word is said again. (`WR-16`)
            if first.is_none() {
                self.say(session, &FromClient::Work(work.clone())).await?;
                first = self.hear_said(session, ANSWER * 2).await?;
            }
            match first {
                Some(Said::Refused(Refusal::Counts(count))) if !again => {
                    let count = u32::try_from(count).unwrap_or(u32::MAX);
                    let most = work.task.input_tokens_max();
                    holds(u64::from(count) <= most, || {
                        format!("the node counts {count} tokens of input, of a text that can have {most}")
                    })?;
                    holds(count != estimate, || "the node refuses the count that it makes itself".into())?;
                    input = InputTokens::fresh(count);
                }
                Some(Said::Refused(why @ (Refusal::Busy | Refusal::Leaving))) => {
                    return idle(format!("the node takes no job at the moment: {why:?}"));
                }
                first => return Ok((input, first)),
            }
        }
        broken("the node counts the input anew each time")
    }

    /// Returns what credit the bid of a job gives, if it covers this much.
    pub(super) fn credit_for(won: &Won, subject: &Subject, task: &Task, input: InputTokens) -> Checked {
        let weights = subject.model()?.weights;
        let tariff = bombyx_protocol::work::price::Tariff { price: won.bid.price, weights };
        let Some(ceiling) = tariff.cost(input, task.output_tokens_max().min(limits::WINDOW_TOKENS)) else {
            return broken("the bill of a small task fits no amount");
        };
        if ceiling > won.bid.credit {
            return idle(format!(
                "the node gives a stranger credit for {} nano, and the job can cost {} nano",
                won.bid.credit.0, ceiling.0
            ));
        }
        Ok(())
    }
}
