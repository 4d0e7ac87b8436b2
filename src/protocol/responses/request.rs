//! Requests: a client's JSON to the hub, the hub to an upstream's JSON.

mod content;
mod decode;
mod encode;
mod foreign;
mod inline;
mod input;
mod items;
mod media;
mod settings;
mod strict;
mod tools;

#[cfg(test)]
mod tests;

pub(crate) use decode::decode;
pub(crate) use encode::encode;
pub(crate) use foreign::cut_foreign;
pub(crate) use inline::inline;

/// Key of the echo entry that tells the answer which flat tool names came from which namespace. It
/// is a note to ourselves: no answer repeats it.
pub(super) const NAMESPACES: &str = "namespaces";

/// Pseudo-field among the extras: reasoning that the client altered was left out. Other dialects
/// report it as dropped, by this name.
const MUTATED: &str = "reasoning.mutated";

/// Pseudo-field among the extras: a tool was to be loaded late, and is sent like the others.
const DEFERRED: &str = "tools.defer_loading";
