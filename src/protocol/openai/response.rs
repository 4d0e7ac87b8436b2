//! Whole answers.

mod decode;
mod encode;

pub(crate) use decode::decode;
pub(super) use decode::{Logprobs, OURS, images, listed_content};
pub(crate) use encode::encode;
pub(super) use encode::{answer_id, explanation, is_legacy, unwrap_input, write_image, write_logprobs};

#[cfg(test)]
mod tests;
