//! gemini.

mod answer;
mod finish;
mod keys;
mod media;
mod part;
mod schema;
mod signature;
mod usage;

pub(super) mod aggregate;
pub(super) mod error;
pub(super) mod observe;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;
