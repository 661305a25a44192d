//! The node that is checked, and what it says of itself.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use bombyx_gpu::manifest::{Kind, Manifest};
use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::limits::ASKS_PER_SEEK_MAX;
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::wire::message::{ToClient, ToProvider};
use bombyx_protocol::work::order::{ChatMessage, Generate, ModelId, Role, Sampling, Task, TaskKind};
use bombyx_protocol::work::price::Weights;
use zeroize::Zeroizing;

use super::guest::Guest;
use super::verdict::{Checked, Finding, broken, idle};
use crate::net::probe::{Identified, ProbeError};
use crate::net::unix_s;

/// Until a node that works has answered.
pub(super) const ANSWER: Duration = Duration::from_secs(3);
/// Between two answers to one question.
const PAUSE: Duration = Duration::from_millis(700);
/// Until a manifest has come.
const MANIFEST: Duration = Duration::from_secs(10);
const MANIFEST_BYTES_MAX: usize = 1 << 20;

/// The node that is checked.
pub(super) struct Subject {
    pub(super) network: String,
    pub(super) address: String,
    pub(super) node: NodeId,
    pub(super) identified: Identified,
    pub(super) topics: BTreeSet<String>,
    /// What it offers, as it said itself.
    pub(super) asks: Vec<Ask>,
    /// The model that the checks are made with.
    model: Option<Model>,
    wants: Option<String>,
    entropy: Mutex<Entropy>,
}

/// A model that the node offers.
#[derive(Clone)]
pub(super) struct Model {
    pub(super) ask: Ask,
    /// Those of its manifest; the usual ones where that has not come.
    pub(super) weights: Weights,
    /// Numbers in one vector, by its manifest.
    pub(super) dims: Option<u32>,
}

impl Subject {
    /// Meets the node.
    pub(super) async fn meet(
        (network, address, node): (String, String, NodeId),
        wants: Option<String>,
        seed: [u8; 32],
    ) -> Result<Self, ProbeError> {
        let identified = Identified { version: String::new(), protocols: BTreeSet::new() };
        let mut subject = Self {
            network,
            address,
            node,
            identified,
            topics: BTreeSet::new(),
            asks: Vec::new(),
            model: None,
            wants,
            entropy: Mutex::new(Entropy::new(seed)),
        };
        let mut guest = Guest::connect(subject.seed(), &subject.network, &subject.address).await?;
        // Topics come a moment after the connection, perhaps one by one.
        let market = subject.market_topic();
        guest.probe.becomes(ANSWER, |standing| standing.topics.contains(&market)).await;
        let standing = guest.probe.standing();
        subject.identified = standing.identified.unwrap_or(subject.identified);
        subject.topics = standing.topics;
        // A node that answers wrongly is a finding of a check, not of this. One that is slow is asked again.
        for _ in 0..2 {
            subject.asks = subject.asks_of(&mut guest, None).await.unwrap_or_default();
            if !subject.sells() || !subject.asks.is_empty() {
                break;
            }
        }
        let wanted = subject.wanted_topics();
        guest.probe.becomes(ANSWER, |standing| wanted.is_subset(&standing.topics)).await;
        subject.topics = guest.probe.standing().topics;
        if let Some(ask) = subject.choose().cloned() {
            let json = subject.manifest(&mut guest, ask.model).await.ok().flatten();
            let manifest = json.and_then(|json| Manifest::parse(&json).ok());
            let stated = manifest.as_ref().and_then(|manifest| manifest.weights);
            let weights = stated.map_or(Weights::DEFAULT, |stated| Weights {
                input: stated.input,
                cached: stated.cached,
                output: stated.output,
            });
            let dims = manifest.and_then(|manifest| match manifest.kind {
                Kind::Embed(facts) => Some(facts.dims),
                Kind::Generate(_) => None,
            });
            subject.model = Some(Model { ask, weights, dims });
        }
        Ok(subject)
    }

    /// Returns the model that was asked for, else one of text, else any.
    fn choose(&self) -> Option<&Ask> {
        let is_wanted = |ask: &&Ask| {
            self.wants.as_ref().is_none_or(|wanted| {
                let id = ask.model.to_string();
                let (name, digits) = wanted.split_once('@').unwrap_or((wanted, ""));
                *wanted == id || (name == ask.name && id.starts_with(digits))
            })
        };
        let wanted = || self.asks.iter().filter(is_wanted);
        wanted().find(|ask| ask.kind == TaskKind::Generate).or_else(|| wanted().next())
    }

    /// Returns whether the model that was asked for is not there.
    pub(super) fn lacks_wanted(&self) -> Option<&str> {
        self.wants.as_deref().filter(|_| self.model.is_none())
    }

    pub(super) fn seed(&self) -> Zeroizing<[u8; 32]> {
        let mut entropy = self.entropy.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Zeroizing::new(entropy.bytes())
    }

    /// Returns a fresh identity that is connected to the node.
    pub(super) async fn guest(&self) -> Checked<Guest> {
        Ok(Guest::connect(self.seed(), &self.network, &self.address).await?)
    }

    /// Checks that the node still talks to a stranger.
    pub(super) async fn still_talks(&self) -> Checked {
        let guest = self.guest().await.map_err(|_| lost())?;
        guest.probe.open_messages().await.map_err(|_| lost())?;
        Ok(())
    }

    /// Returns the topics that a node with these offers listens to. (`NE-14`)
    pub(super) fn wanted_topics(&self) -> BTreeSet<String> {
        let of_model = |ask: &Ask| {
            let digits: String = ask.model.to_string().chars().take(16).collect();
            format!("bombyx/{}/model/{digits}", self.network)
        };
        self.asks.iter().map(of_model).chain([self.market_topic()]).collect()
    }

    pub(super) fn market_topic(&self) -> String {
        format!("bombyx/{}/market", self.network)
    }

    /// Returns whether the node sells anything, by its asks or by what it listens to.
    pub(super) fn sells(&self) -> bool {
        !self.asks.is_empty() || self.topics.contains(&self.market_topic())
    }

    /// Returns the model to make checks with.
    pub(super) fn model(&self) -> Checked<&Model> {
        match &self.model {
            Some(model) => Ok(model),
            None if self.sells() => idle("the node offers no model that could be asked for"),
            None => idle("the node sells nothing"),
        }
    }

    pub(super) fn seek(&self, guest: &mut Guest, model: Option<ModelId>) -> Seek {
        let id = SeekId(guest.entropy.bytes());
        match model {
            Some(model) => Seek::for_model(id, guest.id(), model, Share::ALL, unix_s()),
            None => Seek::for_all(id, guest.id(), Share::ALL, unix_s()),
        }
    }

    /// Seeks directly, and returns the asks that answer, checked as a client checks them.
    pub(super) async fn asks_of(&self, guest: &mut Guest, model: Option<ModelId>) -> Checked<Vec<Ask>> {
        let seek = self.seek(guest, model);
        guest.send(ToProvider::Seek(seek.clone())).await?;
        self.hear_asks(guest, &seek).await
    }

    /// Waits for the asks that answer a seek.
    pub(super) async fn hear_asks(&self, guest: &mut Guest, seek: &Seek) -> Checked<Vec<Ask>> {
        let mut asks: Vec<Ask> = Vec::new();
        loop {
            let within = if asks.is_empty() { ANSWER } else { PAUSE };
            let heard =
                guest.hear(within, |said| if let ToClient::Ask(ask) = said { Some(ask) } else { None });
            let Some(signed) = heard.await? else { return Ok(asks) };
            let ask = match signed.open::<Ask>() {
                Ok(ask) => ask.into_inner(),
                Err(why) => return broken(format!("an ask: {why}")),
            };
            if ask.seek != seek.id {
                // Of an earlier seek.
                continue;
            }
            if ask.provider != self.node {
                return broken("an ask is another provider's");
            }
            if seek.model.is_some_and(|model| model != ask.model) {
                return broken("an ask is for a model that was not asked for");
            }
            if asks.iter().any(|other| other.model == ask.model) {
                return broken("a seek is answered twice for one model");
            }
            asks.push(ask);
            if asks.len() > ASKS_PER_SEEK_MAX {
                return broken(format!("more than {ASKS_PER_SEEK_MAX} asks answer one seek"));
            }
        }
    }

    /// Fetches a model's manifest; `None` where the node has none.
    pub(super) async fn manifest(&self, guest: &mut Guest, model: ModelId) -> Checked<Option<Vec<u8>>> {
        let mut stream = guest.probe.open("/bombyx/manifest/1").await?;
        stream.write(&model.0).await?;
        let length = stream.read(4, MANIFEST).await?;
        let length = <[u8; 4]>::try_from(length).map_or(0, u32::from_le_bytes);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MANIFEST_BYTES_MAX {
            return broken(format!("a manifest of {length} bytes is announced"));
        }
        let json = stream.read(length, MANIFEST).await?;
        if !stream.ends(ANSWER).await {
            return broken("the stream of a manifest goes on after it, or is not closed");
        }
        Ok((length > 0).then_some(json))
    }

    /// Returns a small task of the model's kind.
    pub(super) fn small_task(&self) -> Checked<Task> {
        let model = self.model()?;
        Ok(task(model.ask.kind, "What is 17 plus 25?", 32.min(model.ask.output_max.max(1))))
    }
}

fn lost() -> Finding {
    Finding::Broken("afterwards the node does not talk to a stranger any more".into())
}

/// Returns a task of this kind.
pub(super) fn task(kind: TaskKind, text: &str, max_tokens: u32) -> Task {
    match kind {
        TaskKind::Embed => Task::Embed { inputs: vec![text.to_owned()] },
        TaskKind::Generate => Task::Generate(Generate {
            messages: vec![ChatMessage { role: Role::User, content: text.to_owned() }],
            max_tokens,
            sampling: Sampling { temperature_milli: 0, top_p_milli: 1_000, top_k: 0, seed: 0 },
            prefix: Vec::new(),
            stop: Vec::new(),
        }),
    }
}
