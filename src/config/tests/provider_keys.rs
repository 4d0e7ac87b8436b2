//! Starting without a file.

use crate::config::{ApiType, Config, Problems};
use crate::protocol::Dialect;

fn from(pairs: &[(&str, &str)]) -> Result<Option<Config>, Problems> {
    Config::from_environment(&|name| {
        pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn nothing_set_is_no_configuration() {
    assert!(from(&[]).unwrap().is_none());
    assert!(from(&[("ANTHROPIC_API_KEY", ""), ("OPENAI_BASE_URL", "https://x.example")]).unwrap().is_none());
}

#[test]
fn each_key_brings_its_upstream() {
    let config = from(&[
        ("ANTHROPIC_API_KEY", "sk-a"),
        ("OPENAI_API_KEY", "sk-o"),
        ("OPENAI_BASE_URL", "https://eu.api.openai.com/v1"),
        ("GOOGLE_API_KEY", "sk-g"),
        ("OPENROUTER_API_KEY", "sk-r"),
    ])
    .unwrap()
    .unwrap();
    let upstreams: Vec<_> = config
        .upstreams
        .iter()
        .map(|u| (u.name.as_str(), u.api_type, u.base_url.as_str(), u.priority))
        .collect();
    assert_eq!(
        upstreams,
        [
            ("anthropic", ApiType::Anthropic, "https://api.anthropic.com/", 0),
            ("openai", ApiType::OpenAi, "https://eu.api.openai.com/v1", 0),
            ("responses", ApiType::Responses, "https://eu.api.openai.com/v1", 0),
            ("gemini", ApiType::Gemini, "https://generativelanguage.googleapis.com/", 0),
            ("openrouter", ApiType::OpenAi, "https://openrouter.ai/api", 1),
        ]
    );
    let models = |at: usize| config.upstreams[at].available_models.clone().unwrap_or_default().join(" ");
    assert_eq!(models(0), "claude-*");
    assert_eq!(models(1), "gpt-* o1* o3* o4* chatgpt-* codex-*");
    assert_eq!((models(3), models(4)), ("gemini-* gemma-*".to_owned(), String::new()));
    assert!(config.api_keys.is_empty() && config.address.is_loopback());
}

#[test]
fn every_vendor_has_a_usable_address() {
    let all = ["ANTHROPIC", "OPENAI", "GEMINI", "DEEPSEEK", "MISTRAL", "GROQ", "XAI", "OPENROUTER"];
    let config = Config::from_environment(&|name| {
        all.iter().any(|vendor| name == format!("{vendor}_API_KEY")).then(|| "sk-1".to_owned())
    });
    assert_eq!(config.unwrap().unwrap().upstreams.len(), all.len() + 1);
}

#[test]
fn vendors_that_refuse_openais_newer_members_are_not_sent_them() {
    let vendors = ["OPENAI", "DEEPSEEK", "MISTRAL", "GROQ"];
    let config = Config::from_environment(&|name| {
        vendors.iter().any(|vendor| name == format!("{vendor}_API_KEY")).then(|| "sk-1".to_owned())
    });
    let upstreams = config.unwrap().unwrap().upstreams;
    let of = |name: &str| upstreams.iter().find(|upstream| upstream.name == name).unwrap().dialect;
    assert_eq!(of("openai"), Dialect::default());
    assert!(of("deepseek").legacy_max_tokens && !of("deepseek").no_account_fields);
    assert!(of("mistral").legacy_max_tokens && of("mistral").no_account_fields);
    assert!(of("mistral").no_stream_options && of("mistral").random_seed && !of("groq").random_seed);
    assert!(!of("groq").legacy_max_tokens && of("groq").no_account_fields);
}

#[test]
fn impossible_values_are_named_all_at_once_and_once() {
    let problems = from(&[
        ("ANTHROPIC_API_KEY", "geheim "),
        ("OPENAI_API_KEY", "change-me"),
        ("ANTHROPIC_BASE_URL", "nowhere"),
    ])
    .unwrap_err()
    .to_string();
    assert_eq!(
        problems,
        "environment: ANTHROPIC_API_KEY: has white space at its beginning or end\n\
         environment: ANTHROPIC_BASE_URL: must be a URL such as https://api.example.com\n\
         environment: OPENAI_API_KEY: this is the example's key, which everybody knows; put your own here"
    );
}

#[test]
fn a_client_variable_that_points_here_is_warned_of() {
    let config = from(&[("ANTHROPIC_API_KEY", "sk-a"), ("ANTHROPIC_BASE_URL", "http://localhost:8080")])
        .unwrap()
        .unwrap();
    assert!(config.warnings[0].to_string().contains("requests would go in circles"));
}
