//! The encrypted TCP stream that liteservers speak (ADNL), both ends: a handshake of 256 bytes, then checked frames.
//!
//! The client names the server's key and brings the stream's keys, sealed for it; only the
//! holder of that key can answer. So a stream proves that the server has the key of its address. It does not identify the
//! client.

use std::io;

use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use ed25519_dalek::{SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

/// Bytes of the first packet.
pub(in crate::ledger) const HANDSHAKE_BYTES: usize = 256;
/// Bytes of the stream's keys: two keys, two initial counters, padding.
const SECRETS_BYTES: usize = 160;
/// Bytes of a frame beside its payload: 32 random ones before it, a SHA-256 of both after it.
const FRAME_EXTRA: usize = 64;
/// What the hash of a key begins with, where the key is an ed25519 key.
const KEY_TAG: [u8; 4] = [0xc6, 0xb4, 0x13, 0x48];

type Cipher = ctr::Ctr128BE<aes::Aes256>;

/// The keys of one stream.
pub(in crate::ledger) struct Secrets(Zeroizing<[u8; SECRETS_BYTES]>);

impl Secrets {
    /// Draws fresh keys.
    pub(in crate::ledger) fn random() -> Self {
        Self(Zeroizing::new(rand::random()))
    }

    fn cipher(&self, key: usize, counter: usize) -> Cipher {
        let (key, counter) = (&self.0[key..key + 32], &self.0[counter..counter + 16]);
        Cipher::new(key.into(), counter.into())
    }

    /// Returns what the server writes with and the client reads with.
    pub(in crate::ledger) fn downstream(&self) -> Stream {
        Stream(self.cipher(0, 64))
    }

    /// Returns what the client writes with and the server reads with.
    pub(in crate::ledger) fn upstream(&self) -> Stream {
        Stream(self.cipher(32, 80))
    }
}

/// One direction of a stream: the place in its key stream.
pub(in crate::ledger) struct Stream(Cipher);

/// Returns the id of a key, by which a packet names its receiver.
fn key_id(key: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(KEY_TAG).chain_update(key).finalize().into()
}

/// Returns what both ends of a handshake compute from the other's key.
fn agreed(own: &SigningKey, other: &VerifyingKey) -> Zeroizing<[u8; 32]> {
    let own = Zeroizing::new(own.to_scalar_bytes());
    Zeroizing::new(x25519_dalek::x25519(*own, other.to_montgomery().to_bytes()))
}

/// Returns the cipher that covers the stream's keys in the handshake.
fn cover(agreed: &[u8; 32], hash: &[u8; 32]) -> Cipher {
    let (mut key, mut counter) = (Zeroizing::new([0; 32]), [0; 16]);
    key[..16].copy_from_slice(&agreed[..16]);
    key[16..].copy_from_slice(&hash[16..]);
    counter[..4].copy_from_slice(&hash[..4]);
    counter[4..].copy_from_slice(&agreed[20..]);
    Cipher::new((&*key).into(), (&counter).into())
}

fn packet(
    server: &[u8; 32],
    client: &[u8; 32],
    agreed: &[u8; 32],
    secrets: &Secrets,
) -> [u8; HANDSHAKE_BYTES] {
    let hash: [u8; 32] = Sha256::digest(*secrets.0).into();
    let mut covered = *secrets.0;
    cover(agreed, &hash).apply_keystream(&mut covered);
    let mut packet = [0; HANDSHAKE_BYTES];
    packet[..32].copy_from_slice(&key_id(server));
    packet[32..64].copy_from_slice(client);
    packet[64..96].copy_from_slice(&hash);
    packet[96..].copy_from_slice(&covered);
    packet
}

/// Makes the first packet to the server with this key. `None` if the key is no point of the curve.
pub(in crate::ledger) fn greet(server: &[u8; 32], secrets: &Secrets) -> Option<[u8; HANDSHAKE_BYTES]> {
    let server = VerifyingKey::from_bytes(server).ok()?;
    let client = SigningKey::from_bytes(&rand::random());
    let agreed = agreed(&client, &server);
    Some(packet(server.as_bytes(), client.verifying_key().as_bytes(), &agreed, secrets))
}

/// Opens a client's first packet. `None` if it is for another key, or damaged.
pub(in crate::ledger) fn welcome(server: &SigningKey, packet: &[u8; HANDSHAKE_BYTES]) -> Option<Secrets> {
    let part = |from: usize| -> Option<[u8; 32]> { packet.get(from..from + 32)?.try_into().ok() };
    if part(0)? != key_id(server.verifying_key().as_bytes()) {
        return None;
    }
    let client = VerifyingKey::from_bytes(&part(32)?).ok()?;
    let hash = part(64)?;
    let mut secrets = Zeroizing::new([0; SECRETS_BYTES]);
    secrets.copy_from_slice(&packet[96..]);
    cover(&agreed(server, &client), &hash).apply_keystream(&mut *secrets);
    (Sha256::digest(*secrets)[..] == hash).then_some(Secrets(secrets))
}

/// Writes one frame.
///
/// # Errors
/// What the socket reports. The stream cannot be used after an error.
pub(in crate::ledger) async fn write_frame(
    stream: &mut Stream,
    socket: &mut (impl AsyncWrite + Unpin),
    payload: &[u8],
) -> io::Result<()> {
    let length = u32::try_from(payload.len().saturating_add(FRAME_EXTRA)).map_err(|_| invalid("too long"))?;
    let nonce: [u8; 32] = rand::random();
    let hash = Sha256::new().chain_update(nonce).chain_update(payload).finalize();
    let mut frame = Vec::with_capacity(payload.len() + FRAME_EXTRA + 4);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&nonce);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&hash);
    stream.0.apply_keystream(&mut frame);
    socket.write_all(&frame).await?;
    socket.flush().await
}

/// Reads one frame of at most `payload_max` bytes.
///
/// # Errors
/// What the socket reports, and `InvalidData` for a frame that is too long, too short, or not what was written. The stream
/// cannot be used after an error, nor after this was dropped halfway.
pub(in crate::ledger) async fn read_frame(
    stream: &mut Stream,
    socket: &mut (impl AsyncRead + Unpin),
    payload_max: usize,
) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length).await?;
    stream.0.apply_keystream(&mut length);
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if !(FRAME_EXTRA..=payload_max.saturating_add(FRAME_EXTRA)).contains(&length) {
        return Err(invalid("a frame's length is out of bounds"));
    }
    let mut frame = vec![0; length];
    socket.read_exact(&mut frame).await?;
    stream.0.apply_keystream(&mut frame);
    let (covered, hash) = frame.split_at(length - 32);
    if Sha256::digest(covered)[..] != *hash {
        return Err(invalid("a frame does not match its hash"));
    }
    Ok(covered.get(32..).unwrap_or_default().to_vec())
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// Keys and packet of a handshake from the tests of the crate `adnl` 2.0.0, another implementation.
    #[test]
    fn a_handshake_is_the_packet_that_another_implementation_makes() {
        let secrets = hex(concat!(
            "b3d529e34b839a521518447b68343aebaae9314ac95aaacfdb687a2163d1a98638db306b63409ef7bc906b4c9dc11548",
            "8cf90dfa964f520542c69e1a4a495edf9ae9ee72023203c8b266d552f251e8d724929733428c8e276ab3bd6291367336",
            "a6ab8dc3d36243419bd0b742f76691a5dec14edbd50f7c1b58ec961ae45be58cbf6623f3ec9705bd5d227761ec79cee3",
            "77e2566ff668f863552bddfd6ff3a16b"
        ));
        let server = hex("2615edec7d5d6538314132321a2615e1ff5550046e0f1165ff59150632d2301f");
        let client = hex("67d45a90e775d8f78d9feb9bdd222446e07c3de4a54e29220d18c18c5b340db3");
        let agreed = hex("1f4d11789a5559b238f7ac8213e112184f16a97593b4a059c878af288a784b79");
        let expected: [u8; HANDSHAKE_BYTES] = hex(concat!(
            "a3fc70bfeff13b04ed4f2581045ff95a385df762eb82ab9902066061c2e6033e67d45a90e775d8f78d9feb9bdd222446",
            "e07c3de4a54e29220d18c18c5b340db36c06a61a8eb209b2b4f9d7359d76e3e0722024579d2b8bc920a6506238d6d88d",
            "14a880eb99b4996df8a11bb1a7124e39825848c74fc3d7bfab034e71dbc2e2d1606c14db1b04bb25b544a83b47815e9e",
            "c0590a9f4dd011b4bae7b01ddb376570d6641919e63933bf297a073b8febfae0c4dd298215e5db929c6764c43502874b",
            "7b5af6380fd52d3fd072b7046d6ccadecc771f54b461b5a157fe3e059df9575dc72dfc89e36b26a7cf9a4e7925c96e88",
            "d5342c139154c4a6e4e9d683d9373e3a"
        ));
        assert_eq!(packet(&server, &client, &agreed, &Secrets(Zeroizing::new(secrets))), expected);
    }

    #[test]
    fn a_server_opens_what_was_sealed_for_it_and_nothing_else() {
        let (server, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let secrets = Secrets::random();
        let packet = greet(server.verifying_key().as_bytes(), &secrets).unwrap();
        assert_eq!(welcome(&server, &packet).unwrap().0, secrets.0);
        assert!(welcome(&other, &packet).is_none());
        for at in 0..HANDSHAKE_BYTES {
            let mut bent = packet;
            bent[at] ^= 1;
            assert!(welcome(&server, &bent).is_none(), "byte {at}");
        }
    }

    #[tokio::test]
    async fn frames_arrive_in_order_and_a_bent_or_long_one_does_not() {
        let secrets = Secrets::random();
        let (mut write, mut read) = (secrets.upstream(), secrets.upstream());
        let mut wire = Vec::new();
        for payload in [&b"first"[..], b"", b"third"] {
            write_frame(&mut write, &mut wire, payload).await.unwrap();
        }
        let mut socket = &wire[..];
        for payload in [&b"first"[..], b"", b"third"] {
            assert_eq!(read_frame(&mut read, &mut socket, 5).await.unwrap(), payload);
        }
        let mut bent = wire.clone();
        bent[40] ^= 1;
        assert!(read_frame(&mut secrets.upstream(), &mut &bent[..], 5).await.is_err());
        assert!(read_frame(&mut secrets.upstream(), &mut &wire[..], 4).await.is_err());
        assert!(read_frame(&mut secrets.upstream(), &mut &wire[..50], 5).await.is_err());
    }
}
