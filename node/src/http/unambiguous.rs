//! JSON that says each thing once: the parser would take the last of two values and drop the other's wish in silence.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A value in which no object has two fields of one name. That is the only error of it that is not one of syntax.
pub(super) struct Unambiguous(pub(super) Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values).map(Self)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated names")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unambiguous(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom("repeated name"));
            }
            let Unambiguous(value) = fields.next_value()?;
            map.insert(name, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_said_once_is_read_as_it_is_and_what_is_said_twice_is_an_error_anywhere() {
        for text in [
            r#"{"a": [1, -2, 2.5, 1e300, true, null, "ü\n", {"a": {"b": 1}}], "b": {"a": 18446744073709551615}, "": []}"#,
            "[]",
            "\"text\"",
        ] {
            let Unambiguous(read) = serde_json::from_str(text).unwrap();
            assert_eq!(read, serde_json::from_str::<Value>(text).unwrap());
        }
        for text in [
            r#"{"max_tokens": 5, "max_tokens": 5}"#,
            r#"{"a": null, "a": 1}"#,
            r#"{"provider": {"zdr": true, "zdr": false}}"#,
            r#"{"messages": [{"role": "user", "role": "system"}]}"#,
            r#"{"stream": true, "str\u0065am": false}"#,
        ] {
            let error = serde_json::from_str::<Unambiguous>(text).err().unwrap();
            assert!(error.is_data(), "{text}: {error}");
        }
        for text in ["{\"a\": 1", "{\"a\": x}", "{\"a\": 1e999}"] {
            assert!(!serde_json::from_str::<Unambiguous>(text).err().unwrap().is_data(), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(serde_json::from_str::<Unambiguous>(&deep).is_err(), "and no stack is overrun");
    }
}
