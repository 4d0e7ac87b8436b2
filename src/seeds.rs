//! Numbers for made-up ids.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// Random keys of this process, and a count: no number comes twice soon, and none tells the next.
#[derive(Debug, Default)]
pub(crate) struct Seeds {
    keys: RandomState,
    count: AtomicU64,
}

impl Seeds {
    pub(crate) fn next(&self) -> u64 {
        let mut hasher = self.keys.build_hasher();
        hasher.write_u64(self.count.fetch_add(1, Ordering::Relaxed));
        hasher.finish()
    }
}
