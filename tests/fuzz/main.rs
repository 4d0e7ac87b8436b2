//! Fuzzing: everything that reads what strangers send gets texts that are almost right, and must neither panic, nor take
//! long, nor grow, nor write what is malformed. Where chunks end makes no difference.
//!
//! `cargo test --test fuzz` tries a few inputs of each target; `tests/fuzz/run.sh` many, in release. What was found once
//! is in `tests/fuzz/finds/<target>/<number>` and is tried first, each time.
//!
//! Why no library: cargo-fuzz needs a nightly compiler, and honggfuzz and AFL need tools of the system; bolero and arbtest
//! run on stable, but there they neither change seeds nor know which branches an input reached: they would call what is
//! here, the seeds and the changes that keep JSON, events and YAML almost right, and add nothing to it.

#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

#[expect(dead_code, reason = "benches count calls, too")]
#[path = "../../benches/support/allocations.rs"]
mod allocations;
#[path = "../fields/mod.rs"]
mod fields;

mod codecs;
mod dice;
mod finds;
mod layers;
mod mutate;
mod seeds;
mod tokens;

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use tokio::time::Instant;

use dice::Dice;
use mutate::mutate;
use seeds::{Seeds, Sort};

/// Inputs of each target where nobody says how many.
const FEW: u64 = 100;
/// Most time for one input.
const MOST_TIME: Duration = Duration::from_secs(1);
/// What takes longer will never end.
const HANG: Duration = Duration::from_secs(30);
/// Most memory that one input may ask for, all allocations added up: what it has at a time is never more.
const MOST_MEMORY: u64 = 64 << 20;
/// What is written may be so many times as long as what was read, and a constant longer.
const MOST_GROWTH: usize = 16;
const GROWTH_BASE: usize = 64 << 10;

/// Whether an input is survived: how many bytes were written, or what is wrong.
type Check = Box<dyn Fn(&[u8], &mut Dice) -> Result<usize, String>>;

/// Something that reads what strangers send.
struct Target {
    name: String,
    sort: Sort,
    seeds: Vec<Vec<u8>>,
    check: Check,
}

/// What came of one input.
struct Outcome {
    problem: Option<String>,
    time: Duration,
    memory: u64,
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Target {
    fn input(&self, number: u64) -> Vec<u8> {
        let mut dice = Dice::of(&self.name, number);
        let mut text = dice.pick(&self.seeds).clone();
        mutate(&mut text, self.sort, &self.seeds, &mut dice);
        text
    }

    fn try_once(&self, input: &[u8], number: u64) -> Outcome {
        let mut result = Err(String::new());
        let start = Instant::now();
        let asked = allocations::count(|| {
            let work = AssertUnwindSafe(|| (self.check)(input, &mut Dice::of("check", number)));
            result = catch_unwind(work).unwrap_or_else(|_| Err(PANIC.with_borrow_mut(std::mem::take)));
        });
        let (time, memory) = (start.elapsed(), asked.bytes);
        let problem = match result {
            Err(problem) => Some(problem),
            Ok(written) if written > MOST_GROWTH * input.len() + GROWTH_BASE => {
                Some(format!("{written} bytes of {}", input.len()))
            }
            Ok(_) if memory > MOST_MEMORY => Some(format!("asked for {} MiB", memory >> 20)),
            Ok(_) => None,
        };
        Outcome { problem, time, memory }
    }

    /// Tries an input, again where it was slow: other programs run, too.
    fn attempt(&self, input: &[u8], number: u64) -> Outcome {
        let mut outcome = self.try_once(input, number);
        for _ in 0..3 {
            if outcome.time > MOST_TIME {
                outcome.time = outcome.time.min(self.try_once(input, number).time);
            }
        }
        if outcome.problem.is_none() && outcome.time > MOST_TIME {
            outcome.problem = Some(format!("took {:?}", outcome.time));
        }
        outcome
    }
}

/// How much to do.
struct Most {
    inputs: u64,
    time: Duration,
}

/// A line of the table.
struct Row {
    inputs: u64,
    time: Duration,
    longest: usize,
    slowest: Duration,
    memory: u64,
    finds: u64,
}

/// The input that is tried now: its target and its number.
type AtWork = Sender<(String, u64)>;

/// Ends the process where an input has no end, and tells which: no other follows it.
fn watch_for_hangs() -> AtWork {
    let (at_work, next) = mpsc::channel();
    std::thread::spawn(move || {
        let mut last = None;
        loop {
            match next.recv_timeout(HANG) {
                Ok(input) => last = Some(input),
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("{last:?} does not end");
                    std::process::abort();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    });
    at_work
}

fn run(target: &Target, most: &Most, at_work: &AtWork) -> Row {
    let start = Instant::now();
    let mut row =
        Row { inputs: 0, time: Duration::ZERO, longest: 0, slowest: Duration::ZERO, memory: 0, finds: 0 };
    let mut note = |input: &[u8], number: u64, is_new: bool| {
        at_work.send((target.name.clone(), number)).expect("somebody watches");
        let outcome = target.attempt(input, number);
        row.inputs += 1;
        row.longest = row.longest.max(input.len());
        row.slowest = row.slowest.max(outcome.time);
        row.memory = row.memory.max(outcome.memory);
        row.time = start.elapsed();
        if let Some(problem) = outcome.problem {
            row.finds += 1;
            let path = if is_new { finds::keep(target, number, input) } else { format!("finds/{number}") };
            eprintln!("{}: {problem}\n  {path}", target.name);
        }
        row.finds < 10 && row.time < most.time
    };
    for (number, input) in finds::known(&target.name) {
        note(&input, number, false);
    }
    for number in 0..most.inputs {
        if !note(&target.input(number), number, true) {
            break;
        }
    }
    row
}

/// The most memory that the process ever had, in MiB, where the system tells.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? >> 10)
}

fn main() -> ExitCode {
    let mut most = Most { inputs: FEW, time: Duration::MAX };
    let mut wanted = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number =
            || arguments.next().and_then(|number| number.parse().ok()).expect("a number follows");
        match argument.as_str() {
            "--inputs" => most.inputs = number(),
            "--seconds" => most = Most { inputs: u64::MAX, time: Duration::from_secs(number()) },
            // Those of cargo's own harness.
            flag if flag.starts_with('-') => {}
            name => wanted.push(name.to_owned()),
        }
    }
    panic::set_hook(Box::new(|info| PANIC.set(info.to_string())));
    let at_work = watch_for_hangs();
    let seeds = Seeds::read();
    let targets = codecs::targets(&seeds).into_iter().chain(layers::targets(&seeds));
    let is_wanted =
        |target: &Target| wanted.is_empty() || wanted.iter().any(|name| target.name.contains(name.as_str()));
    println!(
        "| target | inputs | inputs/s | slowest, ms | longest, KiB | most memory, KiB | finds |\n|---|---|---|---|---|---|---|"
    );
    let (mut all, mut finds) = (0, 0);
    for target in targets.filter(is_wanted) {
        let row = run(&target, &most, &at_work);
        println!(
            "| {} | {} | {:.0} | {:.1} | {} | {} | {} |",
            target.name,
            row.inputs,
            row.inputs as f64 / row.time.as_secs_f64().max(1e-9),
            row.slowest.as_secs_f64() * 1000.0,
            row.longest >> 10,
            row.memory >> 10,
            row.finds
        );
        all += row.inputs;
        finds += row.finds;
    }
    println!(
        "\n{all} inputs, {finds} finds{}",
        peak().map_or_else(String::new, |peak| format!(", {peak} MiB at most"))
    );
    if finds == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
