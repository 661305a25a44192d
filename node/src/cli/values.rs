//! Values of flags that clap does not know: what is wrong with one is said before anything is started, with exit code 2.

use std::net::SocketAddr;

use bombyx_gpu::runtime::ExecutionProvider;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::ledger::endpoints;

/// Reads an execution provider; `--help` lists them.
pub(super) fn execution_provider() -> impl TypedValueParser<Value = ExecutionProvider> {
    let names = ExecutionProvider::ALL.map(ExecutionProvider::as_str);
    PossibleValuesParser::new(names).try_map(|name| name.parse())
}

/// Reads an address to listen on.
pub(super) fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write ADDRESS:PORT in numbers, as in 127.0.0.1:4180 or [::1]:4180".to_owned())
}

/// Reads a list of the ledger's endpoints.
pub(super) fn endpoints(list: &str) -> Result<String, String> {
    endpoints::check(list).map_err(|error| error.to_string())?;
    Ok(list.to_owned())
}
