//! Where the money went: read back from the ledger, account by account, and compared to the nano.

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;

use super::error::DemoError;
use super::jobs::Job;
use super::nodes::{Client, Provider};
use super::report::{Line, Settlement};
use super::setting::FUNDS;
use crate::ledger::{Transaction, devnet::Devnet};
use crate::status::{ChannelStatus, Direction, SettleReport};

/// Transactions of one account that are read; the demo makes fewer.
const TRANSACTIONS_MAX: usize = 100;

/// The client's channels before anything is closed.
pub(super) struct Before {
    channels: Vec<ChannelStatus>,
}

impl Before {
    pub(super) async fn look(client: &Client) -> Result<Self, DemoError> {
        let status = client.node().status().await?;
        let channels = status.channels.into_iter().filter(|channel| channel.direction == Direction::Paying);
        Ok(Self { channels: channels.collect() })
    }

    /// Returns the whole account. `balanced` means: every fee, balance and payment was found, and
    /// nothing is left over.
    pub(super) async fn account(
        self,
        client: &Client,
        chain: &Devnet,
        providers: &[Provider],
        settled: &SettleReport,
        jobs: &[Job],
    ) -> Result<Settlement, DemoError> {
        let wallet = client.wallet()?;
        let mut lines = vec![line(client, "client".into(), wallet).await?];
        for provider in providers {
            lines.push(line(client, provider.name().into(), provider.payout()).await?);
        }
        let mut all_paid_out = true;
        for channel in &self.channels {
            let id = channel.account.parse::<ChannelId>().map_err(|_| DemoError::NoAccount("channel"))?;
            let account = id.address();
            let peer = providers.iter().find(|provider| provider.id().to_string() == channel.peer);
            let name = peer.map_or("a stranger", Provider::name);
            let closed = line(client, format!("channel with {name}"), account).await?;
            // A provider's account began empty and has one channel. It pays for the transfer out of what is due to it.
            let earned = lines.iter().find(|line| line.name == name).map_or(Nano::ZERO, |line| line.balance);
            let cost = Nano(channel.paid_nano).minus(earned);
            all_paid_out &= cost.is_some_and(|cost| cost <= closed.fees);
            lines.push(closed);
        }
        let total = |of: fn(&Line) -> Nano| lines.iter().map(of).sum::<Nano>();
        let fees = total(|line| line.fees);
        let deposited: Nano = self.channels.iter().map(|channel| Nano(channel.deposit_nano)).sum();
        let paid: Nano = self.channels.iter().map(|channel| Nano(channel.paid_nano)).sum();
        let billed: Nano = jobs.iter().map(|job| job.bill.cost).sum();
        let checks = [
            // Vouchers cover exactly what the receipts billed.
            paid == billed,
            all_paid_out,
            // Nothing is lost: the faucet's coins are balances and fees, by our count and by the chain's.
            FUNDS == total(|line| line.balance).saturating_plus(fees),
            u128::from(fees.0) == chain.fees_collected(),
            settled.left.is_empty(),
        ];
        Ok(Settlement {
            deposited_nano: deposited.0,
            paid_nano: paid.0,
            refunded_nano: deposited.saturating_minus(paid).0,
            fees_nano: fees.0,
            transactions: lines.iter().map(|line| line.transactions).sum(),
            balanced: checks.iter().all(|holds| *holds),
            lines,
            checks,
        })
    }
}

async fn line(client: &Client, name: String, account: Address) -> Result<Line, DemoError> {
    let transactions = client.node().ledger().transactions(account, TRANSACTIONS_MAX).await?;
    Ok(Line {
        name,
        balance: client.balance(account).await?,
        fees: transactions.iter().map(fees).sum(),
        transactions: transactions.len(),
    })
}

/// Returns all that a transaction cost.
fn fees(transaction: &Transaction) -> Nano {
    transaction.fee
}
