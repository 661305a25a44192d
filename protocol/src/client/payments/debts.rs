//! Channels that the wallet could not open, kept for what was served on credit before: the next job with the provider opens them, and
//! its voucher pays for both. (`CH-56`)

use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::channel::pay::Payer;
use crate::channel::record::Record;
use crate::ident::NodeId;
use crate::io::ChannelChange;
use crate::limits;
use crate::outbox::Outbox;
use crate::time::Time;

use super::Payments;

impl Payments {
    /// Returns what is owed to providers on channels that could not be opened.
    pub(in crate::client) fn debts(&self) -> impl Iterator<Item = (NodeId, Nano)> {
        self.indebted().map(|payer| (payer.provider(), payer.cumulative()))
    }

    fn indebted(&self) -> impl Iterator<Item = &Payer> {
        let recorded = self.channels.values().filter(|channel| channel.recorded);
        recorded.map(|channel| &channel.payer).filter(|payer| payer.is_debt())
    }

    /// Returns whether a channel is kept for what is owed on it alone.
    pub(in crate::client) fn is_debt(&self, account: &ChannelId) -> bool {
        self.channels.get(account).is_some_and(|channel| channel.recorded && channel.payer.is_debt())
    }

    /// Returns whether coins are kept for others than this channel, so that nothing is added to it before a job needs it: for one that
    /// is not open yet and has a job, or for who has lent within the hour. (`CH-20`)
    pub(super) fn others_come_first(&self, now: Time, account: &ChannelId) -> bool {
        self.channels.iter().filter(|(other, _)| *other != account).any(|(_, channel)| {
            let payer = &channel.payer;
            let is_opening = !payer.is_open() && payer.is_usable() && payer.reserved() > Nano::ZERO;
            let is_recent = || channel.used_at.is_none_or(|used| now < used + limits::CREDIT_HOUR);
            is_opening || (channel.recorded && payer.is_debt() && is_recent())
        })
    }

    /// Keeps a channel that could not be opened, if anything is owed on it. Of more than [`limits::DEBTS_MAX`] the least is forgotten.
    pub(super) fn keep_debt(&mut self, account: &ChannelId, outbox: &mut Outbox) {
        let Some(channel) = self.channel(account) else { return };
        if channel.payer.cumulative() == Nano::ZERO {
            self.forget_debt(*account, outbox);
            return;
        }
        channel.persist(outbox);
        if self.indebted().count() > limits::DEBTS_MAX {
            let least = self.indebted().min_by_key(|payer| (payer.cumulative(), payer.account()));
            if let Some(account) = least.map(Payer::account) {
                self.forget_debt(account, outbox);
            }
        }
    }

    /// Asks the ledger once more for such a channel, with this deposit beside what is owed, because the user says so. Does nothing to
    /// another.
    pub(in crate::client) fn open_debt(
        &mut self,
        now: Time,
        account: &ChannelId,
        deposit: Nano,
        outbox: &mut Outbox,
    ) {
        if let Some(channel) = self.channel(account).filter(|channel| channel.payer.is_debt()) {
            channel.payer.top_up(deposit);
            self.fund(now, account, false, outbox);
        }
    }

    /// Forgets such a channel, and says so if anything is owed on it.
    fn forget_debt(&mut self, account: ChannelId, outbox: &mut Outbox) {
        outbox.persist(Record::ChannelGone { account });
        let forgotten = self.channels.remove(&account);
        if let Some(channel) = forgotten.filter(|channel| channel.payer.cumulative() > Nano::ZERO) {
            channel.announce(ChannelChange::Forgotten { owed: channel.payer.cumulative() }, outbox);
        }
    }

    /// Forgets all of them.
    pub(super) fn forget_debts(&mut self, outbox: &mut Outbox) {
        let debts: Vec<ChannelId> = self.indebted().map(Payer::account).collect();
        for account in debts {
            self.forget_debt(account, outbox);
        }
    }
}
