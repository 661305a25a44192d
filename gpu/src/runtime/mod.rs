//! ONNX Runtime: finds or fetches the library, and loads it once per process, with its telemetry off. The device never
//! changes in silence.

mod candidate;
mod error;
mod execution_provider;
mod install;
mod locate;
mod pins;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{env, thread};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

pub use candidate::{Candidate, LIBRARY_VARIABLE, MINOR_VERSION_MIN, Origin};
pub use error::RuntimeError;
pub use execution_provider::{ExecutionProvider, ExecutionProviderError};
pub use install::{install, package, verify};
pub use locate::{list, locate};
pub use pins::{RUNTIME_VERSION, RuntimePackage, packages};

use crate::cache::Cache;
use crate::digest::OnAdvance;
use crate::engine::EngineError;
use crate::fetch::WheelSource;
use crate::manifest::Role;
use crate::model::Model;

/// Variable that keeps the official builds of ONNX Runtime from reporting to their maker.
const TELEMETRY_VARIABLE: &str = "ORT_DISABLE_TELEMETRY";

/// The library that is loaded, with its environment; ONNX Runtime allows one per process.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// Bytes of a graph with its weights up to which to wake a second thread costs more than it saves: with one million parameters, a
/// token takes a fifth longer on two threads than on one.
const SMALL_MODEL_BYTES: u64 = 16 << 20;

/// How sessions run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// The device.
    pub execution_provider: ExecutionProvider,
    /// Threads for one operation.
    pub threads: usize,
    /// Whether idle threads spin: faster on a dedicated machine, wasteful on a shared one.
    pub spinning: bool,
}

impl Default for SessionSettings {
    /// Returns the CPU, all of its cores, no spinning.
    fn default() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self { execution_provider: ExecutionProvider::Cpu, threads, spinning: false }
    }
}

/// Keeps ONNX Runtime from reporting to its maker. Must be called first thing in `main`: [`Runtime::load`] refuses to
/// work otherwise. (A build or a shell that sets `ORT_DISABLE_TELEMETRY=1` for the process does as well.)
pub fn disable_telemetry() {
    // SAFETY: the contract of this function is that no other thread runs yet, so nobody reads the environment meanwhile.
    // There is no other way: the library reads the variable itself, when it starts.
    #[allow(unsafe_code)]
    unsafe {
        env::set_var(TELEMETRY_VARIABLE, "1");
    }
}

/// A loaded ONNX Runtime; clones are cheap and share it.
#[derive(Debug, Clone)]
pub struct Runtime {
    library: PathBuf,
    environment: Environment,
    settings: SessionSettings,
}

impl Runtime {
    /// Loads a library, once per process; a second call with the same library gives the same runtime.
    ///
    /// # Errors
    /// [`RuntimeError::TelemetryNotDisabled`], [`RuntimeError::AlreadyLoaded`], [`RuntimeError::Load`].
    pub fn load(library: &Path, settings: SessionSettings) -> Result<Self, RuntimeError> {
        if env::var_os(TELEMETRY_VARIABLE).is_none_or(|value| value != "1") {
            return Err(RuntimeError::TelemetryNotDisabled);
        }
        let error = |why: String| RuntimeError::Load { library: library.to_owned(), why };
        let library = library.canonicalize().map_err(|why| error(why.to_string()))?;
        // A thread that panicked here has not stored anything half-made.
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let environment = match &*loaded {
            Some((path, environment)) if *path == library => environment.clone(),
            Some((path, _)) => {
                return Err(RuntimeError::AlreadyLoaded { loaded: path.clone(), asked: library });
            }
            None => {
                let builder = ort::init_from(&library).map_err(|why| error(why.to_string()))?;
                let environment = builder
                    .with_name("bombyx")
                    .with_telemetry(false)
                    .build()
                    .map_err(|why| error(why.to_string()))?;
                tracing::info!(library = %library.display(), "loaded ONNX Runtime");
                loaded.insert((library.clone(), environment)).1.clone()
            }
        };
        Ok(Self { library, environment, settings })
    }

    /// Loads the library that [`locate`] finds. If it finds none at all, fetches the pinned one first.
    ///
    /// # Errors
    /// All of [`RuntimeError`].
    pub fn find_or_install(
        explicit: Option<&Path>,
        cache: &Cache,
        settings: SessionSettings,
        on_advance: OnAdvance<'_>,
    ) -> Result<Self, RuntimeError> {
        let library = match locate(explicit, cache) {
            Ok(candidate) => candidate.path,
            Err(RuntimeError::NotFound(_)) => install(cache, &WheelSource::Index, on_advance)?,
            Err(other) => return Err(other),
        };
        Self::load(&library, settings)
    }

    /// Returns the library in use.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Returns how sessions run.
    #[must_use]
    pub fn settings(&self) -> &SessionSettings {
        &self.settings
    }

    /// Returns the same runtime with other settings for new sessions.
    #[must_use]
    pub fn with_settings(&self, settings: SessionSettings) -> Self {
        Self { settings, ..self.clone() }
    }

    /// Loads the graph of a model. A small one is computed by one thread.
    ///
    /// # Errors
    /// As [`Self::session`].
    pub fn session_of(&self, model: &Model) -> Result<Session, RuntimeError> {
        let files = model.manifest().files.iter();
        let bytes = files
            .filter(|file| file.role != Role::Tokenizer)
            .fold(0, |sum: u64, file| sum.saturating_add(file.bytes));
        let threads = if bytes <= SMALL_MODEL_BYTES { 1 } else { self.settings.threads };
        self.with_settings(SessionSettings { threads, ..self.settings.clone() }).session(&model.graph())
    }

    /// Loads a graph, with the files it refers to beside it.
    ///
    /// # Errors
    /// [`RuntimeError::ExecutionProvider`] if the device cannot be used, [`RuntimeError::Session`] for the graph.
    pub fn session(&self, graph: &Path) -> Result<Session, RuntimeError> {
        let execution_provider = self.settings.execution_provider;
        let session = |why: String| RuntimeError::Session { graph: graph.to_owned(), why };
        let mut builder = Session::builder(&self.environment)
            .map_err(|why| session(why.to_string()))?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(|why| session(why.to_string()))?
            .with_intra_threads(self.settings.threads)
            .map_err(|why| session(why.to_string()))?
            .with_intra_op_spinning(self.settings.spinning)
            .map_err(|why| session(why.to_string()))?
            // Its errors come back as values; its log lines may hold parts of the inputs.
            .with_log_level(LogLevel::Fatal)
            .map_err(|why| session(why.to_string()))?;
        if let Some(dispatch) = execution_provider.dispatch()? {
            builder = builder.with_execution_providers([dispatch]).map_err(|why| {
                ExecutionProviderError::Refused { execution_provider, why: why.to_string() }
            })?;
        }
        builder.commit_from_file(graph).map_err(|why| session(why.to_string()))
    }
}

/// Converts the error of a run. It drops ONNX Runtime's message, which may quote token ids of the prompt.
pub(crate) fn run_failure(error: ort::Error) -> EngineError {
    let out_of_memory = error.message().contains("Failed to allocate memory");
    let why = if out_of_memory { "out of memory".to_owned() } else { format!("{:?}", error.code()) };
    EngineError::Runtime(why)
}
