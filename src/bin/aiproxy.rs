//! The `aiproxy` program; see [`aiproxy::server`].

use std::process::ExitCode;

// Request bodies of all sizes, allocated on one thread and freed on another: the system allocator pays
// for that in every request (`benches/overhead.rs`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    aiproxy::server::main()
}
