//! Counts of tokens that no upstream has made (6.2).

use http::{HeaderValue, Response, StatusCode, header};
use memchr::memmem;

use super::read;
use crate::body::Body;
use crate::error::Error;
use crate::layer::trail::Unasked;
use crate::payload::Payload;
use crate::protocol::{estimate_tokens, render_count};

/// An answer by estimate, without asking anybody: what the upstream has is another protocol's counter, or none
/// (T175).
pub(super) fn estimated(payload: &Payload) -> Result<Response<Body>, Error> {
    let (_, request) = read(payload)?;
    let tokens = estimate_tokens(&request, payload.model());
    let mut response = Response::new(Body::from(render_count(payload.protocol(), tokens)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Nobody shall take it for the provider's own number (T176).
    headers.insert("x-aiproxy-usage", HeaderValue::from_static("estimated"));
    response.extensions_mut().insert(Unasked);
    Ok(response)
}

/// Whether an upstream of the right protocol has no counter: many that speak Anthropic's have none. That a
/// model is not known is another answer with the same status; it names the model.
pub(super) fn is_missing(error: &Error, payload: &Payload) -> bool {
    let Error::Upstream(answer) = error else { return false };
    match answer.status {
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => true,
        StatusCode::NOT_FOUND => memmem::find(&answer.body, payload.model().as_bytes()).is_none(),
        _ => false,
    }
}
