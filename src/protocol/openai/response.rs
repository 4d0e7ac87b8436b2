//! Whole answers.

mod decode;
mod encode;

pub(crate) use decode::decode;
pub(crate) use encode::encode;

#[cfg(test)]
mod tests;
