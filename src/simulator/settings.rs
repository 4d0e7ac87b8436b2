//! How a simulator behaves, from code or from the command line.

use std::net::SocketAddr;
use std::time::Duration;

/// How a [`Simulator`](super::Simulator) behaves. The default answers at once and never fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Time from the end of a request to the head of its answer.
    pub latency: Duration,
    /// Events with output per second in a stream; 0 is no pacing.
    pub tokens_per_second: u32,
    /// Part of the generating requests that fail, from 0 to 1. Which ones follows from `seed` and a
    /// counter. They fail with 500, overload (529 from Anthropic, 503 from the others) and 429 in
    /// turn.
    pub failure_rate: f64,
    /// Refuse generating requests that do not stream, as streaming-only backends do.
    pub must_stream: bool,
    /// Accepted API keys; empty accepts requests with any key or none.
    pub keys: Vec<String>,
    /// Say this many text deltas in every stream, instead of an echo, and call no tools. For
    /// benchmarks.
    pub events: Option<usize>,
    /// Say a text of this many bytes, instead of an echo, and call no tools. For benchmarks.
    pub response_bytes: Option<usize>,
    /// Listed models. Any model name is served, listed or not.
    pub models: Vec<String>,
    /// Mixed into identifiers and into which requests fail.
    pub seed: u64,
    /// Keep the newest requests for [`Simulator::requests`](super::Simulator::requests).
    pub record: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            latency: Duration::ZERO,
            tokens_per_second: 0,
            failure_rate: 0.0,
            must_stream: false,
            keys: Vec::new(),
            events: None,
            response_bytes: None,
            models: default_models(),
            seed: 0,
            record: true,
        }
    }
}

fn default_models() -> Vec<String> {
    ["sim-anthropic", "sim-openai", "sim-responses", "sim-gemini"].map(String::from).to_vec()
}

/// Options of `aiproxy simulate`.
#[derive(Clone, Debug, clap::Args)]
pub struct SimulateArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4010")]
    pub listen: SocketAddr,
    /// Time to the head of an answer, such as 250ms or 1.5s (a bare number is milliseconds)
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = duration)]
    pub latency: Duration,
    /// Events with output per second in a stream, 0 for no pacing
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub tokens_per_second: u32,
    /// Part of the requests that fail with 500, overload and 429 in turn, from 0 to 1
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = rate)]
    pub failure_rate: f64,
    /// Refuse requests that do not stream
    #[arg(long)]
    pub must_stream: bool,
    /// An accepted API key, may be repeated; without it every key is accepted
    #[arg(long = "key", value_name = "KEY")]
    pub keys: Vec<String>,
    /// Text deltas in every stream, instead of an echo
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub events: Option<u32>,
    /// Bytes of text in every answer, instead of an echo
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=268_435_456))]
    pub response_bytes: Option<u32>,
    /// A model to list, may be repeated; every name is served
    #[arg(long = "model", value_name = "NAME")]
    pub models: Vec<String>,
    /// Mixed into identifiers and into which requests fail
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

impl From<&SimulateArgs> for Settings {
    /// Everything but the address; nothing is recorded, since nobody could read it.
    fn from(args: &SimulateArgs) -> Self {
        let size = |n: Option<u32>| n.and_then(|n| usize::try_from(n).ok());
        Settings {
            latency: args.latency,
            tokens_per_second: args.tokens_per_second,
            failure_rate: args.failure_rate,
            must_stream: args.must_stream,
            keys: args.keys.clone(),
            events: size(args.events),
            response_bytes: size(args.response_bytes),
            models: if args.models.is_empty() { default_models() } else { args.models.clone() },
            seed: args.seed,
            record: false,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 0.001),
        (None, Some(number)) => (number, 1.0),
        (None, None) => (text, 0.001),
    };
    let number: f64 = number.trim().parse().map_err(|_| format!("{text:?} is not a time"))?;
    Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
    rate.ok_or_else(|| format!("{text:?} is not a number from 0 to 1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SimulateArgs,
    }

    fn parse(words: &[&str]) -> Result<Settings, clap::Error> {
        let words = ["simulate"].iter().chain(words);
        Line::try_parse_from(words).map(|line| Settings::from(&line.args))
    }

    #[test]
    fn no_options_are_the_default() {
        let settings = parse(&[]).unwrap();
        assert_eq!(settings, Settings { record: false, ..Settings::default() });
    }

    #[test]
    fn options_become_settings() {
        let settings = parse(&[
            "--latency",
            "1.5s",
            "--failure-rate",
            "0.25",
            "--key",
            "a",
            "--key",
            "b",
            "--model",
            "m",
            "--events",
            "100",
            "--must-stream",
        ])
        .unwrap();
        assert_eq!(settings.latency, Duration::from_millis(1500));
        assert_eq!((settings.failure_rate, settings.must_stream), (0.25, true));
        assert_eq!((settings.keys, settings.models), (vec!["a".into(), "b".into()], vec!["m".to_owned()]));
        assert_eq!(settings.events, Some(100));
        assert_eq!(parse(&["--latency", "20"]).unwrap().latency, Duration::from_millis(20));
    }

    #[test]
    fn bad_values_are_refused() {
        for words in
            [["--latency", "soon"], ["--latency", "-1s"], ["--failure-rate", "1.1"], ["--events", "0"]]
        {
            assert!(parse(&words).is_err(), "{words:?}");
        }
    }
}
