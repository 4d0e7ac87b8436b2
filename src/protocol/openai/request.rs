//! Requests: a client's JSON to the hub, the hub to an upstream's JSON.

mod decode;
mod encode;
mod inline;
mod sampling;

pub(crate) use decode::decode;
pub(crate) use encode::encode;
pub(crate) use inline::inline;

#[cfg(test)]
mod tests;
