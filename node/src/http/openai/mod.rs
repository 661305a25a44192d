//! OpenAI's requests, read into orders. What cannot be honoured is refused by name (`wishes`).

pub(super) mod chat;
pub(super) mod embeddings;
mod fields;
pub(super) mod models;
mod order;
mod wishes;
