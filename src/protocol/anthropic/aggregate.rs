use crate::protocol::canonical::ErrorView;
use crate::protocol::sse;
#[derive(Debug, Default)]
pub struct Aggregator {}
impl Aggregator {
    pub(crate) fn event(&mut self, _event: &sse::Event<'_>) -> Result<(), ErrorView> {
        Ok(())
    }
    pub(crate) fn finish(self) -> Result<Vec<u8>, ErrorView> {
        Ok(Vec::new())
    }
}
