//! `02-network.md`: discovery, the hash table, manifests, and what a stranger's connection may do.

use std::time::Duration;

use bombyx_gpu::manifest::{Kind, Manifest};
use bombyx_protocol::work::order::{ModelId, TaskKind};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::guest::Guest;
use super::subject::Subject;
use super::verdict::{Checked, broken, holds, idle};
use crate::net::probe::{Probe, ProbeError};

/// What a node takes at the least, and at the most, to close a stream on which nothing arrives.
const SILENCE: (Duration, Duration) = (Duration::from_secs(25), Duration::from_secs(45));
/// Until a node has sent a peer of another network away.
const SENT_AWAY: Duration = Duration::from_secs(10);

pub(super) async fn other_network(subject: &Subject) -> Checked {
    let mut other = subject.network.clone();
    let last = if other.pop() == Some('x') { 'y' } else { 'x' };
    other.push(last);
    match Probe::connect(&subject.seed(), &other, &subject.address).await {
        // It may be sent away before it has heard who the node is.
        Err(ProbeError::Unreachable(_)) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(mut probe) => {
            let is_gone = probe.becomes(SENT_AWAY, |standing| standing.closed.is_some()).await;
            holds(is_gone, || "a peer of another network stays connected".into())
        }
    }
}

pub(super) async fn topics(subject: &Subject) -> Checked {
    if !subject.sells() {
        return idle("the node sells nothing");
    }
    let wanted = subject.wanted_topics();
    let missing: Vec<&str> = wanted.difference(&subject.topics).map(String::as_str).collect();
    holds(missing.is_empty(), || format!("the node sells and does not listen to {}", missing.join(", ")))
}

fn table(subject: &Subject) -> Checked {
    let name = format!("/bombyx/{}/kad/1", subject.network);
    if subject.identified.protocols.contains(&name) {
        Ok(())
    } else {
        idle("the node does not serve the hash table")
    }
}

/// Key of all that sell.
fn providers_key(network: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"bombyx providers\0");
    hash.update(network.as_bytes());
    hash.finalize().into()
}

pub(super) async fn hash_table(subject: &Subject) -> Checked {
    table(subject)?;
    let guest = subject.guest().await?;
    let is_public = crate::net::probe::is_routable(&subject.address);
    let models = subject.asks.iter().map(|ask| ask.model.0);
    for key in models.chain([providers_key(&subject.network)]) {
        let answer = guest.probe.providers(&key).await?;
        holds(answer.providers.len() <= 64, || {
            format!("an answer names {} providers; 64 are the most", answer.providers.len())
        })?;
        for provider in &answer.providers {
            holds(provider.node.is_some(), || "an answer names a provider that is no ed25519 key".into())?;
            for address in &provider.addresses {
                holds(address.is_plain, || {
                    format!("an answer names an address that is no plain IP: {}", address.text)
                })?;
                holds(!is_public || address.is_routable, || {
                    format!("a node in public names an address that is not routable: {}", address.text)
                })?;
            }
        }
    }
    Ok(())
}

pub(super) async fn records(subject: &Subject) -> Checked {
    table(subject)?;
    let mut guest = subject.guest().await?;
    let key: [u8; 32] = guest.entropy.bytes();
    guest.probe.provide(&key, guest.id()).await?;
    let other = subject.guest().await?;
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let answer = other.probe.providers(&key).await?;
        let own = answer.providers.iter().find(|provider| provider.node == Some(guest.id()));
        if own.is_some_and(|own| !own.addresses.is_empty()) {
            return Ok(());
        }
        if Instant::now() >= until {
            return match own {
                Some(_) => broken("a record without an address is told without one: it leads to nobody"),
                None => broken("a record that a peer has of itself is not kept, or told to nobody"),
            };
        }
        sleep(Duration::from_millis(300)).await;
    }
}

pub(super) async fn second_connection(subject: &Subject) -> Checked {
    let seed = subject.seed();
    let mut first = Guest::connect(seed.clone(), &subject.network, &subject.address).await?;
    sleep(Duration::from_millis(2_500)).await;
    let second = Probe::connect(&seed, &subject.network, &subject.address).await;
    holds(first.is_cut(Duration::from_secs(5)).await, || {
        "a peer opens a further connection, and the first one still stands".into()
    })?;
    match second {
        Err(_) => Ok(()),
        Ok(mut second) => {
            let is_gone = second.becomes(Duration::from_secs(5), |standing| standing.closed.is_some()).await;
            holds(is_gone, || "of two connections of one peer only the first is closed".into())
        }
    }
}

pub(super) async fn manifests(subject: &Subject) -> Checked {
    subject.model()?;
    let mut guest = subject.guest().await?;
    // More are asked for by and by, as budgets have it.
    for ask in subject.asks.iter().take(4) {
        let Some(json) = subject.manifest(&mut guest, ask.model).await? else {
            return broken(format!("the node offers model {} and hands out no manifest of it", ask.model));
        };
        let hash = blake3_of(&json);
        holds(hash == ask.model, || format!("the manifest of {} has the hash {hash}", ask.model))?;
        let manifest = match Manifest::parse(&json) {
            Ok(manifest) => manifest,
            Err(why) => return broken(format!("the manifest of {}: {why}", ask.model)),
        };
        let kind = match manifest.kind {
            Kind::Embed(_) => TaskKind::Embed,
            Kind::Generate(_) => TaskKind::Generate,
        };
        let differs = |what: &str| format!("an ask's {what} is not the manifest's");
        holds(manifest.name == ask.name, || differs("name"))?;
        holds(kind == ask.kind, || differs("kind"))?;
        holds(manifest.context_tokens >= ask.context_tokens, || differs("context"))?;
    }
    let unknown = ModelId(guest.entropy.bytes());
    let answer = subject.manifest(&mut guest, unknown).await?;
    holds(answer.is_none(), || "the node hands out bytes for a model that nobody has".into())
}

fn blake3_of(json: &[u8]) -> ModelId {
    ModelId(Manifest::id_of(json).0)
}

pub(super) async fn silent_stream(subject: &Subject) -> Checked {
    let guest = subject.guest().await?;
    let mut stream = guest.probe.open_messages().await?;
    let (least, most) = SILENCE;
    holds(!stream.ends(least).await, || {
        format!("a silent stream is closed before {} s have passed", least.as_secs())
    })?;
    holds(stream.ends(most.saturating_sub(least)).await, || {
        format!("a stranger's stream on which no frame arrives stands after {} s", most.as_secs())
    })
}

pub(super) async fn unfinished_frame(subject: &Subject) -> Checked {
    let guest = subject.guest().await?;
    let mut stream = guest.probe.open_messages().await?;
    stream.write(&100u32.to_le_bytes()).await?;
    stream.write(&[0; 7]).await?;
    let most = SILENCE.1;
    holds(stream.ends(most).await, || {
        format!("a frame of which only a part has come is waited for longer than {} s", most.as_secs())
    })?;
    subject.still_talks().await
}
