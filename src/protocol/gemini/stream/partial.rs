//! Vertex's `partialArgs`: arguments that come as JSON paths and values (3.2).

use super::super::keys::{camel, each};
use crate::protocol::json::{Error, Kind, Raw, Reader, Str, Writer};

/// Levels and list positions beyond these are no arguments of anybody's.
const MAX_STEPS: usize = 64;
const MAX_INDEX: usize = 10_000;

/// Arguments that grow piece by piece.
#[derive(Debug, Default)]
pub(super) struct PartialArgs {
    root: Node,
}

#[derive(Debug)]
enum Node {
    Object(Vec<(String, Node)>),
    List(Vec<Node>),
    /// Text, still escaped: pieces of the same path append to it.
    Text(String),
    Raw(String),
}

impl Default for Node {
    fn default() -> Self {
        Node::Object(Vec::new())
    }
}

enum Step {
    Key(String),
    Index(usize),
}

impl PartialArgs {
    /// Takes one list of pieces.
    pub(super) fn push(&mut self, pieces: &Raw<'_>) -> Result<(), Error> {
        each(&mut Reader::new(pieces.as_str()), |piece| self.piece(piece))
    }

    fn piece(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let mut path = String::new();
        let mut value = None;
        reader.lenient_object(|key, member| {
            match &*camel(key) {
                "jsonPath" => {
                    path = member.lenient_string()?.map(|p| p.decode().into_owned()).unwrap_or_default();
                }
                "stringValue" if member.peek()? == Kind::String => {
                    value = Some(Node::Text(member.string()?.as_escaped().to_owned()));
                }
                "numberValue" | "boolValue" => value = Some(Node::Raw(member.raw()?.as_str().to_owned())),
                "nullValue" => value = Some(Node::Raw("null".to_owned())),
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        if let (Some(value), Some(steps)) = (value, steps(&path)) {
            self.root.set(&steps, value);
        }
        Ok(())
    }

    /// The arguments so far.
    pub(super) fn to_json(&self) -> String {
        let mut out = Vec::new();
        self.root.write(&mut Writer::new(&mut out));
        crate::protocol::json::string_from_utf8(out)
    }
}

impl Node {
    fn set(&mut self, steps: &[Step], value: Node) {
        let mut here = self;
        for step in steps {
            here = match step {
                Step::Key(key) => here.member(key),
                Step::Index(index) => here.element(*index),
            };
        }
        match (here, value) {
            (Node::Text(text), Node::Text(more)) => text.push_str(&more),
            (here, value) => *here = value,
        }
    }

    fn member(&mut self, key: &str) -> &mut Node {
        if !matches!(self, Node::Object(_)) {
            *self = Node::Object(Vec::new());
        }
        let Node::Object(members) = self else { return self };
        let at = members.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
            members.push((key.to_owned(), Node::default()));
            members.len() - 1
        });
        &mut members[at].1
    }

    fn element(&mut self, index: usize) -> &mut Node {
        if !matches!(self, Node::List(_)) {
            *self = Node::List(Vec::new());
        }
        let Node::List(list) = self else { return self };
        while list.len() <= index {
            list.push(Node::default());
        }
        &mut list[index]
    }

    fn write(&self, w: &mut Writer<'_>) {
        match self {
            Node::Object(members) => {
                w.begin_object();
                for (key, value) in members {
                    w.key_str(&Str::escape(key.as_str()));
                    value.write(w);
                }
                w.end_object();
            }
            Node::List(list) => {
                w.begin_array();
                list.iter().for_each(|value| value.write(w));
                w.end_array();
            }
            Node::Text(text) => {
                w.string(&Str::from_escaped(text.as_str()));
            }
            Node::Raw(json) => {
                w.json(json);
            }
        }
    }
}

/// Reads `$.a.b[0]['c']`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() && steps.len() < MAX_STEPS {
        if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (key, after) = name.split_at_checked(end)?;
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else {
            let (inside, after) = rest.strip_prefix('[')?.split_once(']')?;
            let quoted = inside.trim_matches(['\'', '"']);
            steps.push(match inside.parse::<usize>() {
                Ok(index) => Step::Index(Some(index).filter(|index| *index <= MAX_INDEX)?),
                Err(_) => Step::Key(quoted.to_owned()),
            });
            rest = after;
        }
    }
    rest.is_empty().then_some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(pieces: &[&str]) -> String {
        let mut args = PartialArgs::default();
        for piece in pieces {
            args.push(&Raw::from_json(*piece)).unwrap();
        }
        args.to_json()
    }

    #[test]
    fn pieces_make_one_object() {
        let json = fold(&[
            r#"[{"jsonPath":"$.city","stringValue":"New ","willContinue":true}]"#,
            r#"[{"jsonPath":"$.city","stringValue":"\"York\""},{"jsonPath":"$.a[1].n","numberValue":1.50}]"#,
            r#"[{"json_path":"$['b']","bool_value":true},{"jsonPath":"$.c","nullValue":"NULL_VALUE"}]"#,
        ]);
        assert_eq!(json, r#"{"city":"New \"York\"","a":[{},{"n":1.50}],"b":true,"c":null}"#);
    }

    #[test]
    fn paths_that_mean_nothing_are_passed_over() {
        let huge =
            r#"[{"jsonPath":"$[99999999999]","stringValue":"x"},{"jsonPath":"x","stringValue":"x"},7]"#;
        assert_eq!(fold(&[huge]), "{}");
    }
}
