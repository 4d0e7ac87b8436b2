//! Token counts of a response object (section 2.15).

use crate::protocol::canonical::Usage;
use crate::protocol::json::{Error, Reader, Writer};

/// Reads a `usage` member; counts that are missing or no numbers stay unknown.
pub(in crate::protocol) fn read(reader: &mut Reader<'_>) -> Result<Usage, Error> {
    let mut usage = Usage::default();
    reader.lenient_object(|key, value| {
        match key {
            "input_tokens" => usage.input = value.lenient_u64()?,
            "output_tokens" => usage.output = value.lenient_u64()?,
            "input_tokens_details" | "output_tokens_details" => usage.read_details(value)?,
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    Ok(usage)
}

/// Writes the counts, or `null` when none are known; both detail objects are required by clients.
pub(super) fn write(usage: &Usage, w: &mut Writer<'_>) {
    if usage.is_empty() {
        w.null();
        return;
    }
    let written = usage.cache_write.unwrap_or(0).saturating_add(usage.cache_write_1h.unwrap_or(0));
    w.begin_object();
    w.key("input_tokens").u64(usage.input.unwrap_or(0));
    w.key("input_tokens_details").begin_object();
    w.key("cached_tokens").u64(usage.cache_read.unwrap_or(0));
    w.key("cache_write_tokens").u64(written);
    w.end_object();
    w.key("output_tokens").u64(usage.output.unwrap_or(0));
    w.key("output_tokens_details").begin_object();
    w.key("reasoning_tokens").u64(usage.reasoning.unwrap_or(0));
    w.end_object();
    w.key("total_tokens").u64(usage.total());
    w.end_object();
}
