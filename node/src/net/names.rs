//! What nodes of one network must call things alike: the vectors of `spec/vectors/names`, written by another program.
#![allow(clippy::unwrap_used, clippy::panic)]

use bombyx_protocol::ident::NodeId;
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::work::order::ModelId;
use serde_json::Value;

use super::{address, behaviour, discover, gossip, judge, market};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../spec/vectors/names/names.json")).unwrap()
}

fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap_or_else(|| panic!("no {field} in {case}"))
}

/// (`WI-13`)
#[test]
fn a_network_is_named_alike_everywhere() {
    for case in vectors()["networks"].as_array().unwrap() {
        let network = text(case, "network");
        assert_eq!(behaviour::network_version(network), text(case, "identify"));
        assert_eq!(behaviour::kad_protocol(network).unwrap().as_ref(), text(case, "hash_table"));
        assert_eq!(hex::encode(market::providers_key(network)), text(case, "market_key"));
        let topic = format!("{}{}", gossip::prefix(network), judge::topic(Topic::Market));
        assert_eq!(topic, text(case, "market_topic"));
    }
}

/// (`WI-11`)
#[test]
fn a_models_topic_and_its_listeners_are_found_under_the_same_names() {
    for case in vectors()["topics"].as_array().unwrap() {
        let model: ModelId = text(case, "model").parse().unwrap();
        let topic = format!("{}{}", gossip::prefix(text(case, "network")), judge::topic(Topic::Model(model)));
        assert_eq!(topic, text(case, "topic"));
        assert_eq!(hex::encode(discover::topic_key(&topic)), text(case, "listeners_key"));
    }
}

/// (`WI-12`)
#[test]
fn a_node_has_the_same_peer_id_everywhere() {
    for case in vectors()["peers"].as_array().unwrap() {
        let node: NodeId = text(case, "node").parse().unwrap();
        let peer = address::peer_of(node).unwrap();
        assert_eq!(peer.to_string(), text(case, "peer_id"));
        assert_eq!(address::node_of(&peer), Some(node));
    }
}

#[test]
fn a_gossiped_message_has_the_same_id_everywhere() {
    for case in vectors()["gossip"].as_array().unwrap() {
        let message = libp2p::gossipsub::Message {
            source: None,
            data: hex::decode(text(case, "data")).unwrap(),
            sequence_number: None,
            topic: libp2p::gossipsub::IdentTopic::new(text(case, "topic")).hash(),
        };
        assert_eq!(hex::encode(gossip::content_id(&message).0), text(case, "id"));
    }
}
