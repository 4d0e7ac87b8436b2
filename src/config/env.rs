//! Where a configuration comes from: its name, its folder, and the environment it may refer to.
//!
//! Any text of a configuration may hold `${NAME}`; `$$` is one dollar, and a dollar before anything
//! else is itself. What a variable holds is not looked into again.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A configuration's name, its folder (`file:` paths are relative to it) and the environment.
///
/// The environment is passed in, so that a test or an embedding program decides what is in it.
pub struct Source<'e> {
    pub(super) name: Arc<str>,
    pub(super) folder: PathBuf,
    pub(super) variables: &'e dyn Fn(&str) -> Option<String>,
}

impl<'e> Source<'e> {
    /// A source called `path`, with the variables that `variables` knows.
    ///
    /// ```
    /// use aiproxy::config::Source;
    ///
    /// let source = Source::new("aiproxy.yaml", &|name| (name == "KEY").then(|| "sk-1".to_owned()));
    /// # let _ = source;
    /// ```
    #[must_use]
    pub fn new(path: impl AsRef<Path>, variables: &'e dyn Fn(&str) -> Option<String>) -> Self {
        let path = path.as_ref();
        Source {
            name: path.display().to_string().into(),
            folder: path.parent().map(Path::to_path_buf).unwrap_or_default(),
            variables,
        }
    }

    /// Replaces every `${NAME}` in `text`, or says which variables are missing.
    pub(super) fn expand<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, String> {
        if !text.contains('$') {
            return Ok(Cow::Borrowed(text));
        }
        let (mut expanded, mut wrong) = (String::with_capacity(text.len()), Vec::new());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                expanded.push('$');
                rest = after;
            } else if let Some(after) = rest.strip_prefix('{') {
                let (name, after) =
                    after.split_once('}').ok_or("`${` has no `}`; write `$$` for a dollar")?;
                rest = after;
                match self.variable(name) {
                    Ok(value) => expanded.push_str(&value),
                    Err(message) => wrong.push(message),
                }
            } else {
                expanded.push('$');
            }
        }
        expanded.push_str(rest);
        if wrong.is_empty() { Ok(Cow::Owned(expanded)) } else { Err(wrong.join("; ")) }
    }

    /// The variable `name`, which must be set to something.
    pub(super) fn variable(&self, name: &str) -> Result<String, String> {
        if !is_name(name) {
            let rule = "must name a variable: letters, digits and `_`, not beginning with a digit";
            return Err(format!("`${{…}}` and `env.…` {rule}"));
        }
        match (self.variables)(name) {
            None => Err(format!("the environment variable `{name}` is not set")),
            Some(value) if value.is_empty() => Err(format!("the environment variable `{name}` is empty")),
            Some(value) => Ok(value),
        }
    }

    /// The contents of the file at `path`, relative to the configuration's folder, without the line
    /// end at its end.
    pub(super) fn file(&self, path: &str) -> Result<String, String> {
        let path = self.folder.join(path);
        let shown = path.display();
        let mut text = read_limited(&path, MAX_SECRET_FILE).map_err(|error| format!("`{shown}`: {error}"))?;
        if text.ends_with('\n') {
            text.pop();
        }
        if text.ends_with('\r') {
            text.pop();
        }
        if text.is_empty() { Err(format!("`{shown}` is empty")) } else { Ok(text) }
    }
}

/// Most bytes of a file that holds a secret.
const MAX_SECRET_FILE: u64 = 64 * 1024;

/// Reads a UTF-8 file of at most `limit` bytes.
pub(super) fn read_limited(path: &Path, limit: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {}", reason(&error)))?;
    if bytes.len() as u64 > limit {
        return Err(format!("is larger than {} KiB", limit / 1024));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
        format!("is not UTF-8 text (line {line})")
    })
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether `name` can be that of a variable.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).field("folder", &self.folder).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, String> {
        let variables = |name: &str| match name {
            "HOST" => Some("example.com".to_owned()),
            "ODD" => Some("${HOST}$$".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        Source::new("aiproxy.yaml", &variables).expand(text).map(Cow::into_owned)
    }

    #[test]
    fn variables_are_replaced_wherever_they_stand() {
        assert_eq!(expand("https://${HOST}/${HOST}!").as_deref(), Ok("https://example.com/example.com!"));
        assert_eq!(expand("plain").as_deref(), Ok("plain"));
    }

    #[test]
    fn a_dollar_can_be_written() {
        assert_eq!(expand("$${HOST} costs $5 or 5$").as_deref(), Ok("${HOST} costs $5 or 5$"));
    }

    #[test]
    fn what_a_variable_holds_is_not_expanded_again() {
        assert_eq!(expand("${ODD}").as_deref(), Ok("${HOST}$$"));
    }

    #[test]
    fn every_missing_variable_is_named() {
        let message = expand("${A} ${EMPTY}").unwrap_err();
        assert!(message.contains("`A` is not set") && message.contains("`EMPTY` is empty"), "{message}");
        assert!(expand("${HOST").unwrap_err().contains("has no `}`"));
        assert!(expand("${HOST:-x}").unwrap_err().contains("must name a variable"));
    }
}
