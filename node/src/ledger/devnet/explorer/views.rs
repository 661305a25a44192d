//! The lists of the pages: blocks, transactions, channels, accounts.

use std::collections::{BTreeMap, HashSet};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;

use super::contracts::{kind, paid_bar, phase};
use super::html::{escape, figures_of, table};
use super::page::Page;
use crate::ledger::chain::{Account, Message, Transaction};
use crate::ledger::clock::clock;
use crate::ledger::contract::{self, ChannelAccount, Refusal};
use crate::ledger::devnet::history::Record;
use crate::ledger::purse;
use crate::ledger::wallet::friendly;

/// Rows of each list on the first page.
const ROWS: usize = 25;
/// Channels and accounts that are looked at for the first page.
const LOOKED_AT: usize = 400;
/// Transactions on an account's page.
const ACCOUNT_ROWS: usize = 200;

impl Page<'_> {
    pub(super) fn front(&self) -> String {
        let records: Vec<(&Record, Transaction)> = self.state.history.log().filter_map(read).collect();
        let mut seen = HashSet::new();
        let touched = self.state.history.touched().filter(|account| seen.insert(*account)).take(LOOKED_AT);
        let accounts: Vec<(Address, Account)> =
            touched.filter_map(|address| Some((address, self.state.account(address).ok()?))).collect();
        let channels: Vec<(Address, ChannelAccount)> = accounts
            .iter()
            .filter_map(|(address, account)| {
                let state = ChannelAccount::read(*address, account).ok().flatten()?;
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

    pub(super) fn account(&self, address: Address) -> String {
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
            self.state.history.of(address).take(ACCOUNT_ROWS).filter_map(read).collect();
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

    fn channels(&self, channels: &[(Address, ChannelAccount)]) -> String {
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
}

fn read(record: &Record) -> Option<(&Record, Transaction)> {
    Some((record, Transaction::read(&record.cell).ok()?))
}

/// Returns what a message asks its receiver to do.
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
