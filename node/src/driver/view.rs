//! What the driver shows of itself: sizes, counts and amounts.

use std::collections::BTreeMap;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::Earner;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::provider::OpenLoan;

use super::state::Driver;
use crate::status::channels::{ChannelError, earning, paying};
use crate::status::payee::PayeeCard;
use crate::status::{
    ChannelPhase, ChannelStatus, ClientStatus, Direction, DueStatus, ModelStatus, OwedStatus, ProviderStatus,
    Status, Unpaid, WithoutLedger,
};

impl Driver {
    /// Returns the node at this moment, without the wallet's balance.
    pub(super) fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            node_id: self.node().to_string(),
            network: self.network.clone(),
            started_s: self.started_s,
            uptime_s: self.started.elapsed().as_secs(),
            ending: self.ending.is_ending(),
            peers: self.net.peers().len(),
            addresses: self.net.listening(),
            provider: self.provider.as_ref().map(|provider| ProviderStatus {
                models: self.models(),
                jobs_in_flight: provider.jobs_in_flight(),
                sales: provider.sales().into(),
                jobs_served: self.served.jobs,
                jobs_refused: self.served.refused,
                served_nano: self.sold().0,
                lost_nano: provider.lost(self.now()).0,
                due: provider.channels().flat_map(dues).chain(lent(provider.loans(self.now()))).collect(),
                without_ledger: self.without_ledger(),
                payee: PayeeCard { provider: self.node(), payee: provider.payee() }.to_string(),
            }),
            client: ClientStatus {
                asks: self.client.asks(self.now()).count(),
                orders_in_flight: self.orders.len(),
                orders_done: self.orders.done,
                orders_failed: self.orders.failed,
                spent_nano: self.orders.spent_nano,
                owed: self.owed(),
            },
            ledger: self.ledger.clone(),
            channels: self.channels(),
        }
    }

    /// Returns how many channels are served on what the ledger showed last, and how long, while it does not answer. (`CH-57`)
    fn without_ledger(&self) -> Option<WithoutLedger> {
        let provider = self.provider.as_ref().filter(|_| *self.ledger_service.silent.borrow())?;
        let until: Vec<u64> = provider
            .channels()
            .filter_map(Earner::relied_on_until)
            .map(|until| self.clock.unix_s(until))
            .collect();
        let open = provider.channels().filter(|earner| earner.is_open()).count();
        Some(WithoutLedger {
            channels: until.len(),
            not_any_more: open.saturating_sub(until.len()),
            first_until_s: until.iter().min().copied(),
            last_until_s: until.iter().max().copied(),
        })
    }

    /// Says once for how long the channels of a provider are served without a ledger.
    pub(super) fn tell_silence(&self) {
        if let Some(told) = self.without_ledger().filter(WithoutLedger::is_worth_saying) {
            tracing::warn!("the ledger does not answer: {told}");
        }
    }

    fn models(&self) -> Vec<ModelStatus> {
        let model = |offer: &bombyx_protocol::io::Offer| ModelStatus {
            name: offer.name.clone(),
            id: offer.model.to_string(),
            price_job_nano: offer.cost.per_job.0,
            price_in_nano: offer.cost.input_per_k.0,
            price_out_nano: offer.cost.output_per_k.0,
            slots: offer.slots,
            start_ms: offer.start_ms,
            read_tps: offer.read_tps,
            write_tps: offer.write_tps,
        };
        self.offers.iter().map(model).collect()
    }

    /// Returns what all jobs since the start came to, those under way included: what they deliver is due or unpaid at once.
    pub(super) fn sold(&self) -> Nano {
        let under_way = self.provider.as_ref().map_or(Nano::ZERO, |provider| provider.under_way());
        Nano(self.served.nano).saturating_plus(under_way)
    }

    /// Returns every channel in both directions.
    pub(super) fn channels(&self) -> Vec<ChannelStatus> {
        let paying = self.client.channels().map(paying);
        let earning = self.provider.iter().flat_map(|provider| provider.channels().map(earning));
        paying.chain(earning).collect()
    }

    /// Returns what is owed on channels that the wallet could not open.
    pub(super) fn owed(&self) -> Vec<OwedStatus> {
        self.client.debts().map(|(provider, owed)| OwedStatus::new(provider, owed)).collect()
    }
}

/// Returns what is due on a channel: what vouchers cover and the ledger has not paid out, what no voucher covers, and what was
/// given up. What is lent on a channel that the ledger does not show is a loan, and told as that.
pub(super) fn dues(earner: &Earner) -> Vec<DueStatus> {
    let ChannelStatus { account, peer, state, .. } = earning(earner);
    let why = match state {
        ChannelPhase::Opening => Unpaid::NotSeen,
        ChannelPhase::Closing => Unpaid::Closing,
        ChannelPhase::Open | ChannelPhase::Closed if earner.is_dust() => Unpaid::TooLittle,
        ChannelPhase::Open | ChannelPhase::Closed => Unpaid::NotYet,
    };
    let is_seen = !earner.is_unseen();
    let unpaid = if is_seen { earner.unpaid() } else { Nano::ZERO };
    let given_up = if is_seen { earner.written_off() } else { Nano::ZERO };
    let sums = [(earner.due(), why), (unpaid, Unpaid::NoVoucher), (given_up, Unpaid::GivenUp)];
    let due = |(due, why): (Nano, Unpaid)| DueStatus {
        account: account.clone(),
        peer: peer.clone(),
        due_nano: due.0,
        why,
    };
    sums.into_iter().filter(|(due, _)| *due > Nano::ZERO).map(due).collect()
}

/// Returns what is lent, by channel.
fn lent(loans: impl Iterator<Item = OpenLoan>) -> impl Iterator<Item = DueStatus> {
    let mut sums: BTreeMap<(ChannelId, NodeId), Nano> = BTreeMap::new();
    for OpenLoan { account, client, amount, .. } in loans {
        let sum = sums.entry((account, client)).or_default();
        *sum = sum.saturating_plus(amount);
    }
    sums.into_iter().map(|((account, client), sum)| DueStatus {
        account: account.to_string(),
        peer: client.to_string(),
        due_nano: sum.0,
        why: Unpaid::NoChannel,
    })
}

impl Driver {
    /// Returns the open channel with this account, in one direction or in either.
    pub(super) fn channel(
        &self,
        account: ChannelId,
        direction: Option<Direction>,
    ) -> Result<ChannelStatus, ChannelError> {
        let account = account.to_string();
        let found = self.channels().into_iter().find(|channel| channel.account == account);
        let found = found.ok_or_else(|| ChannelError::Unknown(account.clone()))?;
        if direction.is_some_and(|wanted| wanted != found.direction) {
            return Err(ChannelError::NotPaying(account));
        }
        if found.state != ChannelPhase::Open {
            return Err(ChannelError::NotOpen { account, state: found.state });
        }
        Ok(found)
    }

    /// Returns whether a channel to this provider can be opened.
    pub(super) fn openable(&self, card: &PayeeCard, deposit: Nano) -> Result<(), ChannelError> {
        if let Some(account) = self.client.channel_to(card.provider, &card.payee) {
            return Err(ChannelError::Exists(account.to_string()));
        }
        self.client.can_open(&card.payee, deposit).map_err(|fault| {
            if let PaymentFault::DepositTooLow { most, .. } = fault {
                ChannelError::DepositTooHigh { most }
            } else {
                ChannelError::Refused(fault)
            }
        })
    }
}
