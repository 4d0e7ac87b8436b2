//! Requests: a client's JSON to the hub, the hub to an upstream's JSON.

mod decode;
mod encode;
mod sampling;

pub(crate) use decode::decode;
pub(crate) use encode::encode;

#[cfg(test)]
mod tests;
