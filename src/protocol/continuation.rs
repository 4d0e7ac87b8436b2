//! Going on with an answer that broke off: what was said so far, the request for the rest, and one stream of both.

#[cfg(test)]
mod tests;

use super::canonical::{Delta, ErrorView, Event, Exchange, PartHeader, Usage};
use super::json::{self, Str, Writer};
use super::{Endpoint, Protocol, StreamDecoder, StreamEncoder, decode_request, sse};

/// Longer texts are not gone on with: each is kept for as long as its stream lasts.
const MOST_TEXT: usize = 1 << 20;

/// Not generic: nobody waits for what is seldom used to be compiled for every protocol.
type Sink<'s> = &'s mut dyn FnMut(Event<'_>);

/// A stream of which another may become the rest.
///
/// Every event is written anew, so that nobody can tell from numbers and ids where one ends and the other begins; what
/// only one provider knows of is left out.
#[derive(Debug)]
pub struct Continuation {
    client: Protocol,
    seed: u64,
    events: sse::Decoder,
    decoder: StreamDecoder,
    course: Course,
    encoder: StreamEncoder,
}

/// What was said, and in which part.
#[derive(Debug, Default)]
struct Course {
    said: Str<'static>,
    /// The text that is open.
    open: Option<u32>,
    parts: u32,
    /// Whether it is more than one text, or has ended: nothing that another could go on with.
    is_final: bool,
    usage: Usage,
    rest: Option<Rest>,
}

/// The second stream.
#[derive(Debug, Default)]
struct Rest {
    /// What the first has cost.
    before: Usage,
    has_joined: bool,
    /// The part that comes, by its number there and here; `None` here: it is left out.
    part: Option<(u32, Option<u32>)>,
    /// The space that the prefill could not end with was sent already.
    skips_space: bool,
}

impl Continuation {
    /// For the answer to a request that a client has sent; `seed` is for ids that its protocol lacks. `None` if the
    /// request cannot be read.
    #[must_use]
    pub fn new(endpoint: &Endpoint, body: &str, seed: u64) -> Option<Self> {
        let client = endpoint.protocol;
        let request = decode_request(endpoint, body).ok()?;
        // The answer is in the client's protocol already, with what it is to see.
        let exchange = Exchange { show_reasoning: true, seed, ..Exchange::new(&request, client, client) };
        Some(Continuation {
            client,
            seed,
            events: sse::Decoder::default(),
            decoder: StreamDecoder::new(client, seed),
            course: Course::default(),
            encoder: StreamEncoder::new(&exchange),
        })
    }

    /// Appends what the client is to read for this piece of the stream.
    pub fn push(&mut self, data: &[u8], out: &mut Vec<u8>) {
        let Continuation { events, decoder, course, encoder, .. } = self;
        let mut write = |event: Event<'_>| encoder.event(&event, out);
        let mut sink: Sink<'_> = &mut |event| course.event(event, &mut write);
        let fits = events.push(data, |event| decoder.event(&event, &mut sink));
        // Whoever has made the stream has such a limit, too.
        course.is_final |= fits.is_err();
    }

    /// The stream has ended.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let Continuation { events, decoder, course, encoder, .. } = self;
        let mut write = |event: Event<'_>| encoder.event(&event, out);
        let mut sink: Sink<'_> = &mut |event| course.event(event, &mut write);
        events.finish(|event| decoder.event(&event, &mut sink));
        decoder.finish(&mut sink);
    }

    /// The stream has broken off for good: its end, for the client.
    pub fn fail(&mut self, error: ErrorView) -> Vec<u8> {
        let mut out = Vec::new();
        self.encoder.event(&Event::Error(error), &mut out);
        out
    }

    /// The request for the rest, if another could go on: the answer is one text so far, and has not ended.
    #[must_use]
    pub fn request(&self, body: &[u8]) -> Option<Vec<u8>> {
        let Course { said, is_final, rest, .. } = &self.course;
        let said = said.decode();
        // T127: Anthropic refuses an assistant's turn that ends with a space.
        let said = said.trim_end();
        let is_possible = !is_final && rest.is_none() && !said.is_empty();
        is_possible.then(|| prefilled(self.client, body, said)).flatten()
    }

    /// From here on comes the rest. `before` is what the beginning has cost, if somebody knows it better than it was
    /// told in the stream.
    pub fn resume(&mut self, before: Option<Usage>) {
        self.events = sse::Decoder::default();
        self.decoder = StreamDecoder::new(self.client, self.seed.wrapping_add(1));
        let course = &mut self.course;
        course.rest = Some(Rest {
            before: before.unwrap_or(course.usage),
            skips_space: course.said.decode().ends_with(char::is_whitespace),
            ..Rest::default()
        });
        course.usage = Usage::default();
    }
}

impl Course {
    fn event(&mut self, event: Event<'_>, sink: Sink<'_>) {
        match self.rest.take() {
            None => {
                self.note(&event);
                sink(event);
            }
            Some(mut rest) => {
                self.go_on(&mut rest, event, sink);
                self.rest = Some(rest);
            }
        }
    }

    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::PartStart { choice: 0, part, header } => {
                self.parts = part + 1;
                self.open = matches!(header, PartHeader::Text).then_some(*part);
                // Of two texts nobody knows which to go on with; reasoning before the first is no hindrance.
                let is_hindrance = match header {
                    PartHeader::Text => !self.said.is_empty(),
                    PartHeader::Reasoning | PartHeader::Redacted => false,
                    _ => true,
                };
                self.is_final |= is_hindrance;
            }
            Event::Delta { choice: 0, part, delta: Delta::Text(text) } if self.open == Some(*part) => {
                self.said.push(text);
                self.is_final |= self.said.len() > MOST_TEXT;
            }
            Event::PartEnd { choice: 0, part, .. } if self.open == Some(*part) => self.open = None,
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Start { .. } | Event::Ping | Event::End => {}
            Event::Finish { .. } | Event::Error(_) => self.is_final = true,
            // Another choice, or what stands beside a text.
            Event::PartStart { choice, .. } | Event::Delta { choice, .. } => self.is_final |= *choice > 0,
            Event::PartMeta { .. } | Event::PartEnd { .. } => {}
        }
    }

    fn go_on(&mut self, rest: &mut Rest, event: Event<'_>, sink: Sink<'_>) {
        match event {
            Event::PartStart { choice: 0, part, header } => {
                rest.part = Some((part, self.begin(rest, header, sink)))
            }
            Event::Delta { choice: 0, part, delta } => {
                let Some(part) = rest.here(part) else { return };
                match delta {
                    Delta::Text(text) if rest.skips_space && self.open == Some(part) => {
                        let text = text.decode();
                        let text = text.trim_start();
                        rest.skips_space = text.is_empty();
                        if !text.is_empty() {
                            sink(Event::Delta { choice: 0, part, delta: Delta::Text(Str::escape(text)) });
                        }
                    }
                    delta => sink(Event::Delta { choice: 0, part, delta }),
                }
            }
            Event::PartMeta { choice: 0, part, meta } => {
                if let Some(part) = rest.here(part) {
                    sink(Event::PartMeta { choice: 0, part, meta });
                }
            }
            Event::PartEnd { choice: 0, part, complete } => {
                let Some(part) = rest.here(part) else { return };
                self.open.take_if(|open| *open == part);
                sink(Event::PartEnd { choice: 0, part, complete });
            }
            Event::Usage(usage) => {
                self.usage.merge(&usage);
                sink(Event::Usage(rest.before.plus(&self.usage)));
            }
            Event::Finish { choice: 0, finish } => {
                self.close(sink);
                sink(Event::Finish { choice: 0, finish });
            }
            Event::End | Event::Error(_) => sink(event),
            // The answer has begun long ago, and has one choice.
            _ => {}
        }
    }

    /// The number of a part that begins; `None`: it is left out.
    fn begin(&mut self, rest: &mut Rest, header: PartHeader<'_>, sink: Sink<'_>) -> Option<u32> {
        match header {
            // The text has begun, so its reasoning is over.
            PartHeader::Reasoning | PartHeader::Redacted if !rest.has_joined => return None,
            PartHeader::Text if !rest.has_joined && self.open.is_some() => {
                rest.has_joined = true;
                return self.open;
            }
            _ => {}
        }
        self.close(sink);
        rest.has_joined = true;
        let part = self.parts;
        self.parts += 1;
        self.open = matches!(header, PartHeader::Text).then_some(part);
        sink(Event::PartStart { choice: 0, part, header });
        Some(part)
    }

    fn close(&mut self, sink: Sink<'_>) {
        if let Some(part) = self.open.take() {
            sink(Event::PartEnd { choice: 0, part, complete: true });
        }
    }
}

impl Rest {
    fn here(&self, there: u32) -> Option<u32> {
        self.part.filter(|(part, _)| *part == there)?.1
    }
}

/// The request with the beginning of its answer as the last turn.
fn prefilled(client: Protocol, body: &[u8], said: &str) -> Option<Vec<u8>> {
    let turns = match client {
        Protocol::Anthropic | Protocol::OpenAi => "messages",
        Protocol::Gemini => "contents",
        Protocol::Responses => "input",
    };
    let [turns, thinking] = json::members(body, [turns, "thinking"]).ok()?.spans;
    let turns = turns?;
    let value = body.get(turns.clone())?;
    let mut edits = Vec::with_capacity(2);
    let mut turn = Vec::new();
    match value.split_last()? {
        (b']', items) => {
            let is_empty = items.get(1..)?.trim_ascii().is_empty();
            turn.extend_from_slice(if is_empty { b"" } else { b"," });
            write_turn(client, said, &mut turn);
            edits.push((turns.end - 1..turns.end - 1, turn));
        }
        // Responses: a question alone.
        (b'"', _) => {
            turn.extend_from_slice(br#"[{"role":"user","content":"#);
            turn.extend_from_slice(value);
            turn.extend_from_slice(b"},");
            write_turn(client, said, &mut turn);
            turn.push(b']');
            edits.push((turns, turn));
        }
        _ => return None,
    }
    // The first turn of an answer that thinks would have to be its thoughts.
    if let Some(span) = thinking.filter(|_| client == Protocol::Anthropic) {
        edits.push((span, br#"{"type":"disabled"}"#.to_vec()));
    }
    Some(json::splice(body, edits))
}

fn write_turn(client: Protocol, said: &str, out: &mut Vec<u8>) {
    let mut w = Writer::new(out);
    w.begin_object();
    match client {
        Protocol::Anthropic | Protocol::OpenAi => {
            w.key("role").text("assistant");
            w.key("content").text(said);
        }
        Protocol::Gemini => {
            w.key("role").text("model");
            w.key("parts").begin_array().begin_object();
            w.key("text").text(said);
            w.end_object().end_array();
        }
        Protocol::Responses => {
            w.key("type").text("message");
            w.key("role").text("assistant");
            w.key("content").begin_array().begin_object();
            w.key("type").text("output_text");
            w.key("text").text(said);
            w.end_object().end_array();
        }
    }
    w.end_object();
}
