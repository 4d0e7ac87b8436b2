//! `base_url`: where an upstream is.

use url::Url;

use super::ApiType;
use crate::config::address::Address;
use crate::config::reader::Map;

/// An address without trailing slash, and whether it ends in a version.
pub(in crate::config) struct BaseUrl {
    pub(in crate::config) url: Url,
    pub(in crate::config) has_version: bool,
}

impl BaseUrl {
    /// Reads and checks `text`. Messages do not repeat it: it may hold a password.
    pub(in crate::config) fn parse(text: &str) -> Result<Self, String> {
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
        let has_version = path.rsplit('/').next().is_some_and(is_version);
        Ok(BaseUrl { url, has_version })
    }

    /// The vendor's own address.
    pub(in crate::config) fn of(api_type: ApiType) -> Self {
        let text = match api_type {
            ApiType::Anthropic => "https://api.anthropic.com",
            ApiType::OpenAi | ApiType::Responses => "https://api.openai.com",
            ApiType::Gemini => "https://generativelanguage.googleapis.com",
        };
        BaseUrl::parse(text).unwrap_or_else(|_| unreachable!("`{text}` is a URL"))
    }
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

/// `v1`, `v1beta`, `v4`.
fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

pub(super) fn read(map: &Map<'_>, api_type: ApiType, own: &Address) -> BaseUrl {
    let Some(field) = map.get("base_url") else { return BaseUrl::of(api_type) };
    let Some(read) = field.parsed("a URL such as https://api.example.com", BaseUrl::parse) else {
        return BaseUrl::of(api_type);
    };
    if own.is_reached_by(&read.url) {
        field.warning("is the address of aiproxy itself: requests would go in circles");
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_and_versions_do_not_double_a_segment() {
        for (text, url, has_version) in [
            ("https://api.example.com", "https://api.example.com/", false),
            ("https://api.example.com/", "https://api.example.com/", false),
            ("http://127.0.0.1:9000/a/b//", "http://127.0.0.1:9000/a/b", false),
            ("https://openrouter.ai/api/v1/", "https://openrouter.ai/api/v1", true),
            ("https://x.example/v1beta", "https://x.example/v1beta", true),
            ("https://x.example/vertex", "https://x.example/vertex", false),
            ("HTTPS://X.example:443", "https://x.example/", false),
        ] {
            let read = BaseUrl::parse(text).unwrap_or_else(|message| panic!("{text}: {message}"));
            assert_eq!((read.url.as_str(), read.has_version), (url, has_version), "{text}");
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
            assert!(BaseUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_type_has_an_address() {
        for api_type in [ApiType::Anthropic, ApiType::OpenAi, ApiType::Responses, ApiType::Gemini] {
            assert_eq!(BaseUrl::of(api_type).url.scheme(), "https");
        }
    }

    #[test]
    fn a_password_is_not_repeated() {
        for text in ["https://u:geheim@x.example", "ftp://u:geheim@x.example", "https://u:geheim@"] {
            let message = BaseUrl::parse(text).err().unwrap_or_default();
            assert!(!message.contains("geheim"), "{message}");
        }
    }
}
