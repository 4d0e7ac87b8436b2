//! What an upstream was shown in secret, to be crossed out of what it says of failures: some quote the key that they
//! refuse, or the whole request.

use std::fmt;

use http::{HeaderMap, HeaderValue};
use memchr::memmem;

use crate::protocol::canonical::ErrorView;
use crate::protocol::without_account;

/// Shorter ones are words that servers without keys are given, and stand in many a sentence.
const SHORTEST: usize = 8;

/// The secrets that an upstream was sent with a request. In the extensions of its answer they are crossed out of whatever
/// it tells of a failure; [`HttpClient`](super::HttpClient) puts them there, a leaf service of your own may.
///
/// ```
/// use aiproxy::upstream::Secrets;
/// use http::{HeaderMap, HeaderValue};
///
/// let mut headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer sk-0123456789"))]);
/// assert!(Secrets::of(&headers).is_none());
/// headers.values_mut().for_each(|value| value.set_sensitive(true));
/// assert!(Secrets::of(&headers).is_some());
/// ```
#[derive(Clone)]
pub struct Secrets(Vec<HeaderValue>);

impl Secrets {
    /// Of a request's headers the values that are marked sensitive; `None` if there are none.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut secrets = headers.values().filter(|value| value.is_sensitive()).peekable();
        secrets.peek()?;
        Some(Secrets(secrets.cloned().collect()))
    }

    /// The text without secrets; `None` if it has none.
    fn cross_out(&self, text: &[u8]) -> Option<Vec<u8>> {
        // `Bearer` is none.
        let words = self.0.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b' '));
        let mut out: Option<Vec<u8>> = None;
        for secret in words.filter(|word| word.len() >= SHORTEST) {
            let from = out.as_deref().unwrap_or(text);
            if memmem::find(from, secret).is_some() {
                out = Some(without(from, secret));
            }
        }
        out
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secrets").field(&self.0.len()).finish()
    }
}

fn without(text: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memmem::find(rest, secret) {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before);
        out.extend_from_slice(b"***");
        rest = after.get(secret.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// An upstream's words on a failure without its secrets, and without what looks like an account's; `None` if nothing was
/// to be crossed out.
pub(crate) fn cross_out(secrets: Option<&Secrets>, words: &[u8]) -> Option<Vec<u8>> {
    let own = secrets.and_then(|secrets| secrets.cross_out(words));
    without_account(own.as_deref().unwrap_or(words)).or(own)
}

/// The same for an error that has been read already.
pub(crate) fn cross_out_of(secrets: Option<&Secrets>, view: &mut ErrorView) {
    for text in [Some(&mut view.message), view.code.as_mut(), view.param.as_mut()].into_iter().flatten() {
        if let Some(less) = cross_out(secrets, text.as_bytes()) {
            *text = String::from_utf8_lossy(&less).into_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::canonical::FaultKind;

    fn secrets(values: &[&'static str]) -> Option<Secrets> {
        let mut headers = HeaderMap::new();
        headers.insert("x-open", HeaderValue::from_static("application/json"));
        for value in values {
            let mut value = HeaderValue::from_static(value);
            value.set_sensitive(true);
            headers.append("x-secret", value);
        }
        Secrets::of(&headers)
    }

    #[test]
    fn what_was_sent_in_secret_is_crossed_out_wherever_it_is_quoted() {
        let both = secrets(&["Bearer zai.0123abcd", "team-secret"]);
        let told =
            |text: &str| cross_out(both.as_ref(), text.as_bytes()).map(|out| String::from_utf8(out).unwrap());
        assert_eq!(
            told("key zai.0123abcd (zai.0123abcd) of team-secret, Bearer, é").as_deref(),
            Some("key *** (***) of ***, Bearer, é")
        );
        assert_eq!(told("sk-ant-0123456789abcdef by zai.0123abcd").as_deref(), Some("sk-*** by ***"));
        assert_eq!(told("application/json from a Bearer"), None);
        assert_eq!(format!("{both:?}"), "Some(Secrets(2))");
        let mut view = ErrorView::new(FaultKind::InvalidRequest, "no zai.0123abcd");
        cross_out_of(both.as_ref(), &mut view);
        assert_eq!(view.message, "no ***");
    }

    #[test]
    fn the_words_that_stand_for_no_key_are_none() {
        assert!(secrets(&[]).is_none());
        let ollama = secrets(&["Bearer ollama"]);
        assert_eq!(cross_out(ollama.as_ref(), b"ollama is not running"), None);
    }
}
