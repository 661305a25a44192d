//! Values of flags that clap does not know: what is wrong with one is said before anything is started, with exit code 2.

use std::net::{Ipv4Addr, SocketAddr};

use bombyx_gpu::runtime::ExecutionProvider;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::ledger::endpoints;

/// Reads an execution provider; `--help` lists them.
pub(super) fn execution_provider() -> impl TypedValueParser<Value = ExecutionProvider> {
    let names = ExecutionProvider::ALL.map(ExecutionProvider::as_str);
    PossibleValuesParser::new(names).try_map(|name| name.parse())
}

/// Reads an address to listen on. A port alone, or after `localhost`, is one of this machine.
pub(super) fn socket(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text);
    let own = || Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?)));
    let address = text.parse().ok().or_else(own);
    address
        .ok_or_else(|| "write ADDRESS:PORT, as in 127.0.0.1:4180 or [::1]:4180, or the port alone".to_owned())
}

/// Reads a list of the ledger's endpoints.
pub(super) fn endpoints(list: &str) -> Result<String, String> {
    endpoints::check(list).map_err(|error| error.to_string())?;
    Ok(list.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_may_be_a_port_alone() {
        for (text, address) in [
            ("127.0.0.1:4180", "127.0.0.1:4180"),
            ("[::1]:4180", "[::1]:4180"),
            ("0.0.0.0:4180", "0.0.0.0:4180"),
            ("4180", "127.0.0.1:4180"),
            (":4180", "127.0.0.1:4180"),
            ("localhost:4180", "127.0.0.1:4180"),
            ("0", "127.0.0.1:0"),
        ] {
            assert_eq!(socket(text).map(|address| address.to_string()).as_deref(), Ok(address), "{text}");
        }
        for text in [
            "",
            "localhost",
            "localhost4180",
            "65536",
            "-1",
            "example.org:80",
            "127.0.0.1",
            "127.0.0.1:",
            "::",
            "4180/",
        ] {
            assert!(socket(text).is_err_and(|why| why.contains("127.0.0.1:4180")), "{text}");
        }
    }
}
