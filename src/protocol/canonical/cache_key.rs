//! Which requests share a prompt cache (T185).

use super::Request;
use crate::protocol::Protocol;
use crate::protocol::json::Str;

/// OpenAI's limit on the key, in bytes.
const MOST: usize = 64;

impl Request<'_> {
    /// The cache key for a client that gave none: the session in the user id of an Anthropic agent.
    pub(in crate::protocol) fn session_key(&self, client: Protocol) -> Option<Str<'static>> {
        let user = self.identity.end_user.as_ref().filter(|_| client == Protocol::Anthropic)?;
        session_of(&user.decode()).map(|session| Str::escape(session.to_owned()))
    }
}

/// The session in an agent's user id (`…_session_<id>`, or a JSON text with `session_id`): the same in
/// every request of a conversation, which is what a cache key is for.
fn session_of(user: &str) -> Option<&str> {
    let (_, rest) = user.rsplit_once("session_")?;
    let rest = match rest.strip_prefix("id\"") {
        Some(json) => json.trim_start_matches([' ', ':', '"']),
        None => rest,
    };
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
    rest.get(..end).filter(|session| !session.is_empty() && session.len() <= MOST)
}
