use crate::protocol::canonical::{Exchange, Losses, Request};
use crate::protocol::{RequestError, Target};
pub(crate) fn decode<'a>(
    _body: &'a str,
    _model: &'a str,
    _stream: bool,
) -> Result<Request<'a>, RequestError> {
    Err(RequestError::invalid("", "stub"))
}
pub(crate) fn encode(
    _request: &Request<'_>,
    _exchange: &Exchange,
    _target: &Target<'_>,
    _losses: &mut Losses,
    _out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    Ok(())
}
