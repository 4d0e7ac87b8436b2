//! The hub's request to Anthropic's JSON.

use super::super::{ANSWER_TOOL, WRAPPED_ANSWER_TOOL};
use super::marks::{self, Marks};
use super::plan::Message;
use super::thinking::{self, Settings};
use super::{define, plan, schema, settings, write};
use crate::protocol::canonical::{
    Action, CacheMark, Exchange, Format, Losses, Request, Role, Tool, restoration,
};
use crate::protocol::json::{Raw, Str, Writer};
use crate::protocol::{Protocol, RequestError, Target};

/// What an encoder looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'c> {
    pub(super) request: &'c Request<'c>,
    pub(super) exchange: &'c Exchange,
    pub(super) target: &'c Target<'c>,
}

impl Context<'_> {
    /// Whether the client speaks this protocol too.
    pub(super) fn is_native(&self) -> bool {
        self.exchange.client == Protocol::Anthropic
    }
}

/// Appends the request as Anthropic takes it.
///
/// # Errors
///
/// If a part of it cannot be said in this protocol and must not be left out.
pub(crate) fn encode(
    request: &Request<'_>,
    exchange: &Exchange,
    target: &Target<'_>,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let context = Context { request, exchange, target };
    settings::check(&context)?;
    let mut messages = plan::plan(&context, losses)?;
    let marks = marks::settle(&context, &mut messages, losses);
    let tools = define::chosen(&context, &marks.tools, losses)?;
    let (max_tokens, thought) = thinking::settle(&context, &messages, losses);
    let shape = Shape::of(&context, &thought);
    let mut w = Writer::new(out);
    w.begin_object();
    w.key("model").string(&Str::from(target.model));
    w.key("max_tokens").u64(max_tokens);
    if request.stream {
        w.key("stream").boolean(true);
    }
    system(&context, &marks, shape, losses, &mut w);
    conversation(&context, &messages, losses, &mut w)?;
    all_tools(&context, &tools, shape, losses, &mut w)?;
    thought.write(&mut w);
    output_config(&context, &thought, shape, losses, &mut w);
    settings::sampling(&context, thought.is_on(), losses, &mut w);
    settings::stop(&request.output.stop, losses, &mut w);
    settings::identity(&context, losses, &mut w);
    settings::service(&context, losses, &mut w);
    write::cache(marks.auto, &mut w);
    extras(&context, losses, &mut w);
    w.end_object();
    Ok(())
}

/// How the shape of the answer is asked for (section 2.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Free text.
    Text,
    /// In words, as the last resort.
    Words,
    /// By the API.
    Schema,
    /// By a tool that the model must call, for models without the API's way.
    Tool,
}

impl Shape {
    fn of(context: &Context<'_>, thought: &Settings) -> Self {
        match &context.request.output.format {
            Format::Text => Shape::Text,
            Format::JsonObject => Shape::Words,
            Format::JsonSchema { .. } if context.target.capabilities.structured_output => Shape::Schema,
            // A forced tool must not shadow the client's own, nor meet reasoning (T146).
            Format::JsonSchema { .. } if context.request.tools.is_empty() && !thought.is_on() => Shape::Tool,
            Format::JsonSchema { .. } => Shape::Words,
        }
    }
}

fn system(context: &Context<'_>, marks: &Marks, shape: Shape, losses: &mut Losses, w: &mut Writer<'_>) {
    let blocks = context.request.system.iter().zip(&marks.system);
    let mut blocks: Vec<(Str<'_>, Option<CacheMark>)> = blocks
        .filter(|(block, _)| !block.text.is_blank())
        .map(|(block, mark)| (block.text.borrowed(), *mark))
        .collect();
    if shape == Shape::Words {
        losses.add(Action::Approx, "response_format");
        blocks.push((context.request.output.format.as_instruction(), None));
    }
    match blocks.as_slice() {
        [] => {}
        [(text, None)] => {
            w.key("system").string(text);
        }
        blocks => {
            w.key("system").begin_array();
            for (text, mark) in blocks {
                write::text(text, *mark, w);
            }
            w.end_array();
        }
    }
}

fn conversation(
    context: &Context<'_>,
    messages: &[Message<'_>],
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    w.key("messages").begin_array();
    for message in messages {
        w.begin_object();
        w.key("role").text(match message.role {
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::System | Role::Developer => "system",
        });
        w.key("content");
        write::message(context, &message.items, losses, w)?;
        w.end_object();
    }
    w.end_array();
    Ok(())
}

fn all_tools(
    context: &Context<'_>,
    tools: &[(&Tool<'_>, Option<CacheMark>)],
    shape: Shape,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    if shape == Shape::Tool
        && let Format::JsonSchema { schema, .. } = &context.request.output.format
    {
        losses.add(Action::Emulate, "response_format");
        answer_tool(schema, losses, w);
        return Ok(());
    }
    define::tools(context, tools, losses, w)?;
    define::choice(context, losses, w);
    Ok(())
}

fn answer_tool(schema: &Raw<'_>, losses: &mut Losses, w: &mut Writer<'_>) {
    let name = if restoration::is_object_schema(schema) { ANSWER_TOOL } else { WRAPPED_ANSWER_TOOL };
    w.key("tools").begin_array().begin_object();
    w.key("name").text(name);
    w.key("description").text("Gives the answer to the user.");
    w.key("input_schema").json(&schema::object(schema, losses));
    w.end_object().end_array();
    w.key("tool_choice").begin_object();
    w.key("type").text("tool");
    w.key("name").text(name);
    w.end_object();
}

fn output_config(
    context: &Context<'_>,
    thought: &Settings,
    shape: Shape,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) {
    let format = match &context.request.output.format {
        Format::JsonSchema { schema, .. } if shape == Shape::Schema => Some(schema),
        _ => None,
    };
    let rest = context.request.extras.iter().filter_map(|(key, raw)| Some((own_key(key)?, raw)));
    let mut rest = rest.filter(|_| context.is_native()).peekable();
    if format.is_none() && thought.effort.is_none() && rest.peek().is_none() {
        return;
    }
    w.key("output_config").begin_object();
    if let Some(effort) = thought.effort {
        w.key("effort").text(effort);
    }
    if let Some(schema) = format {
        w.key("format").begin_object();
        w.key("type").text("json_schema");
        w.key("schema");
        if context.is_native() {
            w.raw(schema);
        } else {
            let guaranteed = schema::strict(schema.as_str());
            if guaranteed.is_narrower {
                losses.add(Action::Approx, "response_format.schema");
            }
            w.json(&guaranteed.schema);
        }
        w.end_object();
    }
    for (key, raw) in rest {
        w.key_str(&key).raw(raw);
    }
    w.end_object();
}

/// The name inside `output_config` of a member that the hub does not know.
fn own_key<'k>(key: &'k Str<'_>) -> Option<Str<'k>> {
    Some(Str::from_escaped(key.as_escaped().strip_prefix("output_config.")?))
}

/// Members that the hub does not know go back to their own protocol only (T149).
fn extras(context: &Context<'_>, losses: &mut Losses, w: &mut Writer<'_>) {
    let request = context.request;
    for (key, raw) in &request.extras {
        let name = key.decode();
        // A name with a dot stands for something deeper down.
        if context.is_native() && !name.contains('.') {
            w.key_str(key).raw(raw);
        } else if !context.is_native() || own_key(key).is_none() {
            Request::drop_extra(context.exchange.client, &name, losses);
        }
    }
    if request.output.verbosity.is_some() {
        losses.drop("verbosity");
    }
    if request.safety.is_some() {
        losses.drop("safetySettings");
    }
}
