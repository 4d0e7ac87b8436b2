//! Every trap of the translation specification, T001 to T187, has a test that carries its number, or a line in
//! `tests/TRAPS.md` that says why it cannot be tested here.
//!
//! `cargo test --test protocol traps -- --nocapture` prints the count.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const LAST: u16 = 187;

#[test]
fn every_trap_is_tested_or_accounted_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tested = BTreeSet::new();
    for folder in ["src", "tests"] {
        each_source(&root.join(folder), &mut |source| tested.extend(test_numbers(source)));
    }
    let accounted: BTreeSet<u16> = fs::read_to_string(root.join("tests/TRAPS.md"))
        .unwrap()
        .lines()
        .filter_map(|line| number(line.strip_prefix("- **T")?))
        .collect();
    let missing: Vec<u16> =
        (1..=LAST).filter(|trap| !tested.contains(trap) && !accounted.contains(trap)).collect();
    let both: Vec<&u16> = tested.intersection(&accounted).collect();
    println!("| traps | tested | not testable | missing |");
    println!("| ---: | ---: | ---: | ---: |");
    println!("| {LAST} | {} | {} | {} |", tested.len(), accounted.len(), missing.len());
    assert!(both.is_empty(), "tested, and yet in TRAPS.md: {both:?}");
    assert!(missing.is_empty(), "neither tested nor in TRAPS.md: {missing:?}");
    assert!(tested.iter().all(|trap| (1..=LAST).contains(trap)), "there are {LAST} traps");
}

fn each_source(folder: &Path, take: &mut impl FnMut(&str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_source(&path, take);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            take(&fs::read_to_string(path).unwrap());
        }
    }
}

/// The numbers in the names of functions right below an attribute that makes them tests, or within `proptest!`.
fn test_numbers(source: &str) -> BTreeSet<u16> {
    let mut is_test = false;
    let mut numbers = BTreeSet::new();
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[") {
            is_test |= line.contains("test");
            continue;
        }
        let signature = line.trim_start_matches("async ");
        if let Some(rest) = signature.strip_prefix("fn ")
            && is_test
        {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            numbers.extend(name.split('_').filter_map(|word| number(word.strip_prefix('t')?)));
        }
        is_test = false;
    }
    numbers
}

/// Three digits, and then no fourth.
fn number(text: &str) -> Option<u16> {
    let digits = text.get(..3)?;
    let ends = !text.get(3..4).is_some_and(|next| next.bytes().all(|byte| byte.is_ascii_digit()));
    (ends && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

#[test]
fn only_tests_count_and_only_whole_numbers() {
    let source = "#[test]\nfn t001_t002_both() {}\nfn t003_helper() {}\n#[tokio::test(start_paused = true)]\nasync fn t004_x() {}\n#[test]\nfn t0055() {}";
    assert_eq!(test_numbers(source), BTreeSet::from([1, 2, 4]));
}
