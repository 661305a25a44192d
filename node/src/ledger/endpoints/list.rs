//! Reading a list of endpoints as the configuration writes it, and finding one that is named twice.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs as _};
use std::sync::{Arc, mpsc};

use rand::seq::SliceRandom as _;
use reqwest::Url;

use super::agreement::Endpoints;
use crate::ledger::chain::{Chain, ChainError};
use crate::ledger::limits::{ENDPOINTS_MAX, RESOLVE_PATIENCE};
use crate::ledger::liteserver::{self, LiteAddress, Liteserver};
use crate::ledger::toncenter::{MAINNET_URL, REQUESTS_PER_S_MAX, TESTNET_URL, Toncenter};

/// Where `bombyx devnet` serves unless told otherwise.
pub const DEVNET_URL: &str = "http://127.0.0.1:4190";
/// Where toncenter's interface, version 2, is at every service that has it.
const API_PATH: &str = "/api/v2";
/// Liteservers that are taken from a global configuration, at random.
const FROM_CONFIGURATION: usize = 3;
/// Bytes of a global configuration.
const CONFIGURATION_BYTES_MAX: u64 = 1024 * 1024;

/// Reads a list of endpoints, separated by commas, and connects to them when they are first asked. Each is one of
///
/// | text | means |
/// |---|---|
/// | `devnet`, `testnet`, `mainnet` | [`DEVNET_URL`] and toncenter's public services |
/// | `http://...`, `https://...` | a service with toncenter's interface, version 2 |
/// | `liteserver://HOST:PORT/KEY` | a liteserver and its key in base64 |
/// | a path that ends in `.json` | a network's global configuration: three of its liteservers |
///
/// `keys` are the API keys of the HTTP services and `rates` the most requests per second to each, both in the same order
/// and separated by commas; where nothing stands there is no key, or the rate that [`Toncenter::new`] chooses.
///
/// # Errors
/// [`ChainError`] names the endpoint that cannot be used, or the two that are one. (`LE-4`)
pub fn connect(list: &str, keys: &str, rates: &str, network_id: i32) -> Result<Endpoints, ChainError> {
    check(list)?;
    let mut chains: Vec<Arc<dyn Chain>> = Vec::new();
    let mut voices: Vec<Voice> = Vec::new();
    let mut keys = keys.split(',').map(str::trim);
    let mut rates = rates.split(',').map(str::trim);
    for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let key = keys.next().filter(|key| !key.is_empty()).map(str::to_owned);
        let rate =
            rates.next().filter(|rate| !rate.is_empty()).map(|rate| read_rate(text, rate)).transpose()?;
        if text.starts_with(liteserver::SCHEME) {
            let server = LiteAddress::parse(text)?;
            voices.push(Voice::lite(text, &server));
            chains.push(Arc::new(Liteserver::new(server)));
        } else if text.ends_with(".json") {
            for server in some_of(&read_configuration(text)?)? {
                voices.push(Voice::lite(&server.to_string(), &server));
                chains.push(Arc::new(Liteserver::new(server)));
            }
        } else {
            let service = service(text);
            chains.push(Arc::new(Toncenter::new(&service, key, rate)?));
            voices.extend(Voice::http(text, &service));
        }
        // Before anybody resolves names.
        if chains.len() > ENDPOINTS_MAX {
            break;
        }
    }
    let endpoints = Endpoints::new(chains, network_id)?;
    match twice(&voices, &resolve) {
        Some(error) => Err(error),
        None => Ok(endpoints),
    }
}

/// Checks that every endpoint of a list can be read. No name is resolved, and nobody is asked.
///
/// # Errors
/// [`ChainError::Endpoint`] names the one that cannot be used, and the forms there are.
pub(crate) fn check(list: &str) -> Result<(), ChainError> {
    let mut texts = list.split(',').map(str::trim).filter(|text| !text.is_empty()).peekable();
    if texts.peek().is_none() {
        return Err(no_endpoint(list, "it is empty"));
    }
    texts.try_for_each(|text| {
        if text.starts_with(liteserver::SCHEME) {
            LiteAddress::parse(text).map(drop)
        } else if text.ends_with(".json") {
            read_configuration(text).map(drop)
        } else {
            let url = Url::parse(&service(text)).map_err(|error| no_endpoint(text, &error.to_string()))?;
            let is_web = ["http", "https"].contains(&url.scheme()) && url.has_host();
            if is_web { Ok(()) } else { Err(no_endpoint(text, "it is no address of a web service")) }
        }
    })
}

/// Returns the error for a text that is no endpoint, with the forms there are.
fn no_endpoint(text: &str, why: &str) -> ChainError {
    let reason = format!(
        "{why}; write `devnet`, `testnet`, `mainnet`, http://HOST:PORT, https://HOST, {}HOST:PORT/KEY, or a file that ends in \
         .json; several are separated by commas",
        liteserver::SCHEME
    );
    ChainError::Endpoint { endpoint: text.to_owned(), reason }
}

fn read_rate(endpoint: &str, text: &str) -> Result<u32, ChainError> {
    let rate = text.parse().ok().filter(|rate| *rate <= REQUESTS_PER_S_MAX);
    rate.ok_or_else(|| ChainError::Endpoint {
        endpoint: endpoint.to_owned(),
        reason: format!("`{text}` requests per second; use 0 for any number, or 1 to {REQUESTS_PER_S_MAX}"),
    })
}

/// Returns the base URL of an HTTP endpoint of a list: with the path that it has at every service.
fn service(text: &str) -> String {
    let url = match text {
        "devnet" => DEVNET_URL,
        "testnet" => TESTNET_URL,
        "mainnet" => MAINNET_URL,
        url => url,
    };
    let url = url.trim_end_matches('/');
    if url.ends_with(API_PATH) { url.to_owned() } else { format!("{url}{API_PATH}") }
}

/// Returns the first HTTP service of a list, without the path of its interface: where a devnet has
/// its faucet.
#[must_use]
pub fn first_service(list: &str) -> Option<String> {
    let mut services = list
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty() && !text.starts_with(liteserver::SCHEME) && !text.ends_with(".json"));
    let base = service(services.next()?);
    Some(base.trim_end_matches(API_PATH).to_owned())
}

fn read_configuration(path: &str) -> Result<String, ChainError> {
    let unusable = |reason: String| ChainError::Endpoint { endpoint: path.to_owned(), reason };
    let metadata = std::fs::metadata(path).map_err(|error| unusable(error.to_string()))?;
    if metadata.len() > CONFIGURATION_BYTES_MAX {
        return Err(unusable(format!("more than {CONFIGURATION_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))
}

/// Draws some liteservers of a global configuration, each once.
fn some_of(configuration: &str) -> Result<Vec<LiteAddress>, ChainError> {
    let mut servers: Vec<LiteAddress> = Vec::new();
    for server in LiteAddress::from_global_config(configuration)? {
        if !servers.iter().any(|known| known.key == server.key || known.socket == server.socket) {
            servers.push(server);
        }
    }
    servers.shuffle(&mut rand::rng());
    servers.truncate(FROM_CONFIGURATION);
    Ok(servers)
}

/// The operator behind an endpoint, as far as its address tells.
struct Voice {
    /// As it stands in the list.
    text: String,
    /// Without case, brackets, a trailing dot, and the many names of this machine.
    host: String,
    port: u16,
    /// Of a liteserver.
    key: Option<[u8; 32]>,
}

impl Voice {
    fn http(text: &str, url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let port = match url.port_or_known_default()? {
            // One host, with and without TLS.
            80 => 443,
            port => port,
        };
        Some(Self { text: text.to_owned(), host: plain(url.host_str()?), port, key: None })
    }

    fn lite(text: &str, address: &LiteAddress) -> Self {
        let (host, port) = address.socket.rsplit_once(':').unwrap_or((&address.socket, ""));
        let port = port.parse().unwrap_or_default();
        Self { text: text.to_owned(), host: plain(host), port, key: Some(address.key) }
    }

    /// Says why it is the same as another one, if it is.
    fn is(&self, other: &Self, resolve: &Resolve<'_>) -> Option<&'static str> {
        if self.key.is_some() && self.key == other.key {
            return Some("both have one key");
        }
        if self.port != other.port {
            return None;
        }
        if self.host == other.host {
            return Some("both are one address");
        }
        let literal = |voice: &Self| voice.host.parse::<IpAddr>().is_ok();
        if literal(self) && literal(other) {
            return None;
        }
        let (mine, theirs) = (resolve(&self.host), resolve(&other.host));
        (!mine.is_empty() && mine == theirs).then_some("both names lead to one address")
    }
}

/// The addresses of a host, in order; none for one that cannot be resolved now.
type Resolve<'r> = dyn Fn(&str) -> Vec<IpAddr> + 'r;

/// Returns the first endpoint that is another one again: two answers of one voice are no agreement.
/// (`LE-4`)
fn twice(voices: &[Voice], resolve: &Resolve<'_>) -> Option<ChainError> {
    voices.iter().enumerate().find_map(|(index, voice)| {
        voices.iter().take(index).find_map(|earlier| {
            let why = voice.is(earlier, resolve)?;
            Some(ChainError::Endpoint {
                endpoint: voice.text.clone(),
                reason: format!(
                    "it is the same as {}: {why}, and two answers of one voice are no agreement; name one of them",
                    earlier.text
                ),
            })
        })
    })
}

/// Returns a host without the ways of writing it.
fn plain(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let address = match host.as_str() {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        host => host.parse().ok(),
    };
    address.map_or(host, |address| own(address).to_string())
}

/// Returns one address for the many of this machine, and for an IPv4 address in IPv6's clothes. The
/// further addresses of
/// 127.0.0.0/8 can have servers of their own.
fn own(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_loopback() || v6.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        other @ (IpAddr::V4(_) | IpAddr::V6(_)) => other,
    }
}

fn resolve(host: &str) -> Vec<IpAddr> {
    if let Ok(address) = host.parse() {
        return vec![own(address)];
    }
    let (sender, resolved) = mpsc::channel();
    let name = host.to_owned();
    // The system's resolver has no deadline of its own; a thread that outlives this one holds nothing.
    std::thread::spawn(move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        let mut list: Vec<IpAddr> = found.into_iter().flatten().map(|socket| own(socket.ip())).collect();
        list.sort_unstable();
        list.dedup();
        // Nobody listens any more when it took too long.
        let _ = sender.send(list);
    });
    resolved.recv_timeout(RESOLVE_PATIENCE).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    #[test]
    fn every_writing_of_an_endpoint_is_read_and_errors_name_the_wrong_one() {
        let list = format!("devnet, https://ton.example/api/v2/ ,liteserver://[::1]:4191/{KEY}");
        let endpoints = connect(&list, ",secret", "5,,7", -3).unwrap();
        let names = endpoints.name();
        assert_eq!(
            names,
            "http://127.0.0.1:4190/api/v2, https://ton.example/api/v2, liteserver://[::1]:4191"
        );
        assert_eq!(first_service(&format!("liteserver://a:1/{KEY},devnet")).as_deref(), Some(DEVNET_URL));
        assert_eq!(first_service(&format!("liteserver://a:1/{KEY}")), None);
        for (list, named) in
            [("nowhere", "nowhere"), ("devnet,liteserver://x", "liteserver://x"), ("no.json", "no.json")]
        {
            let error = connect(list, "", "", -3).err().unwrap().to_string();
            assert!(error.contains(named), "{error}");
            assert!(matches!(check(list), Err(ChainError::Endpoint { .. })), "{list}");
        }
        for wrong in ["", " , ", "127.0.0.1:4190", "localhost:4190", "ftp://a", "file:///x", "mailto:x"] {
            let error = check(wrong).unwrap_err().to_string();
            assert!(error.contains("http://HOST:PORT") && error.contains("`devnet`"), "{wrong}: {error}");
        }
        check(&list).unwrap();
        assert!(connect("", "", "", -3).is_err());
        let many: Vec<String> =
            (0..=ENDPOINTS_MAX).map(|n| format!("http://127.0.0.1:{}", 4_000 + n)).collect();
        assert!(connect(&many[1..].join(","), "", "", -3).is_ok());
        assert!(connect(&many.join(","), "", "", -3).is_err());
        for rate in ["-1", "1001", "many", "0.5"] {
            let error = connect("devnet,testnet", "", &format!(",{rate}"), -3).err().unwrap().to_string();
            assert!(error.contains("testnet") && error.contains(rate), "{error}");
        }
    }

    /// (`LE-4`)
    #[test]
    fn one_voice_that_is_named_twice_is_refused_however_it_is_written() {
        let other = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        for (first, second) in [
            ("devnet", "devnet"),
            ("devnet", "http://127.0.0.1:4190/"),
            ("devnet", "http://localhost:4190/api/v2"),
            ("devnet", "http://LOCALHOST.:4190"),
            ("devnet", "http://[::1]:4190"),
            ("devnet", "http://0.0.0.0:4190"),
            ("devnet", "http://[::ffff:127.0.0.1]:4190"),
            ("mainnet", "https://toncenter.com/api/v2/"),
            ("mainnet", "HTTPS://TonCenter.COM:443"),
            ("mainnet", "http://toncenter.com"),
            ("mainnet", "https://user:word@toncenter.com/other/api/v2"),
            ("https://203.0.113.7", "https://203.0.113.7/api/v2//"),
        ] {
            let error = connect(&format!("{first}, {second}"), "", "", -3).err();
            let Some(ChainError::Endpoint { endpoint, reason }) = &error else {
                panic!("{second}: {error:?}")
            };
            assert!(endpoint == second && reason.contains(first), "{error:?}");
        }
        let lite = |socket: &str, key: &str| format!("liteserver://{socket}/{key}");
        for (first, second) in [
            (lite("192.0.2.1:4191", KEY), lite("192.0.2.1:4191", other)),
            (lite("192.0.2.1:4191", KEY), lite("192.0.2.2:4191", KEY)),
            (lite("localhost:4191", KEY), lite("[::1]:4191", other)),
        ] {
            assert!(connect(&format!("{first},{second}"), "", "", -3).is_err(), "{first} {second}");
        }
        for different in [
            "devnet,http://127.0.0.1:4192".to_owned(),
            "http://127.0.0.1:4190,http://127.0.0.2:4190".to_owned(),
            format!("devnet,{}", lite("127.0.0.1:4191", KEY)),
            format!("{},{}", lite("192.0.2.1:4191", KEY), lite("192.0.2.2:4191", other)),
        ] {
            assert!(connect(&different, "", "", -3).is_ok(), "{different}");
        }
    }

    #[test]
    fn names_that_lead_to_one_address_are_one_voice() {
        let voices = |list: &[&str]| -> Vec<Voice> {
            list.iter().filter_map(|text| Voice::http(text, &service(text))).collect()
        };
        let resolve = |host: &str| -> Vec<IpAddr> {
            match host {
                "a.example" | "b.example" => vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()],
                "c.example" => vec![[192, 0, 2, 9].into()],
                "d.example" => vec![],
                literal => vec![literal.parse().unwrap()],
            }
        };
        let same = |list: &[&str]| twice(&voices(list), &resolve).is_some();
        assert!(same(&["https://a.example", "https://b.example"]));
        assert!(same(&["https://c.example", "https://d.example", "https://192.0.2.9"]));
        assert!(!same(&["https://a.example", "https://c.example", "https://d.example"]));
        assert!(!same(&["https://a.example", "https://b.example:8443"]));
    }

    #[test]
    fn a_global_configuration_gives_each_server_once() {
        let entry = |ip: i32, key: &str| {
            format!(r#"{{"ip":{ip},"port":1,"id":{{"@type":"pub.ed25519","key":"{key}"}}}}"#)
        };
        let json = format!(r#"{{"liteservers":[{},{},{}]}}"#, entry(1, KEY), entry(2, KEY), entry(1, KEY));
        assert_eq!(some_of(&json).unwrap().len(), 1);
    }
}
