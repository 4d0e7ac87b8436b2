//! Requests: a client's JSON to the hub, and the hub to an upstream's JSON.

mod decode;
mod encode;
mod foreign;
mod inline;
#[cfg(test)]
mod tests;

pub(crate) use decode::decode;
pub(crate) use encode::encode;
pub(crate) use foreign::cut_foreign;
pub(crate) use inline::inline;
