//! JSON as bytes: a pull reader, a writer, a depth-1 scanner, and strings that are never unescaped.
//!
//! Why not serde_json: translation moves strings, numbers and opaque values from one document to
//! another. Parsing them into owned values and back costs seven times the copy, sorts keys, turns
//! `1.10` into `1.1` and thirty digits into a float, and refuses a lone surrogate (T005, T061, T150).
//! `benches/payload.rs` holds each part against serde_json.

mod document;
mod edit;
mod error;
mod lists;
mod object;
mod path;
mod probe;
mod reader;
mod scan;
mod text;
mod writer;

pub use document::{as_object, document, is_complete};
pub use edit::{copy_members, splice};
pub use error::{Error, ErrorKind};
pub use lists::Lists;
pub use object::Object;
pub use path::path_at;
pub use probe::{Members, Span, members};
pub use reader::{Kind, Later, MAX_DEPTH, Reader};
pub(super) use scan::rest_of_string;
pub(crate) use text::string_from_utf8;
pub use text::{Number, Raw, Str};
pub use writer::Writer;
