//! The address to listen on: `listen` and `bind`, which two keys say together.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::reader::{Field, Map};
use super::tree;

/// Where the gateway listens (`listen`, with `bind` where that names no host).
///
/// ```
/// use aiproxy::config::Address;
///
/// let address = Address { host: "::1".to_owned(), port: 8080 };
/// assert_eq!(address.to_string(), "[::1]:8080");
/// assert!(address.is_loopback());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// An IP address without brackets, or a host name. Default `127.0.0.1`.
    pub host: String,
    /// The TCP port; 0 lets the system choose. Default 8080.
    pub port: u16,
}

impl Default for Address {
    fn default() -> Self {
        Address { host: "127.0.0.1".to_owned(), port: 8080 }
    }
}

impl fmt::Display for Address {
    /// `host:port`, with brackets around an IPv6 address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Address {
    /// Whether only this machine can reach it. A host name other than `localhost` counts as public.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Whether `url` leads to this address, as far as can be told without asking the network.
    pub(super) fn is_reached_by(&self, url: &url::Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let own = host.eq_ignore_ascii_case(&self.host)
            || is_loopback(host) && (self.is_loopback() || is_unspecified(&self.host));
        own && self.port != 0 && url.port_or_known_default() == Some(self.port)
    }

    /// Reads both keys; the second value is the one that says the host, if any does.
    pub(super) fn read<'c>(map: &Map<'c>) -> (Address, Option<Field<'c>>) {
        let (bind, listen) = (map.get("bind"), map.get("listen"));
        let mut address = Address::default();
        let bound = bind.as_ref().and_then(|field| field.parsed("an IP address or host name", host));
        if let Some(host) = bound {
            address.host = host;
        }
        let Some((host, port)) = listen.as_ref().and_then(|field| field.parsed(LISTEN, host_and_port)) else {
            return (address, bind);
        };
        address.port = port;
        match host {
            Some(host) => (Address { host, ..address }, listen),
            None => (address, bind),
        }
    }
}

/// Reads an address that only this machine can reach: a port, or an address with one.
pub(super) fn loopback(field: &Field<'_>) -> Option<Address> {
    let (host, port) = field.parsed(LISTEN, host_and_port)?;
    let host = host.unwrap_or_else(|| Address::default().host);
    let address = Address { host, port };
    if address.is_loopback() {
        Some(address)
    } else {
        field.refuse("must be an address of this machine alone, such as 127.0.0.1:9090")
    }
}

const LISTEN: &str = "a port or an address such as 8080, :8080, 127.0.0.1:8080 or [::1]:8080";

/// Whether `host`, without brackets, is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
    }
}

fn is_unspecified(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_unspecified())
}

fn host_and_port(text: &str) -> Result<(Option<String>, u16), String> {
    let (before, digits) = text.rsplit_once(':').unwrap_or(("", text));
    let digits_only = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !digits_only || before.contains(':') && !before.starts_with('[') {
        return Err(format!("must be {LISTEN}"));
    }
    let port = tree::integer(digits).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or("the port must be at most 65535")?;
    let host = if before.is_empty() { None } else { Some(host(before)?) };
    Ok((host, port))
}

/// An IP address, without brackets, or a host name.
pub(super) fn host(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    if let Some(inner) = bare.or(text.contains(':').then_some(text)) {
        if inner.parse::<Ipv6Addr>().is_ok() {
            return Ok(inner.to_owned());
        }
        let port = bare.is_none() && host_and_port(text).is_ok();
        let hint = if port { "; the port belongs into `listen`" } else { "" };
        return Err(format!("must be an IP address or host name{hint}"));
    }
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let numbers_only = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let known = match numbers_only {
        true => text.parse::<IpAddr>().is_ok(),
        false => text.chars().all(letters),
    };
    if known { Ok(text.to_owned()) } else { Err("must be an IP address or host name".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_spelling_of_listen_works() {
        for (text, host, port) in [
            ("8080", None, 8080),
            (":8080", None, 8080),
            ("0", None, 0),
            ("127.0.0.1:9000", Some("127.0.0.1"), 9000),
            ("localhost:80", Some("localhost"), 80),
            ("[::1]:8080", Some("::1"), 8080),
            ("[::]:8080", Some("::"), 8080),
        ] {
            assert_eq!(host_and_port(text), Ok((host.map(str::to_owned), port)), "{text}");
        }
    }

    #[test]
    fn half_addresses_are_refused() {
        for text in
            ["", ":", "127.0.0.1", "::1:8080", "::1", "[::1]", "[::1]8080", "a b:80", "*:80", "300.1.1.1:80"]
        {
            assert!(host_and_port(text).is_err(), "{text}");
        }
        assert!(host_and_port(":65536").unwrap_err().contains("65535"));
    }

    #[test]
    fn bind_takes_a_host_alone() {
        for text in ["0.0.0.0", "::", "gateway.internal"] {
            assert_eq!(host(text).as_deref(), Ok(text));
        }
        assert_eq!(host("[::1]").as_deref(), Ok("::1"));
        assert!(host("127.0.0.1:8080").unwrap_err().contains("belongs into `listen`"));
        assert!(host("").is_err());
    }

    #[test]
    fn loopback_is_told_from_public() {
        for host in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST."] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", "::ffff:0.0.0.0"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
