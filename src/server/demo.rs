//! A main job with nothing at hand: a gateway in front of a simulated provider.

use crate::config::{ApiType, Config, Upstream};
use crate::error::BoxError;
use crate::simulator::{Running, Settings, Simulator};

use super::cli::print;

/// Starts the simulator and adds one upstream of each API type, served as `sim-<protocol>`; names that
/// go on, as the simulator's faults do, are served too.
pub(super) async fn start(config: &mut Config) -> Result<Running, BoxError> {
    let simulator = Simulator::spawn(Settings::default()).await?;
    let url: url::Url = simulator.url().parse()?;
    for api in ApiType::ALL {
        let mut upstream = Upstream::new(api.as_str(), api, url.clone());
        upstream.available_models = Some(vec![format!("sim-{api}"), format!("sim-{api}*")]);
        config.upstreams.push(upstream);
    }
    Ok(simulator)
}

/// Says plainly what this is, with lines to copy.
pub(super) fn explain(address: &str) {
    print(&format!(
        r#"aiproxy listens on http://{address}

There is no config.yaml and no provider key in the environment, so the upstreams are SIMULATED:
nothing leaves this machine and the answers are canned. The model's name chooses the protocol that the
simulated provider speaks: sim-anthropic, sim-openai, sim-responses, sim-gemini. Try any client protocol
against any of them:

curl http://{address}/v1/messages -H 'content-type: application/json' -d '{{"model":"sim-openai","max_tokens":100,"messages":[{{"role":"user","content":"Hello"}}]}}'

curl http://{address}/v1/chat/completions -H 'content-type: application/json' -d '{{"model":"sim-anthropic","stream":true,"messages":[{{"role":"user","content":"Hello"}}]}}'

curl http://{address}/v1/responses -H 'content-type: application/json' -d '{{"model":"sim-gemini","input":"Hello"}}'

curl 'http://{address}/v1beta/models/sim-responses:streamGenerateContent?alt=sse' -H 'content-type: application/json' -d '{{"contents":[{{"role":"user","parts":[{{"text":"Hello"}}]}}]}}'

For real upstreams set ANTHROPIC_API_KEY, OPENAI_API_KEY or GEMINI_API_KEY, or write a config.yaml
(config/aiproxy.example.yaml shows every key)."#
    ));
}
