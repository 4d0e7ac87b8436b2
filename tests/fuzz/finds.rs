//! Inputs that were not survived: kept, shortened, and tried again in every run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Target;

fn folder(root: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(root).join(target.replace(' ', "-"))
}

/// What was found before in this target, and the number of each, by which chunks are cut.
pub fn known(target: &str) -> Vec<(u64, Vec<u8>)> {
    let Ok(files) = fs::read_dir(folder("tests/fuzz/finds", target)) else { return Vec::new() };
    let mut known: Vec<(u64, Vec<u8>)> = files
        .map(|file| file.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().parse().unwrap(), fs::read(&path).unwrap()))
        .collect();
    known.sort();
    known
}

/// Writes a shorter form of the input to `target/fuzz`; where to.
pub fn keep(target: &Target, number: u64, input: &[u8]) -> String {
    let folder = folder("target/fuzz", &target.name);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(number.to_string());
    // What never returns must not do so a second time before it is written.
    fs::write(&path, input).unwrap();
    fs::write(&path, shorter(target, number, input)).unwrap();
    path.display().to_string()
}

/// Leaves out whatever the problem does not need, in ever smaller pieces.
fn shorter(target: &Target, number: u64, input: &[u8]) -> Vec<u8> {
    let mut best = input.to_vec();
    let mut tries = 0;
    let mut piece = best.len() / 2;
    while piece > 0 && tries < 2000 {
        let mut at = 0;
        while at < best.len() && tries < 2000 {
            let mut less = best.clone();
            less.drain(at..(at + piece).min(best.len()));
            tries += 1;
            match target.attempt(&less, number).problem {
                Some(_) => best = less,
                None => at += piece,
            }
        }
        piece /= 2;
    }
    best
}
