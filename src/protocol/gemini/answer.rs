//! Writing parts: shared by requests, whole answers and streams.

use crate::protocol::json::{Raw, Str, Writer, as_object};

/// `{"text":…,"thought":true,"thoughtSignature":…}`.
pub(super) fn write_text(text: &Str<'_>, thought: bool, signature: Option<&Str<'_>>, w: &mut Writer<'_>) {
    w.begin_object().key("text").string(text);
    if thought {
        w.key("thought").boolean(true);
    }
    if let Some(signature) = signature {
        w.key("thoughtSignature").string(signature);
    }
    w.end_object();
}

/// Writes arguments as an object: as they stand if they are one (T061), else wrapped (T062, 8.1 no.
/// 17), never repaired (T060). Says whether they are what they were.
pub(super) fn write_arguments(arguments: &str, w: &mut Writer<'_>) -> bool {
    if let Some(object) = as_object(arguments) {
        w.raw(&object);
        return true;
    }
    if arguments.trim().is_empty() {
        w.begin_object().end_object();
        return true;
    }
    w.begin_object().key("_raw_arguments").text(arguments).end_object();
    false
}

/// A finished call, as a client gets it.
pub(super) struct Call<'c> {
    pub(super) id: &'c Str<'c>,
    pub(super) name: &'c Str<'c>,
    /// JSON, or free text of a custom tool.
    pub(super) arguments: &'c str,
    pub(super) custom: bool,
    /// Whether a length limit did not cut it off.
    pub(super) complete: bool,
}

impl Call<'_> {
    /// Whether the call may be handed on: half of its arguments must not be executed (T060).
    pub(super) fn is_usable(&self) -> bool {
        self.complete || !self.custom && as_object(self.arguments).is_some()
    }

    /// `{"functionCall":{…},"thoughtSignature":…}`.
    pub(super) fn write(&self, signature: Option<&Str<'_>>, w: &mut Writer<'_>) {
        w.begin_object().key("functionCall").begin_object();
        if !self.id.is_empty() {
            w.key("id").string(self.id);
        }
        w.key("name").string(self.name);
        w.key("args");
        if self.custom {
            w.begin_object().key("input").text(self.arguments).end_object();
        } else {
            write_arguments(self.arguments, w);
        }
        w.end_object();
        if let Some(signature) = signature {
            w.key("thoughtSignature").string(signature);
        }
        w.end_object();
    }
}

/// `{"inlineData":{…}}`.
pub(super) fn write_inline(mime: &Str<'_>, data: &Str<'_>, w: &mut Writer<'_>) {
    w.begin_object().key("inlineData").begin_object();
    w.key("mimeType").string(mime).key("data").string(data);
    w.end_object().end_object();
}

/// A part that is Gemini's own.
pub(super) fn write_native(raw: &Raw<'_>, w: &mut Writer<'_>) {
    w.raw(raw);
}
