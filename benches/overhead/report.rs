//! Figures become a table: Markdown for a person, JSON for whoever keeps them.

use std::fmt::Write;

use serde::Serialize;

use super::measure::{Sample, Start};
use super::workload::{Load, PAUSING, Targets, Workload, absolute};

/// All rounds of one workload.
#[derive(Serialize)]
pub struct Row {
    pub id: &'static str,
    pub what: String,
    pub unit: &'static str,
    pub targets: Option<Targets>,
    pub rounds: Vec<Round>,
    #[serde(skip)]
    pub load: Load,
}

#[derive(Serialize)]
pub struct Round {
    pub direct: Option<Sample>,
    pub limit: Sample,
    pub aiproxy: Sample,
}

#[derive(Serialize)]
pub struct Starts {
    pub limit: Vec<Start>,
    pub aiproxy: Vec<Start>,
}

#[derive(Serialize)]
pub struct Report {
    pub proxy: String,
    pub profile: &'static str,
    pub cpus: usize,
    /// Of the machine, over the minute before the start: what else ran.
    pub load_average: String,
    pub rounds: usize,
    pub seconds: f64,
    pub rows: Vec<Row>,
    pub starts: Option<Starts>,
}

impl Round {
    /// CPU per unit, the gateway's to `limit`'s.
    pub fn ratio(&self) -> f64 {
        match (self.aiproxy.cpu_us, self.limit.cpu_us) {
            (Some(aiproxy), Some(limit)) if limit > 0.0 => aiproxy / limit,
            _ => f64::NAN,
        }
    }

    /// Memory of each stream in KB, of (`limit`, the gateway).
    fn stream_kb(&self, streams: usize) -> Option<(f64, f64)> {
        let of = |sample: &Sample| {
            let grown = sample.loaded_kb?.saturating_sub(sample.idle_kb?);
            Some(grown as f64 / streams as f64)
        };
        Some((of(&self.limit)?, of(&self.aiproxy)?))
    }
}

impl Row {
    pub fn new(workload: &Workload, rounds: Vec<Round>) -> Self {
        Self {
            id: workload.id,
            what: workload.describe(),
            unit: workload.load.unit(),
            targets: workload.targets,
            rounds,
            load: workload.load,
        }
    }

    pub fn ratios(&self) -> Spread {
        Spread::of(self.rounds.iter().map(Round::ratio))
    }

    fn median(&self, figure: impl Fn(&Round) -> Option<f64>) -> f64 {
        Spread::of(self.rounds.iter().filter_map(figure)).median
    }
}

/// The least, the middle and the greatest of some figures; NaN where there are none.
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        let last = figures.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(last.div_ceil(2)));
        Self { least: at(0), median, most: at(last) }
    }
}

impl Report {
    pub fn markdown(&self) -> String {
        let mut out = self.heading();
        self.ratios(&mut out);
        self.delays(&mut out);
        self.absolutes(&mut out);
        out
    }

    fn heading(&self) -> String {
        format!(
            "{} against limit, {} build, {} CPUs, load average {} at the start, {} rounds of {} s ({:.1} s where the \
             proxy mostly sleeps). CPU is that of the proxy's process; figures are medians of the rounds.\n\n",
            self.proxy,
            self.profile,
            self.cpus,
            self.load_average,
            self.rounds,
            self.seconds,
            self.seconds * f64::from(PAUSING)
        )
    }

    fn ratios(&self, out: &mut String) {
        if self.rows.is_empty() {
            return;
        }
        out.push_str(
            "| workload | what | unit | limit /s | aiproxy /s | limit CPU us | aiproxy CPU us | ratio min / \
             **median** / max | acceptable | ambitious | verdict |\n\
             | --- | --- | --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | --- |\n",
        );
        for row in &self.rows {
            let ratio = row.ratios();
            let (acceptable, ambitious, verdict) = match row.targets {
                Some(Targets { acceptable, ambitious }) => (
                    format!("{acceptable:.2}"),
                    format!("{ambitious:.2}"),
                    verdict(ratio.median, (acceptable, ambitious)),
                ),
                None => ("".into(), "".into(), "(no target)"),
            };
            line(
                out,
                &[
                    row.id.into(),
                    row.what.clone(),
                    row.unit.into(),
                    format!("{:.0}", row.median(|round| Some(round.limit.per_second))),
                    format!("{:.0}", row.median(|round| Some(round.aiproxy.per_second))),
                    format!("{:.1}", row.median(|round| round.limit.cpu_us)),
                    format!("{:.1}", row.median(|round| round.aiproxy.cpu_us)),
                    format!("{:.2} / **{:.2}** / {:.2}", ratio.least, ratio.median, ratio.most),
                    acceptable,
                    ambitious,
                    verdict.into(),
                ],
            );
        }
        out.push('\n');
    }

    /// What a client waits, of the workloads that were also run without a proxy.
    fn delays(&self, out: &mut String) {
        let rows: Vec<&Row> =
            self.rows.iter().filter(|row| row.rounds.iter().any(|round| round.direct.is_some())).collect();
        if rows.is_empty() {
            return;
        }
        out.push_str(
            "| latency, us | direct p50 / p99 | limit p50 / p99 | aiproxy p50 / p99 | limit adds, p50 | aiproxy \
             adds, p50 |\n| --- | --- | --- | --- | ---: | ---: |\n",
        );
        for row in rows {
            let [direct, limit, aiproxy] = row.delays();
            line(
                out,
                &[
                    format!("{}, each {}", row.id, row.unit),
                    format!("{:.0} / {:.0}", direct.0, direct.1),
                    format!("{:.0} / {:.0}", limit.0, limit.1),
                    format!("{:.0} / {:.0}", aiproxy.0, aiproxy.1),
                    format!("{:.0}", limit.0 - direct.0),
                    format!("{:.0}", aiproxy.0 - direct.0),
                ],
            );
        }
        out.push('\n');
    }

    /// Targets in ms, MB, KB and us.
    fn absolutes(&self, out: &mut String) {
        let mut lines = self.starts.as_ref().map_or_else(Vec::new, Starts::figures);
        lines.extend(self.rows.iter().flat_map(Row::stream_memory));
        lines.extend(self.rows.iter().filter_map(Row::event_delay));
        if lines.is_empty() {
            return;
        }
        out.push_str(
            "| figure | limit | aiproxy | acceptable | ambitious | verdict |\n\
             | --- | ---: | ---: | ---: | ---: | --- |\n",
        );
        for Absolute { name, limit, aiproxy, targets } in lines {
            line(
                out,
                &[
                    name,
                    limit.map_or_else(String::new, |limit| format!("{limit:.1}")),
                    format!("{aiproxy:.1}"),
                    format!("{:.0}", targets.0),
                    format!("{:.0}", targets.1),
                    verdict(aiproxy, targets).into(),
                ],
            );
        }
        out.push('\n');
    }
}

struct Absolute {
    name: String,
    limit: Option<f64>,
    aiproxy: f64,
    targets: (f64, f64),
}

impl Starts {
    fn figures(&self) -> Vec<Absolute> {
        let median = |starts: &[Start], of: fn(&Start) -> f64| Spread::of(starts.iter().map(of)).median;
        let figure = |name: &str, of: fn(&Start) -> f64, targets| Absolute {
            name: name.into(),
            limit: Some(median(&self.limit, of)),
            aiproxy: median(&self.aiproxy, of),
            targets,
        };
        vec![
            figure("start-up to listening, ms", |start| start.start_up_ms, absolute::START_UP_MS),
            figure("RSS idle, MB", |start| start.idle_kb as f64 / 1024.0, absolute::IDLE_MB),
        ]
    }
}

impl Row {
    /// Median p50 and p99 of direct, `limit`, the gateway.
    fn delays(&self) -> [(f64, f64); 3] {
        let both = |of: fn(&Round) -> Option<&Sample>| {
            (self.median(|round| of(round)?.delay_p50_us), self.median(|round| of(round)?.delay_p99_us))
        };
        [
            both(|round| round.direct.as_ref()),
            both(|round| Some(&round.limit)),
            both(|round| Some(&round.aiproxy)),
        ]
    }

    /// The whole process, and each stream of it.
    fn stream_memory(&self) -> Vec<Absolute> {
        let Load::Paced { streams, .. } = self.load else { return Vec::new() };
        // Too few streams to tell their memory from that of the process.
        if streams < 1000 {
            return Vec::new();
        }
        let loaded =
            |of: fn(&Round) -> &Sample| self.median(|round| Some(of(round).loaded_kb? as f64 / 1024.0));
        let most = |idle: f64, stream: f64| idle + stream * streams as f64 / 1024.0;
        let (idle, stream) = (absolute::IDLE_MB, absolute::STREAM_KB);
        vec![
            Absolute {
                name: format!("{}: RSS with {streams} open streams, MB", self.id),
                limit: Some(loaded(|round| &round.limit)),
                aiproxy: loaded(|round| &round.aiproxy),
                targets: (most(idle.0, stream.0), most(idle.1, stream.1)),
            },
            Absolute {
                name: format!("{}: memory of a stream, KB", self.id),
                limit: Some(self.median(|round| Some(round.stream_kb(streams)?.0))),
                aiproxy: self.median(|round| Some(round.stream_kb(streams)?.1)),
                targets: absolute::STREAM_KB,
            },
        ]
    }

    fn event_delay(&self) -> Option<Absolute> {
        let Load::Paced { .. } = self.load else { return None };
        if self.rounds.iter().all(|round| round.direct.is_none()) {
            return None;
        }
        let [_, limit, aiproxy] = self.delays();
        Some(Absolute {
            name: format!("{}: p50 of an event above limit's, us", self.id),
            limit: None,
            aiproxy: aiproxy.0 - limit.0,
            targets: absolute::EVENT_DELAY_US,
        })
    }
}

fn verdict(figure: f64, (acceptable, ambitious): (f64, f64)) -> &'static str {
    match figure {
        figure if figure <= ambitious => "ambitious",
        figure if figure <= acceptable => "acceptable",
        _ => "**misses**",
    }
}

fn line(out: &mut String, cells: &[String]) {
    writeln!(out, "| {} |", cells.join(" | ")).expect("a String takes all");
}
