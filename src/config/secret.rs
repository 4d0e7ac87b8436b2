//! Secrets: text that reaches a header and nothing else.

use std::fmt;
use std::sync::Arc;

/// A key, a token or the value of a header.
///
/// It cannot be displayed, compared or serialised, and `Debug` prints `***`. Clones share one
/// allocation.
///
/// ```
/// use aiproxy::config::Secret;
///
/// let secret = Secret::new("sk-live-0123");
/// assert_eq!(format!("{secret:?}"), "***");
/// assert_eq!(secret.expose(), "sk-live-0123");
/// ```
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps `text`, whatever it is.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Secret(text.into())
    }

    /// The text itself: for building a header or a digest, at the place where it is needed.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
