//! The listener for operators (`admin`).

use super::address::{self, Address};
use super::reader::Map;
use super::secret::Secret;

/// Where operators see what rests and why, and end it by hand.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where to listen; an address that only this machine can reach.
    pub listen: Address,
    /// What operators must show. Not a key of clients.
    pub key: Secret,
}

impl Admin {
    /// Reads the section; where it is absent there is no such listener.
    pub(super) fn read(root: &Map<'_>, api_keys: &[Secret]) -> Option<Admin> {
        root.get("admin")?.map()?.read(|map| {
            let (listen, key) = (map.get("listen"), map.get("key"));
            for (key, field) in [("listen", &listen), ("key", &key)] {
                if field.is_none() {
                    map.missing(key);
                }
            }
            let listen = listen.and_then(|field| address::loopback(&field));
            let key = key.and_then(|field| {
                let key = field.secret()?;
                let is_clients = api_keys.iter().any(|client| client.expose() == key.expose());
                if is_clients { field.refuse("must not be a key of clients") } else { Some(key) }
            });
            Some(Admin { listen: listen?, key: key? })
        })
    }
}
