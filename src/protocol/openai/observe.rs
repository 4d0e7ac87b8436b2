use crate::protocol::canonical::Usage;
use crate::protocol::{Observation, Signal, sse};
pub(crate) fn event(_event: &sse::Event<'_>, _state: &mut Observation) -> Signal {
    Signal::Quiet
}
pub(crate) fn usage_of(_body: &str) -> Usage {
    Usage::default()
}
