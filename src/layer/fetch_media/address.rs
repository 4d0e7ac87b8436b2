//! Which addresses files may be fetched from: those of the open web, and what the operator allows.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tower::Service;

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// What is not of the open web (IANA's registry of special addresses).
const SPECIAL_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    // Multicast, and all that is reserved up to broadcast.
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
];

/// The open web, of which some is special again: protocol assignments with Teredo, documentation, 6to4, and the
/// 6bone of old.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);
const SPECIAL_V6: [Ipv6Net; 5] =
    [v6(0x2001, 0, 23), v6(0x2001, 0xdb8, 32), v6(0x2002, 0, 16), v6(0x3ffe, 0, 16), v6(0x3fff, 0, 20)];

/// Where a translator keeps the IPv4 web (RFC 6052).
const TRANSLATED: Ipv6Net = v6(0x64, 0xff9b, 96);

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => match inner_v4(address) {
            Some(inner) => is_public(IpAddr::V4(inner)),
            None => GLOBAL_V6.contains(&address) && !SPECIAL_V6.iter().any(|net| net.contains(&address)),
        },
    }
}

/// The IPv4 address that a connection would lead to.
fn inner_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if TRANSLATED.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return Some(Ipv4Addr::new(a, b, c, d));
    }
    address.to_ipv4_mapped()
}

/// The networks that are allowed besides the open web.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed(Arc<[IpNet]>);

impl Allowed {
    pub(super) fn new(networks: &[IpNet]) -> Self {
        Allowed(networks.into())
    }

    pub(super) fn holds(&self, address: IpAddr) -> bool {
        is_public(address) || self.0.iter().any(|net| net.contains(&address.to_canonical()))
    }
}

/// Resolves names to addresses that are allowed. What it returns is what is connected to: nobody asks twice, so
/// a name cannot mean one thing to the check and another to the connection.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    names: GaiResolver,
    allowed: Allowed,
}

impl Resolver {
    pub(super) fn new(allowed: Allowed) -> Self {
        Resolver { names: GaiResolver::new(), allowed }
    }
}

/// A name without any address that is allowed. Whether it has others, or is unknown, is not for clients to learn.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoAddress;

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no public address")
    }
}

impl std::error::Error for NoAddress {}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NoAddress;
    // Once a connection.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NoAddress>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NoAddress>> {
        self.names.poll_ready(cx).map_err(|_| NoAddress)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, allowed) = (self.names.call(name), self.allowed.clone());
        Box::pin(async move {
            let all = resolving.await.map_err(|_| NoAddress)?;
            let may: Vec<_> = all.filter(|address| allowed.holds(address.ip())).collect();
            if may.is_empty() { Err(NoAddress) } else { Ok(may.into_iter()) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(allowed: &[&str], address: &str) -> bool {
        let networks: Vec<IpNet> = allowed.iter().map(|net| net.parse().unwrap()).collect();
        Allowed::new(&networks).holds(address.parse().unwrap())
    }

    #[test]
    fn only_the_open_web_is_reached() {
        for inside in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3ffe::1",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(!holds(&[], inside), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "128.0.0.1",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(holds(&[], outside), "{outside}");
        }
    }

    #[test]
    fn what_the_operator_allows_is_reached_too_and_no_more() {
        let allowed = ["10.1.0.0/16", "fd00::/8"];
        for (address, may) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("fd12::1", true),
            ("fc12::1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(holds(&allowed, address), may, "{address}");
        }
    }
}
