//! A model's id is the hash of its manifest, whoever reads it: the vectors of `spec/vectors/names`, written by another program.
#![allow(clippy::unwrap_used)]

use bombyx_gpu::manifest::Manifest;
use serde_json::Value;

/// (WR-17)
#[test]
fn a_manifest_has_the_canonical_form_and_the_id_of_the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../../spec/vectors/names/names.json")).unwrap();
    let models = vectors["models"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    for case in models {
        let manifest = Manifest::parse(case["manifest"].to_string().as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8(manifest.canonical_json()).unwrap(),
            case["canonical"].as_str().unwrap()
        );
        assert_eq!(manifest.id().to_string(), case["id"].as_str().unwrap());
    }
}

/// The registry names every model of the catalogue by its id.
#[test]
fn the_registry_has_the_ids_of_the_catalogue() {
    let registry = include_str!("../../spec/12-registry.md");
    for entry in bombyx_gpu::catalog::catalog() {
        let row = format!("| `{}` | `{}` |", entry.manifest().name, entry.manifest().id());
        assert!(registry.contains(&row), "no row {row}");
    }
}
