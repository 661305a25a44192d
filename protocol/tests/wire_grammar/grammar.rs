//! The layouts as `spec/01-wire.md` prints them, and a decoder that knows nothing but them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A type as a layout names it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// An integer or a truth value of so many bytes.
    Number {
        bytes: usize,
        signed: bool,
        truth: bool,
    },
    /// So many bytes.
    Array(usize),
    Bytes,
    Text,
    Named(String),
    Many(Box<Kind>),
    Perhaps(Box<Kind>),
    Fields(Vec<(String, Kind)>),
    Variants(Vec<(String, Option<Kind>)>),
}

/// Every layout of the page, with the size that it prints.
pub(crate) struct Grammar {
    kinds: BTreeMap<String, Kind>,
    /// What the page says of a size, and whether that is the least.
    pub(crate) sizes: BTreeMap<String, (usize, bool)>,
    /// Names of codes, by the type that they are codes of.
    codes: BTreeMap<String, BTreeMap<u32, (String, bool)>>,
}

impl Grammar {
    /// Reads the blocks of the page, and the tables of codes of the registry.
    pub(crate) fn read(page: &str, registry: &str) -> Self {
        let mut definitions: Vec<String> = Vec::new();
        for line in page.split("```").skip(1).step_by(2).flat_map(str::lines) {
            if line.starts_with(char::is_whitespace) {
                definitions.last_mut().expect("a definition begins at the margin").push_str(line);
            } else if !line.is_empty() {
                definitions.push(line.to_owned());
            }
        }
        let (mut kinds, mut sizes) = (BTreeMap::new(), BTreeMap::new());
        for definition in &definitions {
            let (name, layout) = definition.split_once('=').expect("a name, and its layout");
            let (name, mut layout) = (name.trim().to_owned(), layout.trim_end());
            if let Some((before, size)) = layout.rsplit_once("  ")
                && let (size, least) = size.strip_suffix(" + n").map_or((size, false), |size| (size, true))
                && let Ok(size) = size.parse()
            {
                sizes.insert(name.clone(), (size, least));
                layout = before;
            }
            assert!(kinds.insert(name.clone(), definition_of(layout)).is_none(), "{name} is laid out twice");
        }
        let codes =
            ["Refusal", "ReleaseReason"].into_iter().map(|kind| (kind.to_owned(), codes(kind, registry)));
        Self { kinds, sizes, codes: codes.collect() }
    }

    /// Returns the least number of bytes of a type: everything that can be empty or absent is.
    pub(crate) fn least(&self, kind: &Kind) -> usize {
        match kind {
            Kind::Number { bytes, .. } | Kind::Array(bytes) => *bytes,
            Kind::Bytes | Kind::Text | Kind::Many(_) => 8,
            Kind::Perhaps(_) => 1,
            Kind::Named(name) => self.least(&self.kinds[name]),
            Kind::Fields(fields) => fields.iter().map(|(_, kind)| self.least(kind)).sum(),
            Kind::Variants(variants) => {
                let least = |kind: &Option<Kind>| kind.as_ref().map_or(0, |kind| self.least(kind));
                4 + variants.iter().map(|(_, kind)| least(kind)).min().unwrap_or(0)
            }
        }
    }

    /// Reads bytes as a value of this type, in the form of the vectors: all of them, or nothing.
    pub(crate) fn decode(&self, name: &str, bytes: &[u8]) -> Option<Value> {
        let mut rest = bytes;
        let value = self.take(&Kind::Named(name.to_owned()), &mut rest)?;
        rest.is_empty().then_some(value)
    }

    fn take(&self, kind: &Kind, rest: &mut &[u8]) -> Option<Value> {
        Some(match kind {
            Kind::Number { bytes, signed, truth } => {
                let raw = split(rest, *bytes)?;
                let number = raw.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
                if *truth {
                    return (number < 2).then(|| json!(number == 1));
                }
                if *bytes == 8 {
                    return Some(json!(number.to_string()));
                }
                let unused = 64 - 8 * u32::try_from(*bytes).ok()?;
                if *signed { json!(((number << unused) as i64) >> unused) } else { json!(number) }
            }
            Kind::Array(bytes) => json!(hex::encode(split(rest, *bytes)?)),
            Kind::Bytes => {
                let length = length(rest)?;
                json!(hex::encode(split(rest, length)?))
            }
            Kind::Text => {
                let length = length(rest)?;
                json!(std::str::from_utf8(split(rest, length)?).ok()?)
            }
            Kind::Many(kind) => {
                let count = length(rest)?;
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(self.take(kind, rest)?);
                }
                // The rule of extensions stands beside the layouts. (WI-15)
                let is_tail = **kind == Kind::Named("Extension".into());
                if is_tail && !ascends(&items) {
                    return None;
                }
                Value::Array(items)
            }
            Kind::Perhaps(kind) => match split(rest, 1)? {
                [0] => Value::Null,
                [1] => self.take(kind, rest)?,
                _ => return None,
            },
            Kind::Named(name) => {
                let value = self.take(&self.kinds[name], rest)?;
                match self.codes.get(name) {
                    Some(codes) => named(codes, &value)?,
                    None => value,
                }
            }
            Kind::Fields(fields) => {
                let mut object = Map::new();
                for (name, kind) in fields {
                    object.insert(name.clone(), self.take(kind, rest)?);
                }
                Value::Object(object)
            }
            Kind::Variants(variants) => {
                let number = split(rest, 4)?;
                let number = u32::from_le_bytes(number.try_into().ok()?) as usize;
                let (name, kind) = variants.get(number)?;
                match kind {
                    None => json!(name),
                    Some(kind) => json!({ name: self.take(kind, rest)? }),
                }
            }
        })
    }
}

fn split<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(head)
}

/// A length that can still follow: every element has a byte at least.
fn length(rest: &mut &[u8]) -> Option<usize> {
    let raw = split(rest, 8)?;
    let length = usize::try_from(u64::from_le_bytes(raw.try_into().ok()?)).ok()?;
    (length <= rest.len()).then_some(length)
}

fn ascends(items: &[Value]) -> bool {
    let kinds: Vec<u64> = items.iter().map(|item| item["kind"].as_u64().expect("a type")).collect();
    let bytes: usize = items.iter().map(|item| item["value"].as_str().expect("hexadecimal").len() / 2).sum();
    kinds.is_sorted_by(|one, next| one < next) && kinds.len() <= 16 && bytes <= 1_024
}

/// A code as the vectors write it; nothing where a number stands that the code has not. (WI-17)
fn named(codes: &BTreeMap<u32, (String, bool)>, value: &Value) -> Option<Value> {
    let code = u32::try_from(value["code"].as_u64()?).ok()?;
    let detail = value.get("detail");
    Some(match codes.get(&code) {
        Some((name, true)) => json!({ name: detail? }),
        Some((name, false)) => {
            return detail.is_none_or(|detail| detail == "0").then(|| json!(name));
        }
        None if detail.is_some() => json!({ "Other": value }),
        None => json!({ "Other": code }),
    })
}

/// The table of the registry under the heading of this type: code, name, and whether a number goes with it.
fn codes(kind: &str, registry: &str) -> BTreeMap<u32, (String, bool)> {
    let heading = format!("### `{kind}`");
    let (_, section) =
        registry.split_once(&heading).unwrap_or_else(|| panic!("the registry has no {heading}"));
    let section = section.split("\n#").next().expect("a text");
    let rows = section.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let code = cells.get(1)?.parse().ok()?;
        let name = cells.get(2)?.trim_matches('`').to_owned();
        Some((code, (name, kind == "Refusal" && !cells.get(3)?.is_empty())))
    });
    rows.collect()
}

fn definition_of(layout: &str) -> Kind {
    let layout = layout.trim();
    let variants = parts(layout, '|');
    if variants.len() > 1 {
        return Kind::Variants(variants.iter().map(|part| variant(part)).collect());
    }
    Kind::Fields(parts(layout, '·').iter().map(|part| field(part)).collect())
}

fn variant(text: &str) -> (String, Option<Kind>) {
    let (name, content) = text.split_once(' ').unwrap_or((text, ""));
    let content = content.trim();
    let kind = match content.strip_prefix('(') {
        Some(fields) => Some(definition_of(fields.strip_suffix(')').expect("a parenthesis that closes"))),
        None if content.is_empty() => None,
        None => Some(kind_of(content)),
    };
    (name.to_owned(), kind)
}

fn field(text: &str) -> (String, Kind) {
    // A type that is its own name: `price`, `text`, `bytes`.
    let (name, kind) = text.split_once(' ').unwrap_or((text, text));
    (name.to_owned(), kind_of(kind.trim()))
}

fn kind_of(text: &str) -> Kind {
    if let Some(text) = text.strip_suffix('*') {
        return Kind::Many(Box::new(kind_of(text)));
    }
    if let Some(text) = text.strip_suffix('?') {
        return Kind::Perhaps(Box::new(kind_of(text)));
    }
    if let Some(count) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return Kind::Array(count.parse().expect("a number of bytes"));
    }
    let number = |bytes, signed, truth| Kind::Number { bytes, signed, truth };
    match text {
        "u8" => number(1, false, false),
        "u16" => number(2, false, false),
        "u32" => number(4, false, false),
        "u64" | "nano" | "price" => number(8, false, false),
        "i8" => number(1, true, false),
        "i32" => number(4, true, false),
        "bool" => number(1, false, true),
        "bytes" => Kind::Bytes,
        "text" => Kind::Text,
        name => {
            assert!(name.starts_with(char::is_uppercase), "no type {name}");
            Kind::Named(name.to_owned())
        }
    }
}

/// Splits at a mark, but not inside parentheses.
fn parts(text: &str, mark: char) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if letter == mark && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().expect("one at least").push(letter);
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).collect()
}
