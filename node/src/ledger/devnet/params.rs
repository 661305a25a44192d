//! What a request names, and why it has no result.

use axum::http::StatusCode;
use bombyx_protocol::channel::terms::Address;
use serde_json::{Map, Value};

use crate::ledger::chain::ChainError;
use crate::ledger::wallet::parse_address;

pub(super) type Params = Map<String, Value>;

/// Why a request has no result: status and words.
pub(super) struct Failure(pub(super) StatusCode, pub(super) String);

impl From<ChainError> for Failure {
    fn from(error: ChainError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

pub(super) fn bad(what: impl Into<String>) -> Failure {
    Failure(StatusCode::UNPROCESSABLE_ENTITY, what.into())
}

pub(super) fn text_in<'a>(params: &'a Params, name: &str) -> Result<&'a str, Failure> {
    params.get(name).and_then(Value::as_str).ok_or_else(|| bad(format!("{name} is required")))
}

pub(super) fn number_in(params: &Params, name: &str, default: u64) -> Result<u64, Failure> {
    match params.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .ok_or_else(|| bad(format!("{name} is not a number"))),
    }
}

pub(super) fn address_in(params: &Params) -> Result<Address, Failure> {
    read_address(text_in(params, "address")?)
}

pub(super) fn read_address(text: &str) -> Result<Address, Failure> {
    parse_address(text).ok_or_else(|| bad("not an address; expected 0:... or EQ... or UQ..."))
}
