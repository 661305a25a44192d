//! What an order would cost, before anything is asked, locked or signed. (`MK-64`)

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::io::Failure;
use bombyx_protocol::work::order::{InputCount, Order};
use bombyx_protocol::{Basis, Quote, QuotedBill, QuotedChannel, QuotedState};
use serde::{Deserialize, Serialize};

use super::handle::NodeHandle;
use super::models::names;
use crate::error::NodeError;
use crate::ledger::CoinName;
use crate::status::count;

/// What becomes of the largest answer that an order allows and somebody gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum QuotedAnswer {
    /// It is asked for as it is.
    Whole,
    /// A shorter one is.
    Cut,
    /// Nothing is.
    Refused,
}

/// A quote, as pages and `--json` show it. Amounts are in nano; one that does not fit 64 bits is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QuoteReport {
    /// Always `quote`.
    pub object: String,
    /// The model as it was named.
    pub model: String,
    /// Its id.
    pub model_id: String,
    /// Input tokens.
    pub input_tokens: u64,
    /// Whether they were counted with the model's tokenizer, and not estimated from the text's length.
    pub input_counted: bool,
    /// The answer that is expected.
    pub output_tokens_expected: u64,
    /// The largest answer that the order allows and somebody gives.
    pub output_tokens_max: u64,
    /// What would be asked for at the expected price, by what the order may cost and what may be locked for it.
    pub answer: QuotedAnswer,
    /// The largest answer as it would be asked for at that price; 0 where it is refused.
    pub output_tokens_served: u64,
    /// Providers that could take the order.
    pub sellers: usize,
    /// Address prefixes that they are of: an owner of many nodes counts once.
    pub prefixes: usize,
    /// Whether only one of them sells the model, so that nothing but the own ceiling bounds its price.
    pub one_seller: bool,
    /// The provider whose price is quoted: the one that would be asked first.
    pub provider: String,
    /// What that price is known from: `lease`, `bid` or `ask`.
    pub basis: String,
    /// Whether it is agreed by a lease.
    pub leased: bool,
    /// Its price for 1,000 units, as it is expected.
    pub price_per_k_units_nano: u64,
    /// The most that it may be when the request comes.
    pub most_per_k_units_nano: u64,
    /// The usual one: the middle of what the prefixes ask at least.
    pub usual_per_k_units_nano: u64,
    /// The median of the bids that this node paid lately; absent where there were fewer than four.
    pub paid_lately_per_k_units_nano: Option<u64>,
    /// The most that a bid may ask: what the request says, or twice what was paid lately where providers of fewer than three prefixes
    /// sell. Absent where the budget alone bounds it.
    pub max_per_k_units_nano: Option<u64>,
    /// Whether the price passes that, so that nobody would be asked.
    pub over_max_price: bool,
    /// The bill at that price.
    pub bill: BillReport,
    /// The bill at the most that the price may be.
    pub most_bill: BillReport,
    /// The bill at the usual price.
    pub usual_bill: BillReport,
    /// The most that the order may cost.
    pub max_cost_nano: u64,
    /// Whether the largest answer can cost more than that.
    pub over_max_cost: bool,
    /// The least that it must be allowed to cost, and lock, for anything to be served at the expected price.
    pub least_max_cost_nano: u64,
    /// What a channel takes.
    pub channel: ChannelReport,
}

/// Bills of whole answers, in nano.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BillReport {
    /// Of an answer without a token.
    pub empty_nano: Option<u64>,
    /// Of the expected one.
    pub expected_nano: Option<u64>,
    /// Of the largest.
    pub largest_nano: Option<u64>,
}

/// What would be locked, and what that costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChannelReport {
    /// How it stands: `opens` where one would have to be opened, `opening` while the ledger has not shown it, `open`.
    pub state: String,
    /// What it must be given at the least.
    pub needs_nano: u64,
    /// What would be locked beyond what is locked, at the price that is expected; it comes back, less what is billed.
    pub locks_nano: u64,
    /// The same at the most that the price may be.
    pub most_locks_nano: u64,
    /// What the wallet must hold beside that to open it or to add to it: fees at their most, and for a new one a reserve for its
    /// close, of which the rest comes back.
    pub opening_nano: u64,
    /// What the wallet holds; absent where the ledger does not say.
    pub wallet_nano: Option<u64>,
    /// Why the order could not be paid as it is, and what becomes of it; absent where it could.
    pub fault: Option<String>,
}

impl From<QuotedBill> for BillReport {
    fn from(bill: QuotedBill) -> Self {
        let nano = |amount: Option<Nano>| amount.map(|Nano(nano)| nano);
        Self {
            empty_nano: nano(bill.empty),
            expected_nano: nano(bill.expected),
            largest_nano: nano(bill.largest),
        }
    }
}

impl NodeHandle {
    /// Returns what an order would cost, with what its channel takes.
    ///
    /// # Errors
    /// [`NodeError::Unsold`] names what is on offer where nobody sells the model; otherwise as [`Self::quote`].
    pub(crate) async fn priced(&self, model: &str, order: Order) -> Result<QuoteReport, NodeError> {
        let (id, max_cost) = (order.model, order.max_cost);
        let counted = matches!(order.input, InputCount::Counted(_));
        let quote = match self.quote(order).await {
            Err(NodeError::Order(why)) => return Err(self.unsold(why).await),
            quote => quote?,
        };
        let Quote { bill, most_bill, usual_bill, .. } = quote;
        let channel = self.quoted_channel(&quote).await;
        Ok(QuoteReport {
            object: "quote".into(),
            model: model.to_owned(),
            model_id: id.to_string(),
            input_tokens: quote.input_tokens,
            input_counted: counted,
            output_tokens_expected: quote.output_tokens,
            output_tokens_max: quote.output_tokens_max,
            answer: match quote.output_tokens_served {
                Some(tokens) if tokens >= quote.output_tokens_max => QuotedAnswer::Whole,
                Some(_) => QuotedAnswer::Cut,
                None => QuotedAnswer::Refused,
            },
            output_tokens_served: quote.output_tokens_served.unwrap_or(0),
            sellers: quote.sellers,
            prefixes: quote.prefixes,
            one_seller: quote.prefixes == 1,
            provider: quote.provider.to_string(),
            basis: word(quote.basis).to_owned(),
            leased: quote.basis == Basis::Lease,
            price_per_k_units_nano: quote.price.0,
            most_per_k_units_nano: quote.price_most.0,
            usual_per_k_units_nano: quote.usual.0,
            paid_lately_per_k_units_nano: quote.won_lately.map(|price| price.0),
            max_per_k_units_nano: quote.price_max.map(|price| price.0),
            over_max_price: quote.price_max.is_some_and(|most| quote.price > most),
            bill: bill.into(),
            most_bill: most_bill.into(),
            usual_bill: usual_bill.into(),
            max_cost_nano: max_cost.0,
            over_max_cost: most_bill.largest.is_none_or(|largest| largest > max_cost),
            least_max_cost_nano: quote.least.0,
            channel,
        })
    }

    /// Returns what an order would ask of its channel, and of the wallet.
    async fn quoted_channel(&self, quote: &Quote) -> ChannelReport {
        let QuotedChannel { state, needs, locks, fault, .. } = quote.channel;
        let opening = match state {
            QuotedState::Opens => self.ledger().opening_surplus().await,
            QuotedState::Opening | QuotedState::Open if needs > Nano::ZERO => {
                self.ledger().addition_surplus().await
            }
            QuotedState::Opening | QuotedState::Open => Nano::ZERO,
        };
        let held = match self.ledger().wallet_address() {
            Some(wallet) => self.ledger().balance(wallet).await.ok(),
            None => Some(Nano::ZERO),
        };
        let takes = needs.saturating_plus(opening);
        let is_poor = held.is_some_and(|held| held < takes);
        let poor = || format!("the wallet must hold {} nano for it", takes.0);
        ChannelReport {
            state: match state {
                QuotedState::Opens => "opens",
                QuotedState::Opening => "opening",
                QuotedState::Open => "open",
            }
            .into(),
            needs_nano: needs.0,
            locks_nano: locks.0,
            most_locks_nano: quote.most_channel.locks.0,
            opening_nano: opening.0,
            wallet_nano: held.map(|held| held.0),
            fault: fault.map(|fault: PaymentFault| fault.to_string()).or_else(|| is_poor.then(poor)),
        }
    }

    /// Returns an order's failure; where nobody sells its model, with the names of those that are sold.
    pub(crate) async fn unsold(&self, why: Failure) -> NodeError {
        if !matches!(why, Failure::NoSeller { .. }) {
            return NodeError::Order(why);
        }
        match self.models().await {
            Ok(offered) => NodeError::Unsold { why, offered: names(&offered) },
            Err(error) => error,
        }
    }
}

const fn word(basis: Basis) -> &'static str {
    match basis {
        Basis::Lease => "lease",
        Basis::Bid => "bid",
        Basis::Ask => "ask",
    }
}

impl ChannelReport {
    /// Returns it in words.
    fn said(&self, coin: &CoinName) -> String {
        let coins = |nano: u64| coin.amount(Nano(nano));
        let (is_open, locks) = (self.state == "open", self.locks_nano);
        match (self.state.as_str(), locks) {
            ("opens", _) => {
                let held = self.wallet_nano.map(|held| format!("; the wallet holds {}", coins(held)));
                format!(
                    "a new one: locks {} ({} at most), {} at the least, and takes {} more to open, some of which comes back{}",
                    coins(locks),
                    coins(self.most_locks_nano),
                    coins(self.needs_nano),
                    coins(self.opening_nano),
                    held.unwrap_or_default()
                )
            }
            _ if locks > 0 => {
                let how = if is_open { "one is open" } else { "one is being opened" };
                format!("{how}; {} more would be locked", coins(locks))
            }
            ("open", _) => "one is open and holds enough".into(),
            _ => "one is being opened, and would hold enough".into(),
        }
    }
}

impl QuoteReport {
    /// Returns what becomes of an answer that can cost more than it may, or than can be locked for it, in words.
    fn shortened(&self, coin: &CoinName) -> Option<String> {
        let coins = |nano: u64| coin.amount(Nano(nano));
        match self.answer {
            QuotedAnswer::Refused => Some(format!(
                "it would be refused: for the shortest answer that is worth a call it must be allowed to cost {} at the least, and as much \
                 to be locked",
                coins(self.least_max_cost_nano)
            )),
            QuotedAnswer::Cut => Some(format!(
                "the answer would be cut to {}, which can be paid for; at the most that the price may be, to fewer",
                count(self.output_tokens_served, "token")
            )),
            QuotedAnswer::Whole if self.over_max_cost => Some(format!(
                "at the most that the price may be, the largest answer can cost more than the {} that it may, and would be cut",
                coins(self.max_cost_nano)
            )),
            QuotedAnswer::Whole => None,
        }
    }

    /// Returns the quote in words.
    #[must_use]
    pub(crate) fn page(&self, coin: &CoinName) -> String {
        let coins =
            |nano: Option<u64>| nano.map_or_else(|| "too much".into(), |nano| coin.amount(Nano(nano)));
        let bills = |bill: &BillReport| {
            format!(
                "{} for no token, {} for {}, {} for {}",
                coins(bill.empty_nano),
                coins(bill.expected_nano),
                self.output_tokens_expected,
                coins(bill.largest_nano),
                self.output_tokens_max,
            )
        };
        let how = match (self.leased, self.basis.as_str()) {
            (true, _) => "agreed by a lease".to_owned(),
            (false, basis) => {
                let known = if basis == word(Basis::Bid) { "bid lately for as much" } else { "asked" };
                format!(
                    "{known}; {} at the most, as a bid is made for the size of the request",
                    self.most_per_k_units_nano
                )
            }
        };
        let counted = if self.input_counted { "counted" } else { "estimated; the provider's count decides" };
        let sellers = match (self.one_seller, self.sellers) {
            (true, 1) => "1 (one seller: nothing but your own ceiling bounds its price)".to_owned(),
            (true, sellers) => {
                format!(
                    "{sellers} of one prefix, perhaps one seller: nothing but your own ceiling bounds the price"
                )
            }
            (false, sellers) => format!("{sellers} of {} prefixes", self.prefixes),
        };
        let channel = self.channel.said(coin);
        let mut lines = vec![
            format!("model      {}", self.model),
            format!("input      {} ({counted})", count(self.input_tokens, "token")),
            format!("sellers    {sellers}"),
            format!("price      {} nano for 1,000 units, {how}", self.price_per_k_units_nano),
            format!("bill       {}", bills(&self.bill)),
            format!("at most    {}", bills(&self.most_bill)),
            format!("usual      {}", bills(&self.usual_bill)),
            format!("channel    {channel}"),
        ];
        lines.extend(self.channel.fault.iter().map(|fault| format!("note       {fault}")));
        lines.extend(self.shortened(coin).map(|note| format!("note       {note}")));
        if let Some(most) = self.max_per_k_units_nano.filter(|_| self.over_max_price) {
            lines.push(format!(
                "note       a bid may ask {most} nano for 1,000 units, so that nobody would be asked: `--max-price` lets it ask more"
            ));
        }
        lines.join("\n")
    }
}
