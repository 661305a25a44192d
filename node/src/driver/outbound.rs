//! What goes out: every output of a machine is sent, written, run, or told to its receiver.

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::channel::ledger::{LedgerCall, LedgerFault};
use bombyx_protocol::channel::voucher::Voucher;
use bombyx_protocol::io::{
    ChannelChange, Command, EngineReport, Event, Failure, Input, OrderNews, Output, PeerFault,
};
use bombyx_protocol::limits::PAYOUT_MIN;
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Message, Refusal, ToProvider};
use bombyx_protocol::work::order::OrderId;

use super::state::Driver;
use crate::error::NodeError;
use crate::net::{Fault, NetCommand, topic};
use crate::role::Role;

/// What an order's failure may come from that the client machine does not know.
#[derive(Debug, Clone, Copy, Default)]
struct Surroundings {
    /// A channel that the ledger was asked to open and has not shown since.
    opening: Option<ChannelId>,
    /// Whether the ledger does not answer.
    is_ledger_silent: bool,
    /// Whether no peer has been connected since the order came.
    was_alone: bool,
}

impl Surroundings {
    /// Names the ledger where an order has waited in vain for a channel that could not be opened without it, and the lack of any
    /// peer: that is what its user can do something about.
    fn explain(self, why: Failure, is_unserved: bool) -> Failure {
        match (why, self.opening) {
            (Failure::Deadline, Some(account)) if self.is_ledger_silent => {
                let (account, why) = (account.address(), LedgerFault::Unknown);
                PaymentFault::NotOpened { account, why }.into()
            }
            // A provider that does not see the ledger either takes no new channel, or asks for the longest challenge, and sees no
            // deposit.
            (Failure::Refused(Refusal::ChallengeTooShort | Refusal::Unfunded), _)
                if self.is_ledger_silent =>
            {
                PaymentFault::NoLedger.into()
            }
            (Failure::Payment(fault), _) if self.is_ledger_silent && fault.is_blind_provider() => {
                PaymentFault::NoLedger.into()
            }
            // Its time was over before those that sell could be looked up.
            (Failure::NoBids | Failure::Deadline, _) if is_unserved && self.was_alone => {
                Failure::NotConnected
            }
            (why, _) => why,
        }
    }
}

impl Driver {
    /// Has the machines take what waits, and says this once their records of it are on the disk.
    pub(super) async fn say_once_written(
        &mut self,
        say: impl FnOnce() + Send + Sync + 'static,
    ) -> Result<(), NodeError> {
        self.drain_inputs().await?;
        self.unsaid.keep(self.written, say);
        let durable = *self.durable.borrow();
        self.unsaid.say(&durable);
        Ok(())
    }

    pub(super) async fn carry_out(&mut self, role: Role, output: Output) -> Result<(), NodeError> {
        match output {
            Output::Send { to, message } => {
                let now = self.now();
                self.ending.sent(now);
                let bytes = codec::encode(&message);
                // Providers were chosen, and are dialled if need be; a stranger that asked is answered if it is there.
                let is_answer = match &message {
                    Message::ToClient(_)
                    | Message::ToProvider(ToProvider::Release(_) | ToProvider::Seek(_)) => true,
                    Message::ToProvider(
                        ToProvider::Award(_)
                        | ToProvider::KeptAward(_)
                        | ToProvider::Sealed(_)
                        | ToProvider::Call(_),
                    ) => false,
                };
                let command =
                    if is_answer { NetCommand::Answer { to, bytes } } else { NetCommand::Send { to, bytes } };
                self.command(command).await?;
            }
            Output::Broadcast { topic: on, gossip } => {
                let bytes = codec::encode(&gossip);
                if let Topic::Model(model) = on {
                    // A repeated call, which nobody answered, looks for its providers again.
                    self.command(NetCommand::Meet(model.0)).await?;
                }
                self.command(NetCommand::Publish { topic: topic(on), bytes }).await?;
            }
            Output::Watch(watched) => {
                let Voucher { account, cumulative, .. } = *watched.voucher;
                self.ledger_service
                    .voucher(account, cumulative)
                    .await
                    .map_err(|_| NodeError::Stopped("ledger service"))?;
                self.pending.push_back((Role::Watcher, Input::Command(Command::Watch(*watched))));
            }
            Output::Count { job, model, task } => {
                let taken = self.engine.as_ref().is_some_and(|engine| engine.count(job, model, task).is_ok());
                if !taken {
                    let report = EngineReport::Failed(Refusal::Engine);
                    self.pending.push_back((Role::Provider, Input::Engine { job, report }));
                }
            }
            Output::Run { job, model, task } => {
                self.served.open.insert(job);
                let taken = self.engine.as_ref().is_some_and(|engine| engine.run(job, model, task).is_ok());
                if !taken {
                    let report = EngineReport::Failed(Refusal::Engine);
                    self.pending.push_back((Role::Provider, Input::Engine { job, report }));
                }
            }
            Output::Allow { job, tokens } => {
                if let Some(engine) = &self.engine {
                    engine.allow(job, tokens);
                }
            }
            Output::Cancel { job } => {
                if let Some(engine) = &self.engine {
                    engine.cancel(job);
                }
            }
            Output::Ledger(call) => {
                if let LedgerCall::Open { .. } = &*call {
                    self.openings.insert(call.account());
                }
                let taken = self.ledger_service.call(role, *call).await;
                taken.map_err(|_| NodeError::Stopped("ledger service"))?;
            }
            Output::Event(event) => self.tell(event),
            Output::Fault { peer, fault } => {
                tracing::debug!(?peer, ?fault, is_breach = fault.is_breach(), "a peer broke a rule");
                // The provider holds these against the peer itself: nobody is blocked for a bad line or an empty wallet.
                let fault = match fault {
                    PeerFault::NoTask | PeerFault::NoMoney => return Ok(()),
                    PeerFault::Forged | PeerFault::FalseVoucher => Fault::FalseSignature,
                    PeerFault::Malformed => Fault::Malformed,
                    PeerFault::FalseReceipt | PeerFault::Demanding => Fault::RuleBroken,
                };
                self.command(NetCommand::Penalise { peer, fault }).await?;
            }
            // The drain keeps these to itself: it collects records, and ends at the time to wake.
            Output::Persist { .. } | Output::Wake(_) => {}
        }
        Ok(())
    }

    /// Returns news as the user reads them: a failure is told by what this node knows of its cause.
    fn explained(&self, id: OrderId, news: OrderNews) -> OrderNews {
        let OrderNews::Failed { why, bill } = news else { return news };
        let placed_at = self.orders.placed_at(id);
        let surroundings = Surroundings {
            opening: self.openings.first().copied(),
            is_ledger_silent: *self.ledger_service.silent.borrow(),
            was_alone: self.alone_since().is_some_and(|since| placed_at.is_none_or(|at| since <= at)),
        };
        let why = surroundings.explain(why, bill.providers.is_empty());
        OrderNews::Failed { why, bill }
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::Order { id, news } => {
                self.market.is_unanswered |= matches!(&news, OrderNews::Bids(bids) if bids.is_empty());
                let news = self.explained(id, news);
                if let Some(cancel) = self.orders.news(id, news) {
                    self.pending.push_back((Role::Client, Input::Command(cancel)));
                }
            }
            Event::Served(served) => {
                self.served.open.remove(&served.job);
                // One that was sent away before it had anything was not sold.
                self.served.jobs += u64::from(served.delivered);
                self.served.refused += u64::from(served.delivered && served.refused.is_some());
                self.served.nano = self.served.nano.saturating_add(served.cost.0);
                tracing::info!(
                    job = ?served.job,
                    client = ?served.client,
                    input_tokens = served.input_tokens,
                    output_tokens = served.output_tokens,
                    cost = %served.cost,
                    refused = ?served.refused,
                    "a job ended"
                );
            }
            Event::Crowded(crowd) => tracing::warn!(
                budget = ?crowd.budget,
                prefix = ?crowd.prefix,
                turned_away = crowd.turned_away,
                "a budget for those who come is used up"
            ),
            Event::Channel(news) => {
                let account = news.account.to_string();
                match news.change {
                    ChannelChange::Open { deposit } => {
                        tracing::info!(account, peer = ?news.peer, %deposit, "a channel is open");
                    }
                    ChannelChange::Closing => {
                        tracing::info!(account, peer = ?news.peer, "a channel is closing")
                    }
                    ChannelChange::Closed { cumulative, lost: Some(lost) } if lost >= PAYOUT_MIN => {
                        tracing::warn!(
                            account,
                            peer = ?news.peer,
                            vouchers = %cumulative,
                            %lost,
                            "a channel is gone from the ledger without a close, and what was due on it is lost, unless the ledger shows it \
                             again: a devnet that begins anew knows nothing of before"
                        )
                    }
                    ChannelChange::Closed { cumulative, lost: Some(lost) } if lost > Nano::ZERO => {
                        tracing::warn!(
                            account,
                            peer = ?news.peer,
                            vouchers = %cumulative,
                            %lost,
                            "a channel is gone from the ledger, and what was due on it went back to its client: a close pays out no less than \
                             {PAYOUT_MIN} coins"
                        )
                    }
                    ChannelChange::Closed { cumulative, lost: None } => tracing::warn!(
                        account,
                        peer = ?news.peer,
                        vouchers = %cumulative,
                        "a channel is gone from the ledger that it has not shown since this node started: what its vouchers come to was \
                         paid out before, or is lost, as with a devnet that began anew"
                    ),
                    ChannelChange::Closed { cumulative, lost: Some(_) } => {
                        tracing::info!(account, peer = ?news.peer, vouchers = %cumulative, "a channel is gone from the ledger");
                    }
                    ChannelChange::Failed(fault) => {
                        tracing::warn!(account, peer = ?news.peer, %fault, "a channel's ledger call failed");
                    }
                    ChannelChange::Unwatchable => {
                        tracing::warn!(
                            account,
                            peer = ?news.peer,
                            "the ledger answers too seldom to watch this channel as its challenge time asks: it is closed"
                        );
                    }
                    ChannelChange::Forgotten { owed } => tracing::warn!(
                        account,
                        peer = ?news.peer,
                        %owed,
                        "what is owed to a provider is forgotten and will not be paid: too many others are owed more, or everything was \
                         asked back"
                    ),
                    ChannelChange::Mismatch(mismatch) if mismatch.is_healed() => {
                        tracing::warn!("channel {account}: {mismatch}");
                    }
                    ChannelChange::Mismatch(mismatch) => {
                        tracing::error!("channel {account}: {mismatch}; {}", crate::error::failure::MISMATCH);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bombyx_protocol::channel::terms::CHALLENGE_S_MAX;

    use super::*;

    #[test]
    fn a_failure_names_the_ledger_that_is_silent_and_loneliness_that_is_older_than_the_order() {
        let (calm, alone) =
            (Surroundings::default(), Surroundings { was_alone: true, ..Surroundings::default() });
        let silent = Surroundings { is_ledger_silent: true, ..calm };
        let refused = Failure::Refused(Refusal::ChallengeTooShort);
        let no_ledger = Failure::Payment(PaymentFault::NoLedger);
        let blind = PaymentFault::ChallengeTooLong { wanted_s: CHALLENGE_S_MAX, most_s: 3_600 }.into();
        for (surroundings, why, is_unserved, told) in [
            (alone, Failure::NoBids, true, Failure::NotConnected),
            (alone, Failure::Deadline, true, Failure::NotConnected),
            (alone, Failure::Deadline, false, Failure::Deadline),
            (calm, Failure::Deadline, true, Failure::Deadline),
            (calm, refused, true, refused),
            (silent, refused, true, no_ledger),
            (silent, blind, true, no_ledger),
            (calm, blind, true, blind),
            (silent, Failure::Stalled, true, Failure::Stalled),
        ] {
            assert_eq!(surroundings.explain(why, is_unserved), told, "{surroundings:?}");
        }
        let opening = Surroundings { opening: Some(ChannelId([7; 32])), ..silent };
        let why = opening.explain(Failure::Deadline, false);
        assert!(matches!(why, Failure::Payment(PaymentFault::NotOpened { .. })), "{why}");
    }
}
