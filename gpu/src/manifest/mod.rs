//! Manifests: what a model consists of, byte for byte; its hash is the model's name on the network.
//! (`WR-17`)

mod canonical;
mod facts;

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

pub use facts::{EmbedFacts, FileEntry, GenerateFacts, Kind, Pooling, Role, TokenizerFacts};
use serde::{Deserialize, Serialize};

use crate::engine::ModelId;
use crate::units::{TokenWeights, WEIGHT_MAX};

/// Name of the manifest's file in a model directory.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Largest manifest read, in bytes.
pub const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// Most files a manifest may list.
pub const FILES_MAX: usize = 64;
/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest vector, in numbers.
pub const DIMS_MAX: u32 = 1 << 16;
/// Longest context, in tokens.
pub const CONTEXT_TOKENS_MAX: u32 = 1 << 22;

/// Everything that decides what a model answers, and how its work is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name for people: lower-case letters, digits, `-`, `.` and `_`.
    pub name: String,
    /// What it does, with the facts only that kind has.
    pub kind: Kind,
    /// Every file the model is read from.
    pub files: Vec<FileEntry>,
    /// How text becomes tokens.
    pub tokenizer: TokenizerFacts,
    /// Longest input (embedding) or conversation with answer (generation), in tokens.
    pub context_tokens: u32,
    /// Numeric class of weights and arithmetic, such as `fp32`; answers are comparable only within one class.
    pub precision: String,
    /// SPDX expression of the weights' licence.
    pub licence: String,
    /// Where the weights come from, for people.
    pub source: String,
    /// What its tokens count in a bill; without it, what those of most models count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<TokenWeights>,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The manifest cannot be read.
    #[error("cannot read {path}: {source}; a model directory holds a `{MANIFEST_FILE}` beside its files")]
    Unreadable {
        /// The manifest's path.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// It is not JSON of the right form.
    #[error("the manifest is not valid: {0}")]
    Syntax(#[from] serde_json::Error),
    /// A field has a value that cannot be used.
    #[error("the manifest's {field} is not usable: {why}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl Manifest {
    /// Reads and checks a manifest's JSON.
    ///
    /// # Errors
    /// [`ManifestError::Syntax`] for what is not a manifest, [`ManifestError::Field`] for values out of bounds.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        if json.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(field("length", format!("more than {MANIFEST_BYTES_MAX} bytes")));
        }
        let manifest: Self = serde_json::from_slice(json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Reads `manifest.json` of a model directory. [`Model::open`](crate::model::Model::open) checks the files it names.
    ///
    /// # Errors
    /// As [`Manifest::parse`], and [`ManifestError::Unreadable`].
    pub fn from_dir(dir: &Path) -> Result<Self, ManifestError> {
        let path = dir.join(MANIFEST_FILE);
        let mut json = Vec::new();
        fs::File::open(&path)
            .and_then(|file| file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut json))
            .map_err(|source| ManifestError::Unreadable { path, source })?;
        Self::parse(&json)
    }

    /// Returns the canonical JSON; the model's id is its hash.
    #[must_use]
    pub fn canonical_json(&self) -> Vec<u8> {
        let value =
            serde_json::to_value(self).expect("a manifest has string keys and no other fallible part");
        canonical::text(&value).into_bytes()
    }

    /// Returns the model's name on the network.
    #[must_use]
    pub fn id(&self) -> ModelId {
        Self::id_of(&self.canonical_json())
    }

    /// Returns the id of the model whose canonical JSON these bytes are, if they are canonical JSON: what another node sent
    /// is compared before it is read.
    #[must_use]
    pub fn id_of(canonical_json: &[u8]) -> ModelId {
        ModelId(*blake3::hash(canonical_json).as_bytes())
    }

    /// Returns the first file of a role; [`Role::Graph`] and [`Role::Tokenizer`] are always there.
    #[must_use]
    pub fn file(&self, role: Role) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.role == role)
    }

    pub(crate) fn check(&self) -> Result<(), ManifestError> {
        let name_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !self.name.bytes().all(name_byte) {
            return Err(field("name", format!("needs 1 to {NAME_BYTES_MAX} of a-z, 0-9, `-`, `.`, `_`")));
        }
        if self.context_tokens == 0 || self.context_tokens > CONTEXT_TOKENS_MAX {
            return Err(field("context_tokens", format!("needs 1 to {CONTEXT_TOKENS_MAX}")));
        }
        match &self.kind {
            Kind::Embed(facts) if facts.dims == 0 || facts.dims > DIMS_MAX => {
                return Err(field("kind.embed.dims", format!("needs 1 to {DIMS_MAX}")));
            }
            Kind::Generate(facts) if facts.eos_ids.is_empty() => {
                return Err(field(
                    "kind.generate.eos_ids",
                    "is empty, so no answer would ever end".to_owned(),
                ));
            }
            Kind::Generate(facts) if facts.head_dim == Some(0) => {
                return Err(field("kind.generate.head_dim", "is zero".to_owned()));
            }
            Kind::Embed(_) | Kind::Generate(_) => {}
        }
        if self.weights.is_some_and(|weights| !weights.are_usable()) {
            let why = format!(
                "needs 1 <= input <= output <= 20 times input, cached <= input, and none above {WEIGHT_MAX}"
            );
            return Err(field("weights", why));
        }
        self.check_files()
    }

    fn check_files(&self) -> Result<(), ManifestError> {
        if self.files.len() > FILES_MAX {
            return Err(field("files", format!("lists {}, at most {FILES_MAX} are read", self.files.len())));
        }
        for role in [Role::Graph, Role::Tokenizer] {
            let count = self.files.iter().filter(|file| file.role == role).count();
            if count != 1 {
                return Err(field(
                    "files",
                    format!("needs exactly one of role `{}`, has {count}", role.as_str()),
                ));
            }
        }
        if self.file(Role::Graph).is_some_and(|file| file.path.to_ascii_lowercase().ends_with(".ort")) {
            // The files it refers to cannot be read from it here, so they would not be pinned.
            return Err(field(
                "files",
                "has a graph in ONNX Runtime's own format; use the `.onnx` file".to_owned(),
            ));
        }
        for (index, file) in self.files.iter().enumerate() {
            if !stays_inside(&file.path) {
                return Err(field("files", format!("path {:?} does not stay in the directory", file.path)));
            }
            if self.files[..index].iter().any(|other| other.path == file.path) {
                return Err(field("files", format!("path {:?} is listed twice", file.path)));
            }
        }
        Ok(())
    }
}

fn field(field: &'static str, why: String) -> ManifestError {
    ManifestError::Field { field, why }
}

/// Whether a path is relative, without `..`, root or drive: it cannot name a file outside the model's directory on any
/// system.
pub(crate) fn stays_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', ':', '\0'])
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn small() -> Value {
        serde_json::json!({
            "name": "m", "kind": {"embed": {"pooling": "mean", "dims": 3}},
            "files": [
                {"role": "graph", "path": "model.onnx", "bytes": 3, "sha256": ABC},
                {"role": "tokenizer", "path": "t/tokenizer.json", "bytes": 3, "sha256": ABC},
            ],
            "tokenizer": {"truncate": false, "special_tokens": true},
            "context_tokens": 8, "precision": "fp32", "licence": "MIT", "source": "a \"quoted\"\tname é",
        })
    }

    fn parse(value: &Value) -> Result<Manifest, ManifestError> {
        Manifest::parse(value.to_string().as_bytes())
    }

    /// (`WR-17`)
    #[test]
    fn the_canonical_form_is_sorted_and_minimal() {
        let expected =
            r#"{"context_tokens":8,"files":[{"bytes":3,"path":"model.onnx","role":"graph","sha256":"#
                .to_owned()
                + &format!(
                    r#""{ABC}"}},{{"bytes":3,"path":"t/tokenizer.json","role":"tokenizer","sha256":"{ABC}"}}]"#
                )
                + r#","kind":{"embed":{"dims":3,"pooling":"mean"}},"licence":"MIT","name":"m","precision":"fp32""#
                + r#","source":"a \"quoted\"\tname é","tokenizer":{"special_tokens":true,"truncate":false}}"#;
        assert_eq!(String::from_utf8(parse(&small()).unwrap().canonical_json()).unwrap(), expected);
    }

    #[test]
    fn the_id_does_not_depend_on_spelling_but_on_every_value() {
        let manifest = parse(&small()).unwrap();
        let pretty = serde_json::to_vec_pretty(&manifest).unwrap();
        assert_eq!(Manifest::parse(&pretty).unwrap().id(), manifest.id());
        for (key, value) in [("name", "n"), ("precision", "fp16"), ("licence", "X"), ("source", "")] {
            let mut other = small();
            other[key] = value.into();
            assert_ne!(parse(&other).unwrap().id(), manifest.id(), "{key}");
        }
    }

    /// (`WR-17`)
    #[test]
    fn weights_are_optional_and_bounded_and_part_of_the_id() {
        let plain = parse(&small()).unwrap();
        let with = |input: u32, cached: u32, output: u32| {
            let mut json = small();
            json["weights"] = serde_json::json!({ "input": input, "cached": cached, "output": output });
            parse(&json)
        };
        let stated = with(10, 1, 60).unwrap();
        assert_ne!(stated.id(), plain.id(), "what is said is part of what is hashed");
        assert_eq!(stated.weights, Some(TokenWeights { input: 10, cached: 1, output: 60 }));
        assert!(!String::from_utf8(plain.canonical_json()).unwrap().contains("weights"));
        for (input, cached, output) in [(0, 0, 0), (10, 11, 60), (10, 1, 9), (10, 1, 201), (501, 1, 10_001)] {
            let refused = with(input, cached, output);
            assert!(matches!(refused, Err(ManifestError::Field { field: "weights", .. })), "{refused:?}");
        }
    }

    #[test]
    fn bad_values_are_refused_by_name() {
        let cases: [(&str, Value, &str); 6] = [
            ("/name", "".into(), "name"),
            ("/name", "Über".into(), "name"),
            ("/context_tokens", 0.into(), "context_tokens"),
            ("/kind/embed/dims", 0.into(), "kind.embed.dims"),
            ("/files/0/role", "other".into(), "files"),
            ("/files/1/path", "model.onnx".into(), "files"),
        ];
        for (pointer, value, named) in cases {
            let mut json = small();
            *json.pointer_mut(pointer).unwrap() = value;
            match parse(&json) {
                Err(ManifestError::Field { field, .. }) => assert_eq!(field, named),
                other => panic!("{pointer}: {other:?}"),
            }
        }
        let mut json = small();
        json["surprise"] = 1.into();
        assert!(matches!(parse(&json), Err(ManifestError::Syntax(_))));
    }

    #[test]
    fn paths_cannot_leave_the_directory() {
        for path in ["", "/etc/passwd", "../x", "a/../../x", "C:x", "a\\..\\x", "./x"] {
            let mut json = small();
            json["files"][0]["path"] = path.into();
            assert!(matches!(parse(&json), Err(ManifestError::Field { field: "files", .. })), "{path:?}");
        }
    }
}
