//! A search of the web: an item, and the events of its course, which is over when it is told here (2.13).

use super::Encoder;
use crate::protocol::Protocol;
use crate::protocol::canonical::WebSearchCall;
use crate::protocol::responses::search::write;

impl Encoder {
    pub(super) fn search(&mut self, call: &WebSearchCall<'_>, out: &mut Vec<u8>) {
        self.close(out);
        if let Some([item]) = call.told_in(Protocol::Responses) {
            return self.whole_item(item.as_str(), out);
        }
        let own = self.ids.hex("ws_");
        let id = call.id.decode();
        let id = if id.starts_with("ws_") { id.as_ref() } else { own.as_str() };
        self.added(out, |w| write(id, call, false, w));
        let course = [
            "response.web_search_call.in_progress",
            "response.web_search_call.searching",
            "response.web_search_call.completed",
        ];
        // There is no event for a failure: the item says it.
        for name in course.into_iter().take(if call.is_failed { 2 } else { 3 }) {
            let index = self.index;
            self.feed.send(out, name, |w| {
                w.key("output_index").u64(index);
                w.key("item_id").text(id);
            });
        }
        self.done(out, |w| write(id, call, true, w));
    }
}
