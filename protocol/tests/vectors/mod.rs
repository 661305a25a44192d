//! Reads the JSON of `spec/vectors` into the values of the crate: numbers of 64 bits as decimal text, bytes as
//! hexadecimal, a variant as `"Name"` or `{"Name": content}`.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, dead_code, unreachable_pub, missing_docs)]

mod channel;
mod market;
mod message;
mod record;
mod work;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::voucher::SignatureError;
use serde_json::Value;

#[allow(unused_imports)]
pub use self::{channel::*, market::*, message::*, record::*, work::*};

pub fn file(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().unwrap_or_else(|| panic!("no list {field} in {value}"))
}

pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no text {field} in {value}"))
}

pub fn hex_of(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

pub fn fixed<const N: usize>(value: &Value) -> [u8; N] {
    hex_of(value).try_into().unwrap()
}

pub fn long(value: &Value) -> u64 {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a number as text")).parse().unwrap()
}

pub fn nano(value: &Value) -> Nano {
    Nano(long(value))
}

pub fn optional<T>(value: &Value, read: impl Fn(&Value) -> T) -> Option<T> {
    (!value.is_null()).then(|| read(value))
}

pub fn small<T: TryFrom<i64>>(value: &Value) -> T {
    T::try_from(value.as_i64().unwrap()).ok().unwrap()
}

/// Every good case hashes as it says and counts. `judge` returns hash and verdict of a case.
pub fn good_signatures(cases: &[Value], judge: impl Fn(&Value) -> ([u8; 32], Result<(), SignatureError>)) {
    for case in cases {
        assert_eq!(judge(case), (fixed(&case["hash"]), Ok(())), "{case}");
    }
}

/// Every bad case is refused for the reason that it says.
pub fn bad_signatures(cases: &[Value], judge: impl Fn(&Value) -> ([u8; 32], Result<(), SignatureError>)) {
    for case in cases {
        let expected = match text(case, "error") {
            "mismatch" => SignatureError::Mismatch,
            "unusable_key" => SignatureError::UnusableKey,
            other => panic!("unknown error {other}"),
        };
        assert_eq!(judge(case).1, Err(expected), "{}", text(case, "why"));
    }
}

pub fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

pub fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(small).collect()
}

/// The name of a variant and its content.
pub fn variant(value: &Value) -> (&str, &Value) {
    match value {
        Value::String(name) => (name, &Value::Null),
        Value::Object(map) => map.iter().next().map(|(name, content)| (name.as_str(), content)).unwrap(),
        other => panic!("{other} is no variant"),
    }
}
