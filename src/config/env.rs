//! Where a configuration comes from: its name, its folder, and the environment it may refer to.

use std::fmt;
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
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).field("folder", &self.folder).finish()
    }
}
