//! How a provider speaks within a job's session.

use crate::ident::NodeId;
use crate::outbox::Outbox;
use crate::session::Secure;
use crate::wire::codec;
use crate::wire::message::{FromProvider, SealedFrame, ToClient};
use crate::work::order::JobId;

/// Seals what a provider says for the client of a job, and sends it.
pub(super) fn send_sealed(
    out: &mut Outbox,
    secure: &mut Secure,
    client: NodeId,
    id: JobId,
    said: &FromProvider,
    last: bool,
) {
    // Out of nonces: the job ends by its client's silence.
    if let Ok(frame) = secure.seal(&codec::encode(said), last) {
        let frame = SealedFrame { job: id, nonce: frame.nonce, bytes: frame.bytes };
        out.send_to_client(client, ToClient::Sealed(frame));
    }
}
