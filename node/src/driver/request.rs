//! What the rest of the program asks of the loop: orders, questions, channels, the end.

use bombyx_protocol::ChannelId;
use bombyx_protocol::Quote;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::{Failure, OrderNews};
use bombyx_protocol::limits::ORDERS_MAX;
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::work::order::{ModelId, Order};
use tokio::sync::{mpsc, oneshot};

use crate::status::channels::ChannelError;
use crate::status::models::OfferedModel;
use crate::status::payee::PayeeCard;
use crate::status::{ChannelStatus, OwedStatus, Status};

/// Requests that wait for the node.
pub(crate) const REQUESTS_MAX: usize = ORDERS_MAX;

/// What a handle asks of the node.
pub(crate) enum NodeRequest {
    Order { order: Box<Order>, news: mpsc::Sender<OrderNews> },
    Follow(ModelId),
    Asks(oneshot::Sender<Vec<Ask>>),
    Models(oneshot::Sender<Vec<OfferedModel>>),
    Quote { order: Box<Order>, answer: oneshot::Sender<Result<Quote, Failure>> },
    Status(oneshot::Sender<Status>),
    Channels(oneshot::Sender<(Vec<ChannelStatus>, Vec<OwedStatus>)>),
    Close { account: ChannelId, answer: oneshot::Sender<Result<ChannelStatus, ChannelError>> },
    Open { card: Box<PayeeCard>, deposit: Nano, answer: oneshot::Sender<Result<(), ChannelError>> },
    TopUp { account: ChannelId, amount: Nano, answer: oneshot::Sender<Result<ChannelStatus, ChannelError>> },
    Shutdown,
}
