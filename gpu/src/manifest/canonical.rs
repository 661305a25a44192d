//! The canonical form of a manifest; its id is the BLAKE3 hash of it. (`WR-17`)
//!
//! It is JSON in UTF-8 without white space: object keys in ascending byte order, optional fields left out when absent,
//! lists in their given order, integers in decimal without sign or leading zero, strings with the shortest JSON escapes
//! (`\"`, `\\`, `\b`, `\f`, `\n`, `\r`, `\t`, other control characters as `\u00xx` in lower case, everything else as it
//! is). There are no floats, no booleans that may be absent, and no unknown fields.

use serde_json::Value;

/// Returns the canonical form of a value.
pub(super) fn text(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            // Sorted here, because serde_json keeps insertion order if any crate of the build asks it to.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            write_list(text, ['{', '}'], entries, |(key, value), text| {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(value, text);
            });
        }
        Value::Array(items) => write_list(text, ['[', ']'], items, write),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string())
        }
    }
}

fn write_list<T>(
    text: &mut String,
    [open, close]: [char; 2],
    items: impl IntoIterator<Item = T>,
    write_item: impl Fn(T, &mut String),
) {
    text.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_item(item, text);
    }
    text.push(close);
}
