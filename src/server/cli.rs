//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::error::BoxError;
use crate::simulator::SimulateArgs;

use super::start;

/// An LLM gateway: Anthropic, OpenAI Chat, OpenAI Responses and Gemini in, any of them out.
///
/// Without a command it serves. Without --config it uses ./config.yaml if there is one; else the provider
/// keys in the environment (ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY, …); else a built-in
/// simulated provider.
#[derive(Debug, Parser)]
#[command(name = "aiproxy", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reads a configuration, reports every problem with its line and column, and exits.
    Check {
        /// The configuration file.
        #[arg(long, short, default_value = "config.yaml")]
        config: PathBuf,
    },
    /// Plays an LLM provider in all four protocols, for trying out a configuration.
    Simulate(SimulateArgs),
}

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The configuration file.
    #[arg(long, short)]
    pub(super) config: Option<PathBuf>,
}

/// Reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse_from(go_style(std::env::args_os()));
    let result = match arguments.command {
        Some(Command::Check { config }) => return check(&config),
        Some(Command::Simulate(arguments)) => start::simulate(arguments),
        None => start::serve(&arguments.serve),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Go programs spell long flags with one dash: `-config FILE` and `-config=FILE` work too.
fn go_style(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    arguments.map(|argument| match argument.to_str() {
        Some("-config") => OsString::from("--config"),
        Some(text) => match text.strip_prefix("-config=") {
            Some(file) => OsString::from(format!("--config={file}")),
            None => argument,
        },
        None => argument,
    })
}

fn check(path: &std::path::Path) -> ExitCode {
    match Config::load(path) {
        Ok(config) => {
            for warning in &config.warnings {
                print(&format!("{warning} (warning)"));
            }
            print(&format!("{}: fine; {} upstreams", path.display(), config.upstreams.len()));
            ExitCode::SUCCESS
        }
        Err(problems) => fail(&problems.into()),
    }
}

fn fail(error: &BoxError) -> ExitCode {
    use std::io::Write as _;
    // A closed pipe must not turn an error into a panic.
    let _ = writeln!(std::io::stderr(), "{error}");
    ExitCode::FAILURE
}

/// Prints a line for the person at the terminal; a closed pipe is no reason to die.
pub(super) fn print(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Arguments {
        Arguments::try_parse_from(go_style(line.split_whitespace().map(OsString::from))).unwrap()
    }

    #[test]
    fn the_seeds_flag_works_in_every_spelling() {
        for line in [
            "aiproxy -config a.yaml",
            "aiproxy -config=a.yaml",
            "aiproxy --config a.yaml",
            "aiproxy -c a.yaml",
        ] {
            assert_eq!(parse(line).serve.config, Some(PathBuf::from("a.yaml")), "{line}");
        }
        assert!(matches!(parse("aiproxy check --config a.yaml").command, Some(Command::Check { .. })));
        assert!(Arguments::try_parse_from(["aiproxy", "validat"]).is_err(), "an unknown command is an error");
    }
}
