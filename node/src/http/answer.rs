//! One order on its way to an HTTP answer: its news in, contents and the bill out.

use axum::http::HeaderName;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Bill, OrderNews};
use bombyx_protocol::wire::message::Content;
use bombyx_protocol::work::order::{JobId, Order};
use tokio::sync::mpsc;

use super::budget::Reserve;
use super::deadline::Deadline;
use super::errors::ApiError;
use super::gateway::Gateway;
use super::limits::DEADLINE_GRACE;
use crate::api::handle::NodeHandle;

/// An order that is being worked on. Dropping it cancels the order.
pub(super) struct Answer {
    node: NodeHandle,
    news: mpsc::Receiver<OrderNews>,
    /// When its end is not awaited any longer: the client machine ends every order itself.
    until: Deadline,
    provider: Option<NodeId>,
    job: Option<JobId>,
    /// What it may cost, until it is known what it did.
    reserve: Reserve,
}

/// What comes next of an answer.
#[derive(Debug)]
pub(super) enum Part {
    /// A part of it.
    Content(Content),
    /// Its end.
    Done(Bill),
}

impl Answer {
    /// Places an order that must end by `deadline`, if the gateway's budget still has room for its ceiling.
    pub(super) async fn order(gateway: &Gateway, order: Order, deadline: Deadline) -> Result<Self, ApiError> {
        let reserve = Reserve::take(&gateway.budget, order.max_cost)
            .map_err(|used| ApiError::over_budget(used.span, used.key))?;
        let until = deadline.later(DEADLINE_GRACE);
        let news = gateway.node.order(order).await.map_err(|_| ApiError::stopped())?;
        Ok(Self { node: gateway.node.clone(), news, until, provider: None, job: None, reserve })
    }

    /// Returns the next part, or why there is none.
    pub(super) async fn next(&mut self) -> Result<Part, ApiError> {
        loop {
            let news = self.until.bound(self.news.recv()).await?.ok_or_else(ApiError::stopped)?;
            match news {
                OrderNews::Awarded { provider, job } => {
                    self.provider = Some(provider);
                    self.job = Some(job);
                }
                OrderNews::Content(Content::End { .. })
                | OrderNews::Bids(_)
                | OrderNews::FailedOver { .. } => {}
                OrderNews::Content(content) => return Ok(Part::Content(content)),
                OrderNews::Done(bill) => {
                    self.reserve.settle(bill.cost);
                    return Ok(Part::Done(bill));
                }
                OrderNews::Failed { why, bill } => {
                    self.reserve.settle(bill.cost);
                    let error = ApiError::failure(why, bill.clone());
                    let named = self.until.bound(ApiError::unserved(&self.node, why, bill)).await;
                    return Err(named.unwrap_or(error));
                }
            }
        }
    }

    /// Returns the job's id for `id` fields; it is known from the award on.
    pub(super) fn job(&self) -> String {
        self.job.map_or_else(String::new, |job| job.to_string())
    }

    /// Returns what is known when the answer begins.
    pub(super) fn headers(&self) -> Vec<(HeaderName, String)> {
        let provider = self.provider.map(|provider| provider.to_string());
        let job = self.job.map(|job| job.to_string());
        [("x-bombyx-provider", provider), ("x-bombyx-job", job)]
            .into_iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), value?)))
            .collect()
    }

    /// Returns what is known when the answer has ended.
    pub(super) fn final_headers(&self, bill: &Bill) -> Vec<(HeaderName, String)> {
        let mut headers = self.headers();
        headers.push((HeaderName::from_static("x-bombyx-cost-nano"), bill.cost.0.to_string()));
        headers
    }
}
