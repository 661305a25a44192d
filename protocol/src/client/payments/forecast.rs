//! What a job would ask of a channel to a provider of which no bid is known yet. (`MK-64`)

use crate::amount::Nano;
use crate::client::config::ClientConfig;
use crate::ident::NodeId;
use crate::market::quote::{QuotedChannel, QuotedState};
use crate::time::Time;

use super::Payments;
use super::channel::Channel;
use super::needs::Acquaintance;

impl Payments {
    /// Returns what a job of this ceiling would ask of the channel to this provider, before it begins or early for those after it.
    pub(in crate::client) fn forecast(
        &self,
        now: Time,
        provider: &NodeId,
        cost_max: Nano,
        acquaintance: Acquaintance,
        config: &ClientConfig,
    ) -> QuotedChannel {
        let known = self.usable(provider);
        let payer = known.map(|channel| &channel.payer);
        let promised = payer.map_or(Nano::ZERO, |payer| payer.cumulative());
        let deposit = acquaintance.deposit(config, cost_max, promised);
        let fault = self.fits(payer, cost_max, acquaintance, config).err();
        let room = self.room_for(payer, acquaintance);
        let quoted = |state, needs, locks| QuotedChannel { state, needs, locks, room, fault };
        let Some(channel) = known else {
            let quoted = quoted(QuotedState::Opens, cost_max, deposit);
            let is_full = self.has_room().err();
            return is_full.map_or(quoted, |full| QuotedChannel {
                room: Nano::ZERO,
                fault: Some(full),
                ..quoted
            });
        };
        let payer = &channel.payer;
        if payer.is_debt() {
            let with_debt = |amount: Nano| amount.saturating_plus(promised);
            return quoted(QuotedState::Opens, with_debt(cost_max), with_debt(deposit));
        }
        let (headroom, uncovered) = (payer.headroom(), payer.uncovered());
        let left = headroom.saturating_minus(cost_max);
        let locks = if headroom < cost_max {
            channel.addition(deposit, self.rest_max)
        } else if left < acquaintance.early_mark(deposit, cost_max)
            && !self.others_come_first(now, &payer.account())
        {
            channel.early_top_up(now, left, deposit, self.rest_max)
        } else {
            Nano::ZERO
        };
        let state = if payer.is_open() { QuotedState::Open } else { QuotedState::Opening };
        quoted(state, cost_max.saturating_plus(uncovered).saturating_minus(headroom), locks)
    }

    /// Returns the channel to a provider that a job would use.
    fn usable(&self, provider: &NodeId) -> Option<&Channel> {
        let usable = self.channels.values().filter(|channel| {
            channel.recorded && channel.payer.provider() == *provider && channel.payer.is_usable()
        });
        usable.max_by_key(|channel| channel.payer.headroom()).map(|channel| &**channel)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::channel::record::{PayerRecord, Record};
    use crate::channel::terms::ChannelTerms;
    use crate::outbox::Outbox;

    /// (`MK-64`) An addition came to nothing after a job had begun on it.
    #[test]
    fn what_is_promised_above_a_deposit_is_part_of_the_next_addition() {
        let config = ClientConfig::for_tests(1);
        let key = ed25519_dalek::SigningKey::from_bytes(&config.channel_seed).verifying_key().to_bytes();
        let provider = NodeId([5; 32]);
        let record = PayerRecord {
            terms: ChannelTerms { client_key: key, ..ChannelTerms::for_tests() }.into(),
            provider,
            deposit: Nano(100),
            locked: Nano(100),
            epoch: Some(1),
            cumulative: Nano(120),
            closing: false,
            gone: false,
        };
        let payments = Payments::restored(&config, vec![Record::Payer(record)], &mut Outbox::default());
        let acquaintance = Acquaintance { level: 1, room: Nano(u64::MAX) };
        let quoted = payments.forecast(Time(1), &provider, Nano(10), acquaintance, &config);
        assert_eq!((quoted.state, quoted.needs, quoted.fault), (QuotedState::Open, Nano(30), None));
        assert_eq!(quoted.locks, Nano(60), "four ceilings and the excess");
    }
}
