//! `usageMetadata` to and from the hub's counts (2.15).

use super::keys::camel;
use crate::protocol::canonical::Usage;
use crate::protocol::json::{Error, Reader, Writer};

/// One snapshot of `usageMetadata`, as it stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    prompt: Option<u64>,
    tool_use: Option<u64>,
    cached: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
}

/// Reads the object of a whole answer.
pub(in crate::protocol) fn read(value: &mut Reader<'_>) -> Result<Usage, Error> {
    let mut usage = Usage::default();
    Counts::read(value)?.absorb(&mut usage);
    Ok(usage)
}

impl Counts {
    /// Reads the object; anything else is passed over.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut counts = Counts::default();
        reader.lenient_object(|key, value| {
            // Modality lists end in `Details` and are not looked at.
            let slot = match &*camel(key) {
                "promptTokenCount" => &mut counts.prompt,
                "toolUsePromptTokenCount" => &mut counts.tool_use,
                "cachedContentTokenCount" => &mut counts.cached,
                // Vertex's name for a while.
                "candidatesTokenCount" | "responseTokenCount" => &mut counts.candidates,
                "thoughtsTokenCount" => &mut counts.thoughts,
                _ => return Ok(()),
            };
            *slot = value.lenient_u64()?;
            Ok::<_, Error>(())
        })?;
        Ok(counts)
    }

    /// Adds a later snapshot to what is known. A count that it lacks stays (T157); thoughts are
    /// output, tool use is input (T155).
    pub(super) fn absorb(&self, usage: &mut Usage) {
        if let Some(prompt) = self.prompt {
            // A snapshot without the tool-use count must not take it back.
            let input = prompt.saturating_add(self.tool_use.unwrap_or(0));
            usage.input = Some(input.max(usage.input.unwrap_or(0)));
        }
        let known_thoughts = usage.reasoning.unwrap_or(0);
        let known_candidates = usage.output.unwrap_or(0).saturating_sub(known_thoughts);
        if self.candidates.is_some() || self.thoughts.is_some() {
            let thoughts = self.thoughts.unwrap_or(known_thoughts);
            usage.output = Some(self.candidates.unwrap_or(known_candidates).saturating_add(thoughts));
        }
        usage.reasoning = self.thoughts.or(usage.reasoning);
        usage.cache_read = self.cached.or(usage.cache_read);
    }
}

/// Writes `"usageMetadata":{…}`; nothing if nothing is known.
pub(super) fn write(usage: &Usage, w: &mut Writer<'_>) {
    if usage.is_empty() {
        return;
    }
    let output = usage.output.unwrap_or(0);
    // Some servers count more thoughts than output; here the two are added up.
    let reasoning = usage.reasoning.unwrap_or(0).min(output);
    w.key("usageMetadata").begin_object();
    w.key("promptTokenCount").u64(usage.input.unwrap_or(0));
    if let Some(cached) = usage.cache_read.filter(|n| *n > 0) {
        w.key("cachedContentTokenCount").u64(cached);
    }
    w.key("candidatesTokenCount").u64(output.saturating_sub(reasoning));
    if reasoning > 0 {
        w.key("thoughtsTokenCount").u64(reasoning);
    }
    w.key("totalTokenCount").u64(usage.total());
    w.end_object();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(snapshots: &[&str]) -> Usage {
        let mut usage = Usage::default();
        for json in snapshots {
            Counts::read(&mut Reader::new(json)).unwrap().absorb(&mut usage);
        }
        usage
    }

    #[test]
    fn t155_thoughts_are_output_and_the_total_is_the_sum() {
        let usage = after(&[
            r#"{"promptTokenCount":20,"candidatesTokenCount":21,"thoughtsTokenCount":10,"totalTokenCount":51}"#,
        ]);
        assert_eq!((usage.input, usage.output, usage.reasoning), (Some(20), Some(31), Some(10)));
        assert_eq!(usage.total(), 51);
        let mut out = b"{".to_vec();
        write(&usage, &mut Writer::new(&mut out));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":21,"thoughtsTokenCount":10,"totalTokenCount":51}"#
        );
    }

    #[test]
    fn t157_what_a_later_snapshot_lacks_stays() {
        let usage = after(&[
            r#"{"promptTokenCount":100,"toolUsePromptTokenCount":5,"cachedContentTokenCount":80,"thoughtsTokenCount":7}"#,
            r#"{"promptTokenCount":100,"candidatesTokenCount":3}"#,
            r#"{"trafficType":"ON_DEMAND","candidatesTokenCount":4}"#,
        ]);
        let want = Usage {
            input: Some(105),
            cache_read: Some(80),
            output: Some(11),
            reasoning: Some(7),
            ..Usage::default()
        };
        assert_eq!(usage, want);
    }

    #[test]
    fn missing_counts_are_not_zero() {
        assert!(after(&["{}", "null", "[1]", r#"{"promptTokenCount":"x"}"#]).is_empty());
    }
}
