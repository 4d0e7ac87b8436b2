//! A configuration without a file: upstreams from the variables in which keys usually stand.

use url::Url;

use super::env::Source;
use super::problem::{Problems, Report};
use super::secret::Secret;
use super::upstream::base_url;
use super::{ApiType, Config, Upstream};
use crate::protocol::Dialect;

/// A vendor: an upstream exists if one of `keys` is set.
struct Vendor {
    name: &'static str,
    api_type: ApiType,
    /// The variables that may hold the key; the first that is set counts.
    keys: &'static [&'static str],
    /// The variable that may hold another base URL.
    base_url_variable: Option<&'static str>,
    /// The base URL otherwise.
    base_url: &'static str,
    /// What it serves; empty is everything, at a lower priority than the others.
    models: &'static [&'static str],
    /// How it bends its protocol.
    bend: fn(&mut Dialect),
}

/// For vendors that speak their own protocol.
const AS_IT_IS: fn(&mut Dialect) = |_| {};

const OPENAI_MODELS: [&str; 6] = ["gpt-*", "o1*", "o3*", "o4*", "chatgpt-*", "codex-*"];

const VENDORS: [Vendor; 9] = [
    Vendor {
        name: "anthropic",
        api_type: ApiType::Anthropic,
        keys: &["ANTHROPIC_API_KEY"],
        base_url_variable: Some("ANTHROPIC_BASE_URL"),
        base_url: "https://api.anthropic.com",
        models: &["claude-*"],
        bend: AS_IT_IS,
    },
    Vendor {
        name: "openai",
        api_type: ApiType::OpenAi,
        keys: &["OPENAI_API_KEY"],
        base_url_variable: Some("OPENAI_BASE_URL"),
        base_url: "https://api.openai.com",
        models: &OPENAI_MODELS,
        bend: AS_IT_IS,
    },
    Vendor {
        name: "responses",
        api_type: ApiType::Responses,
        keys: &["OPENAI_API_KEY"],
        base_url_variable: Some("OPENAI_BASE_URL"),
        base_url: "https://api.openai.com",
        models: &OPENAI_MODELS,
        bend: AS_IT_IS,
    },
    Vendor {
        name: "gemini",
        api_type: ApiType::Gemini,
        keys: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        base_url_variable: None,
        base_url: "https://generativelanguage.googleapis.com",
        models: &["gemini-*", "gemma-*"],
        bend: AS_IT_IS,
    },
    Vendor {
        models: &["deepseek-*"],
        bend: |dialect| dialect.legacy_max_tokens = true,
        ..Vendor::openai_like("deepseek", &["DEEPSEEK_API_KEY"], "https://api.deepseek.com")
    },
    // These two answer a member that they don't know with an error. Mistral's streams tell their usage unasked, and
    // `stream_options.include_usage` is refused (its API reference and SDK know `random_seed` and no `seed` either).
    Vendor {
        bend: |dialect| {
            (dialect.legacy_max_tokens, dialect.no_account_fields) = (true, true);
            (dialect.no_stream_options, dialect.random_seed) = (true, true);
        },
        ..Vendor::openai_like("mistral", &["MISTRAL_API_KEY"], "https://api.mistral.ai")
    },
    Vendor {
        bend: |dialect| dialect.no_account_fields = true,
        ..Vendor::openai_like("groq", &["GROQ_API_KEY"], "https://api.groq.com/openai")
    },
    Vendor::openai_like("xai", &["XAI_API_KEY"], "https://api.x.ai"),
    Vendor::openai_like("openrouter", &["OPENROUTER_API_KEY"], "https://openrouter.ai/api"),
];

impl Vendor {
    const fn openai_like(name: &'static str, keys: &'static [&'static str], base_url: &'static str) -> Self {
        Vendor {
            name,
            api_type: ApiType::OpenAi,
            keys,
            base_url_variable: None,
            base_url,
            models: &[],
            bend: AS_IT_IS,
        }
    }

    fn upstream(&self, source: &Source<'_>, config: &Config, report: &Report) -> Option<Upstream> {
        let (variable, key) = self.keys.iter().find_map(|key| Some((*key, set(source, key)?)))?;
        let token = Secret::checked(&key).map_err(|message| report.problem(None, variable, message));
        let base = self.base_url(source, config, report)?;
        let mut upstream = Upstream::new(self.name, self.api_type, base);
        upstream.tokens = vec![token.ok()?];
        (self.bend)(&mut upstream.dialect);
        upstream.priority = i32::from(self.models.is_empty());
        upstream.available_models =
            (!self.models.is_empty()).then(|| self.models.iter().map(|model| (*model).to_owned()).collect());
        Some(upstream)
    }

    fn base_url(&self, source: &Source<'_>, config: &Config, report: &Report) -> Option<Url> {
        let given = self.base_url_variable.and_then(|variable| Some((variable, set(source, variable)?)));
        let Some((variable, text)) = given else { return base_url::parse(self.base_url).ok() };
        match base_url::parse(&text) {
            Ok(base) => {
                if config.address.is_reached_by(&base) {
                    let message = "is the address of aiproxy itself: requests would go in circles";
                    report.warning(None, variable, message);
                }
                Some(base)
            }
            Err(message) => {
                report.problem(None, variable, message);
                None
            }
        }
    }
}

fn set(source: &Source<'_>, variable: &str) -> Option<String> {
    (source.variables)(variable).filter(|value| !value.trim().is_empty())
}

pub(super) fn config(variables: &dyn Fn(&str) -> Option<String>) -> Result<Option<Config>, Problems> {
    let source = Source::new("environment", variables);
    let report = Report::new(&source.name);
    let mut config = Config::default();
    config.upstreams =
        VENDORS.iter().filter_map(|vendor| vendor.upstream(&source, &config, &report)).collect();
    config.warnings = report.finish()?;
    Ok((!config.upstreams.is_empty()).then_some(config))
}
