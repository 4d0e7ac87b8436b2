//! Messages: consecutive texts are one part, a refusal is another (2.16).

use super::Encoder;
use super::feed::{AFTER_OTHERS, AFTER_TEXT};
use crate::protocol::canonical::envelope::TEXT;
use crate::protocol::canonical::{Citation, Opaque};
use crate::protocol::json::{Str, Writer, string_from_utf8};
use crate::protocol::responses::stream::open::{Message, Open, TextPart, escaped};

impl Encoder {
    /// A text or a refusal begins: nothing is sent of it until it says something.
    pub(super) fn promise_text(&mut self, refusal: bool, out: &mut Vec<u8>) {
        self.refuses = refusal;
        match &mut self.open {
            Open::Message(Message { part: Some(part), .. }) if part.refusal == refusal => {
                part.base = part.text.len();
            }
            Open::Message(_) => self.close_text(out),
            _ => {
                self.close(out);
                self.open = Open::Promise(None);
            }
        }
    }

    /// What was promised says something.
    pub(super) fn open_text(&mut self, out: &mut Vec<u8>) {
        if let Open::Promise(opaque) = &mut self.open {
            let opaque = opaque.take();
            let message = Message { opaque, ..Message::new(self.ids.hex("msg_")) };
            self.added(out, |w| message.write(false, w));
            self.open = Open::Message(message);
        }
        let Open::Message(message) = &mut self.open else { return };
        let refusal = self.refuses;
        let part = TextPart::new(refusal);
        self.feed.send(out, "response.content_part.added", |w| {
            message.write_place(self.index, w);
            w.key("part");
            part.write(false, w);
        });
        let after = if refusal { AFTER_OTHERS } else { AFTER_TEXT };
        self.feed.prepare(&message.id, self.index, Some(("content_index", message.parts)), after);
        message.part = Some(part);
    }

    /// A text ends that never said anything: its state goes out alone, and says whose it is.
    pub(super) fn close_promise(&mut self, out: &mut Vec<u8>) {
        if let Open::Promise(Some(opaque)) = std::mem::take(&mut self.open) {
            let opaque = Opaque { item_id: Some(Str::from(TEXT)), ..opaque };
            self.carrier(&opaque, &Str::EMPTY, out);
        }
    }

    /// Ends the open part of the open message.
    pub(super) fn close_text(&mut self, out: &mut Vec<u8>) {
        let Open::Message(message) = &mut self.open else { return };
        let Some(part) = message.part.take() else { return };
        let name = if part.refusal { "response.refusal.done" } else { "response.output_text.done" };
        self.feed.send(out, name, |w| {
            message.write_place(self.index, w);
            w.key(if part.refusal { "refusal" } else { "text" });
            escaped(w, &part.text);
            if !part.refusal {
                part.write_logprobs(true, w);
            }
        });
        self.feed.send(out, "response.content_part.done", |w| {
            message.write_place(self.index, w);
            w.key("part");
            part.write(true, w);
        });
        part.write(true, &mut Writer::new(&mut message.content));
        message.parts += 1;
        message.text = part.text;
    }

    pub(super) fn close_message(&mut self, out: &mut Vec<u8>) {
        self.close_text(out);
        if let Open::Message(message) = std::mem::take(&mut self.open) {
            self.done(out, |w| message.write(true, w));
            if let Some(opaque) = message.opaque {
                self.carrier(&opaque, &Str::from_escaped(string_from_utf8(message.text)), out);
            }
        }
    }

    pub(super) fn citation(&mut self, citation: &Citation<'_>, out: &mut Vec<u8>) {
        let Open::Message(message) = &mut self.open else { return };
        let Some(mut part) = message.part.take_if(|part| !part.refusal) else { return };
        self.feed.send(out, "response.output_text.annotation.added", |w| {
            message.write_place(self.index, w);
            w.key("annotation_index").u64(part.annotated);
            w.key("annotation");
            part.write_annotation(citation, w);
        });
        let mut annotations = std::mem::take(&mut part.annotations);
        part.write_annotation(citation, &mut Writer::new(&mut annotations));
        part.annotations = annotations;
        part.annotated += 1;
        message.part = Some(part);
    }
}
