//! Data URLs, base64 and MIME types as they come in the wild (2.6, T120).

use std::borrow::Cow;

use super::request::{Media, MediaKind};
use crate::protocol::json::Str;

impl Media<'_> {
    /// What is said of a document in front of it, where the protocol has no member for that: its title, unless
    /// the protocol names it, and its context.
    pub(in crate::protocol) fn preface(&self, is_named: bool) -> impl Iterator<Item = &Str<'_>> {
        let takes_title = self.kind == MediaKind::Document && !is_named;
        let title = self.name.as_ref().filter(|_| takes_title);
        title.into_iter().chain(&self.context).filter(|text| !text.is_empty())
    }
}

/// MIME type and standard base64 of a `data:` URL; `None` if it is no such URL.
///
/// Tolerates upper case, parameters, white space, the URL-safe alphabet, missing padding, and
/// percent-encoded text instead of base64.
#[must_use]
pub fn parse_data_url<'a>(url: &'a Str<'_>) -> Option<(Str<'a>, Str<'a>)> {
    let text = url.as_escaped();
    if !text.get(..5)?.eq_ignore_ascii_case("data:") {
        return None;
    }
    let (head, data) = text.get(5..)?.split_once(',')?;
    let mut parameters = head.split(';');
    let mime = parameters.next().unwrap_or_default().trim();
    let data = if parameters.any(|p| p.trim().eq_ignore_ascii_case("base64")) {
        normalise_base64(&Str::from_escaped(data))
    } else {
        let bytes: Vec<u8> =
            percent_encoding::percent_decode_str(&Str::from_escaped(data).decode()).collect();
        Str::from_escaped(encode_base64(&bytes))
    };
    let mime = normalise_mime(&Str::from_escaped(mime), &data).into_owned();
    Some((mime, Str::from_escaped(data.as_escaped().to_owned())))
}

/// Builds a `data:` URL.
#[must_use]
pub fn data_url(mime: &Str<'_>, base64: &Str<'_>) -> Str<'static> {
    Str::from_escaped(format!("data:{};base64,{}", mime.as_escaped(), base64.as_escaped()))
}

/// Standard alphabet, with padding, without white space. Borrows what is so already.
#[must_use]
pub fn normalise_base64<'a>(data: &Str<'a>) -> Str<'a> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    let text = data.as_escaped();
    if text.len().is_multiple_of(4) && text.bytes().all(plain) {
        return data.clone();
    }
    let mut out: String = data
        .decode()
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '=')
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    while !out.len().is_multiple_of(4) {
        out.push('=');
    }
    Str::escape(out)
}

/// Standard base64 with padding.
#[must_use]
pub fn encode_base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Bytes of base64 of either alphabet, with or without padding.
#[must_use]
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    STANDARD.decode(normalise_base64(&Str::escape(text)).decode().as_bytes()).ok()
}

/// The MIME type as the protocols spell it; guessed from the first bytes when it is missing.
#[must_use]
pub fn normalise_mime<'a>(mime: &Str<'a>, base64: &Str<'_>) -> Str<'a> {
    let lower = mime.decode().trim().to_ascii_lowercase();
    match lower.as_str() {
        "image/jpg" | "image/pjpeg" => Str::from("image/jpeg"),
        "audio/x-wav" | "audio/wave" => Str::from("audio/wav"),
        "audio/mpeg3" | "audio/mp3" => Str::from("audio/mpeg"),
        "" | "application/octet-stream" | "image/*" => Str::from(sniff(base64.as_escaped())),
        _ if *mime == lower.as_str() => mime.clone(),
        _ => Str::from(lower),
    }
}

/// What the first bytes say; base64 keeps them recognisable.
fn sniff(base64: &str) -> &'static str {
    const MAGIC: [(&str, &str); 7] = [
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
        ("JVBERi", "application/pdf"),
        ("SUQz", "audio/mpeg"),
        ("T2dnUw", "audio/ogg"),
    ];
    MAGIC
        .iter()
        .find(|(magic, _)| base64.starts_with(magic))
        .map_or("application/octet-stream", |(_, mime)| mime)
}

/// The sort of media that a MIME type names.
#[must_use]
pub fn kind_of_mime(mime: &Str<'_>) -> MediaKind {
    let mime: Cow<'_, str> = mime.decode();
    match mime.split('/').next() {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => MediaKind::Document,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t120_data_urls_of_every_sort() {
        for (url, mime, data) in [
            ("data:image/png;base64,AAAA", "image/png", "AAAA"),
            ("DATA:image/jpg;charset=x;BASE64,_-8", "image/jpeg", "/+8="),
            (r"data:;base64,iVBO\nRw0KGgo", "image/png", "iVBORw0KGgo="),
            ("data:text/plain,a%20b", "text/plain", "YSBi"),
        ] {
            let url = Str::from_escaped(url);
            let (got_mime, got_data) = parse_data_url(&url).unwrap();
            assert_eq!((got_mime, got_data), (mime.into(), data.into()));
        }
        assert!(parse_data_url(&"https://x/y.png".into()).is_none());
    }
}
