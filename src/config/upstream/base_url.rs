//! `base_url`: where an upstream is.

use url::Url;

use super::ApiType;
use crate::config::address::Address;
use crate::config::reader::Map;

/// Reads and checks `text`; takes a slash off its end. Messages do not repeat it: it may hold a
/// password.
pub(in crate::config) fn parse(text: &str) -> Result<Url, String> {
    if !is_plain_http(text) {
        return Err(WRONG.to_owned());
    }
    let mut url = Url::parse(text).map_err(|_| WRONG)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or password; the key belongs into `token`".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not hold a query (`?`) or fragment (`#`)".to_owned());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// The vendor's own address.
pub(in crate::config) fn of(api_type: ApiType) -> Url {
    let text = match api_type {
        ApiType::Anthropic => "https://api.anthropic.com",
        ApiType::OpenAi | ApiType::Responses => "https://api.openai.com",
        ApiType::Gemini => "https://generativelanguage.googleapis.com",
    };
    parse(text).unwrap_or_else(|_| unreachable!("`{text}` is a URL"))
}

const WRONG: &str = "must be a URL such as https://api.example.com";

/// Whether `text` is http or https with a host. Browsers' rules, which `Url` follows, would also read
/// `http:///v1` (as the host `v1`), backslashes and line ends.
fn is_plain_http(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    ["http", "https"].iter().any(|known| known.eq_ignore_ascii_case(scheme))
        && !rest.starts_with(['/', '?', '#'])
        && !rest.contains(odd)
}

pub(super) fn read(map: &Map<'_>, api_type: ApiType, own: &Address) -> Url {
    let Some(field) = map.get("base_url") else { return of(api_type) };
    let Some(read) = field.parsed("a URL such as https://api.example.com", parse) else {
        return of(api_type);
    };
    if own.is_reached_by(&read) {
        field.warning("is the address of aiproxy itself: requests would go in circles");
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_and_versions_do_not_double_a_segment() {
        for (text, url) in [
            ("https://api.example.com", "https://api.example.com/"),
            ("https://api.example.com/", "https://api.example.com/"),
            ("http://127.0.0.1:9000/a/b//", "http://127.0.0.1:9000/a/b"),
            ("https://openrouter.ai/api/v1/", "https://openrouter.ai/api/v1"),
            ("https://x.example/v1beta", "https://x.example/v1beta"),
            ("https://x.example/vertex", "https://x.example/vertex"),
            ("HTTPS://X.example:443", "https://x.example/"),
        ] {
            let read = parse(text).unwrap_or_else(|message| panic!("{text}: {message}"));
            assert_eq!(read.as_str(), url, "{text}");
        }
    }

    #[test]
    fn what_could_send_a_key_astray_is_refused() {
        for text in [
            "",
            "api.example.com",
            "localhost:8080",
            "ftp://x.example",
            "file:///etc",
            "https://",
            "http:///v1",
            "https://user@x.example",
            "https://u:p@x.example",
            "https://x.example?a=b",
            "https://x.example#a",
            "https://x.example/?",
            "javascript:alert(1)",
            "https://good.example\\@bad.example",
            "https://good\n.example",
            "https:good.example",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_type_has_an_address() {
        for api_type in [ApiType::Anthropic, ApiType::OpenAi, ApiType::Responses, ApiType::Gemini] {
            assert_eq!(of(api_type).scheme(), "https");
        }
    }

    #[test]
    fn a_password_is_not_repeated() {
        for text in ["https://u:geheim@x.example", "ftp://u:geheim@x.example", "https://u:geheim@"] {
            let message = parse(text).err().unwrap_or_default();
            assert!(!message.contains("geheim"), "{message}");
        }
    }
}
