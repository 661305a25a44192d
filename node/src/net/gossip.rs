//! Gossip: topic names, the settings of gossipsub, and messages that wait for their first listener.

use std::collections::VecDeque;
use std::time::Duration;

use libp2p::PeerId;
use libp2p::gossipsub::{
    self, Event, IdentTopic, MaxCountSubscriptionFilter, Message, MessageAcceptance, MessageAuthenticity,
    MessageId, PeerScoreParams, PeerScoreThresholds, PublishError, TopicHash, TopicScoreParams,
    TopicSubscriptionFilter, ValidationMode,
};
use sha2::{Digest as _, Sha256};
use web_time::Instant;

use super::error::NetError;
use super::joint::{NetEvent, PublicationError};
use super::judge::Objection;
use super::limits;
use super::outbox::Outbox;
use super::scope::Scope;

/// Gossipsub with a filter that keeps topics of other networks out.
pub(super) type Gossip = gossipsub::Behaviour<gossipsub::IdentityTransform, Filter>;

type Filter = MaxCountSubscriptionFilter<NetworkTopics>;

/// A gossiped message that waits for its verdict.
pub(super) struct IncomingGossip {
    message: MessageId,
    /// The peer that handed it on to this node.
    pub(super) forwarder: PeerId,
    /// The topic's short name.
    pub(super) topic: String,
    pub(super) bytes: Vec<u8>,
}

/// Lets in the topics of one network.
#[derive(Debug, Clone)]
pub(super) struct NetworkTopics {
    prefix: String,
}

impl TopicSubscriptionFilter for NetworkTopics {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        topic.as_str().strip_prefix(&self.prefix).is_some_and(is_topic)
    }
}

/// Returns whether a short name can be a topic.
fn is_topic(name: &str) -> bool {
    (1..=limits::TOPIC_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
}

/// Sets gossipsub up.
///
/// Messages carry no author: who signs what is the business of the messages themselves, whose signature is then
/// checked once instead of for every copy. That makes the first hop of an invalid message cheap for an attacker, so
/// forwarders are scored, and nothing is forwarded before its verdict.
pub(super) fn build(network: &str, scope: Scope) -> Result<Gossip, NetError> {
    let refused = |why: String| NetError::Setup { part: "gossipsub", why };
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(content_id)
        .max_transmit_size(limits::GOSSIP_FRAME_BYTES_MAX)
        .heartbeat_interval(Duration::from_secs(1))
        // The default of five seconds leaves a young network without a mesh.
        .heartbeat_initial_delay(Duration::from_millis(200))
        .duplicate_cache_time(Duration::from_secs(120))
        .connection_handler_queue_len(512)
        .flood_publish(true)
        .build()
        .map_err(|why| refused(why.to_string()))?;
    let filter = MaxCountSubscriptionFilter {
        filter: NetworkTopics { prefix: prefix(network) },
        max_subscribed_topics: limits::TOPICS_MAX,
        max_subscriptions_per_request: limits::TOPICS_MAX,
    };
    let mut gossip = Gossip::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)
        .map_err(|why| refused(why.to_owned()))?;
    let mut score = PeerScoreParams::default();
    if scope == Scope::Private {
        // All nodes of one machine share an address; that is no sign of a Sybil there.
        score.ip_colocation_factor_weight = 0.0;
    }
    gossip.with_peer_score(score, PeerScoreThresholds::default()).map_err(refused)?;
    Ok(gossip)
}

pub(super) fn prefix(network: &str) -> String {
    format!("bombyx/{network}/")
}

/// Names a message: equal bytes on one topic are one message, no matter which peer sends them.
pub(super) fn content_id(message: &Message) -> MessageId {
    let mut hash = Sha256::new();
    hash.update(message.topic.as_str().as_bytes());
    hash.update([0]);
    hash.update(&message.data);
    let digest: [u8; 32] = hash.finalize().into();
    MessageId::from(digest.to_vec())
}

/// Topics on which calls are rare: silence must not cost a peer its score, but an invalid message must.
fn topic_score() -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 300.0,
        first_message_deliveries_weight: 0.2,
        first_message_deliveries_decay: 0.9,
        first_message_deliveries_cap: 50.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        // Squared: three invalid messages within a few minutes graylist the forwarder.
        invalid_message_deliveries_weight: -20.0,
        invalid_message_deliveries_decay: 0.99,
        ..TopicScoreParams::default()
    }
}

/// Short topic names to the network's and back, and what waits to be published.
pub(super) struct Topics {
    prefix: String,
    unheard: VecDeque<Unheard>,
}

/// A message whose topic has no known listener yet.
struct Unheard {
    until: Instant,
    topic: String,
    bytes: Vec<u8>,
}

impl Topics {
    pub(super) fn new(network: &str) -> Self {
        Self { prefix: prefix(network), unheard: VecDeque::new() }
    }

    /// Returns the network's name of a topic; `None` when the short name is not usable.
    pub(super) fn topic(&self, name: &str) -> Option<IdentTopic> {
        is_topic(name).then(|| IdentTopic::new(format!("{}{name}", self.prefix)))
    }

    /// Subscribes; false when the name is not usable or too many topics are subscribed to.
    pub(super) fn subscribe(&self, gossip: &mut Gossip, name: &str) -> bool {
        let Some(topic) = self.topic(name) else { return false };
        if gossip.topics().count() >= limits::TOPICS_MAX {
            return false;
        }
        let subscribed = gossip.subscribe(&topic).is_ok();
        if let Err(why) = gossip.set_topic_params(topic, topic_score()) {
            tracing::warn!(%why, "peers cannot be scored by what they gossip on a topic");
        }
        subscribed
    }

    pub(super) fn unsubscribe(&self, gossip: &mut Gossip, name: &str) {
        if let Some(topic) = self.topic(name) {
            gossip.unsubscribe(&topic);
        }
    }

    /// Publishes now, or as soon as the topic's first listener is known.
    pub(super) fn publish(
        &mut self,
        gossip: &mut Gossip,
        topic: String,
        bytes: Vec<u8>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let until = now + limits::UNHEARD_PATIENCE;
        self.try_publish(gossip, Unheard { until, topic, bytes }, now, out);
    }

    /// Tries again what found no listener.
    pub(super) fn retry(&mut self, gossip: &mut Gossip, now: Instant, out: &mut Outbox) {
        for message in std::mem::take(&mut self.unheard) {
            self.try_publish(gossip, message, now, out);
        }
    }

    fn try_publish(&mut self, gossip: &mut Gossip, message: Unheard, now: Instant, out: &mut Outbox) {
        let result = if message.bytes.len() > limits::GOSSIP_BYTES_MAX {
            Err(PublicationError::TooLong)
        } else if let Some(topic) = self.topic(&message.topic) {
            gossip.publish(topic, message.bytes.clone()).map(|_| ()).map_err(|why| unpublished(&why))
        } else {
            Err(PublicationError::BadTopic)
        };
        let Err(why) = result else { return };
        let room = self.unheard.len() < limits::UNHEARD_MAX;
        if why == PublicationError::NobodyListens && now < message.until && room {
            self.unheard.push_back(message);
        } else {
            out.push(NetEvent::Unpublished { topic: message.topic, why });
        }
    }

    /// Returns the message that gossipsub has for this node, if it has one.
    pub(super) fn on_event(&self, event: Event) -> Option<IncomingGossip> {
        let Event::Message { propagation_source: forwarder, message_id, message } = event else {
            return None;
        };
        let topic = message.topic.as_str().strip_prefix(&self.prefix)?.to_owned();
        Some(IncomingGossip { message: message_id, forwarder, topic, bytes: message.data })
    }
}

fn unpublished(why: &PublishError) -> PublicationError {
    match why {
        PublishError::Duplicate => PublicationError::Duplicate,
        PublishError::NoPeersSubscribedToTopic => PublicationError::NobodyListens,
        PublishError::MessageTooLarge => PublicationError::TooLong,
        // Neither signing nor a transform is in use; the queues are what remains.
        PublishError::AllQueuesFull(_) | PublishError::SigningError(_) | PublishError::TransformFailed(_) => {
            PublicationError::Busy
        }
    }
}

/// Hands a verdict to gossipsub, which forwards the message or scores its forwarder.
pub(super) fn report(gossip: &mut Gossip, of: &IncomingGossip, verdict: Result<(), Objection>) {
    let acceptance = match verdict {
        Ok(()) => MessageAcceptance::Accept,
        Err(Objection::Excess | Objection::Flood | Objection::Staleness) => MessageAcceptance::Ignore,
        Err(Objection::Falsehood) => {
            tracing::debug!(forwarder = %of.forwarder, topic = of.topic, "gossip is rejected: it counts against its forwarder");
            MessageAcceptance::Reject
        }
    };
    gossip.report_message_validation_result(&of.message, &of.forwarder, acceptance);
}

/// Returns whether a peer has said what it listens to.
pub(super) fn is_listening(gossip: &Gossip, peer: &PeerId) -> bool {
    gossip.all_peers().any(|(other, topics)| other == peer && !topics.is_empty())
}

/// Returns how many peers are known to listen to a topic.
pub(super) fn listeners(gossip: &Gossip, topic: &TopicHash) -> usize {
    gossip.all_peers().filter(|(_, topics)| topics.contains(&topic)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_other_networks_and_odd_names_are_kept_out() {
        let mut topics = NetworkTopics { prefix: prefix("dev") };
        let can = |topics: &mut NetworkTopics, name: &str| topics.can_subscribe(&TopicHash::from_raw(name));
        assert!(can(&mut topics, "bombyx/dev/calls/0a"));
        assert!(!can(&mut topics, "bombyx/main/calls/0a"));
        assert!(!can(&mut topics, "bombyx/dev/"));
        assert!(!can(&mut topics, "bombyx/dev/white space"));
        let longest = "a".repeat(limits::TOPIC_BYTES_MAX);
        assert!(can(&mut topics, &format!("bombyx/dev/{longest}")));
        assert!(!can(&mut topics, &format!("bombyx/dev/{longest}a")));
    }

    #[test]
    fn the_same_bytes_on_two_topics_are_two_messages() {
        let message = |topic: &str, data: &[u8]| Message {
            source: None,
            data: data.to_vec(),
            sequence_number: None,
            topic: TopicHash::from_raw(topic),
        };
        assert_eq!(content_id(&message("a", b"x")), content_id(&message("a", b"x")));
        assert_ne!(content_id(&message("a", b"x")), content_id(&message("b", b"x")));
        assert_ne!(content_id(&message("a", b"x")), content_id(&message("a", b"y")));
    }

    #[test]
    fn the_scores_are_ones_that_gossipsub_accepts() {
        topic_score().validate().unwrap();
        build("dev", Scope::Public).unwrap();
        build("dev", Scope::Private).unwrap();
    }
}
