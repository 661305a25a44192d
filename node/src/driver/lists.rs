//! Listing what is on offer: those that sell are found and asked, their models' manifests fetched, and whoever waits for the
//! list gets it once there is nothing more to wait for, or after a while. (`NE-14`, `NE-15`)

use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Command, Failure, Input};
use bombyx_protocol::limits::{SEEK_EVERY, SEEK_RETRY};
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::work::order::ModelId;
use tokio::time::Instant;

use super::limits::{
    ANSWERS_PATIENCE, ANSWERS_PAUSE, BOOK_AGE_MAX, LIST_PATIENCE, LISTS_WAITING_MAX, SURVEY_PATIENCE,
};
use super::listing::list;
use super::market::{LOOK_EVERY, Market, MarketAnswer, Round, WaitingQuestion};
use super::state::Driver;
use crate::engine::manifests::{ManifestFault, Manifests};
use crate::error::NodeError;
use crate::net::{Fault, NetCommand};
use crate::role::Role;
use crate::status::last_list::LastList;
use crate::status::models::OfferedModel;

impl Driver {
    /// Begins to look what is on offer, unless that was done so short a time ago.
    pub(super) async fn survey(&mut self, every: Span) -> Result<(), NodeError> {
        let now = self.now();
        let is_recent = self.market.began.is_some_and(|at| now < at + every);
        if self.market.round != Round::Over || is_recent || self.ending.is_ending() {
            return Ok(());
        }
        self.market.began = Some(now);
        self.market.round = Round::Surveying(now);
        self.market.is_listed = false;
        self.pending.push_back((Role::Client, Input::Command(Command::Seek(Topic::Market))));
        self.command(NetCommand::Survey).await
    }

    /// Promises somebody an answer about what is on offer.
    pub(super) async fn promise(&mut self, answer: MarketAnswer) -> Result<(), NodeError> {
        // Whoever waits longest has the oldest list to gain from waiting on.
        if self.market.waiting.len() >= LISTS_WAITING_MAX {
            self.answer_waiting(|_| true);
        }
        let until = self.now() + LIST_PATIENCE;
        self.market.waiting.push(WaitingQuestion { until, answer, prices_sought: None });
        self.survey(SEEK_EVERY).await
    }

    /// Looks who sells the model of an order that has come, unless that is known well enough. (`MK-65`)
    pub(super) async fn look_for(&mut self, model: &ModelId) -> Result<(), NodeError> {
        let now = self.now();
        let is_offered = self.client.asks(now).any(|(ask, _)| ask.model == *model);
        let every = match is_offered {
            true if Manifests::is_catalogued(model) => BOOK_AGE_MAX,
            // Another may come to have its name: the next order by that need not wait until this is looked for.
            true => SEEK_EVERY,
            false => SEEK_RETRY,
        };
        self.survey(every).await
    }

    /// Asks a node that was found to sell.
    pub(super) fn on_provider_visited(&mut self, provider: NodeId) {
        self.pending.push_back((Role::Client, Input::Command(Command::SeekFrom(provider))));
    }

    /// Notes that all those that were found have been told of.
    pub(super) fn on_surveyed(&mut self) {
        if matches!(self.market.round, Round::Surveying(_)) {
            self.market.round = Round::Asking(self.now());
        }
    }

    /// Takes what a node sent for a model's manifest. (`NE-15`)
    pub(super) async fn on_manifest(
        &mut self,
        from: NodeId,
        model: ModelId,
        json: Vec<u8>,
    ) -> Result<(), NodeError> {
        let now = self.now();
        let is_empty = json.is_empty();
        let taken = if self.market.manifests.is_wanted(&model) && !is_empty {
            self.market.manifests.take(model, json)
        } else {
            Ok(())
        };
        self.market.fetches.ended(now, from, model, !is_empty && taken.is_ok());
        self.market.next_look = now;
        match taken {
            Ok(()) => Ok(()),
            Err(fault @ ManifestFault::Unreadable) => {
                tracing::debug!(%model, provider = ?from, %fault, "a manifest is not taken");
                Ok(())
            }
            Err(fault @ ManifestFault::OtherHash) => {
                tracing::debug!(%model, provider = ?from, %fault, "a manifest is not taken");
                self.command(NetCommand::Penalise { peer: from, fault: Fault::RuleBroken }).await
            }
        }
    }

    /// Goes on with the round, fetches the manifests that are missing, and answers those that need
    /// wait no more.
    pub(super) async fn market_step(&mut self) -> Result<(), NodeError> {
        let now = self.now();
        if std::mem::take(&mut self.market.is_unanswered) {
            self.survey(SEEK_RETRY).await?;
        }
        if self.market.wake_at().is_none_or(|at| now < at) {
            return Ok(());
        }
        self.market.next_look = now + LOOK_EVERY;
        let patience = |since: Time, patience: Span| now >= since + patience;
        match self.market.round {
            Round::Surveying(since) if patience(since, SURVEY_PATIENCE) => {
                self.market.round = Round::Asking(now);
            }
            Round::Asking(since)
                if patience(since, ANSWERS_PATIENCE)
                    || (patience(since, ANSWERS_PAUSE) && !self.client.awaits_asks(now)) =>
            {
                self.market.round = Round::Over;
                let surveyed = Command::Surveyed { alone_since: self.alone_since() };
                self.pending.push_back((Role::Client, Input::Command(surveyed)));
            }
            Round::Over | Round::Surveying(_) | Round::Asking(_) => {}
        }
        let Market { manifests, fetches, .. } = &mut self.market;
        manifests.retain(|model| self.client.asks(now).any(|(ask, _)| ask.model == *model));
        let offered = self.client.asks(now).map(|(ask, _)| (ask.model, ask.provider));
        let missing = offered.filter(|(model, _)| manifests.is_wanted(model));
        for (model, from) in fetches.due(now, missing) {
            self.command(NetCommand::FetchManifest { from, model: model.0 }).await?;
        }
        let is_complete = self.market.round == Round::Over && !self.market.fetches.is_promising();
        if is_complete {
            self.seek_prices(now);
        }
        let is_over = self.market.waiting.iter().any(|waiting| waiting.until <= now);
        let awaits_asks = self.client.awaits_asks(now);
        let has_listed =
            self.answer_waiting(|waiting| is_over || (is_complete && waiting.has_prices(now, awaits_asks)));
        if is_complete && !std::mem::replace(&mut self.market.is_listed, true) && !has_listed {
            self.list();
        }
        Ok(())
    }

    /// Lists what is on offer, for everybody who only wants to know what a name means as well.
    fn list(&self) -> Vec<OfferedModel> {
        let listed = list(self.client.asks(self.now()), &self.market.manifests);
        self.market.last_list.send_replace(LastList::new(Instant::now(), listed.clone()));
        listed
    }

    /// Asks those that sell what they want for the orders that are to be quoted. (`MK-64`)
    fn seek_prices(&mut self, now: Time) {
        for waiting in &mut self.market.waiting {
            if let MarketAnswer::Quote(order, _) = &waiting.answer
                && waiting.prices_sought.is_none()
            {
                waiting.prices_sought = Some(now);
                let sought = Command::SeekPrices(order.clone());
                self.pending.push_back((Role::Client, Input::Command(sought)));
            }
        }
    }

    /// Answers those that need wait no more. Returns whether there were any, and so a list was made.
    fn answer_waiting(&mut self, is_ready: impl Fn(&WaitingQuestion) -> bool) -> bool {
        let now = self.now();
        let ready: Vec<WaitingQuestion> =
            self.market.waiting.extract_if(.., |waiting| is_ready(waiting)).collect();
        if ready.is_empty() {
            return false;
        }
        let listed = self.list();
        let is_alone = self.net.peers().is_empty();
        for WaitingQuestion { answer, .. } in ready {
            // Whoever asked may be gone by now.
            match answer {
                MarketAnswer::List(answer) => {
                    let _ = answer.send(listed.clone());
                }
                MarketAnswer::Quote(order, answer) => {
                    let is_unsold = |why: &Failure| matches!(why, Failure::NoSeller { .. });
                    let quoted = self
                        .client
                        .quote(now, &order)
                        .map_err(|why| if is_alone && is_unsold(&why) { Failure::NotConnected } else { why });
                    let _ = answer.send(quoted);
                }
            }
        }
        true
    }
}
