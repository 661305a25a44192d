//! The outcome of a run as text for people.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use crate::results::report::{LedgerSummary, Report, Summary, mean};

/// Returns the report as a table for people.
#[must_use]
pub fn table(report: &Report) -> String {
    let summary = &report.summary;
    let mut text = String::new();
    text.push_str(&format!(
        "{}, {}, seed {}: {:.0} virtual seconds, {} in {:.1} s of processor time\n",
        count(report.nodes, "node"),
        count(report.jobs, "order"),
        report.seed,
        summary.virtual_s,
        count(report.events, "event"),
        report.cpu_s
    ));
    let mut times = numbers(["", "p50", "p95", "p99"]);
    let rows = [
        ("match, ms", summary.match_ms, 0),
        ("first content, ms", summary.first_content_ms, 0),
        ("  of that for bids", summary.phases_ms[0], 0),
        ("  for a provider's yes", summary.phases_ms[1], 0),
        ("  for its first content", summary.phases_ms[2], 0),
        ("whole answer, ms", summary.whole_ms, 0),
        ("price, coins", summary.price_coins, 6),
        ("price over lowest list price", summary.paid_over_lowest, 3),
    ];
    for (name, of, digits) in rows {
        let show = |number: f64| format!("{number:.digits$}");
        times.add_row([name.to_owned(), show(of.p50), show(of.p95), show(of.p99)]);
    }
    let mut traffic = numbers(["message", "count", "bytes each", "per order"]);
    for (name, of) in &summary.messages {
        let each = mean(of.bytes as f64, of.count as f64);
        let per_order = mean(of.count as f64, f64::from(report.jobs));
        traffic.add_row([
            (*name).to_owned(),
            of.count.to_string(),
            format!("{each:.0}"),
            format!("{per_order:.1}"),
        ]);
    }
    text.push_str(&format!("{}\n{times}\n{traffic}\n{}", orders(summary), money(&summary.ledger)));
    for attack in &summary.attacks {
        let profit = attack
            .profit_per_spent
            .map_or_else(String::new, |profit| format!(", {profit:+.2} for each coin spent"));
        text.push_str(&format!(
            "{} by {} hosts, their whole business: gained {:.6}, spent {:.6}{profit}\n",
            attack.kind, attack.hosts, attack.gained, attack.spent
        ));
    }
    text.push_str(&format!("run {}  digest {}\n", report.run_id, report.digest));
    text
}

/// Makes a table with names on the left and numbers on the right.
fn numbers(header: [&str; 4]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Returns a number of things in words.
fn count(number: impl Into<u64>, thing: &str) -> String {
    let number = number.into();
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn orders(summary: &Summary) -> String {
    let mut text = format!(
        "done {} ({:.1} %), failed {}, lost with their client {}; {} with {:.1} bids each, {} on a \
         lease, {}\n",
        summary.done,
        summary.success * 1e2,
        summary.failed,
        summary.lost,
        count(summary.auctions, "auction"),
        summary.bids_per_auction,
        count(summary.leased, "order"),
        count(summary.failovers, "failover")
    );
    for (why, count) in &summary.failures {
        text.push_str(&format!("  {count} × {why}\n"));
    }
    for (why, count) in &summary.failover_reasons {
        text.push_str(&format!("  failed over {count} × {why}\n"));
    }
    text.push_str(&format!(
        "{} input and {} output tokens, {}, {}; gossip: {:.1} hops, {:.1} duplicates a copy; {}",
        summary.tokens.0,
        summary.tokens.1,
        count(summary.receipts, "receipt"),
        count(summary.vouchers, "voucher"),
        summary.gossip_hops,
        summary.gossip_duplicates,
        count(summary.false_accusations, "false accusation")
    ));
    text
}

fn money(ledger: &LedgerSummary) -> String {
    let of = &ledger.transactions;
    let balance = if ledger.imbalance == 0 {
        "every nano accounted for".to_owned()
    } else {
        format!("{} NANO OFF", ledger.imbalance)
    };
    format!(
        "ledger: {} ({} opened, {} topped up, {} claimed, {} closed, {} asked to close, {} finalised; {} \
         refused), {:.0} for 1,000 answers\nmoney: billed {}, paid out {} (and {} \
         too small to send), never settled {} (at most {} of one provider), fees {}, still in {} {}; {balance}\n",
        count(of.total(), "transaction"),
        of.open,
        of.top_up,
        of.claim,
        of.close,
        of.request_close,
        of.finalize,
        of.refused,
        ledger.per_1000_jobs,
        ledger.billed,
        ledger.paid_out,
        ledger.dust,
        ledger.unsettled,
        ledger.largest_loss,
        ledger.fees,
        count(ledger.open_channels as u64, "channel"),
        ledger.locked
    )
}
