//! Where a liteserver is, as users and TON's global configuration write it.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, GeneralPurpose};

use crate::ledger::chain::ChainError;

/// What every address of a liteserver begins with.
pub(crate) const SCHEME: &str = "liteserver://";

/// Keys are written with or without padding, in either alphabet.
const KEY_TEXT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where a liteserver is, and the key that proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiteAddress {
    /// Host and port.
    pub socket: String,
    /// Its ed25519 key.
    pub key: [u8; 32],
}

impl std::fmt::Display for LiteAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.socket, STANDARD.encode(self.key))
    }
}

impl LiteAddress {
    /// Reads `liteserver://HOST:PORT/KEY` with the key in base64.
    ///
    /// # Errors
    /// [`ChainError::Endpoint`] says what is missing.
    pub fn parse(text: &str) -> Result<Self, ChainError> {
        let wrong = |what: &str| ChainError::Endpoint {
            endpoint: text.to_owned(),
            reason: format!("{what}; write {SCHEME}HOST:PORT/KEY with the key in base64"),
        };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("it is not a liteserver's address"))?;
        let (socket, key) = rest.split_once('/').ok_or_else(|| wrong("it has no key"))?;
        let port = socket
            .rsplit_once(':')
            .and_then(|(host, port)| if host.is_empty() { None } else { port.parse::<u16>().ok() });
        port.ok_or_else(|| wrong("it has no port"))?;
        Ok(Self {
            socket: socket.to_owned(),
            key: read_key(key).ok_or_else(|| wrong("its key is not 32 bytes"))?,
        })
    }

    /// Returns the liteservers of a network's global configuration, as TON publishes it.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`] if there is none in it.
    pub fn from_global_config(json: &str) -> Result<Vec<Self>, ChainError> {
        let unreadable = || ChainError::unreadable("a global configuration with `liteservers`");
        let config: serde_json::Value = serde_json::from_str(json).map_err(|_| unreadable())?;
        let list = config["liteservers"].as_array().ok_or_else(unreadable)?;
        let read = |entry: &serde_json::Value| {
            // The address is a signed number of four bytes.
            let ip = i32::try_from(entry["ip"].as_i64()?).ok()?.cast_unsigned();
            let port = u16::try_from(entry["port"].as_u64()?).ok()?;
            let key = read_key(entry["id"]["key"].as_str()?)?;
            Some(Self { socket: format!("{}:{port}", std::net::Ipv4Addr::from(ip)), key })
        };
        let servers: Vec<Self> = list.iter().filter_map(read).collect();
        if servers.is_empty() { Err(unreadable()) } else { Ok(servers) }
    }
}

fn read_key(text: &str) -> Option<[u8; 32]> {
    let text = text.replace('-', "+").replace('_', "/");
    KEY_TEXT.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_is_read_with_any_writing_of_its_key() {
        let address = LiteAddress { socket: "127.0.0.1:4191".into(), key: [0xfb; 32] };
        let text = address.to_string();
        assert_eq!(LiteAddress::parse(&text), Ok(address.clone()));
        let url_safe = text.replacen(
            &STANDARD.encode([0xfb; 32]),
            &STANDARD.encode([0xfb; 32]).replace('+', "-").replace('/', "_"),
            1,
        );
        assert_eq!(LiteAddress::parse(url_safe.trim_end_matches('=')), Ok(address));
    }

    #[test]
    fn an_address_without_port_or_key_is_refused_with_a_hint() {
        for text in [
            "http://a:1/x",
            "liteserver://a:1",
            "liteserver://a/AAAA",
            "liteserver://:1/AAAA",
            "liteserver://a:1/AAAA",
        ] {
            let error = LiteAddress::parse(text).unwrap_err();
            assert!(
                matches!(error, ChainError::Endpoint { .. }) && error.to_string().contains("HOST:PORT/KEY"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_servers_of_a_global_configuration_are_found() {
        let key = STANDARD.encode([7; 32]);
        let json = format!(
            r#"{{"@type":"config.global","liteservers":[{{"ip":-2018135749,"port":53312,"id":{{"@type":"pub.ed25519","key":"{key}"}}}},{{"ip":"x"}}]}}"#
        );
        let servers = LiteAddress::from_global_config(&json).unwrap();
        assert_eq!(servers, [LiteAddress { socket: "135.181.177.59:53312".into(), key: [7; 32] }]);
        for garbage in ["", "[]", r#"{"liteservers":[]}"#, r#"{"liteservers":[{}]}"#] {
            assert!(LiteAddress::from_global_config(garbage).is_err(), "{garbage}");
        }
    }
}
