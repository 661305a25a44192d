//! An open session: numbered, padded, encrypted frames in both directions, over a transport that may lose,
//! repeat or reorder them.

use core::fmt;

use snow::HandshakeState;
use snow::types::Cipher;
use zeroize::Zeroizing;

use super::kept::{JobSecret, KeptSecret};
use super::padding::{self, BODY_BYTES_MAX, PaddingError};
use super::replay::{REPLAY_WINDOW, Stale, Window};
use super::resolver::{self, KEY_BYTES, TAG_BYTES};

/// Bytes that encryption adds to the padded block of a frame. The frame's number travels beside it.
pub const FRAME_OVERHEAD_BYTES: usize = TAG_BYTES;

/// Frames that one session carries in each direction: numbers 0 to `FRAMES_MAX - 1`. Far below the 2^64 - 1
/// where Noise's numbers end, and a terabyte even of the smallest frames.
pub const FRAMES_MAX: u64 = 1 << 32;

/// One encrypted frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The frame's number in its direction; sent in clear, and authenticated.
    pub nonce: u64,
    /// The encrypted block: a bucket and [`FRAME_OVERHEAD_BYTES`].
    pub bytes: Vec<u8>,
}

/// The decrypted content of a frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Plaintext {
    /// The bytes that the sender gave to [`Secure::seal`].
    pub body: Vec<u8>,
    /// Whether they end the sender's message.
    pub last: bool,
}

/// Why a frame was not sealed or not opened. The session stays as it was and goes on (`SE-19`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecureError {
    /// More than [`BODY_BYTES_MAX`] bytes to seal.
    #[error("body of {got} bytes; a frame holds at most {BODY_BYTES_MAX}, send the rest in further frames")]
    TooLong {
        /// Bytes to seal.
        got: usize,
    },
    /// The frame's number is not below [`FRAMES_MAX`]. (`SE-12`)
    #[error("this session has used up its {FRAMES_MAX} frames; open a new one")]
    Exhausted,
    /// Not the length of an encrypted block.
    #[error("frame {nonce} has {got} bytes; it must be {FRAME_OVERHEAD_BYTES} bytes longer than a bucket")]
    Length {
        /// The frame's number.
        nonce: u64,
        /// Bytes that came.
        got: usize,
    },
    /// A frame with this number was opened before.
    #[error("frame {nonce} was opened before")]
    Replayed {
        /// The frame's number.
        nonce: u64,
    },
    /// Further behind than [`REPLAY_WINDOW`].
    #[error("frame {nonce} comes more than {REPLAY_WINDOW} frames late")]
    TooOld {
        /// The frame's number.
        nonce: u64,
    },
    /// The tag does not fit: altered bytes, another number, another session or direction. (`SE-17`)
    #[error("frame {nonce} is not authentic")]
    Unauthentic {
        /// The frame's number.
        nonce: u64,
    },
    /// Authentic, but not a block that an honest sender makes: the peer's fault.
    #[error("frame {nonce} is malformed: {cause}")]
    Malformed {
        /// The frame's number.
        nonce: u64,
        /// What is wrong with the block.
        cause: PaddingError,
    },
}

/// One side of an open session.
pub struct Secure {
    keys: Keys,
    binding: [u8; 32],
    next_nonce: u64,
    window: Window,
    /// What further jobs can begin from, after a handshake.
    kept: Option<KeptSecret>,
}

/// One of the two ends of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The one that began.
    Client,
    /// The one that answered.
    Provider,
}

/// What frames are encrypted with.
enum Keys {
    Real {
        send: Box<dyn Cipher>,
        receive: Box<dyn Cipher>,
    },
    #[cfg(feature = "fake-crypto")]
    Pretended(crate::fake::Session),
}

impl Keys {
    /// Encrypts a block into `out`. Returns how many bytes that is, or `None` where they do not
    /// fit.
    fn write(&self, nonce: u64, block: &[u8], out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Real { send, .. } => (out.len() == block.len().saturating_add(TAG_BYTES))
                .then(|| send.encrypt(nonce, &[], block, out)),
            #[cfg(feature = "fake-crypto")]
            Self::Pretended(session) => session.write(nonce, block, out),
        }
    }

    /// Decrypts a frame into `out`. Returns how many bytes that is, or `None` where it is not
    /// authentic.
    fn read(&self, nonce: u64, frame: &[u8], out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Real { receive, .. } => receive.decrypt(nonce, &[], frame, out).ok(),
            #[cfg(feature = "fake-crypto")]
            Self::Pretended(session) => session.read(nonce, frame, out),
        }
    }
}

impl Secure {
    /// Makes a session from a finished handshake.
    pub(super) fn new(mut noise: HandshakeState, end: End) -> Self {
        let binding: [u8; 32] = noise.get_handshake_hash().try_into().expect("SHA-256 gives 32 bytes");
        let (client, provider) = noise.dangerously_get_raw_split();
        let keys = [client, provider].map(Zeroizing::new);
        let kept = Some(KeptSecret::after(&binding, &keys));
        Self { kept, ..Self::with_keys(&keys, binding, end) }
    }

    /// Makes a session from the keys of what the client sends and of what the provider sends.
    fn with_keys([client, provider]: &[Zeroizing<[u8; KEY_BYTES]>; 2], binding: [u8; 32], end: End) -> Self {
        let (send, receive) = match end {
            End::Client => (client, provider),
            End::Provider => (provider, client),
        };
        let keys = Keys::Real { send: resolver::cipher(send), receive: resolver::cipher(receive) };
        Self { keys, binding, next_nonce: 0, window: Window::new(), kept: None }
    }

    #[cfg(feature = "fake-crypto")]
    pub(super) fn pretended(session: crate::fake::Session) -> Self {
        let binding = session.binding();
        let kept = session.kept().map(KeptSecret::pretended);
        Self { keys: Keys::Pretended(session), binding, next_nonce: 0, window: Window::new(), kept }
    }

    /// Returns one end of the session of job number `number` in a kept session, of which `prologue` says who talks to whom.
    /// (`SE-24`)
    #[must_use]
    pub fn kept(secret: &KeptSecret, end: End, prologue: &[u8], number: u64) -> Self {
        match secret.job(prologue, number) {
            JobSecret::Real { keys, binding } => Self::with_keys(&keys, binding, end),
            #[cfg(feature = "fake-crypto")]
            JobSecret::Pretended(job) => Self::pretended(job.session(end == End::Client)),
        }
    }

    /// Hands out what further jobs can begin from, once. (`SE-23`)
    pub const fn take_kept(&mut self) -> Option<KeptSecret> {
        self.kept.take()
    }

    /// Encrypts `body` as the next frame of this direction. `last` tells the receiver that the message ends
    /// here: a message whose last frame never comes was cut off (`SE-11` to `SE-14`).
    ///
    /// # Errors
    /// [`SecureError::TooLong`] or [`SecureError::Exhausted`]; no number is used up.
    pub fn seal(&mut self, body: &[u8], last: bool) -> Result<Frame, SecureError> {
        if self.next_nonce >= FRAMES_MAX {
            return Err(SecureError::Exhausted);
        }
        let nonce = self.next_nonce;
        let block = padding::pad(body, last).ok_or(SecureError::TooLong { got: body.len() })?;
        let mut bytes = vec![0; block.len().saturating_add(FRAME_OVERHEAD_BYTES)];
        // Counted before the cipher runs: whatever happens there, no number is ever used twice.
        self.next_nonce = nonce.saturating_add(1);
        let written = self.keys.write(nonce, &block, &mut bytes);
        written
            .expect("a bucket fits a Noise message, the buffer fits both, and the number is below the limit");
        Ok(Frame { nonce, bytes })
    }

    /// Encrypts a block as it stands, which need not be one that an honest sender makes: for who tries whether the other side
    /// refuses it (`SE-18`). Returns `None` for a block that fits no frame.
    pub fn seal_block(&mut self, block: &[u8]) -> Option<Frame> {
        let nonce = self.next_nonce;
        self.next_nonce = nonce.saturating_add(1);
        let mut bytes = vec![0; block.len().saturating_add(FRAME_OVERHEAD_BYTES)];
        self.keys.write(nonce, block, &mut bytes)?;
        Some(Frame { nonce, bytes })
    }

    /// Decrypts frame `nonce` of the other direction. Frames may come in any order, each is opened once
    /// (`SE-15` to `SE-19`).
    ///
    /// # Errors
    /// [`SecureError`] says why the frame was refused; nothing has changed then.
    pub fn open(&mut self, nonce: u64, bytes: &[u8]) -> Result<Plaintext, SecureError> {
        if nonce >= FRAMES_MAX {
            return Err(SecureError::Exhausted);
        }
        if !bytes.len().checked_sub(FRAME_OVERHEAD_BYTES).is_some_and(padding::is_bucket) {
            return Err(SecureError::Length { nonce, got: bytes.len() });
        }
        self.window.check(nonce).map_err(|stale| match stale {
            Stale::Replayed => SecureError::Replayed { nonce },
            Stale::TooOld => SecureError::TooOld { nonce },
        })?;
        // With room for the tag the cipher decrypts in place; without, it would leave a copy that nobody wipes.
        let mut block = Zeroizing::new(vec![0; bytes.len()]);
        let read = self.keys.read(nonce, bytes, &mut block).ok_or(SecureError::Unauthentic { nonce })?;
        let (body, last) = padding::unpad(block.get(..read).unwrap_or_default())
            .map_err(|cause| SecureError::Malformed { nonce, cause })?;
        self.window.mark(nonce);
        Ok(Plaintext { body: body.to_vec(), last })
    }

    /// Returns the handshake hash: 32 bytes, equal on both sides and different for every session;
    /// not a secret. Evidence about the provider's machine is bound to it (`SE-10`).
    #[must_use]
    pub const fn binding(&self) -> [u8; 32] {
        self.binding
    }
}

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure").field("next_nonce", &self.next_nonce).finish_non_exhaustive()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({}, {} bytes)", self.nonce, self.bytes.len())
    }
}

impl fmt::Debug for Plaintext {
    /// Writes the length of the body and never the body: it is a prompt or an answer (`SE-21`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plaintext({} bytes, last: {})", self.body.len(), self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Entropy;
    use crate::session::{Initiator, StaticKey, respond};

    fn pair() -> (Secure, Secure) {
        let key = StaticKey::from_seed([1; 32]);
        let (initiator, first) =
            Initiator::start(&key.public(), b"test", &mut Entropy::new([2; 32])).unwrap();
        let (provider, reply) = respond(&key, b"test", &first, &mut Entropy::new([3; 32])).unwrap();
        (initiator.finish(&reply).unwrap(), provider)
    }

    fn kept_pair() -> [KeptSecret; 2] {
        let (mut client, mut provider) = pair();
        let both = [&mut client, &mut provider].map(|end| end.take_kept().unwrap());
        assert!(client.take_kept().is_none(), "once");
        both
    }

    /// `SE-23`, `SE-24`
    #[test]
    fn a_kept_session_opens_what_its_other_end_seals_for_the_same_job_and_number_alone() {
        let [client, provider] = kept_pair();
        let frame = Secure::kept(&client, End::Client, b"a job", 7).seal(b"a prompt", false).unwrap();
        let open = |prologue: &[u8], number, end| {
            Secure::kept(&provider, end, prologue, number)
                .open(frame.nonce, &frame.bytes)
                .map(|opened| opened.body)
        };
        assert_eq!(open(b"a job", 7, End::Provider).unwrap(), b"a prompt");
        let refused = Err(SecureError::Unauthentic { nonce: 0 });
        assert_eq!(open(b"b job", 7, End::Provider), refused);
        assert_eq!(open(b"a job", 8, End::Provider), refused);
        assert_eq!(open(b"a job", 7, End::Client), refused);
        let mut again = Secure::kept(&provider, End::Provider, b"a job", 7);
        assert!(again.take_kept().is_none(), "what begins from it ends with it");
        assert_ne!(again.binding(), Secure::kept(&provider, End::Provider, b"a job", 8).binding());
    }

    /// `SE-12`, `SE-15`: at the limit.
    #[test]
    fn the_last_number_is_usable_and_the_next_is_not() {
        let (mut client, mut provider) = pair();
        client.next_nonce = FRAMES_MAX - 1;
        let frame = client.seal(b"the end", true).unwrap();
        assert_eq!(provider.open(frame.nonce, &frame.bytes).unwrap().body, b"the end");
        assert_eq!(client.seal(b"more", true), Err(SecureError::Exhausted));
        for nonce in [FRAMES_MAX, u64::MAX] {
            assert_eq!(provider.open(nonce, &frame.bytes), Err(SecureError::Exhausted));
        }
    }

    /// `SE-18`, `SE-19`: what only a peer with the keys can send.
    #[test]
    fn a_malformed_block_is_refused_and_its_number_stays_free() {
        let (mut client, mut provider) = pair();
        let bytes = client.seal_block(&[0x11; 256]).unwrap().bytes;
        client.next_nonce = 0;
        let window = provider.window.clone();
        let refused = provider.open(0, &bytes).unwrap_err();
        assert!(matches!(refused, SecureError::Malformed { nonce: 0, cause: PaddingError::Bucket { .. } }));
        assert_eq!(provider.window, window);
        let frame = client.seal(b"proper", true).unwrap();
        assert!(provider.open(frame.nonce, &frame.bytes).is_ok());
    }

    /// `SE-21`
    #[test]
    fn a_body_never_reaches_debug_output() {
        let (mut client, mut provider) = pair();
        let frame = client.seal(b"secret", true).unwrap();
        let opened = provider.open(0, &frame.bytes).unwrap();
        assert_eq!(format!("{frame:?} {opened:?}"), "Frame(0, 272 bytes) Plaintext(6 bytes, last: true)");
        assert_eq!(format!("{client:?}"), "Secure { next_nonce: 1, .. }");
    }
}
