//! Where a request to a page of this machine comes from: one check of `Host`, `Origin` and `Sec-Fetch-Site` for the
//! gateway and the operator's pages.
//!
//! A browser sends requests to this machine on behalf of any page that it shows. Two headers give such a request away:
//! `Origin` (and, for requests without it, `Sec-Fetch-Site`) names the page, and `Host` names the machine that the page
//! believes to talk to. The second one stops *DNS rebinding*, where the name of a foreign site suddenly means 127.0.0.1.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

/// Names by which every machine calls itself.
const OWN_NAMES: [&str; 3] = ["localhost", "ip6-localhost", "ip6-loopback"];

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OriginFault {
    /// `Host` is missing, repeated, or the name of another machine.
    #[error("`Host` does not name this machine; call it by 127.0.0.1 or localhost")]
    Host,
    /// A web page sent it.
    #[error("requests of web pages are not served here")]
    Page,
}

/// Refuses a request that was sent to another name than this machine's. `names` are accepted beside its own.
///
/// # Errors
/// [`OriginFault::Host`].
pub(crate) fn check_host(headers: &HeaderMap, uri: &Uri, names: &[String]) -> Result<(), OriginFault> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(OriginFault::Host) };
    let host: Authority = host.to_str().ok().and_then(|host| host.parse().ok()).ok_or(OriginFault::Host)?;
    // A request line may name a host as well (`GET http://name/ HTTP/1.1`); both must be this machine.
    let all_own = [Some(&host), uri.authority()].into_iter().flatten().all(|host| is_own(host, names));
    if all_own { Ok(()) } else { Err(OriginFault::Host) }
}

/// Refuses a request that a browser sent on behalf of a page.
///
/// # Errors
/// [`OriginFault::Page`].
pub(crate) fn check_no_page(headers: &HeaderMap) -> Result<(), OriginFault> {
    // Images, scripts and links are fetched without `Origin`. `none` is a person who typed the address.
    let fetched = headers.get_all("sec-fetch-site").iter().any(|site| site != "none");
    if headers.contains_key(header::ORIGIN) || fetched { Err(OriginFault::Page) } else { Ok(()) }
}

fn is_own(authority: &Authority, names: &[String]) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.to_canonical().is_loopback() || names.iter().any(|name| name == bare);
    }
    let is = |name: &str| host.eq_ignore_ascii_case(name);
    OWN_NAMES.into_iter().any(is) || names.iter().any(|name| is(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn hosts(hosts: &[&str]) -> HeaderMap {
        hosts.iter().map(|host| (header::HOST, HeaderValue::from_str(host).unwrap())).collect()
    }

    fn check(host: &str) -> Result<(), OriginFault> {
        check_host(&hosts(&[host]), &Uri::from_static("/status"), &["gateway.home".to_owned()])
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for own in [
            "127.0.0.1",
            "127.0.0.1:4180",
            "127.9.8.7:1",
            "localhost",
            "LocalHost:4180",
            "[::1]",
            "[::1]:4180",
            "[::ffff:127.0.0.1]:80",
            "gateway.home:4180",
        ] {
            assert_eq!(check(own), Ok(()), "{own}");
        }
        for foreign in [
            "evil.example",
            "evil.example:4180",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "192.0.2.1",
            "0.0.0.0",
            "[::]",
            "[::ffff:192.0.2.1]",
            "user@localhost",
            "localhost@evil.example",
            "",
            "127.1",
            "a b",
            "2130706433",
            "localhost.",
        ] {
            assert_eq!(check(foreign), Err(OriginFault::Host), "{foreign}");
        }
    }

    #[test]
    fn a_host_stands_once_and_in_the_request_line_too() {
        let uri = Uri::from_static("/");
        assert_eq!(check_host(&hosts(&[]), &uri, &[]), Err(OriginFault::Host));
        assert_eq!(check_host(&hosts(&["localhost", "localhost"]), &uri, &[]), Err(OriginFault::Host));
        let absolute = Uri::from_static("http://evil.example/status");
        assert_eq!(check_host(&hosts(&["localhost"]), &absolute, &[]), Err(OriginFault::Host));
        let absolute = Uri::from_static("http://localhost:4180/status");
        assert_eq!(check_host(&hosts(&["localhost:4180"]), &absolute, &[]), Ok(()));
    }

    #[test]
    fn requests_of_pages_are_known_by_their_headers() {
        let header = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
        };
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:4180"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "same-origin"),
        ] {
            assert_eq!(check_no_page(&header(name, value)), Err(OriginFault::Page), "{name}: {value}");
        }
        assert_eq!(check_no_page(&header("sec-fetch-site", "none")), Ok(()));
        assert_eq!(check_no_page(&HeaderMap::new()), Ok(()));
    }
}
