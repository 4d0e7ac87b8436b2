//! Requests: a client's JSON to the hub, and the hub to an upstream's JSON.

mod builtin;
mod content;
mod decode;
mod define;
mod encode;
mod foreign;
mod inline;
mod marks;
mod plan;
mod schema;
mod settings;
mod thinking;
mod write;

pub(crate) use decode::decode;
pub(crate) use encode::encode;
pub(crate) use foreign::{cut_foreign, has_unsigned_source};
pub(crate) use inline::inline;
pub(super) use write::input;

#[cfg(test)]
mod tests;
