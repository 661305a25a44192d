//! What the driver shows of itself: sizes, counts and amounts.

use bombyx_protocol::channel::earn::Earner;
use bombyx_protocol::channel::pay::Payer;

use super::Driver;
use crate::status::{
    ChannelPhase, ChannelStatus, ClientStatus, Direction, ModelStatus, ProviderStatus, Status,
};

impl Driver {
    /// The node at this moment, without the wallet's balance.
    pub(super) fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            node_id: self.node().to_string(),
            network: self.network.clone(),
            uptime_s: self.started.elapsed().as_secs(),
            peers: self.net.peers().len(),
            addresses: self.net.listening(),
            provider: self.provider.as_ref().map(|provider| ProviderStatus {
                models: self.models(),
                jobs_in_flight: provider.jobs_in_flight(),
                jobs_served: self.served.jobs,
                jobs_refused: self.served.refused,
                served_nano: self.served.nano,
                draining: self.ending.is_ending(),
            }),
            client: ClientStatus {
                asks: self.client.asks().count(),
                orders_in_flight: self.orders.len(),
                orders_done: self.orders.done,
                orders_failed: self.orders.failed,
                spent_nano: self.orders.spent_nano,
            },
            ledger: self.ledger.clone(),
            channels: self.channels(),
        }
    }

    fn models(&self) -> Vec<ModelStatus> {
        let model = |offer: &bombyx_protocol::io::Offer| ModelStatus {
            name: offer.name.clone(),
            id: offer.model.to_string(),
            price_job_nano: offer.price.per_job.0,
            price_in_nano: offer.price.input_per_k.0,
            price_out_nano: offer.price.output_per_k.0,
            slots: offer.slots,
            first_token_ms: offer.first_token_ms,
            tokens_per_s: offer.tokens_per_s,
        };
        self.offers.iter().map(model).collect()
    }

    /// Every channel in both directions.
    pub(super) fn channels(&self) -> Vec<ChannelStatus> {
        let paying = self.client.channels().map(paying);
        let earning = self.provider.iter().flat_map(|provider| provider.channels().map(earning));
        paying.chain(earning).collect()
    }
}

fn paying(payer: &Payer) -> ChannelStatus {
    let state = match (payer.is_open(), payer.is_usable()) {
        (_, false) => ChannelPhase::Closing,
        (false, true) => ChannelPhase::Opening,
        (true, true) => ChannelPhase::Open,
    };
    ChannelStatus {
        account: hex::encode(payer.account()),
        direction: Direction::Paying,
        peer: payer.provider().to_string(),
        deposit_nano: payer.record().deposit.0,
        paid_nano: payer.cumulative().0,
        state,
    }
}

fn earning(earner: &Earner) -> ChannelStatus {
    let seen = earner.seen().filter(|seen| seen.epoch != 0);
    let state = match seen {
        None => ChannelPhase::Opening,
        Some(seen) if seen.closing.is_some() => ChannelPhase::Closing,
        Some(_) => ChannelPhase::Open,
    };
    ChannelStatus {
        account: hex::encode(earner.account()),
        direction: Direction::Earning,
        peer: earner.client().to_string(),
        deposit_nano: seen.map_or(0, |seen| seen.deposit.0),
        paid_nano: earner.paid().0,
        state,
    }
}
