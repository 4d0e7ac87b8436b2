//! YAML text → tree, with anchors and merge keys resolved. The only file that knows the YAML library.
//!
//! It builds on the library's events rather than on serde: serde stops at the first error and shows
//! neither how a scalar was written nor a second duplicate key. Aliases share what they refer to, so
//! that an alias bomb costs nothing to build; what it would unfold to is counted and refused.

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::Arc;

use serde_saphyr::granit_parser::{
    self as yaml, Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag,
};

use super::problem::{Mark, Report};
use super::tree::{Entry, Node, Scalar, Value};
use super::words::join;

/// Most keys and values of a document, each alias counted as all that it stands for.
const MAX_VALUES: usize = 200_000;
/// Deepest nesting, aliases included. The deepest key that is known stands at six.
const MAX_DEPTH: usize = 64;

/// Reads the single document of `text`; `None` when its structure cannot be told.
///
/// Mistakes that leave the structure intact (duplicate keys, unknown anchors) are reported, too, but
/// the tree is returned.
pub(super) fn tree(text: &str, report: &Report) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options = yaml::options! { emit_unresolved_aliases: true, emit_comments: false };
    let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder::new(report);
    while let Some(next) = parser.next_event() {
        let built = match next {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => Err(Refused(mark(error.marker()), syntax(&error))),
        };
        if let Err(Refused(mark, message)) = built {
            report.problem(Some(mark), "", message);
            return None;
        }
    }
    Some(builder.root.map_or_else(nothing, |built| built.node))
}

/// Why reading stops for good.
struct Refused(Mark, String);

fn syntax(error: &ScanError) -> String {
    format!("is not valid YAML: {}", error.kind())
}

fn nothing() -> Node {
    Node { mark: Mark::START, value: null() }
}

fn null() -> Value {
    Value::Scalar(Scalar { text: "".into(), plain: true })
}

fn mark(marker: &Marker) -> Mark {
    Mark { line: marker.line().max(1), column: marker.col().saturating_add(1) }
}

/// A finished node, with what it weighs when every alias in it is unfolded.
#[derive(Clone)]
struct Built {
    node: Node,
    values: usize,
    depth: usize,
}

/// A list or map that is still open.
struct Frame {
    mark: Mark,
    anchor: usize,
    values: usize,
    depth: usize,
    contents: Contents,
}

enum Contents {
    List(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    /// Where each key stands, for its own duplicates and against merged ones.
    seen: HashMap<Arc<str>, Mark>,
    /// The values of `<<`.
    merged: Vec<Node>,
    key: Option<Key>,
}

/// A key whose value is awaited.
enum Key {
    Plain(Arc<str>, Mark),
    Merge,
    /// Reported already; its value is dropped.
    Unusable,
}

struct Builder<'r> {
    report: &'r Report,
    anchors: HashMap<usize, Built>,
    open: Vec<Frame>,
    root: Option<Built>,
    /// Keys and values so far, those of aliases included.
    values: usize,
}

impl<'r> Builder<'r> {
    fn new(report: &'r Report) -> Self {
        Builder { report, anchors: HashMap::new(), open: Vec::new(), root: None, values: 0 }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Refused> {
        let at = mark(&span.start);
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Refused(at, "a second document begins here; only one is allowed".to_owned()))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !self.is_text(tag.as_deref(), at);
                let value = Value::Scalar(Scalar { text: text.into(), plain });
                self.leaf(Node { mark: at, value }, anchor, plain)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.is_text(tag.as_deref(), at);
                self.push(at, anchor, Contents::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.is_text(tag.as_deref(), at);
                self.push(at, anchor, Contents::Map(OpenMap::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => self.alias(id, at),
            Event::UnresolvedAlias(_) => {
                self.report.problem(Some(at), &self.path(""), "no anchor of this name stands above");
                self.attach(Built { node: Node { mark: at, value: null() }, values: 1, depth: 1 }, false)
            }
            _ => Ok(()),
        }
    }

    /// Whether a tag makes a plain scalar text; tags that mean nothing here are reported.
    fn is_text(&self, tag: Option<&Tag>, at: Mark) -> bool {
        match tag.map(|tag| (tag.is_yaml_core_schema(), tag.suffix())) {
            None | Some((true, "null" | "bool" | "int" | "float" | "seq" | "map")) => false,
            Some((true, "str")) => true,
            Some(_) => {
                self.report.problem(
                    Some(at),
                    &self.path(""),
                    "has a YAML tag that means nothing here; quote the value",
                );
                false
            }
        }
    }

    fn leaf(&mut self, node: Node, anchor: usize, plain: bool) -> Result<(), Refused> {
        self.count(1, node.mark)?;
        let built = Built { node, values: 1, depth: 1 };
        self.remember(anchor, &built);
        self.attach(built, plain)
    }

    fn push(&mut self, mark: Mark, anchor: usize, contents: Contents) -> Result<(), Refused> {
        self.count(1, mark)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(mark));
        }
        self.open.push(Frame { mark, anchor, values: 1, depth: 1, contents });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Refused> {
        let Some(Frame { mark, anchor, values, depth, contents }) = self.open.pop() else { return Ok(()) };
        let value = match contents {
            Contents::List(items) => Value::List(items.into()),
            Contents::Map(map) => Value::Map(self.merge(map).into()),
        };
        let built = Built { node: Node { mark, value }, values, depth };
        self.remember(anchor, &built);
        self.attach(built, false)
    }

    fn alias(&mut self, id: usize, at: Mark) -> Result<(), Refused> {
        let Some(mut built) = self.anchors.get(&id).cloned() else {
            return Err(Refused(at, "an alias stands inside of what it refers to".to_owned()));
        };
        self.count(built.values, at)?;
        built.node.mark = at;
        self.attach(built, false)
    }

    fn count(&mut self, values: usize, at: Mark) -> Result<(), Refused> {
        self.values = self.values.saturating_add(values);
        if self.values > MAX_VALUES {
            let message =
                format!("the document has more than {MAX_VALUES} keys and values, aliases unfolded");
            return Err(Refused(at, message));
        }
        Ok(())
    }

    fn remember(&mut self, anchor: usize, built: &Built) {
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
    }

    /// Puts a finished node where it belongs: into the innermost open list or map, or at the root.
    fn attach(&mut self, built: Built, plain: bool) -> Result<(), Refused> {
        if self.open.len() + built.depth > MAX_DEPTH {
            return Err(too_deep(built.node.mark));
        }
        let Some(frame) = self.open.last_mut() else {
            self.root.get_or_insert(built);
            return Ok(());
        };
        frame.values = frame.values.saturating_add(built.values);
        frame.depth = frame.depth.max(built.depth + 1);
        match &mut frame.contents {
            Contents::List(items) => items.push(built.node),
            Contents::Map(map) => {
                let at = built.node.mark;
                if let Err(Misplaced { key, message }) = map.take(built.node, plain) {
                    self.report.problem(Some(at), &self.path(&key), message);
                }
            }
        }
        Ok(())
    }

    /// The path of `key` in the innermost open map.
    fn path(&self, key: &str) -> String {
        let mut path = String::new();
        for frame in &self.open {
            match &frame.contents {
                Contents::List(items) => path = format!("{path}[{}]", items.len()),
                Contents::Map(OpenMap { key: Some(Key::Plain(outer, _)), .. }) => path = join(&path, outer),
                Contents::Map(_) => {}
            }
        }
        if key.is_empty() { path } else { join(&path, key) }
    }

    /// Adds what `<<` brings, unless the map or an earlier merge has the key.
    fn merge(&self, map: OpenMap) -> Vec<Entry> {
        let OpenMap { mut entries, mut seen, merged, .. } = map;
        for node in &merged {
            let sources = match &node.value {
                Value::List(items) => items.as_ref(),
                _ => std::slice::from_ref(node),
            };
            for source in sources {
                let Value::Map(more) = &source.value else {
                    self.report.problem(
                        Some(source.mark),
                        &self.path(""),
                        "`<<` takes a map or a list of maps",
                    );
                    continue;
                };
                for entry in more.iter() {
                    if let hash_map::Entry::Vacant(free) = seen.entry(Arc::clone(&entry.key)) {
                        free.insert(entry.mark);
                        entries.push(entry.clone());
                    }
                }
            }
        }
        entries
    }
}

fn too_deep(at: Mark) -> Refused {
    Refused(at, format!("the document is nested more than {MAX_DEPTH} deep"))
}

/// A key that cannot be one.
struct Misplaced {
    key: Arc<str>,
    message: String,
}

impl OpenMap {
    /// Takes a key, or the value of the key before.
    fn take(&mut self, node: Node, plain: bool) -> Result<(), Misplaced> {
        match self.key.take() {
            None => match self.key_of(node, plain) {
                Ok(key) => self.key = Some(key),
                Err(misplaced) => {
                    self.key = Some(Key::Unusable);
                    return Err(misplaced);
                }
            },
            Some(Key::Plain(key, mark)) => self.entries.push(Entry { key, mark, value: node }),
            Some(Key::Merge) => self.merged.push(node),
            Some(Key::Unusable) => {}
        }
        Ok(())
    }

    fn key_of(&mut self, node: Node, plain: bool) -> Result<Key, Misplaced> {
        let Value::Scalar(Scalar { text: key, .. }) = node.value else {
            let message = format!("a key must be text, not {}", node.noun());
            return Err(Misplaced { key: "".into(), message });
        };
        match self.seen.entry(Arc::clone(&key)) {
            hash_map::Entry::Occupied(first) => {
                let Mark { line, column } = first.get();
                let message = format!("stands twice in this map, first at {line}:{column}");
                Err(Misplaced { key, message })
            }
            hash_map::Entry::Vacant(free) => {
                free.insert(node.mark);
                Ok(if plain && &*key == "<<" { Key::Merge } else { Key::Plain(key, node.mark) })
            }
        }
    }
}
