//! The model behind a coding agent: `sim-agent` has the commands run that the user quotes, one after
//! the other, and tells what came of them.

use serde_json::{Value, json};

use super::ask::{Ask, Choice, Snippet, Tool};
use super::schema::Sampler;
use super::script::Call;

const MAX_COMMANDS: usize = 16;
const MAX_BYTES: usize = 1000;

/// What a tool that runs commands calls its command.
const NAMES: [&str; 2] = ["command", "cmd"];

/// What a function is called with that stands for a tool of free text.
const INPUT: &str = "input";

/// What the user wants done, and what was done for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Task {
    commands: Vec<String>,
    results: Vec<Snippet>,
}

impl Task {
    /// A text of the user. It is a new task if it quotes commands in backticks. Agents put texts of
    /// their own, in tags, among those of the user: they are none.
    pub(crate) fn user(&mut self, text: &str) {
        if text.trim_start().starts_with('<') {
            return;
        }
        let pairs = text.matches('`').count() / 2;
        let quoted = text.split('`').skip(1).step_by(2).take(pairs);
        let fits = |part: &&str| !part.trim().is_empty() && part.len() <= MAX_BYTES && !part.contains('\n');
        let commands: Vec<_> = quoted.filter(fits).take(MAX_COMMANDS).map(str::to_owned).collect();
        if !commands.is_empty() {
            *self = Task { commands, results: Vec::new() };
        }
    }

    /// The result of a tool.
    pub(crate) fn result(&mut self, result: &Snippet) {
        if self.results.len() < self.commands.len() {
            self.results.push(result.clone());
        }
    }

    /// What every tool said so far.
    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        for result in &self.results {
            text.push_str("The tool said: ");
            result.echo(&mut text);
            text.push(' ');
        }
        text
    }
}

/// The call that runs the next command, if one is left and a tool on offer runs commands.
pub(crate) fn next_call(ask: &Ask) -> Option<Call> {
    let command = ask.task.commands.get(ask.task.results.len())?;
    if ask.choice == Choice::None {
        return None;
    }
    let (tool, runner) = ask.tools.iter().find_map(|tool| Some((tool, Runner::of(tool)?)))?;
    let arguments = match runner {
        Runner::Script if tool.custom => script(command),
        Runner::Script => json!({ INPUT: script(command) }).to_string(),
        Runner::Command(name) => {
            let document = Sampler { root: &tool.schema, text: "", index: 0 }.document();
            let mut arguments: Value = serde_json::from_str(&document).ok()?;
            let list = tool.schema.get("properties")?.get(name)?.get("items").is_some();
            let value = if list { json!(["bash", "-c", command]) } else { json!(command) };
            arguments.as_object_mut()?.insert(name.to_owned(), value);
            arguments.to_string()
        }
    };
    Some(Call { name: tool.name.clone(), arguments, custom: tool.custom, namespace: tool.namespace.clone() })
}

/// How a tool runs commands.
#[derive(Clone, Copy)]
enum Runner {
    /// It takes one under this name.
    Command(&'static str),
    /// It takes JavaScript that calls the agent's other tools.
    Script,
}

impl Runner {
    fn of(tool: &Tool) -> Option<Self> {
        let has = |name: &str| tool.schema.get("properties").is_some_and(|all| all.get(name).is_some());
        if let Some(name) = NAMES.into_iter().find(|name| has(name)) {
            return Some(Runner::Command(name));
        }
        // A gateway may have put the namespace before the name.
        let scripts = tool.name == "exec" || tool.name.ends_with("__exec");
        (scripts && (tool.custom || has(INPUT))).then_some(Runner::Script)
    }
}

fn script(command: &str) -> String {
    format!("text(await tools.exec_command({}))", json!({ "cmd": command }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, schema: Value) -> Tool {
        Tool { name: name.into(), schema, custom: false, namespace: None }
    }

    fn agent(user: &[&str]) -> Ask {
        let edit = json!({"type": "object", "properties": {"path": {"type": "string"}}});
        let run = json!({"type": "object", "properties": {
            "command": {"type": "string"}, "description": {"type": "string"}, "timeout": {"type": "number"},
        }, "required": ["command", "description"]});
        let mut ask = Ask { tools: vec![tool("edit", edit), tool("run", run)], ..Ask::default() };
        user.iter().for_each(|text| ask.user(text));
        ask
    }

    #[test]
    fn the_commands_are_run_one_after_the_other_and_all_results_are_told() {
        let mut ask = agent(&["Run `cat a`, then `cat b`."]);
        let call = next_call(&ask).unwrap();
        assert_eq!((call.name.as_str(), call.custom), ("run", false));
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
        assert_eq!(arguments, json!({"command": "cat a", "description": "sample"}));
        ask.assistant("");
        ask.result(&["first"]);
        assert!(next_call(&ask).unwrap().arguments.contains("cat b"));
        ask.assistant("");
        ask.result(&["second"]);
        assert_eq!(next_call(&ask), None);
        assert_eq!(ask.task.report(), "The tool said: first The tool said: second ");
    }

    #[test]
    fn what_an_agent_says_among_the_users_words_is_no_task() {
        let mut ask = agent(&["<note>`rm`</note>", "Run `ls`", "no command here"]);
        ask.assistant("");
        ask.user("<note>`rm`</note>");
        assert!(next_call(&ask).unwrap().arguments.contains(r#""ls""#));
    }

    #[test]
    fn a_list_of_words_is_a_command_for_a_shell() {
        let schema = json!({"type": "object", "properties": {
            "cmd": {"type": "array", "items": {"type": "string"}},
        }});
        let ask = Ask { tools: vec![tool("shell", schema)], ..agent(&["`ls -l`"]) };
        assert_eq!(next_call(&ask).unwrap().arguments, r#"{"cmd":["bash","-c","ls -l"]}"#);
    }

    #[test]
    fn a_tool_for_scripts_gets_one_that_runs_the_command() {
        let script = r#"text(await tools.exec_command({"cmd":"ls"}))"#;
        let exec = Tool { custom: true, namespace: Some("ns".into()), ..tool("exec", Value::Null) };
        let call = next_call(&Ask { tools: vec![exec], ..agent(&["`ls`"]) }).unwrap();
        assert_eq!(
            (call.arguments.as_str(), call.custom, call.namespace.as_deref()),
            (script, true, Some("ns"))
        );
        let schema = json!({"type": "object", "properties": {"input": {"type": "string"}}});
        let call = next_call(&Ask { tools: vec![tool("ns__exec", schema)], ..agent(&["`ls`"]) }).unwrap();
        assert_eq!(call.arguments, json!({ "input": script }).to_string());
    }

    #[test]
    fn without_a_tool_or_a_command_nothing_is_called() {
        assert_eq!(next_call(&agent(&["hello", "unclosed `ls"])), None);
        assert_eq!(next_call(&Ask { tools: Vec::new(), ..agent(&["`ls`"]) }), None);
        assert_eq!(next_call(&Ask { choice: Choice::None, ..agent(&["`ls`"]) }), None);
    }
}
