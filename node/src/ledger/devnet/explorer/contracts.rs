//! What an account's contract says of itself, in words and figures: a channel, or a purse with its lanes.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;

use super::html::table;
use super::page::Page;
use crate::ledger::chain::Account;
use crate::ledger::clock::clock;
use crate::ledger::contract::ChannelAccount;
use crate::ledger::prices::Prices;
use crate::ledger::purse::{LaneState, PurseState};
use crate::ledger::wallet::Wallet;

/// What the part of an account's page holds that its contract decides.
#[derive(Default)]
pub(super) struct Portrait {
    pub(super) words: String,
    pub(super) figures: Vec<(&'static str, String)>,
    /// Below the figures.
    pub(super) list: String,
}

impl Page<'_> {
    pub(super) fn portrait(&self, address: Address, account: &Account) -> Portrait {
        if let Ok(Some(channel)) = ChannelAccount::read(address, account) {
            return self.channel_portrait(&channel);
        }
        if let Ok(Some(purse)) = PurseState::read(address, account) {
            return self.purse_portrait(&purse);
        }
        let figures = vec![("next number", Wallet::next_seqno(account).to_string())];
        Portrait { figures, ..Portrait::default() }
    }

    fn channel_portrait(&self, channel: &ChannelAccount) -> Portrait {
        let words = format!(
            "<p>A payment channel from {} to {}, epoch {}, salt {}.<br>Vouchers are signed by <code>{}</code>,<br>close \
             orders by <code>{}</code>.</p>",
            self.party(channel.terms.client),
            self.party(channel.terms.provider),
            channel.epoch,
            channel.terms.salt,
            hex::encode(channel.terms.client_key),
            hex::encode(channel.terms.provider_key),
        );
        let figures = vec![
            ("deposit", self.sum(channel.deposit.0)),
            ("paid to the provider", self.sum(channel.settled.0)),
            ("state", phase(channel)),
            ("challenge time", format!("{} s", channel.terms.challenge_s)),
        ];
        Portrait { words, figures, list: String::new() }
    }

    fn purse_portrait(&self, purse: &PurseState) -> Portrait {
        let words = format!(
            "<p>A purse of {}, turn {}, salt {}.<br>Vouchers and orders are signed by <code>{}</code>.</p>",
            self.party(purse.terms.client),
            purse.turn,
            purse.terms.salt,
            hex::encode(purse.terms.client_key),
        );
        let figures = vec![
            ("locked in lanes", self.sum(purse.locked.0)),
            ("free", self.sum(purse.free(&self.state.prices().unwrap_or(Prices::TODAY)).0)),
            ("lanes", purse.lanes.len().to_string()),
            ("challenge time", format!("{} s", purse.terms.challenge_s)),
        ];
        let rows = purse.lanes.iter().map(|(index, lane)| {
            format!(
                "<tr><td>{index}<td>{}<td class=number>{}<td class=number>{}<td>{}<td>{}<td class=number>{}",
                self.party(Address::basechain(lane.provider)),
                lane.deposit,
                lane.settled,
                paid_bar(lane.settled, lane.deposit),
                lane_phase(lane, purse.chain_time_s),
                lane.epoch,
            )
        });
        let head = "<th>lane<th>provider<th class=number>deposit<th class=number>paid<th><th>state<th \
                    class=number>epoch";
        let list = format!("<h2>Lanes</h2>{}", table(head, rows, "No lane is open."));
        Portrait { words, figures, list }
    }
}

/// Returns what an account is, in a word or two.
pub(super) fn kind(address: Address, account: &Account) -> &'static str {
    match &account.contract {
        None if account.balance == Nano::ZERO => "empty",
        None => "coins, no contract",
        Some(_) if matches!(ChannelAccount::read(address, account), Ok(Some(_))) => "payment channel",
        Some(_) if matches!(PurseState::read(address, account), Ok(Some(_))) => "purse",
        Some(contract) if Wallet::is_wallet(&contract.code) => "wallet",
        Some(_) => "contract",
    }
}

/// Returns how much of a deposit is paid, as a bar.
pub(super) fn paid_bar(settled: Nano, deposit: Nano) -> String {
    let share = (u128::from(settled.0) * 100).checked_div(u128::from(deposit.0)).unwrap_or(0);
    format!("<div class=bar title='{share} % paid'><i style='width:{share}%'></i></div>")
}

/// Returns how far a channel is in its life.
pub(super) fn phase(state: &ChannelAccount) -> String {
    match (state.epoch, state.close_at_s) {
        (0, _) => "<span class=tag>not funded</span>".into(),
        (_, 0) => "<span class='tag good'>open</span>".into(),
        (_, at_s) if at_s > state.chain_time_s => {
            format!("<span class='tag bad'>closing</span> until {}", clock(at_s))
        }
        _ => "<span class='tag bad'>closing</span> may be finalized".into(),
    }
}

fn lane_phase(lane: &LaneState, now_s: u32) -> String {
    if lane.shrink_at_s == 0 {
        return "<span class='tag good'>open</span>".into();
    }
    let what = if lane.keep == Nano::ZERO { "ends".to_owned() } else { format!("shrinks to {}", lane.keep) };
    let when =
        if lane.shrink_at_s > now_s { format!("at {}", clock(lane.shrink_at_s)) } else { "now".into() };
    format!("<span class='tag bad'>{what}</span> {when}")
}
