//! A search of the web that has run at its provider, as the answer tells of it (2.13).

use crate::protocol::Protocol;
use crate::protocol::json::{Error, Raw, Reader, Str};

/// A search of the web, told when it is over: what was asked, and where the findings are.
#[derive(Clone, Debug, Default)]
pub struct WebSearchCall<'a> {
    /// The provider's id; empty when it gave none.
    pub id: Str<'a>,
    /// What was searched for; a provider may put several queries at once.
    pub queries: Vec<Str<'a>>,
    /// What was found.
    pub results: Vec<WebSearchResult<'a>>,
    /// Whether the search went wrong.
    pub is_failed: bool,
    /// The blocks or items in which the provider told it, for a client of the same protocol.
    pub native: Option<(Protocol, Vec<Raw<'a>>)>,
}

/// A page that a search found.
#[derive(Clone, Debug)]
pub struct WebSearchResult<'a> {
    /// Its address.
    pub url: Str<'a>,
    /// Its title.
    pub title: Option<Str<'a>>,
}

impl WebSearchCall<'_> {
    /// The queries as one, for protocols in which a call has one.
    #[must_use]
    pub fn query(&self) -> Str<'_> {
        let mut queries = self.queries.iter();
        let mut all = queries.next().map(Str::borrowed).unwrap_or_default();
        for query in queries {
            all.push(&Str::from_escaped("; "));
            all.push(query);
        }
        all
    }

    /// How many searches it counts as.
    #[must_use]
    pub fn count(&self) -> u64 {
        (self.queries.len() as u64).max(1)
    }

    /// How the provider told it, if it speaks `protocol`.
    #[must_use]
    pub fn told_in(&self, protocol: Protocol) -> Option<&[Raw<'_>]> {
        let (native, raw) = self.native.as_ref()?;
        (*native == protocol).then_some(raw)
    }

    /// Detaches the call from its document.
    #[must_use]
    pub fn into_owned(self) -> WebSearchCall<'static> {
        let raw = |(protocol, raw): (Protocol, Vec<Raw<'_>>)| {
            (protocol, raw.into_iter().map(Raw::into_owned).collect())
        };
        WebSearchCall {
            id: self.id.into_owned(),
            queries: self.queries.into_iter().map(Str::into_owned).collect(),
            results: self.results.into_iter().map(WebSearchResult::into_owned).collect(),
            is_failed: self.is_failed,
            native: self.native.map(raw),
        }
    }
}

impl<'a> WebSearchResult<'a> {
    /// Reads a page in the shape that Anthropic and Responses share; one without an address is none.
    pub(in crate::protocol) fn read(reader: &mut Reader<'a>) -> Result<Option<Self>, Error> {
        let (mut url, mut title) = (Str::EMPTY, None);
        reader.lenient_object(|key, value| {
            match key {
                "url" => url = value.lenient_string()?.unwrap_or_default(),
                "title" => title = value.lenient_string()?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        Ok((!url.is_empty()).then_some(WebSearchResult { url, title }))
    }

    /// Detaches the result from its document.
    #[must_use]
    pub fn into_owned(self) -> WebSearchResult<'static> {
        WebSearchResult { url: self.url.into_owned(), title: self.title.map(Str::into_owned) }
    }
}
