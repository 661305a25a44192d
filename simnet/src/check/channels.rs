//! What disks know of every channel: promises of clients, vouchers of providers.

use std::collections::BTreeMap;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::AgreedTerms;
use bombyx_protocol::table::Table;

use crate::ledger::Wallet;

/// Everything that disks know of one channel.
#[derive(Debug)]
pub(super) struct Channel {
    /// Numbers of its parties.
    pub(super) payer: u32,
    pub(super) payee: u32,
    /// The most that its client has promised in a record that is on its disk.
    pub(super) promised: Nano,
    /// By epoch: a voucher counts in one funding only.
    pub(super) fundings: Table<u64, Vouchers>,
}

/// The newest vouchers of a funding at the provider; nothing where there is none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Vouchers {
    /// Written, on disk or not.
    pub(super) written: Nano,
    /// On its disk.
    pub(super) durable: Nano,
}

/// All channels. A party has many, so each names it by a number.
#[derive(Debug, Default)]
pub(super) struct Channels {
    pub(super) known: BTreeMap<ChannelId, Channel>,
    parties: Vec<Wallet>,
    pub(super) numbers: BTreeMap<Wallet, u32>,
}

impl Channels {
    /// Returns the channel with these terms; one that is new promises nothing.
    pub(super) fn of(&mut self, terms: &AgreedTerms) -> &mut Channel {
        let Self { known, parties, numbers } = self;
        known.entry(terms.id()).or_insert_with(|| {
            let mut number = |party: Wallet| {
                *numbers.entry(party).or_insert_with(|| {
                    parties.push(party);
                    parties.len() as u32 - 1
                })
            };
            let (payer, payee) = (number(terms.client.hash), number(terms.provider.hash));
            Channel { payer, payee, promised: Nano::ZERO, fundings: Table::default() }
        })
    }

    /// Returns the sum of a number of every funding with a voucher on its provider's disk, for one
    /// side of each channel.
    pub(super) fn sums(
        &self,
        side: impl Fn(&Channel) -> u32,
        number: impl Fn(&ChannelId, u64, Vouchers) -> Nano,
    ) -> BTreeMap<Wallet, Nano> {
        let mut sums: BTreeMap<Wallet, Nano> = BTreeMap::new();
        for (account, channel) in &self.known {
            let fundings = channel.fundings.iter().filter(|(_, vouchers)| vouchers.durable > Nano::ZERO);
            for (epoch, vouchers) in fundings {
                let sum = sums.entry(self.parties[side(channel) as usize]).or_default();
                *sum = sum.saturating_plus(number(account, *epoch, *vouchers));
            }
        }
        sums
    }
}

impl Channel {
    /// Returns the vouchers of the funding with this epoch.
    pub(super) fn vouchers(&mut self, epoch: u64) -> &mut Vouchers {
        if !self.fundings.contains_key(&epoch) {
            self.fundings.insert(epoch, Vouchers::default());
        }
        self.fundings.get_mut(&epoch).expect("it is there or was put there")
    }
}
