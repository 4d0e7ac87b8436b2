//! The shipped server: command line, listener, pages, logs. Everything about requests is the
//! [`Gateway`](crate::Gateway)'s.

mod admin;
mod cli;
mod demo;
mod front;
mod health;
mod limits;
mod listen;
mod log;
mod models;
mod router;
mod start;
mod timed_stream;

pub use admin::admin_router;
pub use cli::{Arguments, Command, main};
pub use limits::Limits;
pub use listen::{Drain, serve, serve_within};
pub use router::{Pages, router};
