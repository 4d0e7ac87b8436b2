//! openai.

pub(super) mod aggregate;
pub(super) mod error;
pub(super) mod observe;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;
