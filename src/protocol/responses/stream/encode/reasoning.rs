//! Reasoning items, and the empty ones that carry another part's state (1.8).

use super::Encoder;
use super::feed::AFTER_OTHERS;
use crate::protocol::canonical::envelope::seal;
use crate::protocol::canonical::{Opaque, OpaqueKind, Provider};
use crate::protocol::json::Str;
use crate::protocol::responses::stream::open::{Open, Reasoning, escaped};

impl Encoder {
    pub(super) fn open_reasoning(&mut self, opaque: Option<Opaque<'static>>, out: &mut Vec<u8>) {
        self.close(out);
        let reasoning = Reasoning { id: self.ids.hex("rs_"), text: Vec::new(), opaque, has_summary: false };
        self.added(out, |w| reasoning.write(None, false, w));
        self.open = Open::Reasoning(reasoning);
    }

    pub(super) fn reasoning_delta(&mut self, text: &Str<'_>, out: &mut Vec<u8>) {
        if !self.settings.show_reasoning {
            return;
        }
        let Open::Reasoning(reasoning) = &mut self.open else { return };
        if !reasoning.has_summary {
            reasoning.has_summary = true;
            self.feed.send(out, "response.reasoning_summary_part.added", |w| {
                reasoning.write_place(self.index, w);
                w.key("part").begin_object();
                w.key("type").text("summary_text").key("text").text("").end_object();
            });
            self.feed.prepare(&reasoning.id, self.index, Some(("summary_index", 0)), AFTER_OTHERS);
        }
        let text = text.as_escaped().as_bytes();
        reasoning.text.extend_from_slice(text);
        self.feed.delta(out, "response.reasoning_summary_text.delta", text);
    }

    pub(super) fn close_reasoning(&mut self, out: &mut Vec<u8>) {
        let Open::Reasoning(reasoning) = std::mem::take(&mut self.open) else { return };
        if reasoning.has_summary {
            self.feed.send(out, "response.reasoning_summary_text.done", |w| {
                reasoning.write_place(self.index, w);
                w.key("text");
                escaped(w, &reasoning.text);
            });
            self.feed.send(out, "response.reasoning_summary_part.done", |w| {
                reasoning.write_place(self.index, w);
                w.key("part");
                reasoning.write_part(w);
            });
        }
        let sealed = self.sealed(&reasoning);
        self.done(out, |w| reasoning.write(sealed.as_ref(), true, w));
    }

    /// State goes out in an envelope that says whose it is, so that it comes back to its issuer only.
    pub(super) fn sealed(&self, reasoning: &Reasoning) -> Option<Str<'static>> {
        let text = Str::from_escaped(String::from_utf8_lossy(&reasoning.text));
        match &reasoning.opaque {
            Some(opaque) => Some(seal(opaque, &text)),
            None if self.settings.mark_reasoning && reasoning.has_summary => {
                let nobody = Opaque::new(Provider::None, OpaqueKind::Signature, Str::EMPTY);
                Some(seal(&nobody, &text))
            }
            None => None,
        }
    }

    /// An empty reasoning item that carries the state of the text before it or the call after it,
    /// recognised by the hash of what it belongs to.
    pub(super) fn carrier(&mut self, opaque: &Opaque<'_>, owner: &Str<'_>, out: &mut Vec<u8>) {
        let sealed = seal(opaque, owner);
        let reasoning =
            Reasoning { id: self.ids.hex("rs_"), text: Vec::new(), opaque: None, has_summary: false };
        self.added(out, |w| reasoning.write(None, false, w));
        self.done(out, |w| reasoning.write(Some(&sealed), true, w));
    }
}
