use crate::protocol::canonical::{ErrorView, Exchange, Response};
pub(crate) fn decode(_body: &str) -> Result<Response<'_>, ErrorView> {
    Ok(Response::default())
}
pub(crate) fn encode(
    _response: &Response<'_>,
    _exchange: &Exchange,
    _out: &mut Vec<u8>,
) -> Result<(), ErrorView> {
    Ok(())
}
