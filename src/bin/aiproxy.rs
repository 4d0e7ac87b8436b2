//! The `aiproxy` program; see [`aiproxy::server`].
#![forbid(unsafe_code)]
#![deny(clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

use std::process::ExitCode;

// Request bodies of all sizes, allocated on one thread and freed on another: the system allocator pays
// for that in every request (`benches/overhead.rs`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    aiproxy::server::main()
}
