//! The table as a person reads it.

use std::fmt::Write as _;

use crate::rows::Row;
use crate::rule::{ANY_5XX, Effect, Mode, Outcome, Who, expected};
use crate::support::Protocol;

/// What stands above the tables.
const HEAD: &str = "\
# What becomes of each fault

Written by `AIPROXY_BLESS=1 cargo test --test failures`, which plays every line; the test fails when a cell does not hold,
or when this page and the test differ. `AIPROXY_DEEP=1` plays streams that break after each of their bytes, and large
events on all pairs.

An upstream is scripted byte by byte, behind a gateway with its configuration in YAML. Each line is played on all pairs
of client and upstream protocol that can have it (16 if all four upstreams can), in three modes:

- **streaming**: the client asks for a stream, and so does the gateway;
- **document**: neither does;
- **must-stream**: the client wants a document, and the upstream is always asked for a stream.

The columns:

- **nothing sent yet**: what the client gets while nothing that means content has gone to it, if there is no other
  upstream → if there is a healthy one. A number is the status of an error in the client's own protocol; *the other*
  means all of the other upstream's answer and no byte of the first one's; *whole* means the first one's answer, as if
  nothing were.
- **fault**: of the upstreams in brackets, where not all have it: Gemini's calls come whole, only Anthropic and Chat tell of
  the end in two steps, and Chat's second says nothing new.
- **content sent**: what a streaming client gets that has read content. *told* means the text so far, then one
  well-formed error event of its protocol, and no mark of success.
- **attempts**: requests that the upstreams see, if there is one → if there are two.
- **health**: whether it counts against the upstream, seen by whether the next request still goes there, after a policy
  of one failure.
- **played**: pairs × faults in each mode.

503 is 529 to clients of Anthropic's protocol, which has that status for it. An error answer of the client's own protocol
passes with the status that it has.
";

/// One line: rows that differ in nothing that is told.
struct Line {
    row: Row,
    /// The upstreams that can have it.
    upstreams: Vec<Protocol>,
    /// How many cells were played in each mode.
    played: [usize; 3],
}

/// The page of these tables, of which a row was played on so many pairs.
pub fn page(tables: &[(&str, Vec<Row>)], is_deep: bool) -> String {
    let mut page = HEAD.to_owned();
    for (title, rows) in tables {
        let _ = write!(
            page,
            "\n## {title}\n\n| fault | stage | nothing sent yet | content sent | attempts | health | streaming | document | \
             must-stream |\n|---|---|---|---|---|---|---|---|---|\n"
        );
        for line in lines(rows, is_deep) {
            page += &line.print();
        }
    }
    page
}

fn lines(rows: &[Row], is_deep: bool) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for row in rows {
        let pairs = row.pairs(is_deep).count();
        let played = Mode::ALL.map(|mode| if row.modes.contains(&mode) { pairs } else { 0 });
        let same = lines.iter_mut().find(|line| {
            let known = &line.row;
            (&known.fault, known.stage, known.effect) == (&row.fault, row.stage, row.effect)
        });
        match same {
            Some(line) => {
                let more = row.upstreams.iter().filter(|upstream| !line.upstreams.contains(upstream));
                line.upstreams = line.upstreams.iter().chain(more).copied().collect();
                for (sum, more) in line.played.iter_mut().zip(played) {
                    *sum += more;
                }
            }
            None => lines.push(Line { row: row.clone(), upstreams: row.upstreams.clone(), played }),
        }
    }
    lines
}

impl Line {
    fn print(&self) -> String {
        let Row { fault, stage, effect, .. } = &self.row;
        let health = match effect {
            Effect::Fails(_) => "counts",
            Effect::Nothing | Effect::Refuses(_) => "untouched",
        };
        // What may go either way depends on the mode.
        let outcomes = [Mode::Streaming, Mode::Document].map(|mode| expected(*effect, *stage, mode));
        let is_played = [self.played[0] > 0, self.played[1] + self.played[2] > 0];
        let [streaming, folded] = outcomes;
        let (mut before, mut after) = ("—".to_owned(), "—");
        if streaming.alone == Outcome::Told && is_played[0] {
            after = "told";
        } else if stage.is_after_content() && is_played[0] {
            after = "whole";
        }
        let has_before = is_played[1] || is_played[0] && !stage.is_after_content();
        if has_before {
            before = match (folded.alone, folded.beside) {
                (Outcome::Error(ANY_5XX), _) => "5xx → the other".to_owned(),
                (Outcome::Error(status), _) => format!("{status} → the other"),
                _ => "whole".to_owned(),
            };
        }
        let attempts = match (folded.beside, after) {
            (Outcome::Whole(Who::Second), "told") if has_before => "1 → 2; told: 1",
            (Outcome::Whole(Who::Second), "told") => "1",
            (Outcome::Whole(Who::Second), _) => "1 → 2",
            _ => "1",
        };
        let [streaming, document, must_stream] = self.played.map(|count| match count {
            0 => "·".to_owned(),
            count => count.to_string(),
        });
        let stage = stage.title();
        let names: Vec<String> = self.upstreams.iter().map(ToString::to_string).collect();
        let of = match names.len() {
            4 => String::new(),
            _ => format!(" ({})", names.join(", ")),
        };
        format!(
            "| {fault}{of} | {stage} | {before} | {after} | {attempts} | {health} | {streaming} | {document} | {must_stream} |\n"
        )
    }
}
