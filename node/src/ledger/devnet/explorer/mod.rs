//! The devnet's page for people: what happened, who holds what, which channels there are; and the faucet.
//!
//! | request | shows |
//! |---|---|
//! | `GET /` | newest blocks and transactions, channels, accounts, the faucet's form |
//! | `GET /account/{address}` | one account with its channel or its purse and lanes, and its transactions |
//! | `GET /find?address=` | leads to an account |
//! | `GET /give?address=&amount=` | the faucet, then leads to the account |
//!
//! Plain HTML without scripts; each page names everything that it needs. Nothing from outside gets on a page unescaped.

mod contracts;

use std::collections::{BTreeMap, HashSet};

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;

use self::contracts::{kind, paid_bar, phase};
use super::chain::{Record, State};
use super::{DEVNET_ID, Devnet};
use crate::ledger::chain::{Account, Message, Transaction};
use crate::ledger::contract::{self, ChannelState, Refusal};
use crate::ledger::wallet::{friendly, parse_address};
use crate::ledger::{CoinName, purse};

const STYLE: &str = include_str!("style.css");
/// Rows of each list on the first page.
const ROWS: usize = 25;
/// Channels and accounts that are looked at for the first page.
const LOOKED_AT: usize = 400;
/// Transactions on an account's page.
const ACCOUNT_ROWS: usize = 200;
/// What a browser may load for these pages: nothing but their own style.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'";

/// The first page.
pub(super) fn front(devnet: &Devnet) -> Response {
    // The look is over before the page asks the devnet for its time.
    let body = Page::new(devnet).front();
    page(StatusCode::OK, devnet, "Bombyx devnet", &body)
}

/// An account's page.
pub(super) fn account(devnet: &Devnet, text: &str) -> Response {
    match parse_address(text) {
        Some(address) => {
            let body = Page::new(devnet).account(address);
            page(StatusCode::OK, devnet, &short(address), &body)
        }
        None => {
            wrong(devnet, &format!("“{}” is not an address; it looks like 0:… or EQ… or UQ…", clip(text)))
        }
    }
}

/// Leads to an account.
pub(super) fn find(devnet: &Devnet, text: &str) -> Response {
    match parse_address(text.trim()) {
        Some(address) => Redirect::to(&link(address)).into_response(),
        None => account(devnet, text),
    }
}

/// Gives coins and leads to who has them now.
pub(super) fn give(devnet: &Devnet, address: &str, amount: &str) -> Response {
    let Some(receiver) = parse_address(address.trim()) else { return account(devnet, address) };
    let given = Nano::from_coins(amount.trim())
        .map_err(|error| error.to_string())
        .and_then(|amount| devnet.faucet(receiver, amount).map_err(|error| error.to_string()));
    match given {
        Ok(()) => Redirect::to(&link(receiver)).into_response(),
        Err(why) => wrong(devnet, &why),
    }
}

fn wrong(devnet: &Devnet, why: &str) -> Response {
    let front = Page::new(devnet).front();
    let body = format!("<p class=notice>{}</p>{front}", escape(why));
    page(StatusCode::BAD_REQUEST, devnet, "Bombyx devnet", &body)
}

fn page(status: StatusCode, devnet: &Devnet, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>{title}</title><style>{STYLE}</style><header><div><strong><a href=/>Bombyx devnet</a></strong>\
         <span class=soft>network {DEVNET_ID} · chain time {time}</span><form action=/find><input name=address \
         placeholder='address' aria-label=address> <button>Find</button></form></div></header><main>{body}<footer>A private \
         ledger in one process: real contracts in a real virtual machine at mainnet’s prices, no consensus. Its coins are \
         worth nothing. Reload to see what happened since.</footer></main></html>",
        title = escape(title),
        time = clock(devnet.now_s()),
    );
    (status, [(header::CONTENT_SECURITY_POLICY, POLICY)], Html(html)).into_response()
}

/// One look at the devnet.
struct Page<'d> {
    state: std::sync::MutexGuard<'d, State>,
    fees: u128,
    coin: &'d CoinName,
}

impl<'d> Page<'d> {
    fn new(devnet: &'d Devnet) -> Self {
        let fees = devnet.fees_collected();
        Self { state: devnet.state(), fees, coin: devnet.coin() }
    }

    fn front(&self) -> String {
        let records: Vec<(&Record, Transaction)> = self.state.log().filter_map(read).collect();
        let mut seen = HashSet::new();
        let touched = self.state.touched().filter(|account| seen.insert(*account)).take(LOOKED_AT);
        let accounts: Vec<(Address, Account)> =
            touched.filter_map(|address| Some((address, self.state.account(address).ok()?))).collect();
        let channels: Vec<(Address, ChannelState)> = accounts
            .iter()
            .filter_map(|(address, account)| {
                let state = ChannelState::read(*address, account).ok().flatten()?;
                Some((*address, state))
            })
            .collect();
        let figures = [
            ("block", self.state.seqno().to_string()),
            ("accounts", self.state.accounts().to_string()),
            ("channels seen", channels.len().to_string()),
            ("messages on their way", self.state.waiting().to_string()),
            ("fees taken", self.sum(u64::try_from(self.fees).unwrap_or(u64::MAX))),
        ];
        let faucet = format!(
            "<form class=faucet action=/give><span>Faucet</span> <input name=address placeholder='0:… or UQ…' \
             aria-label='receiver' required> <input name=amount value=10 inputmode=decimal aria-label=amount> {} \
             <button>Give</button></form>",
            self.coin
        );
        let shown = |what: &str, of: usize| {
            if of > ROWS { format!("<small>newest {ROWS} {what}</small>") } else { String::new() }
        };
        format!(
            "{figures}<h2>Faucet</h2>{faucet}<h2>Channels{more_channels}</h2>{channels}<h2>Transactions{more}</h2>\
             {transactions}<div class=two><section><h2>Blocks</h2>{blocks}</section><section><h2>Accounts{more_accounts}</h2>\
             {accounts}</section></div>",
            figures = figures_of(&figures),
            more_channels = shown("used last", channels.len()),
            channels = self.channels(&channels),
            more = shown("", records.len()),
            transactions = self.transactions(records.iter().take(ROWS), None),
            blocks = self.blocks(&records),
            more_accounts = shown("used last", accounts.len()),
            accounts = self.accounts(&accounts),
        )
    }

    fn account(&self, address: Address) -> String {
        let account = match self.state.account(address) {
            Ok(account) => account,
            Err(error) => return format!("<p class=notice>{}</p>", escape(&error.to_string())),
        };
        let mut figures = vec![
            ("balance", self.sum(account.balance.0)),
            ("kind", kind(address, &account).to_owned()),
            (
                "last transaction",
                if account.last_lt == 0 { "none".into() } else { account.last_lt.to_string() },
            ),
        ];
        let names = format!(
            "<h2>Account</h2><p><code>{}</code><br><code class=soft>{}</code></p>",
            friendly(address, true),
            address
        );
        let portrait = self.portrait(address, &account);
        figures.extend(portrait.figures);
        let records: Vec<(&Record, Transaction)> =
            self.state.history(address).take(ACCOUNT_ROWS).filter_map(read).collect();
        let fees: Nano = records.iter().map(|(_, transaction)| transaction.fee).sum();
        figures.push(("fees in the list below", self.sum(fees.0)));
        format!(
            "{names}{}{}{}<h2>Transactions</h2>{}",
            portrait.words,
            figures_of(&figures),
            portrait.list,
            self.transactions(records.iter(), Some(address))
        )
    }

    fn channels(&self, channels: &[(Address, ChannelState)]) -> String {
        let rows = channels.iter().take(ROWS).map(|(address, state)| {
            format!(
                "<tr><td>{}<td>{}<td>{}<td class=number>{}<td class=number>{}<td>{}<td>{}",
                self.party(*address),
                self.party(state.terms.client),
                self.party(state.terms.provider),
                state.deposit,
                state.settled,
                paid_bar(state.settled, state.deposit),
                phase(state),
            )
        });
        let head =
            "<th>channel<th>client<th>provider<th class=number>deposit<th class=number>paid<th><th>state";
        table(head, rows, "No channel is open.")
    }

    fn accounts(&self, accounts: &[(Address, Account)]) -> String {
        let rows = accounts.iter().take(ROWS).map(|(address, account)| {
            format!(
                "<tr><td>{}<td>{}<td class=number>{}",
                self.party(*address),
                kind(*address, account),
                account.balance
            )
        });
        table(
            "<th>account<th>kind<th class=number>balance",
            rows,
            "Nobody has coins yet: use the faucet above.",
        )
    }

    fn blocks(&self, records: &[(&Record, Transaction)]) -> String {
        let mut blocks: BTreeMap<u32, (u32, u64, u64)> = BTreeMap::new();
        for (record, transaction) in records {
            let (_, count, fees) = blocks.entry(record.block).or_insert((transaction.at_s, 0, 0));
            *count += 1;
            *fees = fees.saturating_add(transaction.fee.0);
        }
        let rows = blocks.iter().rev().take(ROWS).map(|(block, (at_s, count, fees))| {
            format!(
                "<tr><td>{block}<td>{}<td class=number>{count}<td class=number>{}",
                clock(*at_s),
                Nano(*fees)
            )
        });
        let head = "<th>block<th>time<th class=number>transactions<th class=number>fees";
        table(head, rows, "No block has a transaction yet.")
    }

    /// Transactions, newest first; without the account's column on the account's own page.
    fn transactions<'r>(
        &self,
        records: impl Iterator<Item = &'r (&'r Record, Transaction)>,
        of: Option<Address>,
    ) -> String {
        let rows = records.map(|(record, transaction)| {
            let incoming = transaction.incoming.as_ref();
            let from = match incoming.and_then(|message| message.from) {
                Some(from) => self.party(from),
                None => "<span class=soft>outside</span>".into(),
            };
            let sent: Vec<String> = transaction
                .outgoing
                .iter()
                .filter_map(|message| Some(format!("{} to {}", message.value, self.party(message.to?))))
                .collect();
            let account = of.map_or_else(|| format!("<td>{}", self.party(record.account)), |_| String::new());
            let at = clock(transaction.at_s);
            format!(
                "<tr><td>{}<td title='{at}'>{}{account}<td>{}<td>{}<td>{from}<td class=number>{}<td>{}<td \
                 class=number>{}<td class=number>{}",
                record.block,
                at.get(11..).unwrap_or(&at),
                incoming.map_or("tick", operation),
                outcome(transaction),
                incoming.map_or(Nano::ZERO, |message| message.value),
                if sent.is_empty() { "<span class=soft>nothing</span>".into() } else { sent.join("<br>") },
                transaction.fee,
                transaction.gas,
            )
        });
        let account = if of.is_some() { "" } else { "<th>account" };
        let head = format!(
            "<th>block<th>time{account}<th>what<th>outcome<th>from<th class=number>brought<th>sent on<th class=number>fee<th \
             class=number>gas"
        );
        table(&head, rows, "Nothing has happened here yet.")
    }

    fn party(&self, address: Address) -> String {
        format!("<a href='{}'><code>{}</code></a>", link(address), short(address))
    }

    fn sum(&self, nano: u64) -> String {
        self.coin.amount(Nano(nano))
    }
}

fn read(record: &Record) -> Option<(&Record, Transaction)> {
    Some((record, Transaction::read(&record.cell).ok()?))
}

fn figures_of(figures: &[(&str, String)]) -> String {
    let each = figures.iter().map(|(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
    format!("<dl class=figures>{}</dl>", each.collect::<String>())
}

fn table(head: &str, rows: impl Iterator<Item = String>, empty: &str) -> String {
    let rows: String = rows.collect();
    if rows.is_empty() {
        return format!("<div class=scroll><p class=empty>{empty}</p></div>");
    }
    format!("<div class=scroll><table><thead><tr>{head}</thead><tbody>{rows}</tbody></table></div>")
}

/// What a message asks its receiver to do.
fn operation(message: &Message) -> &'static str {
    let mut body = message.body.as_slice_allow_exotic();
    match (body.load_u32(), message.from) {
        (Ok(number), _) if named(number).is_some() => named(number).unwrap_or_default(),
        (Ok(0xffff_ffff), Some(_)) => "came back",
        (Ok(0x7369_676e), None) => "wallet’s transfer",
        (_, Some(_)) => "coins",
        (_, None) => "message",
    }
}

fn named(operation: u32) -> Option<&'static str> {
    contract::operation(operation).or_else(|| purse::operation(operation))
}

fn outcome(transaction: &Transaction) -> String {
    match (transaction.aborted, transaction.exit_code) {
        (false, _) => "<span class='tag good'>done</span>".into(),
        (true, None) => "<span class='tag bad'>no code ran</span>".into(),
        (true, Some(code)) => {
            let refusal = Refusal::from(code);
            let unknown = matches!(refusal, Refusal::Other(_));
            let why = if unknown { "stopped".to_owned() } else { refusal.to_string() };
            format!(
                "<span class='tag bad' title='{}'>exit {code}</span> <span class=soft>{0}</span>",
                escape(&why)
            )
        }
    }
}

fn link(address: Address) -> String {
    format!("/account/{}", friendly(address, true))
}

fn short(address: Address) -> String {
    let text = friendly(address, true);
    match (text.get(..6), text.get(text.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) => format!("{head}…{tail}"),
        _ => text,
    }
}

/// A unix time as date and time, in UTC.
fn clock(unix_s: u32) -> String {
    let (days, second) = (i64::from(unix_s / 86_400), unix_s % 86_400);
    // Days since 1 March 0000, in eras of 400 years: the leap day is the last of its year.
    let day = days + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) =
        (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_as_its_date() {
        assert_eq!(clock(0), "1970-01-01 00:00:00");
        assert_eq!(clock(951_782_399), "2000-02-28 23:59:59");
        assert_eq!(clock(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(clock(1_790_000_000), "2026-09-21 14:13:20");
        assert_eq!(clock(u32::MAX), "2106-02-07 06:28:15");
    }

    #[test]
    fn nothing_of_a_text_is_taken_for_html() {
        assert_eq!(escape("<a b='c' d=\"e\">&"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;");
    }
}
