//! What a translation could not carry, named (1.11).

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::protocol::json::Str;

/// What was done to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are those of the header")]
pub enum Action {
    Drop,
    Clamp,
    Approx,
    Emulate,
    Rename,
    Insert,
    Reorder,
    Estimate,
}

impl Action {
    /// The word used in the header and as a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Drop => "drop",
            Action::Clamp => "clamp",
            Action::Approx => "approx",
            Action::Emulate => "emulate",
            Action::Rename => "rename",
            Action::Insert => "insert",
            Action::Reorder => "reorder",
            Action::Estimate => "estimate",
        }
    }
}

/// One loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What was done.
    pub action: Action,
    /// To which field, in the hub's words (`reasoning.mutated`).
    pub field: Cow<'static, str>,
}

/// The losses of one translation, each named once.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    entries: Vec<Loss>,
    more: usize,
}

impl Losses {
    const MOST: usize = 20;

    /// Adds a loss of a field that the code names.
    pub fn add(&mut self, action: Action, field: &'static str) {
        self.push(Loss { action, field: Cow::Borrowed(field) });
    }

    /// Adds a loss of a field that the client named; only harmless characters are kept.
    pub fn add_named(&mut self, action: Action, field: &str) {
        let field: String =
            field.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(64).collect();
        self.push(Loss { action, field: Cow::Owned(field) });
    }

    /// A tool of the client's that became a function.
    pub fn emulate_tool(&mut self, tag: &Str<'_>) {
        self.add_named(Action::Emulate, &format!("tools.{}", tag.decode()));
    }

    /// Shorthand for the most common action.
    pub fn drop(&mut self, field: &'static str) {
        self.add(Action::Drop, field);
    }

    fn push(&mut self, loss: Loss) {
        if self.entries.contains(&loss) {
        } else if self.entries.len() < Self::MOST {
            self.entries.push(loss);
        } else {
            self.more += 1;
        }
    }

    /// Whether nothing was lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The losses in the order they were met.
    pub fn iter(&self) -> impl Iterator<Item = &Loss> {
        self.entries.iter()
    }

    /// The value of `x-aiproxy-warnings`: `drop:top_k, clamp:temperature`.
    #[must_use]
    pub fn header(&self) -> String {
        let mut text = String::new();
        for loss in &self.entries {
            if !text.is_empty() {
                text.push_str(", ");
            }
            let _ = write!(text, "{}:{}", loss.action.as_str(), loss.field);
        }
        if self.more > 0 {
            let _ = write!(text, ", more:{}", self.more);
        }
        text
    }
}
