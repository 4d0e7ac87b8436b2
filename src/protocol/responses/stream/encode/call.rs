//! Calls of tools, and pictures that the model made.

use super::Encoder;
use super::feed::AFTER_OTHERS;
use crate::protocol::canonical::derived_id;
use crate::protocol::json::{Error, Reader, Str};
use crate::protocol::responses::stream::open::{Call, Image, Open, escaped};

pub(super) fn call_delta(custom: bool) -> &'static str {
    if custom { "response.custom_tool_call_input.delta" } else { "response.function_call_arguments.delta" }
}

impl Encoder {
    pub(super) fn open_call(&mut self, id: &Str<'_>, name: &Str<'_>, custom: bool, out: &mut Vec<u8>) {
        self.close(out);
        let (name, namespace, is_free_text) = self.settings.client_name(name);
        let native = self.settings.native(&name);
        let is_custom = custom || is_free_text;
        let mut call = Call {
            id: String::new(),
            call_id: self.call_id(id),
            name,
            namespace,
            custom: is_custom,
            wrapped: is_free_text && !custom,
            native,
            held: self.settings.hold_calls || native.is_some(),
            arguments: Vec::new(),
            opaque: None,
        };
        if !call.held {
            self.announce_call(&mut call, out);
        }
        self.open = Open::Call(call);
    }

    pub(super) fn announce_call(&mut self, call: &mut Call, out: &mut Vec<u8>) {
        call.id = self.ids.hex(match call.native {
            Some(native) => native.id_prefix(),
            None if call.custom => "ctc_",
            None => "fc_",
        });
        self.added(out, |w| call.write(false, true, w));
        self.feed.prepare(&call.id, self.index, None, AFTER_OTHERS);
    }

    /// The upstream's id, unless it cannot be used or names another call already (1.9, T092).
    pub(super) fn call_id(&mut self, id: &Str<'_>) -> String {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"_.:|-".contains(&b);
        let id = id.decode();
        let fits = !id.is_empty() && id.len() <= 256 && id.bytes().all(legal);
        let mut unique = if fits { id.clone().into_owned() } else { derived_id("call_", id.as_bytes()) };
        let mut ordinal = self.call_ids.len();
        while !self.call_ids.insert(unique.clone()) {
            unique = derived_id("call_", format!("{id}{ordinal}").as_bytes());
            ordinal += 1;
        }
        unique
    }

    pub(super) fn close_call(&mut self, complete: bool, out: &mut Vec<u8>) {
        let Open::Call(mut call) = std::mem::take(&mut self.open) else { return };
        if let Some(opaque) = call.opaque.take() {
            // Known too late for a call that has been sent already.
            if call.held {
                self.carrier(&opaque, &Str::escape(call.call_id.as_str()), out);
            }
        }
        if call.wrapped {
            call.arguments = unwrap_input(&call.arguments);
        }
        if let Some(native) = call.native.take()
            && complete
            && let Some(action) = native.action(&unescaped(&call.arguments))
        {
            call.native = Some(native);
            call.arguments = action.into_bytes();
        }
        if call.held {
            self.announce_call(&mut call, out);
        }
        if call.native.is_some() {
            return self.done(out, |w| call.write(true, complete, w));
        }
        if (call.held || call.wrapped) && !call.arguments.is_empty() {
            self.feed.delta(out, call_delta(call.custom), &call.arguments);
        }
        let name = if call.custom {
            "response.custom_tool_call_input.done"
        } else {
            "response.function_call_arguments.done"
        };
        self.feed.send(out, name, |w| {
            w.key("item_id").text(&call.id);
            w.key("output_index").u64(self.index);
            if !call.custom {
                w.key("name").string(&call.name);
            }
            w.key(if call.custom { "input" } else { "arguments" });
            escaped(w, &call.arguments);
        });
        self.done(out, |w| call.write(true, complete, w));
    }

    pub(super) fn open_image(&mut self, mime: &Str<'_>, out: &mut Vec<u8>) {
        self.close(out);
        let image = Image { id: self.ids.hex("ig_"), mime: mime.clone().into_owned(), data: Vec::new() };
        self.added(out, |w| image.write(false, w));
        self.open = Open::Image(image);
    }

    pub(super) fn close_image(&mut self, out: &mut Vec<u8>) {
        if let Open::Image(image) = std::mem::take(&mut self.open) {
            self.done(out, |w| image.write(true, w));
        }
    }
}

fn unescaped(text: &[u8]) -> String {
    Str::from_escaped(String::from_utf8_lossy(text)).decode().into_owned()
}

/// The free text in `{"input":"…"}`, escaped; anything else goes on as it came (T087).
fn unwrap_input(arguments: &[u8]) -> Vec<u8> {
    let json = unescaped(arguments);
    let mut input = None;
    let mut reader = Reader::new(&json);
    let read = reader.object(|key, value| {
        if key == "input" {
            input = value.lenient_string()?;
        }
        Ok::<_, Error>(())
    });
    match input {
        Some(input) if read.is_ok() => input.as_escaped().as_bytes().to_vec(),
        _ => arguments.to_vec(),
    }
}
