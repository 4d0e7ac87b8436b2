//! A YAML document as a tree in which every key and every value knows its place.
//!
//! Scalars keep their spelling; what a plain one means (YAML 1.2 core schema) is asked for by its
//! reader, so that a key such as `0042` reaches a text unharmed. Nodes have no `Debug`: they hold
//! secrets that nobody has recognised yet. Clones share their contents, as aliases do.

use std::sync::Arc;

use super::problem::Mark;

/// A value and its place; for an alias the place is where it is used.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) mark: Mark,
    pub(super) value: Value,
}

#[derive(Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Arc<[Node]>),
    Map(Arc<[Entry]>),
}

/// One key of a map with its value; keys are unique and merge keys are resolved.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: Arc<str>,
    pub(super) mark: Mark,
    pub(super) value: Node,
}

#[derive(Clone)]
pub(super) struct Scalar {
    pub(super) text: Arc<str>,
    /// Written without quotes and tags: its text decides its kind.
    pub(super) plain: bool,
}

/// What a scalar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Integer,
    Float,
    Text,
}

impl Node {
    /// What the value is, in words: "text", "a list".
    pub(super) fn noun(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Scalar(scalar) => scalar.kind().noun(),
        }
    }

    /// Whether there is a key but no value.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.kind() == Kind::Null)
    }
}

impl Scalar {
    pub(super) fn kind(&self) -> Kind {
        if self.plain { Kind::of(&self.text) } else { Kind::Text }
    }
}

impl Kind {
    /// The kind of a plain scalar. `yes`, `no`, `on` and `off` are text.
    pub(super) fn of(text: &str) -> Kind {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" | "True" | "TRUE" => Kind::Bool(true),
            "false" | "False" | "FALSE" => Kind::Bool(false),
            _ if integer(text).is_some() => Kind::Integer,
            _ if is_float(text) => Kind::Float,
            _ => Kind::Text,
        }
    }

    pub(super) fn noun(self) -> &'static str {
        match self {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Integer => "a number",
            Kind::Float => "a decimal number",
            Kind::Text => "text",
        }
    }
}

/// Reads an integer of the core schema: decimal, `0o17` or `0x1f`. What exceeds 64 bits becomes
/// the nearest that doesn't, for a range check to refuse.
pub(super) fn integer(text: &str) -> Option<i64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return unsigned(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return unsigned(digits, 8);
    }
    match text.strip_prefix('-') {
        Some(digits) => unsigned(digits, 10).map(|value| -value),
        None => unsigned(text.strip_prefix('+').unwrap_or(text), 10),
    }
}

fn unsigned(digits: &str, radix: u32) -> Option<i64> {
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    Some(i64::from_str_radix(digits, radix).unwrap_or(i64::MAX))
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, and the words for the infinite.
fn is_float(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(body, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (body, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_older_yaml_stay_text() {
        for word in
            ["yes", "no", "on", "off", "y", "n", "Yes", "OFF", "none", "nUll", "1_000", "0b1", "12:30"]
        {
            assert_eq!(Kind::of(word), Kind::Text, "{word}");
        }
    }

    #[test]
    fn the_core_schema_is_followed() {
        assert_eq!(Kind::of("~"), Kind::Null);
        assert_eq!(Kind::of("False"), Kind::Bool(false));
        for number in ["0", "-12", "+7", "0x1F", "0o17", "007", "99999999999999999999"] {
            assert_eq!(Kind::of(number), Kind::Integer, "{number}");
        }
        for number in ["1.5", "-.5", "1.", "1e3", "1.0E-7", ".inf", "-.INF", ".NaN"] {
            assert_eq!(Kind::of(number), Kind::Float, "{number}");
        }
        for text in [".", "e3", "1e", "-", "+", "0x", "0o8", "1.2.3", "-.nan", "8MiB", "--1"] {
            assert_eq!(Kind::of(text), Kind::Text, "{text}");
        }
    }

    #[test]
    fn integers_saturate() {
        assert_eq!(integer("99999999999999999999"), Some(i64::MAX));
        assert_eq!(integer("-99999999999999999999"), Some(-i64::MAX));
        assert_eq!(integer("007"), Some(7));
        assert_eq!(integer("0x1f"), Some(31));
    }
}
