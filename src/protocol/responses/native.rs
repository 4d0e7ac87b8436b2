//! Tools that the client runs and whose shape only this protocol knows: `local_shell`, `shell`, `apply_patch`.
//! For other upstreams they are functions with the documented members; their calls come back as the items that the
//! client waits for (2.7, 2.8).

use std::borrow::Cow;

use crate::protocol::canonical::Part;
use crate::protocol::json::{Error, Later, Object, Raw, Reader, Str, Writer, string_from_utf8};

/// One of these tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Native {
    LocalShell,
    Shell,
    ApplyPatch,
}

/// What OpenAI's models are trained on and others have to be told.
const DIFF: &str = "In `diff` every line starts with a space (context), `-` (removed) or `+` (added); a new file has \
    only `+` lines. Hunks start with a line `@@`, which may name the class or function that they stand in; there are \
    no line numbers. Give three lines of context around each change.";

impl Native {
    const ALL: [Self; 3] = [Native::LocalShell, Native::Shell, Native::ApplyPatch];

    /// The tool of this type, which is its name as a function too.
    pub(super) fn of_tool(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == tag)
    }

    /// The tool that an item of this type calls, or answers for.
    pub(super) fn of_item(kind: &str) -> Option<(Self, bool)> {
        let (call, is_output) = match kind.strip_suffix("_output") {
            Some(call) => (call, true),
            None => (kind, false),
        };
        let tool = Self::of_tool(call.strip_suffix("_call")?)?;
        Some((tool, is_output))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Native::LocalShell => "local_shell",
            Native::Shell => "shell",
            Native::ApplyPatch => "apply_patch",
        }
    }

    /// The type of its calls.
    pub(super) fn call_type(self) -> &'static str {
        match self {
            Native::LocalShell => "local_shell_call",
            Native::Shell => "shell_call",
            Native::ApplyPatch => "apply_patch_call",
        }
    }

    /// How the ids of its calls begin.
    pub(super) fn id_prefix(self) -> &'static str {
        match self {
            Native::LocalShell => "lsh_",
            Native::Shell => "sh_",
            Native::ApplyPatch => "apc_",
        }
    }

    /// The member of a call that says what to do.
    pub(super) fn member(self) -> &'static str {
        match self {
            Native::LocalShell | Native::Shell => "action",
            Native::ApplyPatch => "operation",
        }
    }

    /// What the function does, with what the client said of the place that it runs in.
    pub(super) fn description(self, environment: Option<&Raw<'_>>) -> Str<'static> {
        let mut text = match self {
            Native::LocalShell => "Runs one command on the user's machine and returns its output.".to_owned(),
            Native::Shell => {
                "Runs shell commands on the user's machine and returns stdout, stderr and outcome of each."
                    .to_owned()
            }
            Native::ApplyPatch => format!("Creates, changes or deletes one file. {DIFF}"),
        };
        let environment = environment.and_then(|raw| Object::parse(raw.as_str()).ok()).unwrap_or_default();
        if let Some(skills) = environment.get("skills").filter(|skills| skills.as_str() != "[]") {
            text.push_str("\n\nSkills on that machine, as JSON: ");
            text.push_str(skills.as_str());
        }
        Str::escape(text)
    }

    /// The documented members.
    pub(super) fn schema(self) -> Raw<'static> {
        Raw::from_json(match self {
            Native::LocalShell => concat!(
                r#"{"type":"object","properties":{"#,
                r#""command":{"type":"array","items":{"type":"string"},"description":"The program and its arguments."},"#,
                r#""env":{"type":"object","additionalProperties":{"type":"string"},"description":"Environment variables."},"#,
                r#""timeout_ms":{"type":"integer"},"#,
                r#""user":{"type":"string","description":"The user to run it as."},"#,
                r#""working_directory":{"type":"string"}},"#,
                r#""required":["command"]}"#
            ),
            Native::Shell => concat!(
                r#"{"type":"object","properties":{"#,
                r#""commands":{"type":"array","items":{"type":"string"},"description":"The commands to run."},"#,
                r#""timeout_ms":{"type":"integer"},"#,
                r#""max_output_length":{"type":"integer","description":"Most characters of output to return."}},"#,
                r#""required":["commands"]}"#
            ),
            Native::ApplyPatch => concat!(
                r#"{"type":"object","properties":{"#,
                r#""type":{"type":"string","enum":["create_file","update_file","delete_file"]},"#,
                r#""path":{"type":"string","description":"Path of the file."},"#,
                r#""diff":{"type":"string","description":"create_file, update_file: the change."}},"#,
                r#""required":["type","path"]}"#
            ),
        })
    }

    /// The arguments of a call in the history, from the member that says what to do.
    pub(super) fn arguments<'a>(self, action: Option<Raw<'a>>) -> Cow<'a, str> {
        let Some(action) = action.filter(Raw::is_object) else { return Cow::Borrowed("{}") };
        if self != Native::LocalShell {
            return action.into_text();
        }
        let Ok(mut members) = Object::parse(action.as_str()) else { return action.into_text() };
        // There is only one kind of action.
        members.remove("type");
        Cow::Owned(members.to_json())
    }

    /// What a call came to, and whether it failed. Only the patch has a word for that.
    pub(super) fn result<'a>(
        self,
        output: Option<Later<'a>>,
        status: &Str<'a>,
    ) -> Result<(Vec<Part<'a>>, bool), Error> {
        let failed = self == Native::ApplyPatch && *status == "failed";
        let text = match output {
            Some(Later::Text(text)) => text,
            // The outputs of several commands: their JSON says all there is.
            Some(Later::Value(mut value)) if !value.clone().null()? => Str::escape(value.raw()?.into_text()),
            _ if self == Native::ApplyPatch => status.clone(),
            _ => Str::EMPTY,
        };
        let content = if text.is_empty() { Vec::new() } else { vec![Part::text(text)] };
        Ok((content, failed))
    }

    /// The member of an answered call, from a model's arguments. `None` if they do not say what to do.
    pub(super) fn action(self, arguments: &str) -> Option<String> {
        let given = Object::parse(arguments).ok()?;
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out);
        w.begin_object();
        match self {
            Native::LocalShell => {
                w.key("type").text("exec");
                w.key("command").raw(&list(&given, "command")?);
                w.key("env").raw(&given.get("env").filter(Raw::is_object).unwrap_or(Raw::from_json("{}")));
                for key in ["timeout_ms", "user", "working_directory"] {
                    if let Some(value) = given.get(key).filter(|value| !value.is_null()) {
                        w.key(key).raw(&value);
                    }
                }
            }
            Native::Shell => {
                w.key("commands").raw(&list(&given, "commands")?);
                for key in ["timeout_ms", "max_output_length"] {
                    w.key(key).raw(&given.get(key).unwrap_or(Raw::from_json("null")));
                }
            }
            Native::ApplyPatch => {
                let text = |key| given.get(key).and_then(|value| value.as_text().map(Str::into_owned));
                let kind = text("type")?;
                w.key("type").string(&kind);
                w.key("path").string(&text("path")?);
                match &*kind.decode() {
                    "create_file" => w.key("diff").string(&text("diff").unwrap_or_default()),
                    "update_file" => w.key("diff").string(&text("diff")?),
                    "delete_file" => &mut w,
                    _ => return None,
                };
            }
        }
        w.end_object();
        Some(string_from_utf8(out))
    }
}

/// A list of texts that is not empty; one text alone counts as such.
fn list(given: &Object, key: &str) -> Option<Raw<'static>> {
    let value = given.get(key)?;
    if value.as_text().is_some() {
        return Some(Raw::from_json(format!("[{}]", value.as_str())));
    }
    let mut some = false;
    let read = Reader::new(value.as_str()).array(|word| {
        some = true;
        word.string().map(|_| ())
    });
    (read.is_ok() && some).then(|| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_say_nothing_are_no_action() {
        for (tool, arguments) in [
            (Native::Shell, r#"{}"#),
            (Native::Shell, r#"{"commands":[]}"#),
            (Native::Shell, r#"{"commands":[1]}"#),
            (Native::Shell, r#"{"commands":["ls"]"#),
            (Native::LocalShell, r#"{"commands":["ls"]}"#),
            (Native::ApplyPatch, r#"{"type":"update_file","path":"a"}"#),
            (Native::ApplyPatch, r#"{"type":"move_file","path":"a"}"#),
            (Native::ApplyPatch, r#"[]"#),
        ] {
            assert_eq!(tool.action(arguments), None, "{arguments}");
        }
    }

    #[test]
    fn actions_have_every_member_that_the_client_reads() {
        for (tool, arguments, action) in [
            (
                Native::Shell,
                r#"{"commands":["a\nb","c"],"timeout_ms":1}"#,
                r#"{"commands":["a\nb","c"],"timeout_ms":1,"max_output_length":null}"#,
            ),
            (
                Native::Shell,
                r#"{"commands":"ls"}"#,
                r#"{"commands":["ls"],"timeout_ms":null,"max_output_length":null}"#,
            ),
            (
                Native::LocalShell,
                r#"{"command":["ls"],"user":null,"working_directory":"/x"}"#,
                r#"{"type":"exec","command":["ls"],"env":{},"working_directory":"/x"}"#,
            ),
            (
                Native::ApplyPatch,
                r#"{"path":"a","type":"create_file"}"#,
                r#"{"type":"create_file","path":"a","diff":""}"#,
            ),
            (
                Native::ApplyPatch,
                r#"{"path":"a","type":"delete_file","diff":"x"}"#,
                r#"{"type":"delete_file","path":"a"}"#,
            ),
        ] {
            assert_eq!(tool.action(arguments).as_deref(), Some(action));
        }
    }
}
