//! The gateway: OpenAI's HTTP interface on this machine, answered by the swarm.
//!
//! | request | does |
//! |---|---|
//! | `GET /v1/models`, `/v1/models/{name}` | models that somebody in the swarm offers |
//! | `POST /v1/chat/completions` | text, whole or streamed |
//! | `POST /v1/embeddings` | vectors, as numbers or base64 |
//! | `POST /v1/quote` | what such a request would cost, without running it |
//! | `GET /health` | whether the process serves; needs no key |
//! | `GET /ready` | whether it has a peer to buy from; needs no key |
//!
//! What OpenAI's interface has no place for (provider, job, cost) is in `x-bombyx-*` headers and in one field named
//! `bombyx`; a request may carry a `bombyx` object too, with `max_cost_nano`, `deadline_ms` and `nano_per_ms`.
//! Every field of a request is obeyed, ignored without harm, or refused by name: `openai::wishes` has the table.
//! A caller that goes away cancels its job. Nothing of a request or an answer is kept or logged.

pub(crate) mod admin;
mod answer;
mod budget;
mod cors;
mod deadline;
mod errors;
mod facts;
mod gateway;
mod json;
pub(crate) mod limits;
mod openai;
pub(crate) mod origin;
mod serve;
pub(crate) mod server;
mod sse;
mod unambiguous;

pub(crate) use self::serve::serve;
