use super::*;
use crate::protocol::canonical::media::encode_base64;
use crate::protocol::{Endpoint, Operation, decode_request};

fn count(protocol: Protocol, body: &str) -> u64 {
    let endpoint = Endpoint::new(protocol, Operation::CountTokens);
    estimate_tokens(&decode_request(&endpoint, body).unwrap(), "gpt-5")
}

fn anthropic(more: &str, content: &str) -> u64 {
    count(
        Protocol::Anthropic,
        &format!(r#"{{"model":"m",{more}"messages":[{{"role":"user","content":{content}}}]}}"#),
    )
}

#[test]
fn t175_everything_that_a_model_reads_is_counted() {
    let words = "one two three four five six seven eight nine ten";
    let plain = anthropic("", r#""Hi""#);
    let said = anthropic("", &format!(r#""Hi {words}""#));
    assert!((10..=12).contains(&(said - plain)), "{plain} {said}");
    for (what, more) in [
        ("system", format!(r#""system":"{words}","#)),
        ("system blocks", format!(r#""system":[{{"type":"text","text":"{words}"}}],"#)),
        ("description", format!(r#""tools":[{{"name":"f","description":"{words}","input_schema":{{}}}}],"#)),
        (
            "schema",
            format!(
                r#""tools":[{{"name":"f","input_schema":{{"type":"object","description":"{words}"}}}}],"#
            ),
        ),
    ] {
        let more = anthropic(&more, r#""Hi""#);
        assert!(more >= plain + 10, "{what}: {plain} {more}");
    }
    for (what, content) in [
        ("a call", r#"[{"type":"tool_use","id":"t","name":"f","input":{"a":"WORDS"}}]"#),
        ("a result", r#"[{"type":"tool_result","tool_use_id":"t","content":"WORDS"}]"#),
        (
            "a result in parts",
            r#"[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"WORDS"}]}]"#,
        ),
        (
            "a document",
            r#"[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"WORDS"}}]"#,
        ),
    ] {
        let long = anthropic("", &content.replace("WORDS", words));
        let short = anthropic("", &content.replace("WORDS", ""));
        assert!(long >= short + 10, "{what}: {short} {long}");
    }
    let responses =
        count(Protocol::Responses, &format!(r#"{{"model":"m","instructions":"{words}","input":"Hi"}}"#));
    let gemini = count(
        Protocol::Gemini,
        &format!(
            r#"{{"generateContentRequest":{{"systemInstruction":{{"parts":[{{"text":"{words}"}}]}},"contents":[{{"parts":[{{"text":"Hi"}}]}}]}}}}"#
        ),
    );
    assert!(responses >= 15 && gemini >= 15, "{responses} {gemini}");
}

#[test]
fn t175_base64_is_never_text() {
    let small = "iVBORw0KGgo=".to_owned();
    let large = "iVBORw0KGgoA".repeat(100_000);
    let image = |data: &str| {
        anthropic(
            "",
            &format!(
                r#"[{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}]"#
            ),
        )
    };
    assert_eq!(image(&small), image(&large));
    assert!((85..=2000).contains(&image(&large)), "{}", image(&large));
    // In a result, too.
    let result = |data: &str| {
        anthropic(
            "",
            &format!(
                r#"[{{"type":"tool_result","tool_use_id":"t","content":[{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}]}}]"#
            ),
        )
    };
    assert_eq!(result(&small), result(&large));
    // A megabyte of PDF has pages, but not a quarter of a million tokens.
    let pdf = anthropic(
        "",
        &format!(
            r#"[{{"type":"document","source":{{"type":"base64","media_type":"application/pdf","data":"{large}"}}}}]"#
        ),
    );
    assert!((1500..=60_000).contains(&pdf), "{pdf}");
    // Signatures of reasoning are for their issuer, and cost nothing.
    let thinking = |signature: &str| {
        count(
            Protocol::Anthropic,
            &format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}},{{"role":"assistant","content":[{{"type":"thinking","thinking":"Hm.","signature":"{signature}"}},{{"type":"text","text":"Yes?"}}]}}]}}"#
            ),
        )
    };
    assert_eq!(thinking("EqQB"), thinking(&"EqQBCgIYAhIM".repeat(100)));
}

#[test]
fn an_image_costs_what_its_size_costs() {
    let png = |width: u32, height: u32| {
        let head: [&[u8]; 3] =
            [b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", &width.to_be_bytes(), &height.to_be_bytes()];
        encode_base64(&head.concat())
    };
    for (model, size, want) in [
        ("claude-opus-5", (300, 250), 100),
        ("claude-opus-5", (8000, 8000), 1600),
        ("gpt-4o", (512, 512), 85 + 170),
        ("gpt-4o", (1024, 1024), 85 + 4 * 170),
        ("gpt-4o", (2048, 4096), 85 + 6 * 170),
        ("gemini-2.5-pro", (384, 384), 258),
        ("gemini-2.5-pro", (960, 540), 2 * 258),
    ] {
        let with = |data: &str| {
            let body = format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"text","text":"a"}}{data}]}}]}}"#
            );
            let endpoint = Endpoint::new(Protocol::Anthropic, Operation::CountTokens);
            estimate_tokens(&decode_request(&endpoint, &body).unwrap(), model)
        };
        let image = format!(
            r#",{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{}"}}}}"#,
            png(size.0, size.1)
        );
        assert_eq!(with(&image) - with(""), want, "{model} {size:?}");
    }
}

#[test]
fn t175_no_request_is_free() {
    assert!(anthropic("", r#""""#) > 0);
    assert!(count(Protocol::Responses, r#"{"model":"m","input":""}"#) > 0);
    assert!(count(Protocol::Gemini, r#"{"contents":[]}"#) > 0);
}

#[test]
fn every_script_has_its_weight() {
    for (text, least, most) in [
        ("", 0, 0),
        ("Hello world", 2, 2),
        ("internationalization", 2, 5),
        ("getUserById", 3, 5),
        ("1234567", 3, 3),
        ("in 2026", 3, 4),
        ("a\n\n        b", 3, 4),
        ("{\"key\": \"value\"},", 4, 9),
        ("Übergrößenträger", 4, 12),
        ("Привет, мир", 3, 7),
        ("你好，世界", 4, 6),
        ("안녕하세요", 2, 6),
        ("🦀🦀", 2, 6),
    ] {
        let tokens = text::tokens(text);
        assert!((least..=most).contains(&tokens), "`{text}`: {tokens}");
    }
}

#[test]
fn t175_each_client_reads_the_count_in_its_own_shape() {
    for (client, want) in [
        (Protocol::Anthropic, r#"{"input_tokens":7}"#),
        (Protocol::Responses, r#"{"object":"response.input_tokens","input_tokens":7}"#),
        (Protocol::Gemini, r#"{"totalTokens":7}"#),
    ] {
        assert_eq!(String::from_utf8(render_count(client, 7)).unwrap(), want);
    }
}
