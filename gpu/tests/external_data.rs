//! Weights beside a graph: pinned by the manifest, or the model is refused. (WR-17)
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod support;

use std::fs;
use std::path::Path;

use bombyx_gpu::digest::digest;
use bombyx_gpu::manifest::Manifest;
use bombyx_gpu::model::{Model, ModelError};
use bombyx_gpu::onnx::graph::{Dim, GraphBuilder, Node};
use bombyx_gpu::onnx::proto::ElementType;
use ort::value::TensorRef;
use serde_json::json;

/// Three numbers, little-endian.
const WEIGHTS: [u8; 12] = [0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64];

fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    prost::encoding::bytes::encode(number, &bytes.to_vec(), &mut field);
    field
}

/// A graph `y = x · w`, whose `w` lies in another file.
fn graph(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut graph = GraphBuilder::new("scale");
    let x = graph.input("x", ElementType::Float, &[Dim::Fixed(3)]);
    // An input that has a default is a weight that a caller may replace.
    let w = graph.input("w", ElementType::Float, &[Dim::Fixed(3)]);
    let y = graph.add_named(Node::new("Mul", [&x, &w]), "y");
    graph.output(&y, ElementType::Float, &[Dim::Fixed(3)]);
    let entry = |(key, value): &(&str, &str)| {
        field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
    };
    let entries: Vec<u8> = entries.iter().flat_map(entry).collect();
    // Name, one dimension of three, `float`, and that the numbers are elsewhere.
    let tensor = [vec![1 << 3, 3, 2 << 3, 1], field(8, b"w"), entries, vec![14 << 3, 1]].concat();
    // A message that stands twice is one message with both contents.
    [graph.finish(8, &[("", 17)]), field(7, &field(5, &tensor))].concat()
}

/// A model directory with these files; the first is the graph.
fn open(dir: &Path, files: &[(&str, &str, &[u8])]) -> Result<Model, ModelError> {
    let listed: Vec<_> = files
        .iter()
        .map(|(role, path, bytes)| {
            let path_there = dir.join(path);
            fs::create_dir_all(path_there.parent().unwrap()).unwrap();
            fs::write(path_there, bytes).unwrap();
            json!({ "role": role, "path": path, "bytes": bytes.len(), "sha256": digest(*bytes, |_| {}).unwrap() })
        })
        .collect();
    let manifest = json!({
        "name": "scale", "kind": { "embed": { "dims": 3, "pooling": "mean" } }, "files": listed,
        "tokenizer": { "special_tokens": true, "truncate": false }, "context_tokens": 8,
        "precision": "fp32", "licence": "MIT", "source": "a test",
    });
    Model::open(Manifest::parse(manifest.to_string().as_bytes()).unwrap(), dir, &mut |_| {})
}

const TOKENIZER: (&str, &str, &[u8]) = ("tokenizer", "tokenizer.json", b"{}");

#[test]
fn weights_that_are_listed_are_loaded() {
    for folder in ["", "onnx/"] {
        let dir = tempfile::tempdir().unwrap();
        let [graph_at, weights_at] = ["model.onnx", "model.onnx.data"].map(|name| format!("{folder}{name}"));
        let bytes = graph(&[("location", "model.onnx.data"), ("offset", "0"), ("length", "12")]);
        let files =
            [("graph", graph_at.as_str(), bytes.as_slice()), TOKENIZER, ("weights", &weights_at, &WEIGHTS)];
        let model = open(dir.path(), &files).unwrap();
        // The library reads the graph as it was read here.
        let mut session = support::runtime().session(&model.graph()).unwrap();
        let x = [1f32, 2., 3.];
        let outputs =
            session.run(ort::inputs!["x" => TensorRef::from_array_view(([3usize], x.as_slice())).unwrap()]);
        assert_eq!(outputs.unwrap()["y"].try_extract_tensor::<f32>().unwrap().1, [2., 6., 12.]);
        // Another file under the same name is another model.
        fs::write(dir.path().join(&weights_at), [1; 12]).unwrap();
        let changed = Model::open(model.manifest().clone(), dir.path(), &mut |_| {}).unwrap_err();
        assert!(matches!(changed, ModelError::Corrupt { .. }), "{changed}");
    }
}

#[test]
fn weights_that_are_not_pinned_are_refused_with_their_name() {
    let refused = |entries: &[(&str, &str)], others: &[(&str, &str, &[u8])]| {
        let dir = tempfile::tempdir().unwrap();
        // It is there, and would be loaded.
        fs::write(dir.path().join("model.onnx.data"), WEIGHTS).unwrap();
        let bytes = graph(entries);
        let files = [&[("graph", "model.onnx", bytes.as_slice()), TOKENIZER], others].concat();
        match open(dir.path(), &files).unwrap_err() {
            ModelError::Unpinned { location, why, .. } => (location, why),
            other => panic!("{other}"),
        }
    };
    let unlisted = refused(&[("location", "model.onnx.data")], &[]);
    assert_eq!(unlisted.0, "model.onnx.data");
    assert!(unlisted.1.contains("role `weights`"), "{}", unlisted.1);
    let other: &[u8] = &WEIGHTS;
    let why = refused(&[("location", "model.onnx.data")], &[("other", "model.onnx.data", other)]).1;
    assert!(why.contains("`weights`"), "{why}");
    // A file of that name in another folder is another file.
    refused(&[("location", "model.onnx.data")], &[("weights", "data/model.onnx.data", other)]);
    for outside in [
        "../model.onnx.data",
        "/etc/passwd",
        "a/../../w",
        "./../w",
        "C:\\w",
        "\\\\host\\w",
        "..",
        "a\\..\\w",
        "/",
        "*/_ORT_MEM_ADDR_/*",
    ] {
        let (location, why) = refused(&[("location", outside)], &[("weights", "w", other)]);
        assert!(location == outside && (why.contains("directory") || why.contains("list")), "{why}");
    }
    for (offset, length) in
        [("0", "13"), ("1", "12"), ("13", "0"), ("18446744073709551615", "2"), ("12", "1")]
    {
        let part = [("location", "model.onnx.data"), ("offset", offset), ("length", length)];
        let why = refused(&part, &[("weights", "model.onnx.data", other)]).1;
        assert!(why.contains("12 bytes"), "{why}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_counts_by_what_it_points_to() {
    let [dir, elsewhere] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let target = elsewhere.path().join("blob");
    fs::write(&target, WEIGHTS).unwrap();
    std::os::unix::fs::symlink(&target, dir.path().join("linked.data")).unwrap();
    let bytes = graph(&[("location", "linked.data")]);
    let unlisted = open(dir.path(), &[("graph", "model.onnx", &bytes), TOKENIZER]).unwrap_err();
    assert!(matches!(unlisted, ModelError::Unpinned { .. }), "{unlisted}");
    // Listed, its content is pinned wherever it lies: caches keep files so.
    let files: [(&str, &str, &[u8]); 3] =
        [("graph", "model.onnx", &bytes), TOKENIZER, ("weights", "linked.data", &WEIGHTS)];
    let model = open(dir.path(), &files).unwrap();
    fs::write(&target, [1; 12]).unwrap();
    let changed = Model::open(model.manifest().clone(), dir.path(), &mut |_| {}).unwrap_err();
    assert!(matches!(changed, ModelError::Corrupt { .. }), "{changed}");
}

#[test]
fn what_is_no_graph_is_said_so() {
    let whole = graph(&[("location", "w")]);
    for bytes in [&whole[..whole.len() - 3], b"not a graph", &[0xff; 64]] {
        let dir = tempfile::tempdir().unwrap();
        let refused = open(dir.path(), &[("graph", "model.onnx", bytes), TOKENIZER]).unwrap_err();
        assert!(matches!(refused, ModelError::Graph { .. }), "{refused}");
    }
    let own_format = json!({ "role": "graph", "path": "model.ORT", "bytes": 1, "sha256": "0".repeat(64) });
    let manifest = json!({
        "name": "scale", "kind": { "embed": { "dims": 3, "pooling": "mean" } },
        "files": [own_format, { "role": "tokenizer", "path": "t", "bytes": 1, "sha256": "0".repeat(64) }],
        "tokenizer": { "special_tokens": true, "truncate": false }, "context_tokens": 8,
        "precision": "fp32", "licence": "MIT", "source": "a test",
    });
    let refused = Manifest::parse(manifest.to_string().as_bytes()).unwrap_err().to_string();
    assert!(refused.contains(".onnx"), "{refused}");
}
