//! `04-session.md`: handshakes and frames.

use std::time::Duration;

use bombyx_protocol::session::HANDSHAKE_BYTES;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::Extensions;
use bombyx_protocol::wire::message::{Ack, FromClient, FromProvider, KeptAward, Refusal, ToProvider};
use bombyx_protocol::work::order::JobId;
use bombyx_protocol::work::price::InputTokens;

use super::buyer::{JobWord, Said, Session, UNCOUNTED, Won};
use super::guest::Guest;
use super::subject::{ANSWER, Subject, task};
use super::verdict::{Checked, broken, holds, idle};
use super::wire::refused;

/// A way to spoil bytes, and its name.
type Spoilt = (&'static str, fn(&mut Vec<u8>));

pub(super) async fn handshakes(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    let spoilt: [Spoilt; 4] = [
        ("a handshake cut short", |bytes| bytes.truncate(47)),
        ("a handshake with a payload", |bytes| bytes.extend([0; 16])),
        ("a handshake with another tag", |bytes| {
            if let Some(byte) = bytes.last_mut() {
                *byte ^= 1;
            }
        }),
        ("a handshake with a key of small order", |bytes| bytes[..32].fill(0)),
    ];
    for (what, spoil) in spoilt {
        let (mut award, initiator) = guest.make_award(&won, won.bid.price)?;
        debug_assert_eq!(award.handshake.len(), HANDSHAKE_BYTES);
        spoil(&mut award.handshake);
        refused(guest.offer(award, initiator).await?, Refusal::Malformed, what)?;
    }
    // Made for one job, it opens under no other.
    let (mut award, initiator) = guest.make_award(&won, won.bid.price)?;
    award.job.0[0] ^= 1;
    refused(
        guest.offer(award, initiator).await?,
        Refusal::Malformed,
        "a handshake that was made for another job",
    )
}

pub(super) async fn unkept_session(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    let (award, _) = guest.make_award(&won, won.bid.price)?;
    let (job, session) = (award.job, JobId(guest.entropy.bytes()));
    let kept = KeptAward {
        job,
        call: award.call,
        bid: award.bid,
        price: award.price,
        session,
        number: 0,
        work: vec![0; 256 + 16],
        extensions: Extensions::NONE,
    };
    guest.send(ToProvider::KeptAward(kept)).await?;
    match guest.hear(ANSWER, |said| JobWord::of(job, said)).await? {
        Some(JobWord::Refused(Refusal::NoSession)) => {}
        Some(JobWord::Refused(why)) => {
            return broken(format!("an award in a session that nobody keeps is refused as {why:?}"));
        }
        Some(JobWord::Accepted(_) | JobWord::Frame(_)) => {
            return broken("an award in a session that nobody keeps is taken");
        }
        None => return broken("an award in a session that nobody keeps gets no answer"),
    }
    // The same bid is awarded by a handshake then.
    guest.award(&won).await.map(drop)
}

/// Makes a task that every provider refuses, so that what arrives shows.
fn empty_work(subject: &Subject, guest: &mut Guest, won: &Won, session: &Session) -> Checked<FromClient> {
    let kind = subject.model()?.ask.kind;
    let task = match task(kind, "", 1) {
        bombyx_protocol::work::order::Task::Embed { .. } => {
            bombyx_protocol::work::order::Task::Embed { inputs: Vec::new() }
        }
        bombyx_protocol::work::order::Task::Generate(generate) => {
            bombyx_protocol::work::order::Task::Generate(bombyx_protocol::work::order::Generate {
                messages: Vec::new(),
                ..generate
            })
        }
    };
    let channel = guest.terms(won);
    Ok(FromClient::Work(guest.work(session, task, InputTokens::fresh(0), channel)))
}

/// Checks that the true frame with this content still arrives.
async fn still_opens(guest: &mut Guest, session: &mut Session, said: &FromClient, after: &str) -> Checked {
    guest.say(session, said).await?;
    match guest.hear_said(session, ANSWER).await? {
        Some(Said::Refused(Refusal::EmptyTask)) => Ok(()),
        Some(Said::Refused(why)) => broken(format!("{after}, the job is refused as {why:?}")),
        Some(Said::Inside(..)) => broken(format!("{after}, an empty task is served")),
        None => broken(format!("{after}, a true frame gets no answer")),
    }
}

pub(super) async fn injected_frames(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    let mut session = guest.award(&won).await?;
    let job = session.job;
    let noise: Vec<u8> = (0..34).flat_map(|_| guest.entropy.bytes::<8>()).collect();
    // Bytes that nobody encrypted, under numbers that the true frames will have, and under numbers that none has.
    for nonce in [0, 1, 5, 1 << 32, u64::MAX] {
        guest.send_frame(job, nonce, noise.clone()).await?;
    }
    guest.send_frame(job, 0, noise[..100].to_vec()).await?;
    guest.send_frame(job, 0, Vec::new()).await?;
    let work = empty_work(subject, &mut guest, &won, &session)?;
    still_opens(&mut guest, &mut session, &work, "after frames that nobody encrypted").await?;
    holds(!guest.is_cut(Duration::from_millis(700)).await, || {
        "frames that do not open are held against the peer".into()
    })
}

pub(super) async fn repeated_frames(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    let mut session = guest.award(&won).await?;
    let (task, channel) = (subject.small_task()?, guest.terms(&won));
    // Of an input that nobody can have: where it is read again, it is refused again.
    let work = FromClient::Work(guest.work(&session, task, InputTokens::fresh(1), channel));
    let Ok(frame) = session.secure.seal(&codec::encode(&work), false) else {
        return broken("this side cannot speak");
    };
    guest.send_frame(session.job, frame.nonce, frame.bytes.clone()).await?;
    match guest.hear_said(&mut session, ANSWER).await? {
        Some(Said::Refused(Refusal::Counts(_))) => {}
        Some(Said::Refused(Refusal::Busy)) => return idle("the node is busy"),
        Some(Said::Refused(why)) => return broken(format!("a false count of input is refused as {why:?}")),
        Some(Said::Inside(FromProvider::NeedPayment(_), _)) => {
            return idle(UNCOUNTED);
        }
        Some(Said::Inside(..)) => {
            return broken("a task that states one token of input for a sentence is served");
        }
        None => return broken("a task gets no answer"),
    }
    for _ in 0..3 {
        guest.send_frame(session.job, frame.nonce, frame.bytes.clone()).await?;
    }
    match guest.hear_said(&mut session, Duration::from_secs(1)).await? {
        None => {}
        Some(_) => return broken("a frame that is repeated is opened and answered again"),
    }
    holds(!guest.is_cut(Duration::from_millis(500)).await, || {
        "a frame that is repeated is held against the peer".into()
    })
}

pub(super) async fn malformed_blocks(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    let ack = Ack { next: 0, payment: None, countersignature: None, extensions: Extensions::NONE };
    let body = codec::encode(&FromClient::Ack(ack));
    let mut good = vec![0; 256];
    good[0] = 0x10;
    good[1..5].copy_from_slice(&u32::try_from(body.len()).unwrap_or(0).to_le_bytes());
    good[5..5 + body.len()].copy_from_slice(&body);
    let spoilt: [Spoilt; 4] = [
        ("a block of another version", |block| block[0] = 0x20),
        ("a block with an unknown flag", |block| block[0] = 0x14),
        ("a block in too large a bucket", |block| block.resize(512, 0)),
        ("a block with something behind its body", |block| block[255] = 1),
    ];
    for (what, spoil) in spoilt {
        let mut session = guest.award(&won).await?;
        let mut block = good.clone();
        spoil(&mut block);
        let Some(frame) = session.secure.seal_block(&block) else { return broken("this side cannot speak") };
        guest.send_frame(session.job, frame.nonce, frame.bytes).await?;
        if what == spoilt[3].0 {
            break;
        }
        malformed_job(&mut guest, &mut session, what).await?;
    }
    // It was the fourth of 25 points.
    holds(guest.is_cut(Duration::from_secs(5)).await, || {
        "four blocks that only the peer can have made wrong do not block it".into()
    })?;
    subject.still_talks().await
}

async fn malformed_job(guest: &mut Guest, session: &mut Session, what: &str) -> Checked {
    match guest.hear_said(session, ANSWER).await? {
        Some(Said::Refused(Refusal::Malformed)) => Ok(()),
        Some(Said::Refused(Refusal::Busy)) => idle("the node is busy"),
        Some(Said::Refused(why)) => broken(format!("{what} ends the job as {why:?} and not as Malformed")),
        Some(Said::Inside(..)) => broken(format!("{what} is answered inside the session")),
        None => broken(format!("{what} does not end the job")),
    }
}

pub(super) async fn malformed_words(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    for (what, body) in [
        ("an unknown variant inside a session", vec![9, 0, 0, 0]),
        ("a byte after a message inside a session", {
            let mut body = codec::encode(&FromClient::Cancel(Extensions::NONE));
            body.push(0);
            body
        }),
    ] {
        let mut session = guest.award(&won).await?;
        let Ok(frame) = session.secure.seal(&body, false) else { return broken("this side cannot speak") };
        guest.send_frame(session.job, frame.nonce, frame.bytes).await?;
        malformed_job(&mut guest, &mut session, what).await?;
    }
    Ok(())
}
