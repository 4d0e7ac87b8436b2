//! The client's own names of parameters, for refusals (5.1).

use std::borrow::Cow;

use crate::protocol::Protocol;

/// Parameters in the words of Chat, which are the hub's, and in those of the other protocols.
const NAMES: [(&str, &str, &str, &str); 15] = [
    // Chat, Anthropic, Responses, Gemini
    ("messages", "messages", "input", "contents"),
    ("input", "messages", "input", "contents"),
    ("max_tokens", "max_tokens", "max_output_tokens", "maxOutputTokens"),
    ("n", "n", "n", "candidateCount"),
    ("modalities", "modalities", "modalities", "responseModalities"),
    ("stop", "stop_sequences", "stop", "stopSequences"),
    ("top_p", "top_p", "top_p", "topP"),
    ("top_k", "top_k", "top_k", "topK"),
    ("presence_penalty", "presence_penalty", "presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequency_penalty", "frequency_penalty", "frequencyPenalty"),
    ("logprobs", "logprobs", "logprobs", "responseLogprobs"),
    ("top_logprobs", "top_logprobs", "top_logprobs", "logprobs"),
    ("response_format", "output_config.format", "text.format", "responseSchema"),
    ("tool_choice", "tool_choice", "tool_choice", "toolConfig"),
    ("service_tier", "service_tier", "service_tier", "serviceTier"),
];

/// What `client` calls a parameter of the hub's; what stands inside of it (`input.image`) keeps its name.
#[must_use]
pub(crate) fn client_param(client: Protocol, param: &str) -> Cow<'_, str> {
    let head = param.split(['.', '[']).next().unwrap_or(param);
    let Some((chat, anthropic, responses, gemini)) = NAMES.iter().find(|(hub, ..)| *hub == head) else {
        return Cow::Borrowed(param);
    };
    let name = match client {
        // The same thing under a name of Responses.
        Protocol::OpenAi if head == "input" => "messages",
        Protocol::OpenAi => chat,
        Protocol::Anthropic => anthropic,
        Protocol::Responses => responses,
        Protocol::Gemini => gemini,
    };
    match param.strip_prefix(head).unwrap_or_default() {
        "" => Cow::Borrowed(name),
        inner => Cow::Owned(format!("{name}{inner}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_parameter_is_one_that_the_client_knows() {
        for (client, param, name) in [
            (Protocol::Gemini, "n", "candidateCount"),
            (Protocol::Gemini, "top_logprobs", "logprobs"),
            (Protocol::Gemini, "input.image", "contents.image"),
            (Protocol::Responses, "max_tokens", "max_output_tokens"),
            (Protocol::Responses, "messages[2].content", "input[2].content"),
            (Protocol::Anthropic, "input.file_id", "messages.file_id"),
            (Protocol::OpenAi, "input", "messages"),
            (Protocol::OpenAi, "max_tokens", "max_tokens"),
            (Protocol::Gemini, "previous_response_id", "previous_response_id"),
            (Protocol::Gemini, "", ""),
        ] {
            assert_eq!(client_param(client, param), name);
        }
    }
}
