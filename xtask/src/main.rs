//! `cargo xtask`: everything around the code, with one command each.
//!
//! * [`tools`]: the table of outside tools; [`install`] brings what is missing;
//! * [`wasm`]: the engine for each instruction set of browsers;
//! * [`offline`]: the page's list of its files, and its service worker;
//! * [`artifacts`]: sources -> program and page;
//! * [`browser`]: Chromium and Firefox on the page, which the crate `site` serves;
//! * [`fuzz`]: hostile files for the engine;
//! * [`pipeline`]: from pictures to a validated bundle;
//! * [`demo`], [`steps`] (`cargo xtask test`) and [`bench`] put them together, [`regression`] compares benchmarks;
//! * [`project`] knows the paths, [`process`] runs the commands, [`say`] prints.

mod say;
mod cli;
mod project;
mod process;
mod tools;
mod install;
mod system;
mod wasm;
mod peer;
mod arm;
mod offline;
mod artifacts;
mod browser;
mod demo;
mod fuzz;
mod steps;
mod bench;
mod regression;
mod pipeline;

fn main() -> std::process::ExitCode {
    cli::run()
}
