//! A job's life from order to last chunk: what is asked, how it is streamed, what is proved and what it costs.

pub mod answer_stream;
pub mod cost;
mod fault;
pub mod order;
pub mod preferences;
pub mod price;
pub mod receipt;
pub mod stream;
mod task;
