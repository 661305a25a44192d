//! What an answer says beside its text: its provider, its cost, why it ended.

use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::Bill;
use bombyx_protocol::wire::message::Finish;
use serde_json::{Value, json};

/// Returns the `bombyx` object of an answer: its provider and its cost.
pub(super) fn facts(bill: &Bill) -> Value {
    json!({
        "providers": bill.providers.iter().map(NodeId::to_string).collect::<Vec<_>>(),
        "job": bill.job.map(|job| job.to_string()),
        "cost_nano": bill.cost.0,
        "unpaid_nano": bill.unpaid.0,
        "receipts": bill.receipts,
        "vouchers": bill.vouchers,
        "matched_ms": bill.matched.map(|span| span.as_ms()),
        "first_token_ms": bill.first_token.map(|span| span.as_ms()),
    })
}

/// Returns the `usage` object of a text answer.
pub(super) fn usage(bill: &Bill) -> Value {
    json!({
        "prompt_tokens": bill.input_tokens,
        "completion_tokens": bill.output_tokens,
        "total_tokens": bill.input_tokens.saturating_add(bill.output_tokens),
    })
}

/// Returns OpenAI's word for why a text ended.
pub(super) fn finish_reason(bill: &Bill) -> &'static str {
    match bill.finish {
        Some(Finish::Length) => "length",
        Some(Finish::Stop) | None => "stop",
    }
}
