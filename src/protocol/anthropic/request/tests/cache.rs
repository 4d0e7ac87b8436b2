//! Caching of prompts for clients whose own protocol caches by itself.

use super::*;
use crate::protocol::canonical::CacheMark;

fn cached(client: Protocol, request: &Request<'_>, auto_cache: bool) -> Value {
    let exchange = Exchange::new(request, client, Protocol::Anthropic);
    let target = Target { auto_cache, ..Target::new(SONNET) };
    let (mut out, mut losses) = (Vec::new(), Losses::default());
    encode(request, &exchange, &target, &mut losses, &mut out).unwrap();
    assert_eq!(losses.header(), "");
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn agents_of_other_protocols_do_not_pay_for_the_whole_conversation_each_turn() {
    for client in [Protocol::OpenAi, Protocol::Responses, Protocol::Gemini] {
        let sent = cached(client, &asking(), true);
        assert_eq!(sent["cache_control"], json!({"type": "ephemeral"}), "{client}");
        assert_eq!(cached(client, &asking(), false).get("cache_control"), None, "{client}");
    }
    // Who knows marks has set them where they are wanted.
    assert_eq!(cached(Protocol::Anthropic, &asking(), true).get("cache_control"), None);
    let mut marked = asking();
    marked.turns[0].parts[0].cache = Some(CacheMark::OneHour);
    let sent = cached(Protocol::OpenAi, &marked, true);
    assert_eq!(sent.get("cache_control"), None);
    assert_eq!(sent["messages"][0]["content"][0]["cache_control"]["ttl"], "1h");
    let mut within = request(vec![
        (Role::User, vec![Part::text("go")]),
        (Role::Assistant, vec![call("a", "{}")]),
        (Role::User, vec![result("a", "1")]),
    ]);
    let PartKind::ToolResult { content, .. } = &mut within.turns[2].parts[0].kind else { panic!() };
    content[0].cache = Some(CacheMark::FiveMinutes);
    assert_eq!(cached(Protocol::OpenAi, &within, true).get("cache_control"), None);
}
