//! Models on disk: files in a directory that are compared with a manifest.

use std::fs;
use std::path::{Path, PathBuf};

use crate::digest::{OnAdvance, PinError, check_file};
use crate::engine::ModelId;
use crate::manifest::{FileEntry, Manifest, ManifestError, Role, stays_inside};
use crate::onnx::external::{self, ExternalData, ExternalError};

/// Why a directory is not a model's.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Its manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
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
        mismatch: Box<PinError>,
        /// The directory to delete.
        directory: PathBuf,
    },
}

/// A model whose files lie in a directory and are those its manifest names.
#[derive(Debug, Clone)]
pub struct Model {
    manifest: Manifest,
    id: ModelId,
    dir: PathBuf,
}

impl Model {
    /// Reads every file and compares it with the manifest. A graph that refers to a file the manifest does not pin is
    /// refused. (`WR-17`)
    ///
    /// # Errors
    /// [`ModelError::Corrupt`] for the first file that is missing or different, [`ModelError::Unpinned`] for the
    /// first reference to a file that is not listed, [`ModelError::Graph`] for a file that is not a graph.
    pub fn open(manifest: Manifest, dir: &Path, on_advance: OnAdvance<'_>) -> Result<Self, ModelError> {
        manifest.check()?;
        for file in &manifest.files {
            let path = dir.join(&file.path);
            let what = format!("verifying {} {}", manifest.name, file.path);
            check_file(&path, file.bytes, file.sha256, &what, &mut *on_advance).map_err(|mismatch| {
                ModelError::Corrupt {
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

    /// Checks that the graph reads nothing but what the manifest lists as its weights.
    fn check_references(&self) -> Result<(), ModelError> {
        let model = || self.manifest.name.clone();
        let path = self.graph();
        let found = fs::File::open(&path).map_err(ExternalError::from).and_then(external::references);
        let found = found.map_err(|why| ModelError::Graph { model: model(), path: path.clone(), why })?;
        for data in found {
            self.check_reference(&data).map_err(|why| ModelError::Unpinned {
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

    /// Returns the manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the hash of its manifest.
    #[must_use]
    pub fn id(&self) -> ModelId {
        self.id
    }

    /// Returns the directory of its files.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::manifest::MANIFEST_FILE;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_changed_file_is_named_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("t")).unwrap();
        // The smallest graph: it says its version and nothing else.
        let graph: &[u8] = &[1 << 3, 8];
        let graph_sha256 = crate::digest::digest(graph, |_| {}).unwrap().to_string();
        let json = serde_json::json!({
            "name": "m", "kind": {"embed": {"pooling": "mean", "dims": 3}},
            "files": [
                {"role": "graph", "path": "model.onnx", "bytes": graph.len(), "sha256": graph_sha256},
                {"role": "tokenizer", "path": "t/tokenizer.json", "bytes": 3, "sha256": ABC},
            ],
            "tokenizer": {"truncate": false, "special_tokens": true},
            "context_tokens": 8, "precision": "fp32", "licence": "MIT", "source": "",
        });
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
