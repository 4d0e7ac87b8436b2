//! What can be wrong with a document.

use std::fmt;

use super::reader::MAX_DEPTH;

/// What went wrong in a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What was wrong.
    pub kind: ErrorKind,
    /// Byte offset in the document.
    pub offset: usize,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The document ends too early.
    UnexpectedEnd,
    /// A byte that cannot stand there.
    UnexpectedByte,
    /// A value of another type was needed.
    Expected(&'static str),
    /// More than [`MAX_DEPTH`] levels.
    TooDeep,
    /// Something follows the document.
    Trailing,
    /// A key that matters stands twice.
    Duplicate(&'static str),
    /// The bytes are not UTF-8.
    NotUtf8,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ErrorKind::UnexpectedEnd => write!(f, "JSON ends too early, at byte {}", self.offset),
            ErrorKind::UnexpectedByte => write!(f, "invalid JSON at byte {}", self.offset),
            ErrorKind::Expected(what) => write!(f, "expected {what} at byte {}", self.offset),
            ErrorKind::TooDeep => write!(f, "JSON nested deeper than {MAX_DEPTH} at byte {}", self.offset),
            ErrorKind::Trailing => write!(f, "more data after the JSON document at byte {}", self.offset),
            ErrorKind::Duplicate(key) => write!(f, "`{key}` given twice, at byte {}", self.offset),
            ErrorKind::NotUtf8 => write!(f, "invalid UTF-8 at byte {}", self.offset),
        }
    }
}
impl std::error::Error for Error {}
