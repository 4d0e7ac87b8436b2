//! A search of the web: the pair of blocks that tells of it (2.13).

use super::super::super::search::{write_call, write_result};
use super::{Encoder, Sort};
use crate::protocol::Protocol;
use crate::protocol::canonical::WebSearchCall;
use crate::protocol::json::{Str, Writer};

impl Encoder {
    pub(super) fn search(&mut self, call: &WebSearchCall<'_>, out: &mut Vec<u8>) {
        self.searches += call.count();
        if let Some(blocks) = call.told_in(Protocol::Anthropic) {
            blocks.iter().for_each(|block| self.whole(block, out));
            return;
        }
        let id = self.ids.search(&call.id);
        self.opening(out, |w| write_call(&id, None, w));
        // Clients read the query off the deltas.
        self.render_prefix(Sort::Call);
        let mut input = Vec::new();
        Writer::new(&mut input).begin_object().key("query").string(&call.query()).end_object();
        self.write(&Str::escape(String::from_utf8_lossy(&input)), out);
        self.close(out);
        self.opening(out, |w| write_result(&id, call, w));
        self.close(out);
    }
}
