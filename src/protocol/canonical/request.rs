//! The canonical request.

use super::search::WebSearch;
use super::search_call::WebSearchCall;
use super::{Action, Losses, Opaque, Unsupported};
use crate::protocol::Protocol;
use crate::protocol::json::{Number, Raw, Str};

/// A request in no vendor's shape.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The model, as this side of the gateway calls it.
    pub model: Str<'a>,
    /// Whether the answer is to be a stream.
    pub stream: bool,
    /// The leading system and developer texts, in order.
    pub system: Vec<SystemBlock<'a>>,
    /// The conversation; later system messages stay in place (T122).
    pub turns: Vec<Turn<'a>>,
    /// The tools, in order: it matters for prompt caching.
    pub tools: Vec<Tool<'a>>,
    /// Which tool may or must be called. Absent is not the same as `Auto`.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether several calls may come at once. Absent is not the same as `true`.
    pub parallel_tool_calls: Option<bool>,
    /// Reasoning settings.
    pub reasoning: Reasoning,
    /// Shape and size of the answer.
    pub output: Output<'a>,
    /// Sampling parameters.
    pub sampling: Sampling<'a>,
    /// Prompt caching beyond the marks on parts and tools.
    pub cache: Cache<'a>,
    /// Who asks.
    pub identity: Identity<'a>,
    /// Service level.
    pub service: Service<'a>,
    /// Stored state, of which only Responses knows.
    pub state: State<'a>,
    /// Gemini's `safetySettings`, raw.
    pub safety: Option<Raw<'a>>,
    /// Chat's `stream_options.include_usage`.
    pub include_usage: bool,
    /// Top-level fields that have no place here: key and raw value. Dropped with a warning towards
    /// another protocol (T149), unless the decoder knows better.
    pub extras: Vec<(Str<'a>, Raw<'a>)>,
    /// What the hub holds in another shape than the client gave it, by the name under which that is told.
    pub approximations: Vec<&'static str>,
    /// What an answer in the client's protocol must repeat of its request: key and raw value
    /// (Responses repeats `tools`, `tool_choice`, `instructions`, …; T181).
    pub echo: Vec<(&'static str, Raw<'a>)>,
}

impl<'a> Request<'a> {
    /// Names an extra that goes nowhere. What `include` of Responses asks for besides reasoning and probabilities
    /// belongs to hosted tools: nobody misses it where those are not (2.12).
    pub(crate) fn drop_extra(client: Protocol, name: &str, losses: &mut Losses) {
        if !(client == Protocol::Responses && name == "include") {
            losses.add_named(Action::Drop, name);
        }
    }

    /// The names of the tools that were called so far, with repetitions. The tools may be gone since.
    pub(crate) fn called_names(&self) -> impl Iterator<Item = &Str<'a>> {
        self.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match &part.kind {
            PartKind::ToolCall { name, .. } => Some(name),
            _ => None,
        })
    }
}

impl Request<'_> {
    /// Whether there is anything but text in the conversation, tool results included.
    #[must_use]
    pub fn has_media(&self) -> bool {
        fn is_media(part: &Part<'_>) -> bool {
            match &part.kind {
                PartKind::Media(media) => !matches!(media.source, MediaSource::Text(_)),
                PartKind::ToolResult { content, .. } => content.iter().any(is_media),
                _ => false,
            }
        }
        self.turns.iter().flat_map(|turn| &turn.parts).any(is_media)
    }

    /// Refuses members of the client's own protocol that stand for more than a preference (2.12): where they
    /// run, what they may reach, what comes out.
    ///
    /// # Errors
    ///
    /// If one of them is given; `but` are those that this upstream can do without.
    pub(crate) fn refuse_foreign_extras(
        &self,
        client: Protocol,
        but: &[&'static str],
    ) -> Result<(), Unsupported> {
        let essential: &[&str] = match client {
            Protocol::Anthropic => &["container", "mcp_servers", "thread"],
            Protocol::OpenAi => &["audio"],
            Protocol::Gemini => &["speechConfig", "imageConfig"],
            Protocol::Responses => &[],
        };
        for (key, raw) in &self.extras {
            let key = key.decode();
            let name = key.rsplit('.').next().unwrap_or(&key);
            if essential.contains(&name)
                && !but.contains(&name)
                && !matches!(raw.as_str(), "null" | "[]" | "{}")
            {
                let message = "has no equivalent at this upstream, and the answer depends on it";
                return Err(Unsupported::new(key.clone().into_owned(), message));
            }
        }
        Ok(())
    }
}

/// One leading system text.
#[derive(Clone, Debug)]
pub struct SystemBlock<'a> {
    /// The text, untouched (T124).
    pub text: Str<'a>,
    /// A prompt-cache mark.
    pub cache: Option<CacheMark>,
    /// Whether it came as a `developer` message.
    pub developer: bool,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user; tool results are user parts in the hub.
    User,
    /// The model.
    Assistant,
    /// A system message in mid-conversation.
    System,
    /// A developer message in mid-conversation.
    Developer,
}

/// One turn of the conversation.
#[derive(Clone, Debug)]
pub struct Turn<'a> {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part<'a>>,
}

/// One part of a turn.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// What it is.
    pub kind: PartKind<'a>,
    /// A prompt-cache mark.
    pub cache: Option<CacheMark>,
    /// State that only its issuer can read: signatures, encrypted reasoning.
    pub opaque: Option<Opaque<'a>>,
}

impl<'a> Part<'a> {
    /// A part without mark or state.
    #[must_use]
    pub fn new(kind: PartKind<'a>) -> Self {
        Part { kind, cache: None, opaque: None }
    }

    /// A text part.
    #[must_use]
    pub fn text(text: impl Into<Str<'a>>) -> Self {
        Part::new(PartKind::Text { text: text.into() })
    }
}

/// The kinds of parts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PartKind<'a> {
    /// Visible text.
    Text {
        /// The text.
        text: Str<'a>,
    },
    /// The model's refusal in words.
    Refusal {
        /// The words.
        text: Str<'a>,
    },
    /// The model's reasoning.
    Reasoning {
        /// The text; empty when only state came.
        text: Str<'a>,
        /// Whether the provider hid the text (`redacted_thinking`).
        redacted: bool,
    },
    /// An image, document, sound or film.
    Media(Media<'a>),
    /// A call of a tool.
    ToolCall {
        /// The call's id; empty when the protocol gave none.
        id: Str<'a>,
        /// The tool's name as the client knows it.
        name: Str<'a>,
        /// The exact JSON text of the arguments (free text for a custom tool), *not* escaped.
        /// Never empty for a function: `{}` (T059).
        arguments: std::borrow::Cow<'a, str>,
        /// Whether the tool takes free text (`custom`) instead of JSON.
        custom: bool,
    },
    /// What a tool answered. Lives in user turns whatever the protocol calls the role.
    ToolResult {
        /// The call's id; empty when the protocol gave none.
        call_id: Str<'a>,
        /// The tool's name, where the protocol gives it (Gemini).
        name: Option<Str<'a>>,
        /// Texts and media.
        content: Vec<Part<'a>>,
        /// Whether the tool failed.
        is_error: bool,
        /// Whether the call was one of a custom tool.
        custom: bool,
    },
    /// A search of the web that ran at the provider. Of answers only: in a conversation that comes back it is
    /// [`Opaque`](Self::Opaque).
    WebSearchCall(Box<WebSearchCall<'a>>),
    /// Something only its own protocol understands.
    Opaque {
        /// Whose.
        protocol: Protocol,
        /// Its type tag, for messages.
        tag: Str<'a>,
        /// All of it.
        raw: Raw<'a>,
    },
}

impl PartKind<'_> {
    /// Notes of media where in the client's request they stand.
    pub(crate) fn at(mut self, offset: usize) -> Self {
        if let PartKind::Media(media) = &mut self {
            media.offset = Some(offset);
        }
        self
    }
}

/// An image, document, sound or film.
#[derive(Clone, Debug)]
pub struct Media<'a> {
    /// What sort.
    pub kind: MediaKind,
    /// MIME type, as given or guessed; normalised (`image/jpg` is `image/jpeg`, T120).
    pub mime: Str<'a>,
    /// Where the bytes are.
    pub source: MediaSource<'a>,
    /// File name or title.
    pub name: Option<Str<'a>>,
    /// Anthropic's document `context`.
    pub context: Option<Str<'a>>,
    /// `low`, `high`, `auto`, `original`.
    pub detail: Option<Str<'a>>,
    /// Whether citations of it were asked for.
    pub citations: bool,
    /// Where the part stands in the client's request, in bytes; none if it was not read from one.
    pub offset: Option<usize>,
}

/// The sorts of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// Sound.
    Audio,
    /// A film.
    Video,
    /// A PDF or another document.
    Document,
}

/// Where the bytes of a media part are.
#[derive(Clone, Debug)]
pub enum MediaSource<'a> {
    /// Standard base64 with padding, no white space.
    Inline(Str<'a>),
    /// An address.
    Url(Str<'a>),
    /// A file uploaded to the provider that speaks this protocol.
    FileId(Protocol, Str<'a>),
    /// A plain-text document.
    Text(Str<'a>),
}

/// How long a cached prefix lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMark {
    /// Five minutes (also: no lifetime given).
    FiveMinutes,
    /// One hour.
    OneHour,
}

impl Tool<'_> {
    /// Whether the tool only finds other tools, in the way of another protocol than this one. All tools are
    /// loaded anyway; what a client would load later, the model does without.
    pub(crate) fn is_foreign_tool_search(&self, upstream: Protocol) -> bool {
        let ToolKind::Hosted { protocol, tag, .. } = &self.kind else { return false };
        *protocol != upstream && tag.decode().starts_with("tool_search")
    }
}

impl Request<'_> {
    /// Whether the provider may search the web for the answer.
    pub(crate) fn searches_web(&self) -> bool {
        self.tools.iter().any(|tool| match &tool.kind {
            ToolKind::Hosted { tag, raw, .. } => WebSearch::read(&tag.decode(), raw).is_some(),
            _ => false,
        })
    }

    /// Whether a hosted tool is one offer among others: there are functions besides, and nothing demands
    /// this tool. Agents offer web search with every request; without it they still work.
    pub(crate) fn can_do_without(&self, tool: &Tool<'_>) -> bool {
        let mut functions = self.tools.iter().filter(|tool| !matches!(tool.kind, ToolKind::Hosted { .. }));
        // A choice that only its own protocol knows is of a hosted tool.
        let foreign = self.extras.iter().any(|(key, _)| *key == "tool_choice");
        match &self.tool_choice {
            _ if foreign => false,
            Some(ToolChoice::Tool(name)) => *name != tool.name && functions.next().is_some(),
            Some(ToolChoice::Allowed(allowed)) => functions.any(|tool| allowed.names.contains(&tool.name)),
            _ => functions.next().is_some(),
        }
    }
}

/// A tool that the model may call.
#[derive(Clone, Debug)]
pub struct Tool<'a> {
    /// Its name as the client knows it.
    pub name: Str<'a>,
    /// What it does.
    pub description: Option<Str<'a>>,
    /// The JSON schema of its arguments, raw. `None`: no such key; `{}` is another thing.
    pub schema: Option<Raw<'a>>,
    /// Whether arguments must match the schema.
    pub strict: Option<bool>,
    /// What sort of tool.
    pub kind: ToolKind<'a>,
    /// A prompt-cache mark.
    pub cache: Option<CacheMark>,
}

/// The sorts of tools.
#[derive(Clone, Debug)]
pub enum ToolKind<'a> {
    /// A function with JSON arguments.
    Function,
    /// A tool that takes free text, perhaps of a grammar (raw `format`).
    Custom {
        /// The `format` member, in the shape of Responses.
        format: Option<Raw<'a>>,
    },
    /// A tool that the client runs and whose shape only its protocol knows (`apply_patch`). Elsewhere it is a
    /// function: name, description and schema are those of the tool.
    Client {
        /// Its type.
        tag: Str<'a>,
        /// All of it.
        raw: Raw<'a>,
    },
    /// A tool that the provider runs, or whose schema only it knows.
    Hosted {
        /// Whose.
        protocol: Protocol,
        /// Its type (`web_search_20250305`).
        tag: Str<'a>,
        /// All of it.
        raw: Raw<'a>,
    },
}

/// Which tool may or must be called.
#[derive(Clone, Debug)]
pub enum ToolChoice<'a> {
    /// The model decides.
    Auto,
    /// No tool.
    None,
    /// At least one.
    Required,
    /// This one.
    Tool(Str<'a>),
    /// Some of these.
    Allowed(Allowed<'a>),
}

/// A choice among some of the tools.
#[derive(Clone, Debug)]
pub struct Allowed<'a> {
    /// Their names.
    pub names: Vec<Str<'a>>,
    /// Whether one must be called.
    pub required: bool,
}

/// Reasoning settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// On, off, or for the model to say.
    pub mode: ReasoningMode,
    /// Effort in words.
    pub effort: Option<Effort>,
    /// Budget in tokens.
    pub budget: Option<u64>,
    /// Whether the client wants to see it.
    pub visibility: Visibility,
}

/// Whether the model reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReasoningMode {
    /// Not said. Never switched on for the client.
    #[default]
    Unset,
    /// Off.
    Off,
    /// As the model likes.
    Auto,
    /// On.
    On,
}

/// Effort in words, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words are the vendors' own and say all there is")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

impl Effort {
    /// Reads the vendors' word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "none" => Effort::None,
            "minimal" => Effort::Minimal,
            "low" => Effort::Low,
            "medium" => Effort::Medium,
            "high" => Effort::High,
            "xhigh" => Effort::XHigh,
            "max" => Effort::Max,
            _ => return None,
        })
    }

    /// The vendors' word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Effort::None => "none",
            Effort::Minimal => "minimal",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::XHigh => "xhigh",
            Effort::Max => "max",
        }
    }

    /// The effort that a token budget stands for (the table of 2.9).
    #[must_use]
    pub fn from_budget(tokens: u64) -> Self {
        match tokens {
            0 => Effort::None,
            1..=512 => Effort::Minimal,
            513..=1024 => Effort::Low,
            1025..=8192 => Effort::Medium,
            8193..=24576 => Effort::High,
            _ => Effort::XHigh,
        }
    }
}

/// Whether the client wants to see reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Not said.
    #[default]
    Unset,
    /// No.
    Hidden,
    /// Yes.
    Shown,
}

/// Shape and size of the answer.
#[derive(Clone, Debug, Default)]
pub struct Output<'a> {
    /// Most tokens, reasoning included.
    pub max_tokens: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<Str<'a>>,
    /// Free text or JSON.
    pub format: Format<'a>,
    /// `low`, `medium`, `high`.
    pub verbosity: Option<Str<'a>>,
    /// Number of choices.
    pub n: Option<u64>,
    /// Output modalities beyond text (`audio`, `IMAGE`), raw.
    pub modalities: Option<Raw<'a>>,
}

/// Free text or JSON.
#[derive(Clone, Debug, Default)]
pub enum Format<'a> {
    /// Free text.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON of this schema.
    JsonSchema {
        /// The schema's name.
        name: Option<Str<'a>>,
        /// What it is for.
        description: Option<Str<'a>>,
        /// The schema, raw.
        schema: Raw<'a>,
        /// Whether the answer must match.
        strict: Option<bool>,
    },
}

/// Sampling parameters, with their exact text.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names are the vendors' own")]
pub struct Sampling<'a> {
    pub temperature: Option<Number<'a>>,
    pub top_p: Option<Number<'a>>,
    pub top_k: Option<Number<'a>>,
    pub seed: Option<Number<'a>>,
    pub presence_penalty: Option<Number<'a>>,
    pub frequency_penalty: Option<Number<'a>>,
    pub logit_bias: Option<Raw<'a>>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<Number<'a>>,
}

impl Sampling<'_> {
    /// Whether the client wants the probabilities of tokens. A count alone asks for them: Responses
    /// has no other word than it and an entry of `include`.
    #[must_use]
    pub fn wants_logprobs(&self) -> bool {
        let counts = self.top_logprobs.as_ref().is_some_and(|count| count.as_u64() != Some(0));
        self.logprobs.unwrap_or(counts)
    }

    /// Names them as lost, where an upstream has none to give.
    pub fn drop_logprobs(&self, losses: &mut Losses) {
        if self.logprobs == Some(true) {
            losses.drop("logprobs");
        }
        if self.wants_logprobs() && self.top_logprobs.is_some() {
            losses.drop("top_logprobs");
        }
    }
}

/// Prompt caching beyond marks.
#[derive(Clone, Debug, Default)]
pub struct Cache<'a> {
    /// Anthropic's automatic mark on the whole request.
    pub auto: Option<CacheMark>,
    /// OpenAI's `prompt_cache_key`.
    pub key: Option<Str<'a>>,
    /// OpenAI's `prompt_cache_retention`.
    pub retention: Option<Str<'a>>,
    /// Gemini's `cachedContent`.
    pub handle: Option<Str<'a>>,
}

/// Who asks.
#[derive(Clone, Debug, Default)]
pub struct Identity<'a> {
    /// The end user: `metadata.user_id`, `safety_identifier`, `user`.
    pub end_user: Option<Str<'a>>,
    /// OpenAI's `metadata` map, raw.
    pub metadata: Option<Raw<'a>>,
}

/// Service level.
#[derive(Clone, Debug, Default)]
pub struct Service<'a> {
    /// `service_tier` / `serviceTier`.
    pub tier: Option<Str<'a>>,
}

/// Stored state.
#[derive(Clone, Debug, Default)]
pub struct State<'a> {
    /// `store`.
    pub store: Option<bool>,
    /// `previous_response_id`.
    pub previous_id: Option<Str<'a>>,
    /// `conversation`, raw.
    pub conversation: Option<Raw<'a>>,
    /// `prompt`, raw.
    pub prompt: Option<Raw<'a>>,
    /// `background`.
    pub background: bool,
}
