//! Events to bytes: one `data:` line each, closed by its blank line also when it is the last (T009).

/// Opens an event without a name, lets `payload` write its JSON, and closes it.
pub fn write_event(out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"data: ");
    payload(out);
    out.extend_from_slice(b"\n\n");
}

/// The same with an `event:` line, which Anthropic and Responses clients need (T015).
pub fn write_named_event(out: &mut Vec<u8>, name: &'static str, payload: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    payload(out);
    out.extend_from_slice(b"\n\n");
}
