//! Two questions to a node's hash table, as libp2p's Kademlia writes them: a length as a varint, then a protobuf message.

use std::io;
use std::time::Duration;

use bombyx_protocol::ident::NodeId;
use libp2p::{Multiaddr, PeerId};

use super::super::address;
use super::super::behaviour::kad_protocol;
use super::super::scope::Scope;
use super::connection::{Probe, RawStream};
use super::told::ProbeError;

/// Until an answer is there.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of an answer, as a node of this implementation takes it.
const ANSWER_BYTES_MAX: u64 = 32 * 1024;

const ADD_PROVIDER: u64 = 2;
const GET_PROVIDERS: u64 = 3;

/// What a node's hash table says of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableAnswer {
    /// Who provides it.
    pub providers: Vec<TableProvider>,
}

/// A provider, as an answer names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableProvider {
    /// Whose key its peer id holds; none if that is no ed25519 key.
    pub node: Option<NodeId>,
    /// Where it says it can be reached.
    pub addresses: Vec<TableAddress>,
}

/// An address, as an answer names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableAddress {
    /// As text.
    pub text: String,
    /// Whether it is a plain IP and port of a transport that nodes speak.
    pub is_plain: bool,
    /// Whether it is also reachable from everywhere. (`NE-8`)
    pub is_routable: bool,
}

/// Returns whether an address that the user wrote is reachable from everywhere.
#[must_use]
pub fn is_routable(text: &str) -> bool {
    address::read_dialable(text).is_ok_and(|(_, at)| address::is_usable(Scope::Public, &at))
}

fn described(at: &Multiaddr) -> TableAddress {
    let bare = address::without_last_peer(at);
    TableAddress {
        text: at.to_string(),
        is_plain: address::is_usable(Scope::Private, &bare),
        is_routable: address::is_usable(Scope::Public, &bare),
    }
}

impl Probe {
    /// Asks who provides a key.
    ///
    /// # Errors
    /// [`ProbeError`], also for an answer that cannot be read.
    pub async fn providers(&self, key: &[u8; 32]) -> Result<TableAnswer, ProbeError> {
        let mut stream = self.open(&self.table()?).await?;
        let question = message(GET_PROVIDERS, key, None);
        stream.write(&question).await?;
        let answer = read(&mut stream).await?;
        stream.close().await;
        decode(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an answer").into())
    }

    /// Says that this identity provides a key, without an address.
    ///
    /// # Errors
    /// [`ProbeError`].
    pub async fn provide(&self, key: &[u8; 32], as_node: NodeId) -> Result<(), ProbeError> {
        let mut stream = self.open(&self.table()?).await?;
        let Some(peer) = address::peer_of(as_node) else { return Ok(()) };
        stream.write(&message(ADD_PROVIDER, key, Some(&peer))).await?;
        stream.close().await;
        Ok(())
    }

    fn table(&self) -> Result<String, ProbeError> {
        Ok(kad_protocol(&self.network)?.to_string())
    }
}

fn message(kind: u64, key: &[u8; 32], provider: Option<&PeerId>) -> Vec<u8> {
    let mut body = Vec::new();
    put_varint(&mut body, 1 << 3);
    put_varint(&mut body, kind);
    put_bytes(&mut body, 2, key);
    if let Some(peer) = provider {
        let mut inner = Vec::new();
        put_bytes(&mut inner, 1, &peer.to_bytes());
        put_bytes(&mut body, 9, &inner);
    }
    let mut framed = Vec::new();
    put_varint(&mut framed, body.len() as u64);
    framed.extend(body);
    framed
}

fn put_varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push((number as u8 & 0x7f) | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn put_bytes(to: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(to, field << 3 | 2);
    put_varint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

async fn read(stream: &mut RawStream) -> io::Result<Vec<u8>> {
    let mut length = 0;
    for shift in [0, 7, 14] {
        let byte = stream.read(1, ANSWER).await?.first().copied().unwrap_or(0);
        length |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    if length > ANSWER_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer is too long"));
    }
    stream.read(usize::try_from(length).unwrap_or(0), ANSWER).await
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Takes the next field: its number, and its bytes where it has any.
fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let tag = take_varint(bytes)?;
    match tag & 7 {
        0 => take_varint(bytes).map(|_| (tag >> 3, &[][..])),
        2 => {
            let length = usize::try_from(take_varint(bytes)?).ok()?;
            let (value, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Some((tag >> 3, value))
        }
        _ => None,
    }
}

fn decode(mut bytes: &[u8]) -> Option<TableAnswer> {
    let mut answer = TableAnswer::default();
    while !bytes.is_empty() {
        let (field, mut value) = take_field(&mut bytes)?;
        if field != 9 {
            continue;
        }
        let mut provider = TableProvider::default();
        while !value.is_empty() {
            match take_field(&mut value)? {
                (1, peer) => provider.node = address::node_of(&PeerId::from_bytes(peer).ok()?),
                (2, at) => provider.addresses.push(described(&Multiaddr::try_from(at.to_vec()).ok()?)),
                _ => {}
            }
        }
        answer.providers.push(provider);
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_providers_and_garbage_names_none() {
        let peer = super::super::super::fixtures::peer(7);
        let bytes = message(GET_PROVIDERS, &[5; 32], Some(&peer));
        let body = &bytes[1..];
        assert_eq!(usize::from(bytes[0]), body.len());
        let node = address::node_of(&peer);
        let expected = vec![TableProvider { node, addresses: Vec::new() }];
        assert_eq!(decode(body), Some(TableAnswer { providers: expected }));
        for cut in 1..body.len() {
            // A message may end after any field, and nowhere else.
            assert!(decode(&body[..cut]).is_none_or(|answer| answer.providers.is_empty()));
        }
        assert_eq!(decode(&[0xff; 40]), None);
    }
}
