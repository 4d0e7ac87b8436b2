//! Tools and tool choice, as the client gives them.

use std::collections::HashSet;

use super::strict;
use crate::protocol::canonical::{Allowed, Tool, ToolChoice, ToolKind};
use crate::protocol::json::{Error, Kind, Object, Raw, Reader, Str, Writer, string_from_utf8};
use crate::protocol::responses::item::flat_name;
use crate::protocol::responses::native::Native;
use crate::protocol::{Protocol, RequestError};

/// The tools of a request, from its `tools` and from its items.
#[derive(Default)]
pub(super) struct Toolbox<'a> {
    pub(super) tools: Vec<Tool<'a>>,
    /// Whether a tool was to be loaded only when it is searched for. It is always loaded.
    pub(super) deferred: bool,
    /// Flat name, namespace, name in it.
    names: Vec<(Str<'a>, Str<'a>, Str<'a>)>,
}

/// The members of a tool, before its type is known.
#[derive(Default)]
struct Members<'a> {
    kind: Str<'a>,
    name: Str<'a>,
    description: Option<Str<'a>>,
    parameters: Option<Raw<'a>>,
    strict: Option<bool>,
    format: Option<Raw<'a>>,
    tools: Option<Reader<'a>>,
    environment: Option<Raw<'a>>,
    deferred: bool,
}

impl<'a> Toolbox<'a> {
    /// Reads a list of tools.
    pub(super) fn read(&mut self, value: &mut Reader<'a>) -> Result<(), RequestError> {
        value.array(|tool| self.tool(tool, None))
    }

    /// Takes over tools that came as items; one that was declared already stays as it was.
    pub(super) fn join(&mut self, other: Toolbox<'a>) {
        let known: HashSet<(bool, String)> =
            self.tools.iter().map(|tool| (is_native(tool), tool.name.decode().into_owned())).collect();
        let new = |is_native: bool, name: &Str<'_>| {
            name.is_empty() || !known.contains(&(is_native, name.decode().into_owned()))
        };
        self.deferred |= other.deferred;
        self.tools.extend(other.tools.into_iter().filter(|tool| new(is_native(tool), &tool.name)));
        self.names.extend(other.names.into_iter().filter(|(flat, ..)| new(false, flat)));
    }

    /// Gives a tool that is a function elsewhere another name, if the client has a function of that name: that one
    /// keeps it (2.8). Tells which got which.
    pub(super) fn make_way(&mut self) -> Vec<(Native, Str<'static>)> {
        if !self.tools.iter().any(is_native) {
            return Vec::new();
        }
        let own = self.tools.iter().filter(|tool| !is_native(tool));
        let taken: HashSet<String> = own.map(|tool| tool.name.decode().into_owned()).collect();
        let mut renamed = Vec::new();
        for tool in self.tools.iter_mut().filter(|tool| is_native(tool)) {
            let plain = tool.name.decode();
            let Some(native) = Native::of_tool(&plain).filter(|_| taken.contains(&*plain)) else { continue };
            let mut name = format!("{plain}_tool");
            while taken.contains(&name) {
                name.push('_');
            }
            let name = Str::from(name);
            renamed.push((native, name.clone()));
            tool.name = name;
        }
        renamed
    }

    /// The flat names as a JSON object `{"ns__name":["ns","name"]}`, if there are namespaces.
    pub(super) fn namespaces(&self) -> Option<Raw<'a>> {
        if self.names.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out);
        w.begin_object();
        for (flat, namespace, name) in &self.names {
            w.key_str(flat).begin_array().string(namespace).string(name).end_array();
        }
        w.end_object();
        Some(Raw::from_json(string_from_utf8(out)))
    }

    fn tool(&mut self, value: &mut Reader<'a>, namespace: Option<&Str<'a>>) -> Result<(), RequestError> {
        let mut whole = value.clone();
        let mut m = Members::default();
        value.object(|key, value| m.read(key, value))?;
        self.deferred |= m.deferred;
        if let Some(native) = Native::of_tool(&m.kind.decode()).filter(|_| !m.runs_at_openai()) {
            self.tools.push(Tool {
                name: native.name().into(),
                description: Some(native.description(m.environment.as_ref())),
                schema: Some(native.schema()),
                strict: None,
                kind: ToolKind::Client { tag: native.name().into(), raw: whole.raw()? },
                cache: None,
            });
            return Ok(());
        }
        match &*m.kind.decode() {
            // A type may be missing where only functions are known.
            "function" | "" => {
                let strict = Some(m.strict.unwrap_or_else(|| strict::qualifies(m.parameters.as_ref())));
                self.add(m, namespace, strict, ToolKind::Function);
            }
            "custom" => {
                let format = m.format.take();
                self.add(m, namespace, None, ToolKind::Custom { format });
            }
            "namespace" if namespace.is_none() => {
                if let Some(mut tools) = m.tools {
                    tools.array(|tool| self.tool(tool, Some(&m.name)))?;
                }
            }
            _ => self.tools.push(Tool {
                name: m.name,
                description: None,
                schema: None,
                strict: None,
                kind: ToolKind::Hosted {
                    protocol: Protocol::Responses,
                    tag: m.kind.clone(),
                    raw: whole.raw()?,
                },
                cache: None,
            }),
        }
        Ok(())
    }

    fn add(&mut self, m: Members<'a>, namespace: Option<&Str<'a>>, strict: Option<bool>, kind: ToolKind<'a>) {
        let name = match namespace {
            Some(namespace) => {
                let flat = flat_name(namespace, m.name.clone());
                self.names.push((flat.clone(), namespace.clone(), m.name));
                flat
            }
            None => m.name,
        };
        self.tools.push(Tool {
            name,
            description: m.description,
            schema: m.parameters.filter(|schema| !schema.is_null()),
            strict,
            kind,
            cache: None,
        });
    }
}

/// Whether the tool is a function at other upstreams only.
fn is_native(tool: &Tool<'_>) -> bool {
    matches!(tool.kind, ToolKind::Client { .. })
}

impl<'a> Members<'a> {
    fn read(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), RequestError> {
        match key {
            "type" => self.kind = value.string()?,
            "name" => self.name = value.lenient_string()?.unwrap_or_default(),
            "description" => self.description = value.string_or_null()?,
            "parameters" => self.parameters = Some(value.raw()?),
            "strict" => self.strict = value.boolean_or_null()?,
            "format" => self.format = Some(value.raw()?),
            "tools" => self.tools = Some(value.clone()),
            "environment" => self.environment = Some(value.raw()?),
            "defer_loading" => self.deferred = value.boolean_or_null()? == Some(true),
            // The nested shape of the sister protocol.
            "function" if value.peek()? == Kind::Object => value.object(|key, value| match key {
                "function" | "tools" => Ok(()),
                _ => self.nested(key, value),
            })?,
            _ => {}
        }
        Ok(())
    }

    /// Whether the tool works in a container of the provider's: that is nobody else's to run.
    fn runs_at_openai(&self) -> bool {
        let environment = self.environment.as_ref().filter(|raw| !raw.is_null());
        let kind = environment.map(|raw| Object::parse(raw.as_str()).unwrap_or_default());
        kind.is_some_and(|environment| {
            environment.get("type").and_then(|kind| kind.as_text().map(Str::into_owned)).unwrap_or_default()
                != "local"
        })
    }

    fn nested(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), RequestError> {
        match key {
            "name" => self.name = value.string()?,
            "description" => self.description = value.string_or_null()?,
            "parameters" => self.parameters = Some(value.raw()?),
            "strict" => self.strict = value.boolean_or_null()?,
            _ => {}
        }
        Ok(())
    }
}

/// A tool choice, or one that means a hosted tool.
pub(super) enum Choice<'a> {
    /// With those of this protocol's own tools that are among the allowed ones.
    Known(ToolChoice<'a>, Vec<Native>),
    /// One of this protocol's own tools.
    Native(Native),
    Foreign(Raw<'a>),
}

/// Reads `tool_choice`.
pub(super) fn choice<'a>(value: &mut Reader<'a>) -> Result<Choice<'a>, RequestError> {
    let mut whole = value.clone();
    if value.peek()? == Kind::String {
        return match &*value.string()?.decode() {
            "auto" => Ok(Choice::Known(ToolChoice::Auto, Vec::new())),
            "none" => Ok(Choice::Known(ToolChoice::None, Vec::new())),
            "required" => Ok(Choice::Known(ToolChoice::Required, Vec::new())),
            _ => Err(RequestError::invalid("tool_choice", "must be auto, none, required or an object")),
        };
    }
    let (mut kind, mut name, mut required) = (Str::EMPTY, Named::default(), false);
    let (mut allowed, mut natives) = (Some(Vec::new()), Vec::new());
    value.object(|key, value| {
        match key {
            "type" => kind = value.string()?,
            "mode" => required = value.string()? == "required",
            "tools" => allowed = names(value, &mut natives)?,
            _ => name.read(key, value)?,
        }
        Ok::<_, Error>(())
    })?;
    Ok(match (&*kind.decode(), allowed) {
        ("function" | "custom", _) if !name.name.is_empty() => {
            Choice::Known(ToolChoice::Tool(name.flat()), natives)
        }
        ("allowed_tools", Some(names)) => {
            Choice::Known(ToolChoice::Allowed(Allowed { names, required }), natives)
        }
        (tag, _) => match Native::of_tool(tag) {
            Some(native) => Choice::Native(native),
            None => Choice::Foreign(whole.raw()?),
        },
    })
}

/// A tool's name, wherever a client puts it.
#[derive(Default)]
struct Named<'a> {
    name: Str<'a>,
    namespace: Str<'a>,
}

impl<'a> Named<'a> {
    fn read(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "name" => self.name = value.lenient_string()?.unwrap_or_default(),
            "namespace" => self.namespace = value.lenient_string()?.unwrap_or_default(),
            // The nested shape of the sister protocol.
            "function" | "custom" => value.lenient_object(|key, value| {
                if key == "name" {
                    self.name = value.lenient_string()?.unwrap_or_default();
                }
                Ok::<_, Error>(())
            })?,
            _ => {}
        }
        Ok(())
    }

    fn flat(self) -> Str<'a> {
        flat_name(&self.namespace, self.name)
    }
}

/// The names of allowed tools, those of this protocol's own apart; `None` if one of them is a hosted tool, which has
/// none.
fn names<'a>(value: &mut Reader<'a>, natives: &mut Vec<Native>) -> Result<Option<Vec<Str<'a>>>, Error> {
    let mut names = Some(Vec::new());
    value.lenient_array(|tool| {
        let (mut named, mut kind) = (Named::default(), Str::EMPTY);
        tool.lenient_object(|key, value| {
            if key == "type" {
                kind = value.lenient_string()?.unwrap_or_default();
                return Ok(());
            }
            named.read(key, value)
        })?;
        if let Some(native) = Native::of_tool(&kind.decode()) {
            natives.push(native);
            return Ok(());
        }
        let is_client = kind.is_empty() || kind == "function" || kind == "custom";
        if named.name.is_empty() || !is_client {
            names = None;
        } else if let Some(names) = &mut names {
            names.push(named.flat());
        }
        Ok::<_, Error>(())
    })?;
    Ok(names)
}
