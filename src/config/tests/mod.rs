//! The configuration as its users meet it: whole texts in, a `Config` or lines of problems out.

mod hostile;
mod keys;
mod problems;
mod provider_keys;
mod secrets;
mod shipped;
mod yaml;

use super::{Config, Problems, Source};

/// An environment in which every variable in capitals but `UNSET` and `EMPTY` holds a key.
fn variables(name: &str) -> Option<String> {
    match name {
        "UNSET" => None,
        "EMPTY" => Some(String::new()),
        "PORT" => Some("9000".to_owned()),
        "FLAG" => Some("true".to_owned()),
        _ => Some(format!("secret-of-{name}")),
    }
}

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse(text, &Source::new("aiproxy.yaml", &variables))
}

#[track_caller]
fn config(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The problems, one per line, without the file's name.
#[track_caller]
fn problems(text: &str) -> Vec<String> {
    let problems = parse(text).expect_err("there should be problems");
    problems.iter().map(|problem| problem.to_string().replacen("aiproxy.yaml:", "", 1)).collect()
}

fn warnings(text: &str) -> Vec<String> {
    config(text).warnings.iter().map(|warning| warning.to_string().replacen("aiproxy.yaml:", "", 1)).collect()
}

/// `lines` at the root, before one good upstream.
fn with_root(lines: &str) -> String {
    format!("{lines}\nupstreams: [{{ name: a, token: sk-1 }}]\n")
}

/// An upstream with `lines`, each indented by four, from line 4 on.
fn with_upstream(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("upstreams:\n  - name: a\n    token: sk-1\n{lines}")
}
