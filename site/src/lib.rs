//! The built page, served on this machine only: [`server`] answers with whole files of one folder or parts ([`range`]) of them.
//!
//! It is a crate of its own since `cargo xtask` and the program `aware`, which know nothing of each other, need the same answers.

pub mod range;
pub mod server;

pub use server::Server;
