//! The program itself, as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

/// The program, with nothing in its environment that could matter.
pub fn aiproxy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aiproxy"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// A file of this test's own.
pub fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// The running program; it ends with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Perhaps it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program and waits until it says where it listens.
pub fn start(arguments: &[&str]) -> (Running, SocketAddr, BufReader<ChildStderr>) {
    started(aiproxy(arguments))
}

/// The same with a command of the caller's own.
pub fn started(mut command: Command) -> (Running, SocketAddr, BufReader<ChildStderr>) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let running = Running(child);
    let mut line = String::new();
    while !(line.contains("listening") && line.contains("address")) {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended before it listened");
    }
    // As text or as JSON.
    let rest = line.split("address").nth(1).unwrap().trim_start_matches(['"', ':', '=']);
    let address = rest.split('"').next().unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
    (running, address, log)
}
