//! The shipped server: command line, listener, pages, logs. Everything about requests is the
//! [`Gateway`](crate::Gateway)'s.

mod admin;
mod cli;
mod demo;
mod front;
mod health;
mod listen;
mod log;
mod models;
mod router;
mod start;

pub use admin::admin_router;
pub use cli::{Arguments, Command, main};
pub use listen::{Drain, serve};
pub use router::{Pages, router};
