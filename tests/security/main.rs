//! What strangers, web pages and hostile upstreams must not get: the keys, somebody else's upstream, the memory. What
//! clients show and where redirects lead is in tests/server/auth.rs.

#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

mod greed;
mod hosts;
mod malformed;
mod secrets;
mod steering;

use aiproxy::Gateway;
use aiproxy::gateway::UpstreamSpec;
use aiproxy::layer::HostCheckLayer;
use aiproxy::server::Pages;

use support::gateway::Served;

/// The key of every client that has one.
const KEY: &str = "client-key-of-this-test";

/// A gateway as the program serves it on a loopback address.
async fn loopback(upstreams: impl IntoIterator<Item = UpstreamSpec>, keys: &[&str]) -> Served {
    let check = HostCheckLayer::new().allow(["gateway.internal"]).same_site(keys.is_empty());
    let mut builder = Gateway::builder().host_check(check.clone());
    for spec in upstreams {
        builder = builder.upstream(spec.breaker(None));
    }
    for key in keys {
        builder = builder.api_key(*key);
    }
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    Served::with_pages(builder.build().unwrap(), Pages { keys, host_check: check, ..Pages::default() }).await
}
