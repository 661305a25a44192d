//! `bombyx status`: what the running node of this home says about itself.

use std::collections::BTreeMap;
use std::path::Path;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::limits::PAYOUT_MIN;

use super::print::Printer;
use super::reach;
use crate::error::NodeError;
use crate::ledger::CoinName;
use crate::ledger::clock::clock;
use crate::status::{DueStatus, LedgerStatus, Status, Unpaid, balance, count, names, owed_lines};

pub(super) async fn run(home: &Path, printer: Printer) -> Result<(), NodeError> {
    let status = reach::running(home).await?.status;
    printer.data(&status, || text(&status));
    Ok(())
}

/// Returns what is due, one line a reason; whoever has not paid is named.
fn dues(due: &[DueStatus], coin: &CoinName) -> Vec<String> {
    let mut by_reason: BTreeMap<Unpaid, Vec<&DueStatus>> = BTreeMap::new();
    for one in due {
        by_reason.entry(one.why).or_default().push(one);
    }
    let line = |(why, dues): (Unpaid, Vec<&DueStatus>)| {
        let sum: Nano = dues.iter().map(|due| Nano(due.due_nano)).sum();
        let word = if why.is_covered() { "due   " } else { "unpaid" };
        let debtors = || names(dues.iter().map(|due| (due.peer.as_str(), Nano(due.due_nano))));
        let by = if why.is_covered() { String::new() } else { format!(" by {}", debtors()) };
        format!("{word}    {} on {}{by}: {why}", coin.amount(sum), count(dues.len() as u64, "channel"))
    };
    by_reason.into_iter().map(line).collect()
}

fn text(status: &Status) -> String {
    let coins = |nano: u64| Nano(nano).to_string();
    let coin = &status.ledger.coin;
    let mut lines = vec![
        format!("node      {}", status.node_id),
        format!(
            "network   {}, {}, up {} s{}",
            status.network,
            count(status.peers as u64, "peer"),
            status.uptime_s,
            if status.ending { ", ending" } else { "" }
        ),
    ];
    lines.extend(status.addresses.iter().map(|address| format!("join      {address}")));
    lines.push(format!("ledger    {} (network {})", status.ledger.url, status.ledger.network_id));
    let LedgerStatus { balance_nano, balance_ago_s, silent, .. } = status.ledger;
    let balance = balance(balance_nano, balance_ago_s, silent, coin);
    lines.push(format!("wallet    {}, {balance}", status.ledger.wallet_words()));
    let since = format!("{} UTC", clock(u32::try_from(status.started_s).unwrap_or(u32::MAX)));
    if let Some(provider) = &status.provider {
        lines.push(format!(
            "sold      {} since {since} ({} given up), {} under way, {}",
            count(provider.jobs_served, "job"),
            provider.jobs_refused,
            provider.jobs_in_flight,
            coin.amount(Nano(provider.served_nano))
        ));
        lines.push(format!("market    {}", provider.sales));
        lines.extend(provider.without_ledger.map(|told| format!("no ledger {told}")));
        lines.extend(dues(&provider.due, coin));
        if provider.lost_nano > 0 {
            lines.push(format!(
                "lost      {}: served and never paid, as came out since then: due or unpaid on channels that are gone from the ledger \
                 (a close pays less than {PAYOUT_MIN} coins to nobody, and a devnet that begins anew forgets all), or on credit for \
                 more than an hour",
                coin.amount(Nano(provider.lost_nano))
            ));
        }
        lines.push(format!("payee     {}", provider.payee));
        for model in &provider.models {
            lines.push(format!(
                "sells     {}: {} a job, {} in, {} out per 1,000 tokens; {}, begins in {} ms, reads {} and writes {} tokens/s",
                model.name,
                coins(model.price_job_nano),
                coins(model.price_in_nano),
                coins(model.price_out_nano),
                count(model.slots.into(), "slot"),
                model.start_ms,
                model.read_tps,
                model.write_tps
            ));
        }
    }
    let client = &status.client;
    lines.push(format!(
        "bought    {} answered since {since}, {} failed or cancelled, {} under way, {}; {} known",
        count(client.orders_done, "order"),
        client.orders_failed,
        client.orders_in_flight,
        coin.amount(Nano(client.spent_nano)),
        count(client.asks as u64, "offer")
    ));
    lines.extend(owed_lines(&client.owed, coin, 10));
    for channel in &status.channels {
        lines.push(format!(
            "channel   {channel}: {} of {}",
            coins(channel.paid_nano),
            coin.amount(Nano(channel.deposit_nano))
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{
        ChannelPhase, ChannelStatus, ClientStatus, Direction, LedgerStatus, OwedStatus, ProviderStatus,
        SalesStatus,
    };

    #[test]
    fn a_status_is_words_and_not_names_of_the_program() {
        let channel = |direction, state| ChannelStatus {
            account: "ab".repeat(32),
            direction,
            peer: "772ce054ffff".into(),
            deposit_nano: 1_000_000_000,
            addition_nano: 0,
            paid_nano: 357_000,
            state,
            challenge_s: 60,
        };
        let due = |due_nano, why| DueStatus { account: "ab".repeat(32), peer: "77".into(), due_nano, why };
        let provider = ProviderStatus {
            models: Vec::new(),
            jobs_in_flight: 0,
            jobs_served: 1,
            jobs_refused: 0,
            served_nano: 357_000,
            lost_nano: 319_920,
            without_ledger: None,
            sales: SalesStatus {
                heard: 31,
                bids: 30,
                won: 2,
                paid_above: 1,
                mean_above_ppm: 41_700,
                outscored: 27,
                mean_margin: 12,
                too_late: 1,
                ..SalesStatus::default()
            },
            due: vec![
                due(300_000, Unpaid::TooLittle),
                due(10_000_000, Unpaid::Closing),
                due(400_000, Unpaid::TooLittle),
                due(20_000, Unpaid::NoChannel),
                due(30_000, Unpaid::NoChannel),
            ],
            payee: "payee".into(),
        };
        let hash = "1f".repeat(32);
        let status = Status {
            version: "0".into(),
            node_id: "id".into(),
            network: "dev".into(),
            started_s: 1_790_000_000,
            uptime_s: 5,
            ending: false,
            peers: 1,
            addresses: Vec::new(),
            provider: Some(provider),
            client: ClientStatus {
                asks: 2,
                orders_failed: 3,
                owed: vec![OwedStatus { peer: "c7".repeat(32), owed_nano: 91_040 }],
                ..ClientStatus::default()
            },
            ledger: LedgerStatus {
                url: "url".into(),
                network_id: -3,
                coin: CoinName::default(),
                wallet: format!("0:{hash}"),
                balance_nano: Some(1),
                balance_ago_s: Some(73),
                silent: true,
            },
            channels: vec![
                channel(Direction::Earning, ChannelPhase::Open),
                channel(Direction::Paying, ChannelPhase::Closing),
            ],
        };
        let text = text(&status);
        for words in [
            "1 peer,",
            ", 0.000000001 TON, as the ledger showed it 73 s ago; it does not answer now",
            "sold      1 job since 2026-09-21 14:13:20 UTC (0 given up)",
            "market    heard 31 calls, bid on 30, won 2 (1 paid above the bid, by 4.1 % on average); 27 times outscored by a lower price or a faster answer, by 1.2 % on average",
            "; 1 time too late for the call",
            "due       0.0007 TON on 2 channels: less than 0.0005 coins, of which a close would pay nothing out",
            "due       0.01 TON on 1 channel: the close is under way",
            "unpaid    0.00005 TON on 2 channels by 77: served on credit in the last hour",
            "lost      0.00031992 TON: served and never paid",
            "bought    0 orders answered since 2026-09-21 14:13:20 UTC, 3 failed or cancelled",
            "2 offers known",
            "owed      0.00009104 TON to c7c7c7c7, served before the wallet held enough",
            "channel   earns from 772ce054, open: 0.000357 of 1 TON",
            "channel   pays to 772ce054, closing: 0.000357 of 1 TON",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.contains("wallet    0Q") && !text.contains(&hash), "as wallets write it: {text}");
    }
}
