use crate::protocol::canonical::{Event, Exchange};
use crate::protocol::sse;
#[derive(Debug, Default)]
pub struct Decoder {}
impl Decoder {
    pub(crate) fn new(_seed: u64) -> Self {
        Self {}
    }
    pub(crate) fn event(&mut self, _event: &sse::Event<'_>, _sink: &mut impl FnMut(Event<'_>)) {}
    pub(crate) fn finish(&mut self, _sink: &mut impl FnMut(Event<'_>)) {}
}
#[derive(Debug)]
pub struct Encoder {}
impl Encoder {
    pub(crate) fn new(_exchange: &Exchange) -> Self {
        Self {}
    }
    pub(crate) fn event(&mut self, _event: &Event<'_>, _out: &mut Vec<u8>) {}
}
