//! Typed reading of the tree: every key is named once, where it is read.
//!
//! A [`Map`] remembers which keys were asked for; what is left over when it is done is unknown, and
//! what was asked for is what "did you mean" chooses from. A [`Field`] that does not fit reports so
//! and yields `None`, and reading goes on: its problem is enough to refuse the configuration.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::env::Source;
use super::problem::{Mark, Report};
use super::secret::Secret;
use super::tree::{self, Entry, Kind, Node, Scalar, Value};
use super::units;
use super::words::{closest, join, one_of};

/// What every reader needs to have at hand.
pub(super) struct Context<'c> {
    pub(super) report: &'c Report,
    pub(super) source: &'c Source<'c>,
    /// Every key that was asked for, list positions left out (`upstreams[].weight`).
    #[cfg(test)]
    pub(super) known: RefCell<std::collections::BTreeSet<String>>,
}

/// A map whose keys are being read.
pub(super) struct Map<'c> {
    context: &'c Context<'c>,
    path: String,
    mark: Mark,
    entries: &'c [Entry],
    known: RefCell<Vec<&'static str>>,
}

/// A value and the path that leads to it.
pub(super) struct Field<'c> {
    context: &'c Context<'c>,
    pub(super) path: String,
    node: &'c Node,
}

/// A key of the user's own, in a map such as `model_mappings`.
pub(super) struct Key<'c> {
    context: &'c Context<'c>,
    path: String,
    pub(super) mark: Mark,
    pub(super) text: &'c str,
}

impl<'c> Context<'c> {
    pub(super) fn new(report: &'c Report, source: &'c Source<'c>) -> Self {
        Context {
            report,
            source,
            #[cfg(test)]
            known: RefCell::default(),
        }
    }
}

// === impl Map ===

impl<'c> Map<'c> {
    fn new(context: &'c Context<'c>, path: String, mark: Mark, entries: &'c [Entry]) -> Self {
        Map { context, path, mark, entries, known: RefCell::default() }
    }

    /// The value of `key`; a key without a value counts as absent.
    pub(super) fn get(&self, key: &'static str) -> Option<Field<'c>> {
        self.get_even_empty(key).filter(|field| !field.node.is_null())
    }

    /// The value of `key`, also when nothing stands after the colon.
    pub(super) fn get_even_empty(&self, key: &'static str) -> Option<Field<'c>> {
        self.note(key);
        let entry = self.entries.iter().find(|entry| &*entry.key == key)?;
        Some(Field { context: self.context, path: self.path_of(key), node: &entry.value })
    }

    /// The value of the one key that is present of several spellings.
    pub(super) fn one_of(&self, keys: &[&'static str]) -> Option<Field<'c>> {
        let mut present = keys.iter().filter_map(|key| self.get_even_empty(key));
        let first = present.next()?;
        for other in present {
            other.problem(format!("means the same as `{}`; give only one of them", first.path));
        }
        Some(first)
    }

    /// Reads the map under `key`, an empty one when it is absent.
    pub(super) fn section<T>(&self, key: &'static str, read: impl FnOnce(&Map<'c>) -> T) -> T {
        let map = match self.get(key) {
            Some(field) => field.map(),
            None => None,
        };
        let map = map.unwrap_or_else(|| Map::new(self.context, self.path_of(key), self.mark, &[]));
        map.read(read)
    }

    /// Lets `read` ask for the keys, then reports those that it did not ask for.
    pub(super) fn read<T>(self, read: impl FnOnce(&Map<'c>) -> T) -> T {
        let value = read(&self);
        self.report_unknown();
        value
    }

    /// Reports that `key` is required.
    pub(super) fn missing(&self, key: &'static str) {
        self.context.report.problem(Some(self.mark), &self.path_of(key), "is missing");
    }

    fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    fn note(&self, key: &'static str) {
        self.known.borrow_mut().push(key);
        #[cfg(test)]
        self.context.known.borrow_mut().insert(super::words::without_positions(&self.path_of(key)));
    }

    fn report_unknown(&self) {
        let known = self.known.borrow();
        let unknown = self.entries.iter().filter(|entry| !known.contains(&&*entry.key));
        for (at, entry) in unknown.enumerate() {
            // A hostile text may have very many unknown keys, and comparing takes its time.
            let near = if at < 100 { closest(&entry.key, &known) } else { None };
            let message = match near {
                Some(near) => format!("unknown key; did you mean `{near}`?"),
                None => "unknown key".to_owned(),
            };
            self.context.report.problem(Some(entry.mark), &self.path_of(&entry.key), message);
        }
    }
}

// === impl Field ===

impl<'c> Field<'c> {
    /// The whole document.
    pub(super) fn root(context: &'c Context<'c>, node: &'c Node) -> Self {
        Field { context, path: String::new(), node }
    }

    pub(super) fn problem(&self, message: impl Into<String>) {
        self.context.report.problem(Some(self.node.mark), &self.path, message);
    }

    pub(super) fn warning(&self, message: impl Into<String>) {
        self.context.report.warning(Some(self.node.mark), &self.path, message);
    }

    /// A map, or a problem. An absent value is an empty map.
    pub(super) fn map(&self) -> Option<Map<'c>> {
        let entries = self.entries()?;
        Some(Map::new(self.context, self.path.clone(), self.node.mark, entries))
    }

    /// The keys of a map whose keys are the user's own, with their values.
    pub(super) fn pairs(&self) -> Option<Vec<(Key<'c>, Field<'c>)>> {
        let pair = |entry: &'c Entry| {
            let (context, path) = (self.context, join(&self.path, &entry.key));
            let value = self.child(path.clone(), &entry.value);
            (Key { context, path, mark: entry.mark, text: &entry.key }, value)
        };
        Some(self.entries()?.iter().map(pair).collect())
    }

    fn entries(&self) -> Option<&'c [Entry]> {
        match &self.node.value {
            Value::Map(entries) => Some(entries),
            _ if self.node.is_null() => Some(&[]),
            _ => self.mistyped("a map"),
        }
    }

    /// The items of a list, or a problem.
    pub(super) fn list(&self) -> Option<Vec<Field<'c>>> {
        match &self.node.value {
            Value::List(_) => Some(self.items()),
            _ => self.mistyped("a list"),
        }
    }

    /// The items of a list, or the value itself.
    pub(super) fn items(&self) -> Vec<Field<'c>> {
        match &self.node.value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(at, item)| self.child(format!("{}[{at}]", self.path), item))
                .collect(),
            _ if self.node.is_null() => Vec::new(),
            _ => vec![self.child(self.path.clone(), self.node)],
        }
    }

    fn child(&self, path: String, node: &'c Node) -> Field<'c> {
        Field { context: self.context, path, node }
    }

    /// A text, with `${NAME}` replaced.
    pub(super) fn text(&self) -> Option<String> {
        let scalar = self.scalar("text")?;
        match scalar.kind() {
            Kind::Text => self.expanded(scalar),
            Kind::Null => self.mistyped("text"),
            _ => self.refuse(format!("must be text, not {}: put it in quotes", scalar.kind().noun())),
        }
    }

    /// A text that is not blank.
    pub(super) fn words(&self) -> Option<String> {
        let text = self.text()?;
        if text.trim().is_empty() { self.refuse("must not be empty") } else { Some(text) }
    }

    /// A secret: `env.NAME`, `file:PATH`, or text with `${NAME}` replaced.
    pub(super) fn secret(&self) -> Option<Secret> {
        let scalar = self.scalar("text")?;
        match scalar.kind() {
            Kind::Null => self.refuse("must not be empty"),
            Kind::Text => self.checked(Secret::resolve(&scalar.text, self.context.source)),
            kind => self.refuse(format!("must be text, not {}: put it in quotes", kind.noun())),
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        let scalar = self.scalar("true or false")?;
        let text = self.expanded(scalar)?;
        if let (Kind::Bool(value), true) = (Kind::of(&text), scalar.plain || *text != *scalar.text) {
            return Some(value);
        }
        if matches!(Kind::of(&text), Kind::Bool(_)) {
            return self.refuse("must be true or false, without quotes");
        }
        let meant = match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" => "true",
            "no" | "off" | "n" => "false",
            _ => return self.mistyped("true or false"),
        };
        self.refuse(format!("must be true or false; `{}` is text in YAML 1.2: write {meant}", scalar.text))
    }

    /// A whole number within `range`.
    pub(super) fn whole(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.integer()?;
        if value < *range.start() {
            self.refuse(format!("must be at least {}", range.start()))
        } else if value > *range.end() {
            self.refuse(format!("must be at most {}", range.end()))
        } else {
            Some(value)
        }
    }

    /// Any whole number.
    pub(super) fn integer(&self) -> Option<i64> {
        let scalar = self.scalar("a whole number")?;
        let text = self.expanded(scalar)?;
        let quoted = !scalar.plain && *text == *scalar.text;
        match tree::integer(&text) {
            Some(value) if !quoted => Some(value),
            Some(_) => self.refuse("must be a whole number, without quotes"),
            None => self.mistyped("a whole number"),
        }
    }

    /// Whatever `parse` makes of a scalar, be it text or a number.
    pub(super) fn parsed<T>(&self, what: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let scalar = self.scalar(what)?;
        if matches!(scalar.kind(), Kind::Bool(_) | Kind::Null) {
            return self.mistyped(what);
        }
        let text = self.expanded(scalar)?;
        self.checked(parse(&text))
    }

    /// A duration such as `90s`, `1m30s` or whole seconds.
    pub(super) fn duration(&self) -> Option<Duration> {
        self.parsed("a duration such as 90s", units::duration)
    }

    /// A size such as `8MiB` or whole bytes.
    pub(super) fn size(&self) -> Option<u64> {
        self.parsed("a size such as 8MiB", units::size)
    }

    /// One of a few words, without regard to case.
    pub(super) fn choice<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let scalar = self.scalar(&one_of(&allowed))?;
        let text = self.expanded(scalar)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text)) {
            return Some(*value);
        }
        let hint = closest(&text, &allowed).map(|near| format!("; did you mean `{near}`?"));
        self.refuse(format!("must be {}{}", one_of(&allowed), hint.unwrap_or_default()))
    }

    fn scalar(&self, wanted: &str) -> Option<&'c Scalar> {
        match &self.node.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => self.mistyped(wanted),
        }
    }

    fn expanded(&self, scalar: &Scalar) -> Option<String> {
        self.checked(self.context.source.expand(&scalar.text).map(|text| text.into_owned()))
    }

    fn checked<T>(&self, result: Result<T, String>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(message) => self.refuse(message),
        }
    }

    fn mistyped<T>(&self, wanted: &str) -> Option<T> {
        self.refuse(format!("must be {wanted}, not {}", self.node.noun()))
    }

    /// Reports a problem with the value, which is therefore not there.
    pub(super) fn refuse<T>(&self, message: impl Into<String>) -> Option<T> {
        self.problem(message);
        None
    }
}

// === impl Key ===

impl Key<'_> {
    pub(super) fn problem(&self, message: impl Into<String>) {
        self.context.report.problem(Some(self.mark), &self.path, message);
    }

    /// The key itself, or a problem if it is blank.
    pub(super) fn words(&self) -> Option<String> {
        if self.text.trim().is_empty() {
            self.problem("has no name before the colon");
            return None;
        }
        Some(self.text.to_owned())
    }
}
