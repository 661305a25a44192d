//! The built-in chat model, from its weights to its answers.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use bombyx_gpu::decode::Decoder;
use bombyx_gpu::digest::digest;
use bombyx_gpu::engine::{ChatMessage, EngineError, Finish, Generate, Sampling};
use bombyx_gpu::load::LoadError;
use bombyx_gpu::manifest::{Kind, Manifest, Role};
use bombyx_gpu::model::Model;
use bombyx_gpu::onnx::llama::{Layout, build};
use serde::Deserialize;

const MODEL: &str = "bombyx-chat-tiny";
/// Largest difference of any logit between two ways to compute it.
const TOLERANCE: f32 = 1e-4;
/// Share of held-out questions that must be answered exactly, in hundredths.
const QUALITY: usize = 95;

fn decoder() -> Decoder {
    Decoder::load(&support::runtime(), &support::model(MODEL)).unwrap()
}

fn graph(layout: Layout) -> Vec<u8> {
    let config = include_bytes!("../models/chat/config.json");
    build(config, include_bytes!("../models/chat/model.safetensors"), layout).unwrap()
}

/// The model with another graph and a changed manifest, loaded from a directory of its own.
fn changed(graph: &[u8], change: impl FnOnce(&mut Manifest)) -> Result<Decoder, LoadError> {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = support::model(MODEL).manifest().clone();
    change(&mut manifest);
    for file in &mut manifest.files {
        let bytes: &[u8] = match file.role {
            Role::Graph => graph,
            Role::Tokenizer => include_bytes!("../models/chat/tokenizer.json"),
            Role::Weights | Role::Other => panic!("the model has no such file"),
        };
        fs::write(dir.path().join(&file.path), bytes).unwrap();
        file.bytes = bytes.len() as u64;
        file.sha256 = digest(bytes, |_| {}).unwrap();
    }
    let model = Model::open(manifest, dir.path(), &mut |_| {}).unwrap();
    Decoder::load(&support::runtime(), &model)
}

fn ask(question: &str) -> Generate {
    Generate {
        messages: vec![ChatMessage { role: "user".to_owned(), content: question.to_owned() }],
        max_tokens: 100,
        sampling: Sampling::GREEDY,
        prefix: Vec::new(),
        stop: Vec::new(),
    }
}

/// Tokens, text and end of an answer.
fn answer(decoder: &mut Decoder, request: &Generate) -> (Vec<u32>, String, Finish) {
    let mut sequence = decoder.start(request).unwrap();
    let (mut ids, mut text) = (Vec::new(), String::new());
    loop {
        let step = decoder.step(&mut sequence).unwrap();
        ids.extend(step.ids);
        text.push_str(&step.text);
        if let Some(finish) = step.finish {
            return (ids, text, finish);
        }
    }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn the_question_of_the_readme_is_answered() {
    let (_, text, finish) = answer(&mut decoder(), &ask("What is 17 plus 25?"));
    assert_eq!((text.as_str(), finish), ("42", Finish::Stop));
}

#[derive(Deserialize)]
struct HeldOut {
    task: String,
    question: String,
    answer: String,
}

#[test]
fn held_out_questions_are_answered_as_well_as_the_model_card_says() {
    let rows: Vec<HeldOut> = include_str!("../models/chat/heldout.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(rows.len() > 150);
    let mut decoder = decoder();
    let wrong: Vec<&str> = rows
        .iter()
        .filter(|row| answer(&mut decoder, &ask(&row.question)).1 != row.answer)
        .map(|row| row.task.as_str())
        .collect();
    let right = rows.len() - wrong.len();
    assert!(right * 100 >= rows.len() * QUALITY, "{right} of {} are right; wrong in {wrong:?}", rows.len());
}

#[derive(Deserialize)]
struct Reference {
    question: String,
    ids: Vec<u32>,
    /// Logits after the last token.
    last: Vec<f32>,
    /// Sum of the absolute logits after each token.
    sums: Vec<f32>,
}

#[test]
fn both_layouts_give_the_logits_of_the_training_framework() {
    let references: Vec<Reference> =
        serde_json::from_str(include_str!("../models/chat/logits.json")).unwrap();
    for layout in [Layout::Concat, Layout::Grouped] {
        let mut decoder = changed(&graph(layout), |_| {}).unwrap();
        for reference in &references {
            let logits = decoder.logits(&reference.ids).unwrap();
            let vocabulary = reference.last.len();
            assert!(largest_difference(&logits[logits.len() - vocabulary..], &reference.last) < TOLERANCE);
            let sums: Vec<f32> =
                logits.chunks(vocabulary).map(|row| row.iter().map(|x| x.abs()).sum()).collect();
            assert!(largest_difference(&sums, &reference.sums) < TOLERANCE * vocabulary as f32);
            // The prompt is made as in training, too.
            let sequence = decoder.start(&ask(&reference.question)).unwrap();
            assert_eq!(sequence.input_tokens() as usize, reference.ids.len());
        }
    }
}

#[test]
fn both_layouts_write_the_same_answers() {
    let [mut concat, mut grouped] =
        [Layout::Concat, Layout::Grouped].map(|layout| changed(&graph(layout), |_| {}).unwrap());
    let long = "Spell ".repeat(100);
    for question in ["Count from 3 to 9.", "Write 432 in words.", "Reverse moth.", "What?", &long] {
        let [(ids, ..), (others, ..)] =
            [&mut concat, &mut grouped].map(|decoder| answer(decoder, &ask(question)));
        assert_eq!(ids, others, "{question}");
    }
    // Longer than one piece: the cache of the first is read by the second.
    let ids: Vec<u32> = long.bytes().map(u32::from).collect();
    let difference = largest_difference(&concat.logits(&ids).unwrap(), &grouped.logits(&ids).unwrap());
    assert!(difference < TOLERANCE, "{difference}");
}

#[test]
fn a_graph_that_leaves_its_head_size_open_needs_it_from_the_manifest() {
    let forget = |manifest: &mut Manifest| {
        let Kind::Generate(facts) = &mut manifest.kind else { panic!("a chat model generates") };
        facts.head_dim = None;
    };
    let error = changed(&graph(Layout::Grouped), forget).unwrap_err().to_string();
    assert!(error.contains("head_dim"), "{error}");
    changed(&graph(Layout::Concat), forget).unwrap();
}

#[test]
fn an_answer_goes_on_after_a_prefix_as_if_never_interrupted() {
    let mut decoder = decoder();
    for temperature_milli in [0, 1500] {
        let sampling = Sampling { temperature_milli, top_p_milli: 950, top_k: 40, seed: 11 };
        let request = Generate { sampling, ..ask("Count from 17 to 25.") };
        let (ids, text, finish) = answer(&mut decoder, &request);
        assert!(ids.len() > 6);
        for cut in 1..ids.len() {
            let prefix = ids[..cut].to_vec();
            let (rest, end, again) = answer(&mut decoder, &Generate { prefix, ..request.clone() });
            assert_eq!((rest.as_slice(), again), (&ids[cut..], finish), "cut at {cut}");
            assert!(text.ends_with(&end), "cut at {cut}");
        }
        // A prefix that is the whole answer leaves nothing to say.
        let whole = Generate { prefix: ids, ..request };
        assert_eq!(answer(&mut decoder, &whole), (Vec::new(), String::new(), finish));
    }
}

#[test]
fn the_seed_decides_the_answer() {
    let mut decoder = decoder();
    let mut draw = |seed| {
        let sampling = Sampling { temperature_milli: 3000, top_p_milli: 1000, top_k: 0, seed };
        answer(&mut decoder, &Generate { sampling, max_tokens: 30, ..ask("Spell moth.") }).0
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

/// (MO-4, MO-5)
#[test]
fn an_answer_ends_at_its_limits() {
    let mut decoder = decoder();
    let count = ask("Count from 3 to 9.");
    let (ids, text, finish) = answer(&mut decoder, &Generate { max_tokens: 4, ..count.clone() });
    assert_eq!((ids.len(), text.as_str(), finish), (4, "3, 4", Finish::Length));
    let stop = vec![", 6".to_owned()];
    let (_, text, finish) = answer(&mut decoder, &Generate { stop, ..count.clone() });
    assert_eq!((text.as_str(), finish), ("3, 4, 5", Finish::Stop));

    let prompt = decoder.start(&count).unwrap().input_tokens();
    let context = |tokens| move |manifest: &mut Manifest| manifest.context_tokens = tokens;
    let mut short = changed(&graph(Layout::Grouped), context(prompt + 5)).unwrap();
    let (ids, _, finish) = answer(&mut short, &count);
    assert_eq!((ids.len(), finish), (5, Finish::Length));
    // An answer that fills the context goes on after any part of it, the whole included.
    for cut in 1..=ids.len() {
        let rest = answer(&mut short, &Generate { prefix: ids[..cut].to_vec(), ..count.clone() });
        assert_eq!((rest.0.as_slice(), rest.2), (&ids[cut..], Finish::Length), "cut at {cut}");
    }
    let beyond = Generate { prefix: [ids.as_slice(), &ids[..1]].concat(), ..count.clone() };
    assert!(matches!(short.start(&beyond), Err(EngineError::TooLong { .. })));
    let full = changed(&graph(Layout::Grouped), context(prompt)).unwrap();
    let (tokens, limit) = (prompt as usize, prompt as usize);
    assert_eq!(full.start(&count).unwrap_err(), EngineError::TooLong { index: 0, tokens, limit });
}

#[test]
fn a_system_message_is_accepted() {
    let mut request = ask("What is 17 plus 25?");
    request.messages.insert(0, ChatMessage { role: "system".to_owned(), content: "Be brief.".to_owned() });
    assert_eq!(answer(&mut decoder(), &request).1, "42");
}

#[test]
fn requests_that_cannot_be_answered_are_refused() {
    let decoder = decoder();
    let refused = |request: Generate| decoder.start(&request).unwrap_err();
    let good = ask("Spell moth.");
    assert_eq!(refused(Generate { prefix: vec![260], ..good.clone() }), EngineError::UnknownToken(260));
    assert_eq!(
        refused(Generate { prefix: vec![u32::MAX], ..good.clone() }),
        EngineError::UnknownToken(u32::MAX)
    );
    assert_eq!(refused(Generate { prefix: vec![259, 65], ..good.clone() }), EngineError::BeyondEnd);
    assert!(matches!(refused(Generate { max_tokens: 0, ..good.clone() }), EngineError::Empty(_)));
    assert!(matches!(refused(Generate { stop: vec![String::new()], ..good }), EngineError::BadStop { .. }));
}

/// (MO-7)
#[test]
fn files_that_are_no_decoder_are_errors() {
    assert!(matches!(changed(b"", |_| {}), Err(LoadError::Runtime(_))));
    let other_sampler = |manifest: &mut Manifest| {
        let Kind::Generate(facts) = &mut manifest.kind else { panic!("a chat model generates") };
        facts.sampler = "another".to_owned();
    };
    let error = changed(&graph(Layout::Concat), other_sampler);
    assert!(matches!(error, Err(LoadError::Facts { .. })));
}
