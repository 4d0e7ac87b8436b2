//! A bounded memory for state that clients drop (1.8: the second line of defence).

use std::fmt;
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::protocol::canonical::{CallState, Event, Recorder, Response};
use crate::protocol::json::Str;

/// What an entry takes beside its state: keys, links, counts.
const OVERHEAD: usize = 256;

/// The part of a store that a single entry may take.
const SHARE: usize = 16;

/// Remembers what providers want back with their models' calls, for clients that cannot carry it or drop it:
/// signatures of calls and texts, encrypted reasoning, signed thinking. Gemini 3 then gets its own signatures back, and
/// reasoning models keep their chain of thought from call to call.
///
/// An optimisation only: without it, or when an entry is gone, requests are translated as if the state were lost,
/// which it is. Entries belong to one client key, one upstream and one model. Those that were unused the longest go
/// first. Cloning copies a reference count.
#[derive(Clone)]
pub struct StateStore {
    shared: Arc<Shared>,
}

struct Shared {
    keys: [RandomState; 2],
    shelf: Mutex<Shelf>,
    max_size: usize,
}

impl StateStore {
    /// A store of at most `max_size` bytes, whose entries go when they were unused for `ttl`. An entry of more than a
    /// sixteenth of that is not kept.
    #[must_use]
    pub fn new(max_size: usize, ttl: Duration) -> Self {
        let shelf = Shelf { entries: LruCache::unbounded(), size: 0, max_size, ttl };
        StateStore { shared: Arc::new(Shared { keys: Default::default(), shelf: shelf.into(), max_size }) }
    }

    /// Bytes in use, the store's own bookkeeping included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.lock().size
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shared.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entries of one client key at one upstream's model.
    pub(super) fn scope(&self, tenant: Option<usize>, upstream: &str, model: &str) -> Scope {
        let keys = self.shared.keys.each_ref().map(|keys| {
            let mut hasher = keys.build_hasher();
            (tenant, upstream, model).hash(&mut hasher);
            hasher
        });
        Scope { store: self.clone(), keys }
    }
}

impl Default for StateStore {
    /// 16 MiB, an hour.
    fn default() -> Self {
        StateStore::new(16 << 20, Duration::from_secs(60 * 60))
    }
}

impl fmt::Debug for StateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateStore").field("size", &self.size()).finish_non_exhaustive()
    }
}

/// Who, where and which call, as two hashes of 64 bits that nobody outside can foresee.
type Key = [u64; 2];

/// A part of a store: beyond it nothing can be found.
#[derive(Clone)]
pub(super) struct Scope {
    store: StateStore,
    keys: [DefaultHasher; 2],
}

impl Scope {
    /// The key of the call `id` in an answer to what was `said`. Of a long text its ends and its length count.
    fn key(&self, said: Option<&Str<'_>>, id: &Str<'_>) -> Key {
        self.keys.clone().map(|mut hasher| {
            hash_said(said, &mut hasher);
            hash_id(id, hasher)
        })
    }

    pub(super) fn find(&self, said: Option<&Str<'_>>, id: &Str<'_>) -> Option<Arc<CallState>> {
        let key = self.key(said, id);
        self.store.lock().get(&key, Instant::now())
    }

    /// Records the answer to what was `said`; `recorder` is told the limit.
    pub(super) fn recording(
        mut self,
        said: Option<&Str<'_>>,
        recorder: impl FnOnce(usize) -> Recorder,
    ) -> Recording {
        self.keys.iter_mut().for_each(|hasher| hash_said(said, hasher));
        Recording { recorder: recorder(self.store.shared.max_size / SHARE), scope: self }
    }

    /// Keeps the state of a call; the scope knows already what was said.
    fn put(&self, id: &Str<'_>, state: CallState) {
        let key = self.keys.clone().map(|hasher| hash_id(id, hasher));
        self.store.lock().put(key, Arc::new(state), Instant::now());
    }
}

fn hash_said(said: Option<&Str<'_>>, hasher: &mut DefaultHasher) {
    const END: usize = 128;
    let said = said.map_or("", Str::as_escaped).as_bytes();
    let tail = said.get(said.len().saturating_sub(END)..).unwrap_or_default();
    (said.get(..END).unwrap_or(said), tail, said.len()).hash(hasher);
}

fn hash_id(id: &Str<'_>, mut hasher: DefaultHasher) -> u64 {
    id.as_escaped().hash(&mut hasher);
    hasher.finish()
}

/// Takes the state off one answer.
pub(super) struct Recording {
    recorder: Recorder,
    scope: Scope,
}

impl Recording {
    /// Takes one event.
    pub(super) fn event(&mut self, event: &Event<'_>) {
        if let Some((id, state)) = self.recorder.event(event) {
            self.scope.put(&id, state);
        }
    }

    /// Takes a whole answer.
    pub(super) fn whole(mut self, response: &Response<'_>) {
        let scope = self.scope;
        self.recorder.whole(response, |id, state| scope.put(&id, state));
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("recorder", &self.recorder).finish_non_exhaustive()
    }
}

/// The entries, least recently used first. The time is told from outside.
struct Shelf {
    entries: LruCache<Key, Entry>,
    size: usize,
    max_size: usize,
    ttl: Duration,
}

struct Entry {
    state: Arc<CallState>,
    used: Instant,
}

impl Shelf {
    fn put(&mut self, key: Key, state: Arc<CallState>, now: Instant) {
        self.expire(now);
        let size = cost(&state);
        if size > self.max_size / SHARE {
            return;
        }
        self.size += size;
        if let Some(old) = self.entries.put(key, Entry { state, used: now }) {
            self.size -= cost(&old.state);
        }
        while self.size > self.max_size && self.pop() {}
    }

    fn get(&mut self, key: &Key, now: Instant) -> Option<Arc<CallState>> {
        self.expire(now);
        let entry = self.entries.get_mut(key)?;
        entry.used = now;
        Some(entry.state.clone())
    }

    fn expire(&mut self, now: Instant) {
        while self.entries.peek_lru().is_some_and(|(_, entry)| now.duration_since(entry.used) >= self.ttl)
            && self.pop()
        {}
    }

    /// Drops the entry that was unused the longest.
    fn pop(&mut self) -> bool {
        let Some((_, entry)) = self.entries.pop_lru() else { return false };
        self.size -= cost(&entry.state);
        true
    }
}

fn cost(state: &CallState) -> usize {
    state.size() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::canonical::{Choice, Opaque, OpaqueKind, Part, PartKind, Provider};
    use crate::protocol::{Dialect, Protocol};

    const MINUTE: Duration = Duration::from_secs(60);

    /// State of so many bytes.
    fn state(bytes: usize) -> CallState {
        let mut call = Part::new(PartKind::ToolCall {
            id: "c".into(),
            name: "f".into(),
            arguments: "{}".into(),
            custom: false,
        });
        call.opaque =
            Some(Opaque::new(Provider::Gemini, OpaqueKind::Signature, Str::from("s".repeat(bytes))));
        let choices = vec![Choice { parts: vec![call], ..Choice::default() }];
        let mut state = None;
        Recorder::new(Protocol::Gemini, &Dialect::default(), usize::MAX)
            .whole(&Response { choices, ..Response::default() }, |_, found| state = Some(found));
        state.unwrap()
    }

    fn put(store: &StateStore, number: u64, bytes: usize, now: Instant) {
        store.lock().put([number, 0], Arc::new(state(bytes)), now);
    }

    fn has(store: &StateStore, number: u64, now: Instant) -> bool {
        store.lock().get(&[number, 0], now).is_some()
    }

    #[test]
    fn it_never_grows_beyond_its_bound_and_the_longest_unused_goes_first() {
        let store = StateStore::new(64 << 10, MINUTE);
        let now = Instant::now();
        put(&store, 0, 100, now);
        put(&store, 1, 100, now);
        for number in 2..10_000 {
            put(&store, number, (number % 3000) as usize, now);
            assert!(store.size() <= 64 << 10, "{}", store.size());
            assert!(has(&store, 0, now), "in use at {number}");
        }
        assert!(!has(&store, 1, now), "unused");
        assert!(has(&store, 9_999, now), "new");
        let real: usize = store.lock().entries.iter().map(|(_, entry)| cost(&entry.state)).sum();
        assert_eq!(store.size(), real);
        // The same call again takes the place of the old one.
        put(&store, 9_999, 10, now);
        put(&store, 9_999, 20, now);
        let real: usize = store.lock().entries.iter().map(|(_, entry)| cost(&entry.state)).sum();
        assert_eq!(store.size(), real);
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_drives_nothing_out() {
        let store = StateStore::new(64 << 10, MINUTE);
        let now = Instant::now();
        put(&store, 1, 10, now);
        put(&store, 2, 4 << 10, now);
        assert!(has(&store, 1, now) && !has(&store, 2, now));
        put(&store, 3, 3 << 10, now);
        assert!(has(&store, 3, now));
    }

    #[test]
    fn an_entry_lives_as_long_as_it_is_used() {
        let store = StateStore::new(64 << 10, MINUTE);
        let now = Instant::now();
        put(&store, 1, 10, now);
        put(&store, 2, 10, now);
        let almost = MINUTE - Duration::from_millis(1);
        assert!(has(&store, 1, now + almost));
        assert!(has(&store, 1, now + almost + almost) && !has(&store, 2, now + MINUTE));
        assert!(!has(&store, 1, now + almost + almost + MINUTE));
        assert_eq!(store.size(), 0);
    }

    #[test]
    fn nothing_is_found_beyond_its_scope() {
        let store = StateStore::default();
        let (id, said) = (Str::from("functions.f:0"), Str::from("go"));
        let scope = store.scope(Some(1), "a", "m");
        let recording = scope
            .clone()
            .recording(Some(&said), |limit| Recorder::new(Protocol::Gemini, &Dialect::default(), limit));
        recording.scope.put(&id, state(10));
        assert!(scope.find(Some(&said), &id).is_some());
        for other in [
            store.scope(Some(2), "a", "m"),
            store.scope(None, "a", "m"),
            store.scope(Some(1), "b", "m"),
            store.scope(Some(1), "a", "n"),
        ] {
            assert!(other.find(Some(&said), &id).is_none());
        }
        assert!(scope.find(None, &id).is_none());
        assert!(scope.find(Some(&"stop".into()), &id).is_none(), "another conversation");
        assert!(scope.find(Some(&said), &"functions.f:1".into()).is_none());
    }
}
