/// What clients, or proxies before them, want otherwise than their protocols say. All off is the protocols' own way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientDialect {
    /// Anthropic: an overload has status 503, for whoever takes the protocol's own 529 for something else (5.2).
    pub no_529: bool,
    /// Responses: a stream that fails tells of it in an `error` event, before the `response.failed` that Codex waits
    /// for. OpenAI's SDKs raise at the former only (5.4).
    pub resp_error_event: bool,
}
