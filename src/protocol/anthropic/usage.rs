//! Token counts as Anthropic gives them: input without what came from a cache (section 2.15).

use crate::protocol::canonical::Usage;
use crate::protocol::json::{Error, Reader, Writer};

/// The members of a `usage` object, each as sent, or absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    output: Option<u64>,
    reasoning: Option<u64>,
}

/// Reads the object of a whole answer.
pub(in crate::protocol) fn read(value: &mut Reader<'_>) -> Result<Usage, Error> {
    let mut counts = Counts::default();
    counts.read(value)?;
    Ok(counts.usage())
}

impl Counts {
    /// Takes the `usage` object that `reader` stands at; what it lacks stays (T052, T156).
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let (mut total, mut short, mut long) = (None, None, None);
        reader.lenient_object(|key, value| {
            match key {
                "input_tokens" => keep(&mut self.input, value.lenient_u64()?),
                "output_tokens" => keep(&mut self.output, value.lenient_u64()?),
                "cache_read_input_tokens" => keep(&mut self.cache_read, value.lenient_u64()?),
                "cache_creation_input_tokens" => total = value.lenient_u64()?,
                "cache_creation" => value.lenient_object(|key, value| {
                    match key {
                        "ephemeral_5m_input_tokens" => short = value.lenient_u64()?,
                        "ephemeral_1h_input_tokens" => long = value.lenient_u64()?,
                        _ => {}
                    }
                    Ok::<_, Error>(())
                })?,
                "output_tokens_details" => value.lenient_object(|key, value| {
                    if key == "thinking_tokens" {
                        keep(&mut self.reasoning, value.lenient_u64()?);
                    }
                    Ok::<_, Error>(())
                })?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        let split =
            (short.is_some() || long.is_some()).then(|| short.unwrap_or(0).saturating_add(long.unwrap_or(0)));
        keep(&mut self.cache_write, total.or(split));
        keep(&mut self.cache_write_1h, long);
        Ok(())
    }

    /// The counts in the hub's form, where input includes the cached part (T153).
    pub(super) fn usage(self) -> Usage {
        let parts = [self.input, self.cache_read, self.cache_write];
        let input = parts
            .iter()
            .any(Option::is_some)
            .then(|| parts.iter().flatten().fold(0u64, |sum, count| sum.saturating_add(*count)));
        let long = self.cache_write_1h.unwrap_or(0);
        Usage {
            input,
            cache_read: self.cache_read,
            cache_write: self.cache_write.map(|all| all.saturating_sub(long)),
            cache_write_1h: self.cache_write_1h,
            output: self.output,
            reasoning: self.reasoning,
            is_input_estimated: false,
            is_output_estimated: false,
        }
    }
}

impl From<&Usage> for Counts {
    /// The way back, so that counts which come in two events can be merged part by part.
    fn from(usage: &Usage) -> Self {
        Counts {
            input: usage.input.map(|_| usage.fresh_input()),
            cache_read: usage.cache_read,
            cache_write: written(usage),
            cache_write_1h: usage.cache_write_1h,
            output: usage.output,
            reasoning: usage.reasoning,
        }
    }
}

fn keep(mine: &mut Option<u64>, theirs: Option<u64>) {
    if theirs.is_some() {
        *mine = theirs;
    }
}

fn written(usage: &Usage) -> Option<u64> {
    match (usage.cache_write, usage.cache_write_1h) {
        (None, None) => None,
        (short, long) => Some(short.unwrap_or(0).saturating_add(long.unwrap_or(0))),
    }
}

/// Writes a `usage` object. SDKs crash on `null` counts, so unknown is 0 (T158). `searches` are those that the
/// answer tells of: no other protocol counts them.
pub(super) fn write(usage: &Usage, searches: u64, w: &mut Writer<'_>) {
    w.begin_object();
    w.key("input_tokens").u64(usage.fresh_input());
    w.key("cache_creation_input_tokens").u64(written(usage).unwrap_or(0));
    w.key("cache_read_input_tokens").u64(usage.cache_read.unwrap_or(0));
    if let Some(long) = usage.cache_write_1h {
        w.key("cache_creation").begin_object();
        w.key("ephemeral_5m_input_tokens").u64(usage.cache_write.unwrap_or(0));
        w.key("ephemeral_1h_input_tokens").u64(long);
        w.end_object();
    }
    w.key("output_tokens").u64(usage.output.unwrap_or(0));
    if let Some(reasoning) = usage.reasoning {
        w.key("output_tokens_details").begin_object();
        w.key("thinking_tokens").u64(reasoning);
        w.end_object();
    }
    if searches > 0 {
        w.key("server_tool_use").begin_object();
        w.key("web_search_requests").u64(searches);
        w.key("web_fetch_requests").u64(0);
        w.end_object();
    }
    w.end_object();
}
