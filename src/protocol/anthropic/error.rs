use crate::protocol::canonical::{ErrorView, FaultKind};
pub(crate) fn parse(_status: u16, _body: &[u8]) -> ErrorView {
    ErrorView::new(FaultKind::Internal, "stub")
}
pub(crate) fn render(_error: &ErrorView) -> (u16, Vec<u8>) {
    (500, Vec::new())
}
pub(crate) fn write_event(_error: &ErrorView, _out: &mut Vec<u8>) {}
