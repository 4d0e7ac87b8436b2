//! An error before it takes a provider's shape.

use serde_json::Value;

/// A request that is answered with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What the provider says.
    pub(crate) message: String,
    /// The parameter at fault, where the provider names it.
    pub(crate) param: Option<String>,
    /// The provider's code, where it has one.
    pub(crate) code: Option<&'static str>,
    /// Seconds to wait.
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    /// An error with this status and message.
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Refusal { status, message: message.into(), param: None, code: None, retry_after: None }
    }

    /// 400 with this message.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Refusal::new(400, message)
    }

    /// Names the parameter at fault.
    pub(crate) fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Gives the provider's code.
    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }
}

/// The type of a value, as OpenAI names it in its messages.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a decimal number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
