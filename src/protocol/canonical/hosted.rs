//! Tools that a provider runs itself and no other has (2.13).

use super::{Action, Losses, Request, ToolKind, WebSearch};
use crate::protocol::Protocol;

/// What becomes of another provider's hosted tool. Web search is mapped wherever it can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostedTools {
    /// The request is refused.
    #[default]
    Reject,
    /// The tool is left out and named as lost, if there are functions besides and nothing demands it.
    Strip,
}

impl Request<'_> {
    /// Leaves out the hosted tools that `upstream` cannot run, as far as the policy allows; what stays is
    /// refused by the encoder.
    pub fn settle_hosted_tools(&mut self, upstream: Protocol, policy: HostedTools, losses: &mut Losses) {
        if policy == HostedTools::Reject {
            return;
        }
        let mut kept = Vec::with_capacity(self.tools.len());
        for tool in &self.tools {
            let foreign = match &tool.kind {
                ToolKind::Hosted { protocol, tag, raw } if *protocol != upstream => {
                    let tag = tag.decode();
                    let has_equal =
                        tool.is_foreign_tool_search(upstream) || WebSearch::read(&tag, raw).is_some();
                    Some(tag).filter(|_| !has_equal && self.can_do_without(tool))
                }
                _ => None,
            };
            if let Some(tag) = &foreign {
                losses.add_named(Action::Drop, &format!("tools.{tag}"));
            }
            kept.push(foreign.is_none());
        }
        let mut kept = kept.into_iter();
        self.tools.retain(|_| kept.next().unwrap_or(true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::canonical::Exchange;
    use crate::protocol::{Endpoint, RequestError, Target, decode_request, encode_request};
    use serde_json::{Value, json};

    /// The tools that another upstream gets of a client of Responses, and what is named as lost.
    fn sent(upstream: Protocol, policy: HostedTools, body: &Value) -> Result<(Value, String), RequestError> {
        let endpoint = Endpoint::parse("/v1/responses", None).unwrap();
        let text = body.to_string();
        let mut request = decode_request(&endpoint, &text).unwrap();
        let exchange = Exchange::new(&request, Protocol::Responses, upstream);
        let (mut losses, mut out) = (Losses::default(), Vec::new());
        request.settle_hosted_tools(upstream, policy, &mut losses);
        encode_request(upstream, &request, &exchange, &Target::new("m"), &mut losses, &mut out)?;
        let sent: Value = serde_json::from_slice(&out).unwrap();
        Ok((sent["tools"].clone(), losses.header()))
    }

    #[test]
    fn an_agent_that_offers_pictures_besides_its_functions_is_served_where_hosted_tools_are_stripped() {
        let function = json!({"type": "function", "name": "f", "strict": false,
            "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}});
        let body = |tools: Value| json!({"model": "m", "input": "go", "tools": tools});
        let agent = body(json!([{"type": "image_generation"}, function, {"type": "code_interpreter"}]));
        for upstream in [Protocol::Anthropic, Protocol::OpenAi, Protocol::Gemini] {
            assert!(sent(upstream, HostedTools::Reject, &agent).is_err(), "{upstream}");
            let (tools, losses) = sent(upstream, HostedTools::Strip, &agent).unwrap();
            assert_eq!(losses, "drop:tools.image_generation, drop:tools.code_interpreter", "{upstream}");
            let tools = tools.to_string();
            assert!(tools.contains(r#""name":"f""#) && !tools.contains("image"), "{upstream}: {tools}");
            // A request that is about nothing else would get a wrong answer.
            let alone = body(json!([{"type": "image_generation"}]));
            assert!(sent(upstream, HostedTools::Strip, &alone).is_err(), "{upstream}");
            let mut demanded = agent.clone();
            demanded["tool_choice"] = json!({"type": "image_generation"});
            assert!(sent(upstream, HostedTools::Strip, &demanded).is_err(), "{upstream}");
        }
        let (tools, losses) = sent(Protocol::Responses, HostedTools::Strip, &agent).unwrap();
        assert_eq!((tools.as_array().unwrap().len(), losses.as_str()), (3, ""));
        let (tools, losses) =
            sent(Protocol::Anthropic, HostedTools::Strip, &body(json!([{"type": "web_search"}, function])))
                .unwrap();
        assert_eq!((&tools[0]["name"], losses.as_str()), (&json!("web_search"), ""));
    }
}
