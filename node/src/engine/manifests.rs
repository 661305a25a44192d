//! The manifests that are known: of the catalogue, of what is sold here, and of what others offer, fetched by id and believed
//! by their hash. Those of others are kept in the home. (`NE-15`)

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bombyx_gpu::catalog;
use bombyx_gpu::manifest::{Kind, MANIFEST_BYTES_MAX, Manifest};
use bombyx_protocol::work::order::{ModelId, Order, TaskKind};
use bombyx_protocol::work::price::Weights;

use super::models::weights;

/// Models of others of which something is known.
const MODELS_MAX: usize = 4_096;
/// Manifests of others that are kept in the home.
const KEPT_MAX: usize = 256;

/// What a manifest says of its model, for those that look for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelFacts {
    /// Its name: 1 to 64 of `a-z`, `0-9`, `-`, `.`, `_`.
    pub(crate) name: String,
    /// What it does.
    pub(crate) kind: TaskKind,
    /// Tokens of input and output together that it can hold.
    pub(crate) context_tokens: u32,
    /// How its tokens are billed.
    pub(crate) weights: Weights,
    /// Numbers of a vector, of a model that makes vectors.
    pub(crate) dims: Option<u32>,
}

impl From<&Manifest> for ModelFacts {
    fn from(manifest: &Manifest) -> Self {
        Self {
            name: manifest.name.clone(),
            kind: match manifest.kind {
                Kind::Embed(_) => TaskKind::Embed,
                Kind::Generate(_) => TaskKind::Generate,
            },
            context_tokens: manifest.context_tokens,
            weights: weights(manifest.weights),
            dims: match &manifest.kind {
                Kind::Embed(facts) => Some(facts.dims),
                Kind::Generate(_) => None,
            },
        }
    }
}

/// Why bytes are not a model's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManifestFault {
    /// They have another hash: whoever sent them has broken a rule.
    #[error("the bytes are not those of the model's id")]
    OtherHash,
    /// They have the hash, and are no manifest that this node can read: nobody can send better ones.
    #[error("the manifest of this id is not one that this node can read")]
    Unreadable,
}

/// What is known of models.
pub(crate) struct Manifests {
    folder: PathBuf,
    facts: BTreeMap<ModelId, ModelFacts>,
    /// The ids whose manifest nobody can read.
    unreadable: BTreeSet<ModelId>,
    own: BTreeSet<ModelId>,
}

impl Manifests {
    /// Reads what is kept in `folder`, which need not exist. What is not the manifest of its name is
    /// not believed.
    pub(crate) fn open(folder: PathBuf) -> Self {
        let mut manifests =
            Self { folder, facts: BTreeMap::new(), unreadable: BTreeSet::new(), own: BTreeSet::new() };
        for entry in catalog::catalog() {
            manifests.own(ModelId(entry.id().0), entry.manifest());
        }
        for (_, path) in kept(&manifests.folder).into_iter().take(KEPT_MAX) {
            let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            let Some(id) = id else { continue };
            if let Ok(manifest) =
                read(&path).map_err(|_| ManifestFault::OtherHash).and_then(|json| checked(id, &json))
            {
                manifests.facts.insert(id, ModelFacts::from(&manifest));
            }
        }
        manifests
    }

    fn own(&mut self, id: ModelId, manifest: &Manifest) {
        self.facts.insert(id, ModelFacts::from(manifest));
        self.own.insert(id);
    }

    /// Knows what is sold here.
    pub(crate) fn sell(&mut self, sold: &[(ModelId, Vec<u8>)]) {
        for (id, json) in sold {
            if let Ok(manifest) = Manifest::parse(json) {
                self.own(*id, &manifest);
            }
        }
    }

    /// Returns what is known of a model.
    pub(crate) fn get(&self, id: &ModelId) -> Option<&ModelFacts> {
        self.facts.get(id)
    }

    /// States in an order how wide its vectors are to be, if the manifest of its model is known: vectors of another width are
    /// not the model's. (`MO-9`)
    pub(crate) fn state_dims(&self, order: &mut Order) {
        order.dims = self.get(&order.model).and_then(|facts| facts.dims);
    }

    /// Returns the model that has a name in the catalogue: no other is called by it alone.
    pub(crate) fn catalogued(name: &str) -> Option<ModelId> {
        catalog::find(name).ok().map(|entry| ModelId(entry.id().0))
    }

    /// Returns whether a model is the catalogue's.
    pub(crate) fn is_catalogued(id: &ModelId) -> bool {
        catalog::catalog().iter().any(|entry| entry.id().0 == id.0)
    }

    /// Returns whether a model's manifest is worth asking for.
    pub(crate) fn is_wanted(&self, id: &ModelId) -> bool {
        !self.facts.contains_key(id) && !self.unreadable.contains(id)
    }

    /// Takes what another node sent for a model's manifest, and keeps it in the home.
    ///
    /// # Errors
    /// [`ManifestFault`] when it is not that manifest.
    pub(crate) fn take(&mut self, id: ModelId, json: Vec<u8>) -> Result<(), ManifestFault> {
        let manifest = checked(id, &json).inspect_err(|fault| {
            if *fault == ManifestFault::Unreadable && self.unreadable.len() < MODELS_MAX {
                self.unreadable.insert(id);
            }
        })?;
        if self.facts.len() < MODELS_MAX {
            self.facts.insert(id, ModelFacts::from(&manifest));
            let folder = self.folder.clone();
            tokio::task::spawn_blocking(move || {
                if let Err(error) = keep(&folder, id, &json) {
                    tracing::warn!(model = %id, %error, "a manifest could not be kept; it will be asked for again");
                }
            });
        }
        Ok(())
    }

    /// Forgets the models of others that nobody offers any more; what is kept in the home stays.
    pub(crate) fn retain(&mut self, is_offered: impl Fn(&ModelId) -> bool) {
        if self.facts.len() + self.unreadable.len() > MODELS_MAX / 2 {
            let own = &self.own;
            self.facts.retain(|id, _| own.contains(id) || is_offered(id));
            self.unreadable.retain(|id| is_offered(id));
        }
    }
}

/// Compares bytes with the id before anything of them is read.
fn checked(id: ModelId, json: &[u8]) -> Result<Manifest, ManifestFault> {
    if Manifest::id_of(json).0 != id.0 {
        return Err(ManifestFault::OtherHash);
    }
    // Equal values in another spelling have another id: then these bytes are not canonical.
    Manifest::parse(json).ok().filter(|manifest| manifest.id().0 == id.0).ok_or(ManifestFault::Unreadable)
}

/// Lists the files of a folder of manifests, the newest first.
fn kept(folder: &Path) -> Vec<(SystemTime, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort_unstable_by(|a, b| b.cmp(a));
    files
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut json = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, MANIFEST_BYTES_MAX + 1), &mut json)?;
    Ok(json)
}

/// Writes a manifest into the folder, whose oldest make room.
fn keep(folder: &Path, id: ModelId, json: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (_, old) in kept(folder).into_iter().skip(KEPT_MAX - 1) {
        fs::remove_file(old)?;
    }
    let path = folder.join(format!("{id}.json"));
    // A file that was written in part has another hash, and is not believed.
    fs::write(path, json)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::amount::Nano;
    use bombyx_protocol::time::Span;
    use bombyx_protocol::work::order::{InputCount, Task, Tier};
    use bombyx_protocol::work::preferences::Preferences;

    use super::*;

    fn manifest(name: &str) -> (ModelId, Vec<u8>) {
        let mut manifest = catalog::find("bombyx-chat-tiny").unwrap().manifest().clone();
        manifest.name = name.into();
        (ModelId(manifest.id().0), manifest.canonical_json())
    }

    /// (`NE-15`)
    #[tokio::test]
    async fn a_manifest_is_believed_by_its_hash_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut manifests = Manifests::open(folder.path().join("manifests"));
        let (id, json) = manifest("my-chat");
        assert!(manifests.is_wanted(&id));
        let (other, _) = manifest("your-chat");
        let mut spaced = json.clone();
        spaced.push(b' ');
        for (id, wrong) in [(other, json.clone()), (id, spaced), (id, Vec::new())] {
            assert_eq!(manifests.take(id, wrong), Err(ManifestFault::OtherHash));
        }
        assert!(manifests.is_wanted(&id) && manifests.get(&id).is_none());
        manifests.take(id, json).unwrap();
        let facts = manifests.get(&id).unwrap();
        assert_eq!(
            (facts.name.as_str(), facts.kind, facts.context_tokens),
            ("my-chat", TaskKind::Generate, 2_048)
        );
    }

    /// (`NE-15`)
    #[test]
    fn bytes_of_the_right_hash_that_are_no_manifest_are_not_asked_for_again() {
        let mut manifests = Manifests::open("nowhere".into());
        let (_, json) = manifest("my-chat");
        let text = String::from_utf8(json).unwrap();
        let strange = [
            text.replace("my-chat", "my\\u001b[2J"),
            text.replace("my-chat", "My Chat"),
            text.replace("2048", "0"),
            text.replace("2048", "4294967295"),
            format!(" {text}"),
            "{}".to_owned(),
            "[".repeat(100_000),
        ];
        for json in strange {
            let id = ModelId(Manifest::id_of(json.as_bytes()).0);
            assert_eq!(manifests.take(id, json.into_bytes()), Err(ManifestFault::Unreadable));
            assert!(!manifests.is_wanted(&id) && manifests.get(&id).is_none());
        }
    }

    /// (`NE-15`)
    #[test]
    fn what_is_kept_is_bounded_and_checked_again_when_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("manifests");
        let mut last = ModelId([0; 32]);
        for number in 0..KEPT_MAX + 10 {
            let (id, json) = manifest(&format!("chat-{number}"));
            keep(&folder, id, &json).unwrap();
            last = id;
        }
        assert_eq!(kept(&folder).len(), KEPT_MAX);
        let (changed, json) = manifest("chat-changed");
        fs::write(folder.join(format!("{changed}.json")), &json[1..]).unwrap();
        fs::write(folder.join("notes.json"), json).unwrap();
        let manifests = Manifests::open(folder);
        assert!(manifests.get(&last).is_some() && manifests.get(&changed).is_none());
    }

    /// (MO-9)
    #[test]
    fn an_order_states_the_width_of_its_models_vectors() {
        let manifests = Manifests::open("nowhere".into());
        let [vectors, text] = ["all-minilm-l6-v2", "bombyx-chat-tiny"].map(Manifests::catalogued);
        for (model, dims) in [(vectors.unwrap(), Some(384)), (text.unwrap(), None), (ModelId([9; 32]), None)]
        {
            let mut order = Order {
                model,
                task: Task::Embed { inputs: vec!["silk".into()] },
                max_cost: Nano(1),
                deadline: Span::from_s(1),
                tier: Tier::Open,
                nano_per_ms: None,
                price_max: None,
                dims: None,
                weights: Weights::DEFAULT,
                input: InputCount::Estimated,
                preferences: Preferences::default(),
            };
            manifests.state_dims(&mut order);
            assert_eq!(order.dims, dims);
        }
    }

    #[test]
    fn the_catalogue_and_what_is_sold_here_are_known_and_never_forgotten() {
        let mut manifests = Manifests::open("nowhere".into());
        let (id, json) = manifest("my-chat");
        manifests.sell(&[(id, json)]);
        let strangers = u64::try_from(MODELS_MAX).unwrap();
        for number in 0..strangers {
            let mut other = [9; 32];
            other[..8].copy_from_slice(&number.to_le_bytes());
            let facts = manifests.get(&id).unwrap().clone();
            manifests.facts.insert(ModelId(other), facts);
        }
        manifests.retain(|_| false);
        assert_eq!(manifests.facts.len(), 1 + catalog::catalog().len());
        assert!(manifests.get(&id).is_some());
    }
}
