//! Manifests: what a model consists of, byte for byte; its hash is the model's name on the network.
//! (`WR-17`)
//!
//! # Canonical form
//! The id is BLAKE3 of the manifest's canonical JSON: UTF-8, no white space, object keys in ascending byte order, optional
//! fields left out when absent, lists in their given order, integers in decimal without sign or leading zero, strings
//! with the shortest JSON escapes (`\"`, `\\`, `\b`, `\f`, `\n`, `\r`, `\t`, other control characters as `\u00xx` in
//! lower case, everything else as it is). There are no floats, no booleans that may be absent, and no unknown fields.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::{Mismatch, OnAdvance, Sha256, check_file};
use crate::engine::ModelId;
use crate::onnx::external::{self, ExternalData, ExternalError};

/// Name of the manifest's file in a model directory.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Largest manifest read, in bytes.
pub const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// Most files a manifest may list.
pub const MAX_FILES: usize = 64;
/// Longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest vector, in numbers.
pub const MAX_DIMS: u32 = 1 << 16;
/// Longest context, in tokens.
pub const MAX_CONTEXT_TOKENS: u32 = 1 << 22;

/// Everything that decides what a model answers.
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
}

/// What a model does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Turns a text into a vector.
    Embed(EmbedFacts),
    /// Continues a conversation.
    Generate(GenerateFacts),
}

/// Facts of an embedding model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedFacts {
    /// Numbers per vector.
    pub dims: u32,
    /// How one vector is made of a vector per token; it is then scaled to Euclidean length 1.
    pub pooling: Pooling,
}

/// How one vector is made of a vector per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean over all tokens that are not padding.
    Mean,
    /// The first token.
    First,
}

/// Facts of a text generation model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateFacts {
    /// Tokens that end an answer; at least one.
    pub eos_ids: Vec<u32>,
    /// Jinja template that turns the conversation into the prompt.
    pub chat_template: String,
    /// Id of the rule by which tokens are drawn, such as `bombyx-sampler-1`.
    pub sampler: String,
    /// Numbers per attention head, for graphs that do not say it themselves.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub head_dim: Option<u32>,
}

/// How text becomes tokens, beyond what the tokenizer's own file says. Padding and truncation in that file are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerFacts {
    /// Whether the tokenizer's special tokens are added around a text.
    pub special_tokens: bool,
    /// Whether an input longer than the context is cut to it (`true`) or refused (`false`).
    pub truncate: bool,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// What it is for.
    pub role: Role,
    /// Where it lies, relative to the model directory, with `/` between the parts.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its content.
    pub sha256: Sha256,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The `.onnx` graph; exactly one.
    Graph,
    /// Weights the graph refers to.
    Weights,
    /// `tokenizer.json` of the `tokenizers` library; exactly one.
    Tokenizer,
    /// Anything else that is to be kept with the model.
    Other,
}

impl Role {
    /// Returns the word used in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Graph => "graph",
            Self::Weights => "weights",
            Self::Tokenizer => "tokenizer",
            Self::Other => "other",
        }
    }
}

/// Why a manifest cannot be used, or a model's files are not those it names.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is none.
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
    /// The graph's references to other files cannot be read.
    #[error("model `{model}`: the graph {path} cannot be used: {why}")]
    Graph {
        /// Name of the model.
        model: String,
        /// The graph.
        path: PathBuf,
        /// What is wrong.
        why: ExternalError,
    },
    /// The graph reads weights from a file that the manifest does not pin.
    #[error("model `{model}`: the graph {path} reads weights from {location:?}, which {why}")]
    Unpinned {
        /// Name of the model.
        model: String,
        /// The graph.
        path: PathBuf,
        /// The file as the graph names it.
        location: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A file of the model is missing or changed.
    #[error(
        "model `{model}`: {path} is not the pinned file: {mismatch}; delete {directory} and fetch the model again"
    )]
    Corrupt {
        /// Name of the model.
        model: String,
        /// The file.
        path: PathBuf,
        /// What differs.
        mismatch: Box<Mismatch>,
        /// The directory to delete.
        directory: PathBuf,
    },
}

impl Manifest {
    /// Reads and checks a manifest's JSON.
    ///
    /// # Errors
    /// [`ManifestError::Syntax`] for what is not a manifest, [`ManifestError::Field`] for values out of bounds.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        if json.len() as u64 > MAX_MANIFEST_BYTES {
            return Err(field("length", format!("more than {MAX_MANIFEST_BYTES} bytes")));
        }
        let manifest: Self = serde_json::from_slice(json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Reads `manifest.json` of a model directory; the files it names are checked by [`Model::open`].
    ///
    /// # Errors
    /// As [`Manifest::parse`], and [`ManifestError::Unreadable`].
    pub fn from_dir(dir: &Path) -> Result<Self, ManifestError> {
        let path = dir.join(MANIFEST_FILE);
        let mut json = Vec::new();
        fs::File::open(&path)
            .and_then(|file| file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut json))
            .map_err(|source| ManifestError::Unreadable { path, source })?;
        Self::parse(&json)
    }

    /// Returns the bytes the id is taken of; see the module's page.
    #[must_use]
    pub fn canonical_json(&self) -> Vec<u8> {
        let value =
            serde_json::to_value(self).expect("a manifest has string keys and no other fallible part");
        let mut text = String::new();
        write_canonical(&value, &mut text);
        text.into_bytes()
    }

    /// Returns the model's name on the network.
    #[must_use]
    pub fn id(&self) -> ModelId {
        ModelId(*blake3::hash(&self.canonical_json()).as_bytes())
    }

    /// Returns the first file of a role; [`Role::Graph`] and [`Role::Tokenizer`] are always there.
    #[must_use]
    pub fn file(&self, role: Role) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.role == role)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let name_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
        if self.name.is_empty() || self.name.len() > MAX_NAME_BYTES || !self.name.bytes().all(name_byte) {
            return Err(field("name", format!("needs 1 to {MAX_NAME_BYTES} of a-z, 0-9, `-`, `.`, `_`")));
        }
        if self.context_tokens == 0 || self.context_tokens > MAX_CONTEXT_TOKENS {
            return Err(field("context_tokens", format!("needs 1 to {MAX_CONTEXT_TOKENS}")));
        }
        match &self.kind {
            Kind::Embed(facts) if facts.dims == 0 || facts.dims > MAX_DIMS => {
                return Err(field("kind.embed.dims", format!("needs 1 to {MAX_DIMS}")));
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
        self.check_files()
    }

    fn check_files(&self) -> Result<(), ManifestError> {
        if self.files.len() > MAX_FILES {
            return Err(field("files", format!("lists {}, at most {MAX_FILES} are read", self.files.len())));
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
            // What such a file refers to cannot be read here, so that nothing of it would be pinned.
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

/// A model whose files lie in a directory and are those its manifest names.
#[derive(Debug, Clone)]
pub struct Model {
    manifest: Manifest,
    id: ModelId,
    dir: PathBuf,
}

impl Model {
    /// Compares every file with the manifest, reading all of them, and the graph's references with the list of files: a
    /// graph that reads a file which is not pinned is refused. (`WR-17`)
    ///
    /// # Errors
    /// [`ManifestError::Corrupt`] for the first file that is missing or different, [`ManifestError::Unpinned`] for the
    /// first reference that no listed file answers to, [`ManifestError::Graph`] for a file that is no graph.
    pub fn open(manifest: Manifest, dir: &Path, on_advance: OnAdvance<'_>) -> Result<Self, ManifestError> {
        manifest.check()?;
        for file in &manifest.files {
            let path = dir.join(&file.path);
            let what = format!("verifying {} {}", manifest.name, file.path);
            check_file(&path, file.bytes, file.sha256, &what, &mut *on_advance).map_err(|mismatch| {
                ManifestError::Corrupt {
                    model: manifest.name.clone(),
                    path,
                    mismatch: Box::new(mismatch),
                    directory: dir.to_owned(),
                }
            })?;
        }
        let model = Self { id: manifest.id(), manifest, dir: dir.to_owned() };
        model.check_references()?;
        Ok(model)
    }

    /// Returns the graph reads nothing but what the manifest lists as its weights.
    fn check_references(&self) -> Result<(), ManifestError> {
        let model = || self.manifest.name.clone();
        let path = self.graph();
        let found = fs::File::open(&path).map_err(ExternalError::from).and_then(external::references);
        let found = found.map_err(|why| ManifestError::Graph { model: model(), path: path.clone(), why })?;
        for data in found {
            self.check_reference(&data).map_err(|why| ManifestError::Unpinned {
                model: model(),
                path: path.clone(),
                location: data.location.clone(),
                why,
            })?;
        }
        Ok(())
    }

    fn check_reference(&self, data: &ExternalData) -> Result<(), String> {
        if !stays_inside(&data.location) {
            return Err(
                "does not stay in the model's directory; export the model with its weights beside it".into(),
            );
        }
        // The graph names it from its own directory, the manifest from the model's.
        let graph = self.manifest.file(Role::Graph).map_or("", |file| file.path.as_str());
        let beside = graph.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let named = format!("{beside}{}", data.location);
        let is_named =
            |file: &&FileEntry| Path::new(&file.path).components().eq(Path::new(&named).components());
        let Some(file) = self.manifest.files.iter().find(is_named) else {
            return Err(format!(
                "the manifest does not list; add {named:?} to its `files` with role `weights`, its length and its SHA-256"
            ));
        };
        if file.role != Role::Weights {
            return Err(format!(
                "the manifest lists with role `{}`; its role is `weights`",
                file.role.as_str()
            ));
        }
        let end = data.offset.checked_add(data.length.unwrap_or(0));
        if end.is_none_or(|end| end > file.bytes) {
            return Err(format!("ends before what is read of it; it has {} bytes", file.bytes));
        }
        Ok(())
    }

    /// Returns what it consists of.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the hash of its manifest.
    #[must_use]
    pub fn id(&self) -> ModelId {
        self.id
    }

    /// Returns where its files lie.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the path of its graph.
    #[must_use]
    pub fn graph(&self) -> PathBuf {
        self.path(Role::Graph)
    }

    /// Returns the path of its tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> PathBuf {
        self.path(Role::Tokenizer)
    }

    fn path(&self, role: Role) -> PathBuf {
        self.dir.join(&self.manifest.file(role).expect("`open` checked that there is one").path)
    }
}

fn field(field: &'static str, why: String) -> ManifestError {
    ManifestError::Field { field, why }
}

/// Returns a relative path without `..`, root or drive: it cannot name a file outside the model's
/// directory on any system.
fn stays_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', ':', '\0'])
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            // Sorted here, because serde_json keeps insertion order if any crate of the build asks it to.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            write_list(text, ['{', '}'], entries, |(key, value), text| {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(value, text);
            });
        }
        Value::Array(items) => write_list(text, ['[', ']'], items, write_canonical),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string())
        }
    }
}

fn write_list<T>(
    text: &mut String,
    [open, close]: [char; 2],
    items: impl IntoIterator<Item = T>,
    write: impl Fn(T, &mut String),
) {
    text.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write(item, text);
    }
    text.push(close);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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

    #[test]
    fn a_changed_file_is_named_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("t")).unwrap();
        // The smallest graph: it says its version and nothing else.
        let graph: &[u8] = &[1 << 3, 8];
        let mut json = small();
        json["files"][0]["bytes"] = graph.len().into();
        json["files"][0]["sha256"] = crate::digest::digest(graph, |_| {}).unwrap().to_string().into();
        fs::write(dir.path().join("model.onnx"), graph).unwrap();
        fs::write(dir.path().join("t/tokenizer.json"), "abd").unwrap();
        fs::write(dir.path().join(MANIFEST_FILE), json.to_string()).unwrap();
        let manifest = Manifest::from_dir(dir.path()).unwrap();
        let error = Model::open(manifest.clone(), dir.path(), &mut |_| {}).unwrap_err().to_string();
        for part in ["tokenizer.json", ABC, "SHA-256 is a52d", "delete", "fetch"] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
        fs::write(dir.path().join("t/tokenizer.json"), "abc").unwrap();
        assert_eq!(Model::open(manifest.clone(), dir.path(), &mut |_| {}).unwrap().id(), manifest.id());
    }
}
