//! Token counts as Chat servers spell them (section 2.15).

use crate::protocol::canonical::Usage;
use crate::protocol::json::{Error, Reader, Writer};

/// Reads a `usage` object; what is no object counts as nothing said.
pub(in crate::protocol) fn read(value: &mut Reader<'_>) -> Result<Usage, Error> {
    let mut usage = Usage::default();
    let mut dialect_cached = None;
    value.lenient_object(|key, value| {
        match key {
            "prompt_tokens" => usage.input = value.lenient_u64()?,
            "completion_tokens" => usage.output = value.lenient_u64()?,
            "prompt_tokens_details" | "completion_tokens_details" => usage.read_details(value)?,
            // DeepSeek and Moonshot count cached tokens beside the details, not in them.
            "prompt_cache_hit_tokens" | "cached_tokens" => dialect_cached = value.lenient_u64()?,
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    usage.cache_read = usage.cache_read.or(dialect_cached);
    Ok(usage)
}

/// Writes the `usage` object.
pub(super) fn write(usage: &Usage, w: &mut Writer<'_>) {
    w.begin_object();
    w.key("prompt_tokens").u64(usage.input.unwrap_or(0));
    w.key("completion_tokens").u64(usage.output.unwrap_or(0));
    w.key("total_tokens").u64(usage.total());
    let written = match (usage.cache_write, usage.cache_write_1h) {
        (None, None) => None,
        (short, long) => Some(short.unwrap_or(0).saturating_add(long.unwrap_or(0))),
    };
    if usage.cache_read.is_some() || written.is_some() {
        w.key("prompt_tokens_details").begin_object();
        w.key("cached_tokens").u64(usage.cache_read.unwrap_or(0));
        if let Some(written) = written {
            w.key("cache_write_tokens").u64(written);
        }
        w.end_object();
    }
    if let Some(reasoning) = usage.reasoning {
        w.key("completion_tokens_details").begin_object();
        w.key("reasoning_tokens").u64(reasoning);
        w.end_object();
    }
    w.end_object();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back_as_they_went() {
        let text = r#"{"prompt_tokens":20,"completion_tokens":31,"total_tokens":51,"prompt_tokens_details":{"cached_tokens":7,"cache_write_tokens":3},"completion_tokens_details":{"reasoning_tokens":10}}"#;
        let usage = read(&mut Reader::new(text)).unwrap();
        let mut out = Vec::new();
        write(&usage, &mut Writer::new(&mut out));
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }

    #[test]
    fn cached_tokens_are_found_where_compatible_servers_put_them() {
        for text in [
            r#"{"prompt_tokens":9,"prompt_cache_hit_tokens":4}"#,
            r#"{"prompt_tokens":9,"cached_tokens":4,"prompt_tokens_details":null}"#,
        ] {
            assert_eq!(read(&mut Reader::new(text)).unwrap().cache_read, Some(4), "{text}");
        }
    }

    #[test]
    fn t153_the_total_never_counts_cached_tokens_twice() {
        let usage = Usage { input: Some(100), cache_read: Some(90), output: Some(5), ..Usage::default() };
        let mut out = Vec::new();
        write(&usage, &mut Writer::new(&mut out));
        assert!(String::from_utf8(out).unwrap().contains(r#""total_tokens":105"#));
    }
}
