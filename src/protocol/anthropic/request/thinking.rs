//! Reasoning settings in the words that the model understands (section 2.9, section 8.2).

use super::encode::Context;
use super::plan::{Message, is_native};
use crate::protocol::canonical::{
    Action, Effort, Losses, Part, PartKind, ReasoningMode, Role, ToolChoice, Visibility,
};
use crate::protocol::json::Writer;
use crate::protocol::target::Thinking;

/// The smallest budget that the API takes.
const LEAST_BUDGET: u64 = 1024;
/// The budget of a client that wants reasoning and does not say how much.
const USUAL_BUDGET: u64 = 8192;

/// What to send about reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) mode: Mode,
    pub(super) effort: Option<&'static str>,
    display: Option<&'static str>,
}

/// The `thinking` object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// Not sent.
    #[default]
    Absent,
    Disabled,
    Budget(u64),
    Adaptive,
}

impl Settings {
    /// Whether the model will reason because of these settings.
    pub(super) fn is_on(&self) -> bool {
        matches!(self.mode, Mode::Budget(_) | Mode::Adaptive)
    }

    /// Writes the `thinking` member, if there is one.
    pub(super) fn write(&self, w: &mut Writer<'_>) {
        let word = match self.mode {
            Mode::Absent => return,
            Mode::Disabled => "disabled",
            Mode::Budget(_) => "enabled",
            Mode::Adaptive => "adaptive",
        };
        w.key("thinking").begin_object();
        w.key("type").text(word);
        if let Mode::Budget(tokens) = self.mode {
            w.key("budget_tokens").u64(tokens);
        }
        if let Some(display) = self.display {
            w.key("display").text(display);
        }
        w.end_object();
    }
}

/// The output limit to send, and the reasoning settings that fit it.
pub(super) fn settle(
    context: &Context<'_>,
    messages: &[Message<'_>],
    losses: &mut Losses,
) -> (u64, Settings) {
    let mut settings = wanted(context, losses);
    let limit = limit(context, &mut settings, losses);
    if settings.is_on() && clashes(context, &settings, messages) {
        losses.drop("reasoning");
        settings = Settings { effort: settings.effort, ..off(context) };
    }
    settings.display = display(context, &settings);
    (limit, settings)
}

fn wanted(context: &Context<'_>, losses: &mut Losses) -> Settings {
    let asked = context.request.reasoning;
    let capabilities = &context.target.capabilities;
    if asked.mode == ReasoningMode::Off || asked.effort == Some(Effort::None) || asked.budget == Some(0) {
        let effort = asked.effort.and_then(|effort| word(context, effort, losses));
        return lowered(Settings { effort, ..off(context) }, losses);
    }
    if asked.mode == ReasoningMode::Unset && asked.effort.is_none() && asked.budget.is_none() {
        return Settings::default();
    }
    // Anthropic's own clients ask for effort without switching reasoning on.
    let effort_only = context.is_native() && asked.mode == ReasoningMode::Unset && asked.budget.is_none();
    if effort_only || matches!(capabilities.thinking, Thinking::None | Thinking::Level) {
        let effort = match asked.effort {
            Some(effort) if capabilities.effort => word(context, effort, losses),
            _ => None,
        };
        if !effort_only || effort.is_none() {
            losses.drop("reasoning");
        }
        return Settings { effort, ..Settings::default() };
    }
    match (asked.budget, capabilities.thinking) {
        (Some(budget), Thinking::Budget | Thinking::Both) => {
            let effort = asked.effort.and_then(|effort| word(context, effort, losses));
            Settings { mode: Mode::Budget(budget), effort, display: None }
        }
        (None, Thinking::Budget) => by_budget(context, asked.effort, losses),
        (budget, _) => {
            if budget.is_some() {
                losses.add(Action::Approx, "reasoning.budget");
            }
            let effort = asked.effort.or_else(|| budget.map(Effort::from_budget));
            let effort = effort.and_then(|effort| word(context, effort, losses));
            Settings { mode: Mode::Adaptive, effort, display: None }
        }
    }
}

/// A model that takes budgets only gets the one that the effort stands for (T111).
fn by_budget(context: &Context<'_>, effort: Option<Effort>, losses: &mut Losses) -> Settings {
    losses.add(Action::Approx, "reasoning.effort");
    let budget = match effort {
        None => USUAL_BUDGET,
        Some(Effort::None | Effort::Minimal | Effort::Low) => LEAST_BUDGET,
        Some(Effort::Medium) => 8_192,
        Some(Effort::High) => 24_576,
        Some(Effort::XHigh) => 32_768,
        // Room for the answer itself has to stay.
        Some(Effort::Max) => context.target.capabilities.max_output.map_or(32_768, |most| most / 4 * 3),
    };
    let takes_words = context.target.capabilities.effort;
    let effort = effort.filter(|_| takes_words).and_then(|effort| word(context, effort, losses));
    Settings { mode: Mode::Budget(budget), effort, display: None }
}

fn off(context: &Context<'_>) -> Settings {
    let mode = match context.target.capabilities.thinking {
        Thinking::None | Thinking::Level => Mode::Absent,
        _ => Mode::Disabled,
    };
    Settings { mode, ..Settings::default() }
}

/// Models that refuse `disabled` beside an effort above high get high.
fn lowered(settings: Settings, losses: &mut Losses) -> Settings {
    if settings.mode == Mode::Disabled && matches!(settings.effort, Some("xhigh" | "max")) {
        losses.add(Action::Clamp, "reasoning.effort");
        return Settings { effort: Some("high"), ..settings };
    }
    settings
}

/// The model's word for `effort`; `None` if it knows no words.
fn word(context: &Context<'_>, effort: Effort, losses: &mut Losses) -> Option<&'static str> {
    let capabilities = &context.target.capabilities;
    if !capabilities.effort {
        if effort != Effort::None {
            losses.drop("reasoning.effort");
        }
        return None;
    }
    let fitted = match effort {
        Effort::None | Effort::Minimal => Effort::Low,
        Effort::XHigh | Effort::Max if !capabilities.effort_xhigh => Effort::High,
        other => other,
    };
    if fitted != effort && effort != Effort::None {
        losses.add(Action::Approx, "reasoning.effort");
    }
    Some(fitted.as_str())
}

/// The output limit, which this protocol demands (T138), and a budget below it (T109).
fn limit(context: &Context<'_>, settings: &mut Settings, losses: &mut Losses) -> u64 {
    let capabilities = &context.target.capabilities;
    let most = capabilities.max_output.unwrap_or(u64::MAX);
    let limit = match (context.request.output.max_tokens, settings.mode) {
        (Some(asked), _) => {
            if asked > most {
                losses.add(Action::Clamp, "max_tokens");
            }
            asked.min(most)
        }
        (None, mode) => {
            let usual = context.target.default_max_tokens.or(capabilities.max_output).unwrap_or(8192);
            let room = if let Mode::Budget(budget) = mode { budget } else { 0 };
            usual.saturating_add(room).min(most)
        }
    };
    if let Mode::Budget(budget) = settings.mode {
        let fitted = budget.max(LEAST_BUDGET).min(limit.saturating_sub(1));
        if fitted < LEAST_BUDGET {
            losses.drop("reasoning");
            settings.mode = Mode::Absent;
        } else {
            if fitted != budget {
                losses.add(Action::Clamp, "reasoning.budget");
            }
            settings.mode = Mode::Budget(fitted);
        }
    }
    limit
}

/// Whether the API would refuse reasoning in this request. A client that set the budget itself is
/// told so by the upstream.
fn clashes(context: &Context<'_>, settings: &Settings, messages: &[Message<'_>]) -> bool {
    if context.is_native() {
        return false;
    }
    let forced = match &context.request.tool_choice {
        Some(ToolChoice::Required | ToolChoice::Tool(_)) => true,
        Some(ToolChoice::Allowed(allowed)) => allowed.required,
        _ => false,
    };
    let forced = forced && !context.request.tools.is_empty() && context.request.reasoning.budget.is_none();
    let headless = matches!(settings.mode, Mode::Budget(_)) && loop_lacks_thinking(messages);
    let prefilled = messages.last().is_some_and(|last| last.role == Role::Assistant);
    forced || headless || prefilled
}

/// Whether the tool loop that is under way began without Anthropic's own reasoning (T104).
fn loop_lacks_thinking(messages: &[Message<'_>]) -> bool {
    let real_user = |message: &Message<'_>| {
        message.role == Role::User
            && message
                .items
                .iter()
                .any(|item| !matches!(item.part(), Some(Part { kind: PartKind::ToolResult { .. }, .. })))
    };
    let begin = messages.iter().rposition(real_user).map_or(0, |at| at + 1);
    let first = messages.iter().skip(begin).find(|message| message.role == Role::Assistant);
    first.is_some_and(|message| {
        !message.items.first().and_then(|item| item.part()).is_some_and(|part| {
            matches!(part.kind, PartKind::Reasoning { .. }) && is_native(part.opaque.as_ref())
        })
    })
}

/// Only models that think adaptively know `display`; Anthropic's own clients that do not say get
/// the model's default.
fn display(context: &Context<'_>, settings: &Settings) -> Option<&'static str> {
    let knows = matches!(context.target.capabilities.thinking, Thinking::Both | Thinking::Adaptive);
    if !settings.is_on() || !knows {
        return None;
    }
    match context.request.reasoning.visibility {
        Visibility::Hidden => Some("omitted"),
        Visibility::Shown if !context.is_native() => Some("summarized"),
        _ => None,
    }
}
