//! Generation as requests of an engine: allowance, company, cancelling, and going on where another engine stopped.
#![allow(clippy::unwrap_used)]

mod support;

use bombyx_gpu::catalog;
use bombyx_gpu::decode::PREFILL_TOKENS;
use bombyx_gpu::engine::{
    ChatMessage, Engine, EngineError, EngineEvent, Finish, Generate, ModelId, Progress, RequestId, Sampling,
    Task,
};
use bombyx_gpu::onnx_engine::{OnnxEngine, SEQUENCES_MAX};

/// More than any answer here has.
const PLENTY: u32 = 1000;

fn engine() -> (OnnxEngine, ModelId) {
    let model = support::model("bombyx-chat-tiny");
    (OnnxEngine::load(&support::runtime(), [&model]).unwrap(), model.id())
}

/// A request that draws tokens almost evenly: answers are long nonsense that differs by seed, whatever was learnt.
fn ask(question: &str, seed: u64) -> Generate {
    Generate {
        messages: vec![ChatMessage { role: "user".to_owned(), content: question.to_owned() }],
        max_tokens: 40,
        sampling: Sampling { temperature_milli: 20_000, top_p_milli: 1000, top_k: 0, seed },
        prefix: Vec::new(),
        stop: Vec::new(),
    }
}

fn run(engine: &mut OnnxEngine) -> Vec<(RequestId, EngineEvent)> {
    let mut out = Vec::new();
    while engine.step(&mut out) == Progress::Worked {}
    out
}

/// Input tokens, ids, text and end of one request, whose events must come in that order.
fn answer(out: &[(RequestId, EngineEvent)], request: RequestId) -> (u32, Vec<u32>, String, Option<Finish>) {
    let (mut input_tokens, mut ids, mut text, mut finish) = (0, Vec::new(), String::new(), None);
    for (position, (_, event)) in out.iter().filter(|(of, _)| *of == request).enumerate() {
        assert_eq!(finish, None, "nothing may follow the end");
        match event {
            EngineEvent::Started { input_tokens: tokens } => {
                assert_eq!(position, 0);
                input_tokens = *tokens;
            }
            EngineEvent::Tokens { ids: more, text: piece } => {
                ids.extend(more);
                text.push_str(piece);
            }
            EngineEvent::Read { .. } => assert!(ids.is_empty(), "the prompt is read before the answer"),
            EngineEvent::Finished { reason } => finish = Some(*reason),
            EngineEvent::Vectors { .. } | EngineEvent::Failed(_) => panic!("{event:?}"),
        }
    }
    (input_tokens, ids, text, finish)
}

fn alone(
    engine: &mut OnnxEngine,
    model: &ModelId,
    request: Generate,
) -> (u32, Vec<u32>, String, Option<Finish>) {
    engine.submit(0, model, Task::Generate(request)).unwrap();
    engine.allow(0, PLENTY);
    answer(&run(engine), 0)
}

/// (`WR-22`) Buyer and seller must come to the same number, before anything is read and without a graph.
#[test]
fn a_counter_without_an_engine_counts_as_the_engine_does() {
    let (mut engine, id) = engine();
    let counter = catalog::find("bombyx-chat-tiny").unwrap().counter();
    let system = ChatMessage { role: "system".to_owned(), content: "Be brief.".to_owned() };
    let mut long = ask(&"Grüße, 世界 🐛 ".repeat(40), 1);
    long.messages.insert(0, system);
    let resumed = Generate { prefix: vec![5, 6, 7], ..ask("What is 17 plus 25?", 3) };
    for (request, generate) in (10..).zip([ask("What is 17 plus 25?", 3), long, resumed]) {
        let delivered = generate.prefix.len();
        let task = Task::Generate(generate);
        let counted = engine.input_counter().count(&id, &task).unwrap();
        // What was delivered before is input, and counted already.
        assert_eq!(counter.count(&task).unwrap(), [counted as usize - delivered]);
        assert!(run(&mut engine).is_empty(), "nothing is begun by counting");
        engine.submit(request, &id, task).unwrap();
        let read = run(&mut engine);
        assert!(matches!(read[..], [(_, EngineEvent::Started { input_tokens })] if input_tokens == counted));
        engine.cancel(request);
    }
    let endless = Task::Generate(ask(&"word ".repeat(5_000), 1));
    assert!(matches!(engine.input_counter().count(&id, &endless), Err(EngineError::TooLong { .. })));
    assert!(matches!(counter.count(&endless), Err(EngineError::TooLong { .. })));
    assert!(matches!(counter.count(&Task::Embed { inputs: vec![] }), Err(EngineError::WrongTask { .. })));
}

/// (`WR-23`)
#[test]
fn what_is_read_of_a_long_prompt_is_said_after_each_piece() {
    let (mut engine, model) = engine();
    let task = Task::Generate(ask(&"word ".repeat(180), 1));
    let input_tokens = engine.input_counter().count(&model, &task).unwrap();
    assert!(input_tokens > 3 * PREFILL_TOKENS as u32, "{input_tokens} tokens");
    engine.submit(1, &model, task).unwrap();
    engine.allow(1, 1);
    let mut out = Vec::new();
    while !out.iter().any(|(_, event)| matches!(event, EngineEvent::Tokens { .. })) {
        assert_eq!(engine.step(&mut out), Progress::Worked);
    }
    let read =
        |event: &EngineEvent| if let EngineEvent::Read { tokens } = event { Some(*tokens) } else { None };
    let read: Vec<u32> = out.iter().filter_map(|(_, event)| read(event)).collect();
    let pieces = (1..).map(|piece| piece * PREFILL_TOKENS as u32).take_while(|read| *read < input_tokens);
    assert_eq!(read, pieces.collect::<Vec<_>>());
}

#[test]
fn a_request_produces_exactly_what_it_is_allowed_to() {
    let (mut engine, model) = engine();
    let (_, all, _, _) = alone(&mut engine, &model, ask("What is 17 plus 25?", 3));
    assert!(all.len() > 3, "the test needs a longer answer: {all:?}");

    engine.submit(1, &model, Task::Generate(ask("What is 17 plus 25?", 3))).unwrap();
    let mut out = run(&mut engine);
    assert!(matches!(out.as_slice(), [(1, EngineEvent::Started { input_tokens: 1.. })]), "{out:?}");
    for allowed in [1, 2] {
        let before = answer(&out, 1).1.len();
        engine.allow(1, allowed);
        out.extend(run(&mut engine));
        assert_eq!(answer(&out, 1).1.len(), before + allowed as usize);
        assert_eq!(answer(&out, 1).3, None);
    }
    engine.allow(1, u32::MAX);
    engine.allow(1, u32::MAX);
    out.extend(run(&mut engine));
    assert_eq!(answer(&out, 1).1, all);
    assert!(answer(&out, 1).3.is_some());
}

#[test]
fn answers_do_not_depend_on_company() {
    let (mut engine, model) = engine();
    let questions = ["What is 17 plus 25?", "Spell moth.", "How many minutes are in 3 hours?"];
    let expected: Vec<_> =
        (0..).zip(questions).map(|(seed, q)| alone(&mut engine, &model, ask(q, seed))).collect();
    for (seed, question) in (0..).zip(questions) {
        engine.submit(seed, &model, Task::Generate(ask(question, seed))).unwrap();
        engine.allow(seed, PLENTY);
    }
    let out = run(&mut engine);
    for (request, expected) in (0..).zip(&expected) {
        assert_eq!(&answer(&out, request), expected);
    }
    // Side by side, not one after the other.
    let first_end = out.iter().position(|(_, event)| matches!(event, EngineEvent::Finished { .. })).unwrap();
    let last_start = (0..3).filter_map(|request| {
        out.iter().position(|(of, event)| *of == request && matches!(event, EngineEvent::Tokens { .. }))
    });
    assert!(last_start.max().unwrap() < first_end);
}

#[test]
fn another_engine_goes_on_as_if_nothing_had_happened() {
    let (mut engine, model) = engine();
    let request = ask("What is 17 plus 25?", 3);
    let (read, all, text, finish) = alone(&mut engine, &model, request.clone());
    for cut in 1..all.len() {
        let prefix = all[..cut].to_vec();
        let (more_read, rest, tail, end) = alone(&mut engine, &model, Generate { prefix, ..request.clone() });
        assert_eq!(more_read, read + u32::try_from(cut).unwrap());
        assert_eq!([&all[..cut], &rest].concat(), all);
        assert!(text.ends_with(&tail));
        assert_eq!(end, finish);
    }
}

#[test]
fn a_cancelled_answer_stops() {
    let (mut engine, model) = engine();
    for request in [1, 2] {
        engine.submit(request, &model, Task::Generate(ask("Spell moth.", request))).unwrap();
        engine.allow(request, PLENTY);
    }
    let mut out = Vec::new();
    engine.step(&mut out);
    engine.cancel(1);
    assert!(run(&mut engine).iter().all(|(request, _)| *request == 2));
    engine.allow(1, PLENTY);
    assert_eq!(engine.step(&mut out), Progress::Idle);
}

#[test]
fn more_answers_than_fit_are_refused_until_one_leaves() {
    let (mut engine, model) = engine();
    for request in 0..SEQUENCES_MAX as RequestId {
        engine.submit(request, &model, Task::Generate(ask("Spell moth.", request))).unwrap();
    }
    let one_more = || Task::Generate(ask("Spell moth.", 0));
    let request = SEQUENCES_MAX as RequestId;
    assert!(matches!(
        engine.submit(request, &model, one_more()),
        Err(EngineError::Busy { unit: "answers", .. })
    ));
    engine.cancel(0);
    engine.submit(request, &model, one_more()).unwrap();
}

#[test]
fn conversations_that_cannot_be_answered_are_refused_with_the_reason() {
    let (mut engine, model) = engine();
    let mut submit = |request: Generate| engine.submit(1, &model, Task::Generate(request)).unwrap_err();
    assert_eq!(submit(Generate { messages: Vec::new(), ..ask("", 0) }), EngineError::Empty("messages"));
    assert!(matches!(submit(ask(&"long ".repeat(2000), 0)), EngineError::TooLong { .. }));
    assert!(matches!(submit(Generate { max_tokens: 0, ..ask("a", 0) }), EngineError::Empty(_)));
    let unknown = Generate { prefix: vec![u32::MAX], ..ask("a", 0) };
    assert!(matches!(submit(unknown), EngineError::UnknownToken(u32::MAX)));
    let embed = engine.submit(1, &model, Task::Embed { inputs: vec!["a".to_owned()] });
    assert!(matches!(embed, Err(EngineError::WrongTask { task: "embed", .. })));
}
