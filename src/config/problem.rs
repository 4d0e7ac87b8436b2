//! Problems and warnings: what is wrong, at which key, in which line and column.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A place in a YAML text, counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl Mark {
    /// The beginning of a text.
    pub const START: Mark = Mark { line: 1, column: 1 };
}

/// One thing that is wrong with a configuration, or worth knowing about it.
///
/// It displays as `aiproxy.yaml:12:13: upstreams[2].weight: must be at least 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The name of the file, as it was given.
    pub source: Arc<str>,
    /// Where in it; `None` when the file could not be read, or there is no file.
    pub mark: Option<Mark>,
    /// The key (`upstreams[2].weight`); empty for the document as a whole.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if let Some(Mark { line, column }) = self.mark {
            write!(f, ":{line}:{column}")?;
        }
        f.write_str(": ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a configuration, in the order of the text; never empty.
///
/// It displays as one line per problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// A problem with the source as a whole.
    pub(super) fn one(source: &Arc<str>, message: String) -> Self {
        let source = Arc::clone(source);
        Problems(vec![Problem { source, mark: None, path: String::new(), message }])
    }

    /// The problems one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl<'p> IntoIterator for &'p Problems {
    type Item = &'p Problem;
    type IntoIter = std::slice::Iter<'p, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl Error for Problems {}

/// Problems beyond this number are only counted: nobody reads them, and a hostile text must not
/// make them fill the memory.
const MOST: usize = 1000;

/// Collects problems and warnings while a text is read.
pub(super) struct Report {
    source: Arc<str>,
    found: RefCell<Found>,
}

#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
    uncounted: usize,
    warnings: Vec<Problem>,
}

impl Report {
    pub(super) fn new(source: &Arc<str>) -> Self {
        Report { source: Arc::clone(source), found: RefCell::default() }
    }

    pub(super) fn problem(&self, mark: Option<Mark>, path: &str, message: impl Into<String>) {
        let problem = self.entry(mark, path, message.into());
        let found = &mut *self.found.borrow_mut();
        if found.problems.len() < MOST {
            found.problems.push(problem);
        } else {
            found.uncounted += 1;
        }
    }

    pub(super) fn warning(&self, mark: Option<Mark>, path: &str, message: impl Into<String>) {
        let warning = self.entry(mark, path, message.into());
        let warnings = &mut self.found.borrow_mut().warnings;
        if warnings.len() < MOST {
            warnings.push(warning);
        }
    }

    /// The warnings, or the problems if there is one; in the order of the text.
    pub(super) fn finish(self) -> Result<Vec<Problem>, Problems> {
        let Found { mut problems, uncounted, mut warnings } = self.found.into_inner();
        if problems.is_empty() {
            warnings.sort_by_key(|warning| warning.mark);
            warnings.dedup();
            return Ok(warnings);
        }
        problems.sort_by_key(|problem| problem.mark);
        // What is used twice (an anchor, a variable) is wrong once.
        problems.dedup();
        if uncounted > 0 {
            let (mark, path) = (None, String::new());
            problems.push(Problem {
                source: self.source,
                mark,
                path,
                message: format!("and {uncounted} more"),
            });
        }
        Err(Problems(problems))
    }

    fn entry(&self, mark: Option<Mark>, path: &str, message: String) -> Problem {
        Problem { source: Arc::clone(&self.source), mark, path: path.to_owned(), message }
    }
}
