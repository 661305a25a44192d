//! What the seller does with an award, a task and its answer.

use bombyx_node::ledger::devnet::DEVNET_ID;
use bombyx_node::net::{Fault, NetCommand};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::key_proof::KeyProof;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::limits::{CHUNK_TOKENS, RECEIPT_TOKENS};
use bombyx_protocol::session::{prologue, respond};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::Extensions;
use bombyx_protocol::wire::message::{
    Accept, Award, Chunk, Content, Finish, FromClient, FromProvider, Refusal, Refuse, SealedFrame, ToClient,
    Work,
};
use bombyx_protocol::work::order::{JobId, Task, TaskKind};
use bombyx_protocol::work::price::{Delivery, InputTokens, Tariff, Weights};
use bombyx_protocol::work::receipt::{Receipt, Transcript};

use super::flaw::Flaw;
use super::{CREDIT, Job, PRICE, Seller};

impl Seller {
    pub(super) async fn refuse(&self, to: NodeId, job: JobId, why: Refusal) {
        self.send(to, ToClient::Refuse(Refuse::of(job, why))).await;
    }

    pub(super) async fn awarded(&mut self, from: NodeId, award: Award) {
        let renews = self.flaw == Flaw::NewHandshakeEachTime;
        if let Some(job) = self.jobs.get(&award.job).filter(|job| job.client == from && !renews) {
            if job.award == award {
                self.send(from, ToClient::Accept(Accept::of(award.job, job.reply.clone()))).await;
            }
            return;
        }
        let is_known = self.bids.get(&award.bid.0).is_some_and(|(client, _)| *client == from);
        let why = if self.flaw == Flaw::RefusesInVain {
            Some(Refusal::ChallengeTooShort)
        } else if !self.may_act_on(&award.extensions) {
            Some(Refusal::NotUnderstood)
        } else if !is_known && self.flaw != Flaw::TakesAnyBid {
            Some(Refusal::UnknownBid)
        } else if award.price < PRICE && self.flaw != Flaw::TakesLess {
            Some(Refusal::PriceBelowBid)
        } else {
            None
        };
        if let Some(why) = why {
            return self.refuse(from, award.job, why).await;
        }
        let prologue = prologue(&from, &self.identity.id(), &award.job.0);
        match respond(&self.key, &prologue, &award.handshake, &mut self.entropy) {
            Err(_) => self.refuse(from, award.job, Refusal::Malformed).await,
            Ok((secure, reply)) => {
                self.send(from, ToClient::Accept(Accept::of(award.job, reply.clone()))).await;
                let job = Job {
                    client: from,
                    reply,
                    secure,
                    counted: false,
                    sent: Vec::new(),
                    acked: 0,
                    is_over: false,
                    award,
                };
                self.jobs.insert(job.award.job, job);
            }
        }
    }

    pub(super) async fn sealed(&mut self, from: NodeId, frame: &SealedFrame) {
        let Some(job) = self.jobs.get_mut(&frame.job).filter(|job| job.client == from) else { return };
        let Ok(opened) = job.secure.open(frame.nonce, &frame.bytes) else { return };
        match codec::decode_sealed::<FromClient>(&opened.body) {
            Ok(FromClient::Work(work)) => self.work(frame.job, work).await,
            Ok(FromClient::Ack(ack)) => job.acked = ack.next,
            Ok(FromClient::Cancel(_)) => job.is_over = true,
            Err(_) => {}
        }
    }

    async fn work(&mut self, id: JobId, work: Work) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let client = job.client;
        // As many as the text has characters.
        let counted = u64::try_from(work.task.text_bytes()).unwrap();
        let stated = work.input.count();
        let task_fault = work.task.check().is_err() || work.task.kind() != TaskKind::Generate;
        let terms_fault = work.channel.check(DEVNET_ID).is_err()
            || work.channel.provider_key != self.identity.id().0
            || work.channel.provider != Address::basechain([9; 32]);
        if task_fault && self.flaw != Flaw::TakesAnyTask {
            return self.refuse(client, id, Refusal::EmptyTask).await;
        }
        if terms_fault && self.flaw != Flaw::TakesAnyTerms {
            return self.refuse(client, id, Refusal::ChannelTerms).await;
        }
        let proof = KeyProof { binding: job.secure.binding(), account: work.channel.id() };
        let is_another_s = proof.verify(&work.channel.client_key, &work.key_proof).is_err();
        if !task_fault && !terms_fault && is_another_s && self.flaw != Flaw::TakesAnyChannel {
            self.refuse(client, id, Refusal::BadKeyProof).await;
            let penalty = NetCommand::Penalise { peer: client, fault: Fault::FalseSignature };
            let _ = self.net.send(penalty).await;
            return;
        }
        if stated != counted && !task_fault && !terms_fault {
            let counted = match self.flaw {
                Flaw::CountsWrong => 1_000_000,
                _ => counted,
            };
            job.counted = true;
            return self.refuse(client, id, Refusal::Counts(counted)).await;
        }
        self.serve(id, &work.task, work.input).await;
    }

    /// Makes the whole answer at once, and sends it.
    async fn serve(&mut self, id: JobId, task: &Task, input: InputTokens) {
        let (flaw, model) = (self.flaw, self.model);
        let tariff = Tariff { price: PRICE, weights: Weights::DEFAULT };
        let wanted = task.output_tokens_max();
        let of_credit = |tokens: u64| tariff.cost(input, tokens).unwrap() <= CREDIT;
        let tokens = if flaw == Flaw::ServesWithoutEnd {
            wanted
        } else {
            (0..=wanted.min(96)).filter(|t| of_credit(*t)).max().unwrap_or(0)
        };
        let mut transcript = Transcript::begin(id, model, &codec::encode(task));
        let (mut made, mut index, mut unsigned) = (0, 0, 0);
        let mut sent = Vec::new();
        loop {
            let is_end = made == wanted;
            if made >= tokens && !is_end {
                break;
            }
            let content = if is_end {
                Content::End { finish: Finish::Length }
            } else {
                let count = u64::from(CHUNK_TOKENS).min(tokens - made);
                made += count;
                unsigned += count;
                Content::Tokens { ids: vec![5; usize::try_from(count).unwrap()], text: "a".into() }
            };
            let content = codec::encode(&content);
            transcript = transcript.then(index, &content);
            let is_due = index == 0 || is_end || unsigned >= RECEIPT_TOKENS;
            let is_due = is_due && (flaw != Flaw::FewReceipts || is_end);
            let receipt = is_due.then(|| {
                unsigned = 0;
                let delivery =
                    Delivery { output_tokens: made, rows: 0, rows_wanted: 0, complete: is_end, read: 0 };
                let cost = tariff.due(input, &delivery).unwrap();
                let receipt = Receipt {
                    job: id,
                    model,
                    chunks: index + 1,
                    transcript: match flaw {
                        Flaw::OtherTranscript => Transcript([7; 32]),
                        _ => transcript,
                    },
                    input_tokens: input.count(),
                    cached_tokens: 0,
                    output_tokens: made,
                    cost: match flaw {
                        Flaw::BillsTooMuch => Nano(cost.0 + 1),
                        _ => cost,
                    },
                    extensions: Extensions::NONE,
                };
                receipt.sign(&self.identity)
            });
            sent.push((Chunk { index, content, receipt }, is_end && flaw != Flaw::EndIsNotLast));
            index += 1;
            if is_end {
                break;
            }
        }
        if flaw == Flaw::SkipsAChunk {
            sent.remove(1);
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.sent.clone_from(&sent);
        }
        for (chunk, last) in sent {
            self.say(id, chunk, last).await;
        }
    }

    async fn say(&mut self, id: JobId, chunk: Chunk, last: bool) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let said = codec::encode(&FromProvider::Chunk(chunk));
        let Ok(frame) = job.secure.seal(&said, last) else { return };
        let frame = SealedFrame { job: id, nonce: frame.nonce, bytes: frame.bytes };
        let client = job.client;
        if self.flaw == Flaw::RepeatsANumber {
            self.send(client, ToClient::Sealed(frame.clone())).await;
        }
        self.send(client, ToClient::Sealed(frame)).await;
    }

    /// Repeats what nobody has acknowledged.
    pub(super) async fn repeat(&mut self) {
        if self.flaw == Flaw::NeverRepeats {
            return;
        }
        let ignores_cancel = self.flaw == Flaw::GoesOnAfterCancel;
        let due: Vec<(JobId, Chunk, bool)> = self
            .jobs
            .iter()
            .filter(|(_, job)| !job.is_over || ignores_cancel)
            .flat_map(|(id, job)| {
                job.sent.iter().map(move |(chunk, last)| (*id, job.acked, chunk.clone(), *last))
            })
            .filter(|(_, acked, chunk, _)| chunk.index >= *acked)
            .map(|(id, _, chunk, last)| (id, chunk, last))
            .collect();
        for (id, chunk, last) in due {
            self.say(id, chunk, last).await;
        }
    }
}
