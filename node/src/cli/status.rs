//! `bombyx status`: what the running node of this home says about itself.

use std::path::Path;

use bombyx_protocol::amount::Nano;

use super::print::Printer;
use super::reach;
use crate::error::NodeError;
use crate::status::Status;

/// From how many seconds on the age of what the ledger said is shown.
pub(super) const WORTH_SAYING_S: u64 = 10;

pub(super) async fn run(home: &Path, printer: Printer) -> Result<(), NodeError> {
    let status = reach::running(home).await?.status;
    printer.data(&status, || text(&status));
    Ok(())
}

fn text(status: &Status) -> String {
    let coins = |nano: u64| Nano(nano).to_string();
    let coin = &status.ledger.coin;
    let mut lines = vec![
        format!("node      {}", status.node_id),
        format!("network   {}, {} peers, up {} s", status.network, status.peers, status.uptime_s),
    ];
    lines.extend(status.addresses.iter().map(|address| format!("join      {address}")));
    let balance = status
        .ledger
        .balance_nano
        .map_or("unknown (the ledger does not answer)".into(), |nano| coin.amount(Nano(nano)));
    lines.push(format!("ledger    {} (network {})", status.ledger.url, status.ledger.network_id));
    let ago = status.ledger.balance_ago_s.filter(|ago_s| *ago_s >= WORTH_SAYING_S);
    let ago = ago.map_or_else(String::new, |ago_s| format!(" ({ago_s} s ago)"));
    lines.push(format!("wallet    {}, {balance}{ago}", status.ledger.wallet));
    if let Some(provider) = &status.provider {
        lines.push(format!(
            "sold      {} jobs ({} ended early), {} under way, {}{}",
            provider.jobs_served,
            provider.jobs_refused,
            provider.jobs_in_flight,
            coin.amount(Nano(provider.served_nano)),
            if provider.draining { ", ending" } else { "" }
        ));
        lines.push(format!("payee     {}", provider.payee));
        for model in &provider.models {
            lines.push(format!(
                "sells     {}: {} a job, {} in, {} out per 1,000 tokens; {} slots, first token {} ms, {} tokens/s",
                model.name,
                coins(model.price_job_nano),
                coins(model.price_in_nano),
                coins(model.price_out_nano),
                model.slots,
                model.first_token_ms,
                model.tokens_per_s
            ));
        }
    }
    let client = &status.client;
    lines.push(format!(
        "bought    {} orders answered, {} failed, {} under way, {}; {} offers known",
        client.orders_done,
        client.orders_failed,
        client.orders_in_flight,
        coin.amount(Nano(client.spent_nano)),
        client.asks
    ));
    for channel in &status.channels {
        lines.push(format!(
            "channel   {:?} {:?} with {}: {} of {}",
            channel.direction,
            channel.state,
            channel.peer.get(..8).unwrap_or(&channel.peer),
            coins(channel.paid_nano),
            coin.amount(Nano(channel.deposit_nano))
        ));
    }
    lines.join("\n")
}
