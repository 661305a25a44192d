//! Every field that the clients of OpenAI, OpenRouter, vLLM and their kin send, and what becomes of it. The table is
//! `wishes.json`; a test sends each of its rows over HTTP.
//!
//! - **Obeyed**: read by the endpoint, which refuses a value of the wrong form.
//! - **Ignored**: whatever it says, neither the answer nor the protection of what was sent depends on it.
//! - **Refused**: it would change the answer, or promise what nobody can prove. A value that asks for what happens
//!   anyway is taken.
//!
//! A field that is not in the table is refused as well, with the nearest name. OpenAI does the same, so that its clients
//! send nothing that is unknown there; and a misspelt `temperature` that is dropped would change the answer in silence.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use super::fields::Fields;
use crate::home::config::nearest;
use crate::http::errors::ApiError;

/// Bytes of a name that an error repeats.
const NAME_BYTES_MAX: usize = 64;

/// Where in a request a field stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// The body of a chat request.
    Chat,
    /// The body of an embedding request.
    Embeddings,
    /// A message of a chat.
    Message,
    /// A part of a message's content.
    Part,
    /// What a stream holds beside the text.
    StreamOptions,
    /// The limits of an order.
    Bombyx,
    /// Which providers are wanted.
    Provider,
    /// What a token may cost.
    MaxPrice,
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fate {
    Obeyed,
    Ignored,
    Refused,
}

/// A row of the table.
#[derive(Debug, Deserialize)]
struct Wish {
    /// The places where it may stand.
    on: Vec<Place>,
    field: String,
    fate: Fate,
    /// Of a refused field, the values that ask for what happens anyway; of the others, examples for the test.
    taken: Vec<Value>,
    /// Why it is refused.
    #[serde(default)]
    why: String,
    /// A field and its value beside which this one asks for nothing.
    harmless_with: Option<(String, Value)>,
}

static WISHES: LazyLock<HashMap<Place, HashMap<String, &'static Wish>>> = LazyLock::new(|| {
    let rows: Vec<Wish> =
        serde_json::from_str(include_str!("wishes.json")).expect("a test reads the whole table");
    let mut places: HashMap<Place, HashMap<String, &'static Wish>> = HashMap::new();
    for wish in Vec::leak(rows) {
        for place in &wish.on {
            places.entry(*place).or_default().insert(wish.field.clone(), wish);
        }
    }
    places
});

/// Checks that every field at a place is one that is obeyed or may be ignored.
///
/// # Errors
/// [`ApiError`] names the first field that is neither.
pub(super) fn check(place: Place, fields: &Fields<'_>) -> Result<(), ApiError> {
    let Some(known) = WISHES.get(&place) else { return Ok(()) };
    for (name, value) in fields.given() {
        let Some(wish) = known.get(name) else {
            let name = shortened(name);
            let near = nearest(name, known.keys().map(String::as_str));
            return Err(ApiError::unknown_field(fields.name(name), near));
        };
        let is_harmless = || {
            let beside = wish.harmless_with.as_ref();
            beside.is_some_and(|(other, says)| fields.value(other) == Some(says))
        };
        let is_refused = wish.fate == Fate::Refused
            && !wish.taken.iter().any(|taken| is_same(taken, value))
            && !is_harmless();
        if is_refused {
            return Err(ApiError::unsupported(fields.name(name), &wish.why));
        }
    }
    Ok(())
}

/// Returns whether two values say the same: 1 and 1.0 do.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

fn shortened(name: &str) -> &str {
    name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn refused(place: Place, body: &Value) -> Option<Value> {
        let fields = Fields::root(body.as_object().unwrap());
        check(place, &fields).err().map(|error| error.body()["error"].clone())
    }

    #[test]
    fn a_misspelt_field_is_refused_with_the_nearest_one() {
        for (place, field, near) in [
            (Place::Chat, "temprature", "temperature"),
            (Place::Chat, "max_token", "max_tokens"),
            (Place::Embeddings, "encoding_fromat", "encoding_format"),
            (Place::Bombyx, "max_cost_nanos", "max_cost_nano"),
            (Place::Bombyx, "deadline", "deadline_ms"),
            (Place::Provider, "onyl", "only"),
        ] {
            let error = refused(place, &json!({ field: 1 })).unwrap();
            assert_eq!(error["code"], "unknown_parameter", "{error}");
            assert!(
                error["message"].as_str().unwrap().contains(&format!("did you mean `{near}`?")),
                "{error}"
            );
        }
        let error = refused(Place::Chat, &json!({ "zzzzzzzzzzzz": 1 })).unwrap();
        assert!(!error["message"].as_str().unwrap().contains("did you mean"), "{error}");
    }

    #[test]
    fn a_name_without_end_is_not_repeated_in_full() {
        let error = refused(Place::Chat, &json!({ "ü".repeat(100_000): 1 })).unwrap();
        assert_eq!(error["param"].as_str().unwrap().len(), NAME_BYTES_MAX);
        assert!(error["message"].as_str().unwrap().len() < 200);
    }

    #[test]
    fn tools_are_refused_unless_none_may_be_called() {
        let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
        for choice in [json!(null), json!("auto"), json!("required")] {
            let body = json!({ "tools": tools, "tool_choice": choice });
            assert!(refused(Place::Chat, &body).is_some(), "{body}");
        }
        assert_eq!(refused(Place::Chat, &json!({ "tools": tools, "tool_choice": "none" })), None);
    }

    #[test]
    fn null_says_nothing_whatever_the_name() {
        assert_eq!(refused(Place::Chat, &json!({ "tools": null, "a_field_of_tomorrow": null })), None);
    }
}
