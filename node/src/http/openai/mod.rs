//! OpenAI's requests, read into orders. What cannot be honoured is refused by name (`wishes`).

pub(super) mod chat;
pub(super) mod embeddings;
mod fields;
mod max_price;
pub(super) mod models;
mod order;
pub(super) mod quote;
mod wishes;
