//! A search of the web that the provider runs itself. It always finds the same pages.

use super::wire::{list, quoted};

/// Address and title of each page.
const PAGES: [(&str, &str); 2] = [("https://example.com/one", "One"), ("https://example.com/two", "Two")];

/// The text that rests on the first page ends here; of the echo that is `You said`.
pub(crate) const CITED: usize = 8;

/// All pages as a JSON list, each written by `page` from its quoted address and title.
pub(crate) fn pages(page: impl Fn(&str, &str) -> String) -> String {
    list(PAGES.iter().map(|(url, title)| page(&quoted(url), &quoted(title))))
}

/// The page that the text rests on, written by `page` from its quoted address and title.
pub(crate) fn cited(page: impl Fn(&str, &str) -> String) -> String {
    PAGES.first().map(|(url, title)| page(&quoted(url), &quoted(title))).unwrap_or_default()
}
