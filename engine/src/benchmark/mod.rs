//! How fast a device is: times in, one report out, by the same rules in the page and wherever such reports are read.
//!
//! 1. [`series`]: runs with their times -> percentiles, and whether they can be trusted;
//! 2. [`report`]: what was measured, where, by which rules, and whether it is valid.
//!
//! The headline is the 90th percentile, as in MLPerf Mobile's single-stream scenario (at least 60 seconds and 1024 runs, the next
//! run when the last one is done): <https://mlcommons.org/en/inference-mobile-30/>.

pub mod report;
pub mod series;

pub use report::{BenchmarkReport, Cell, Environment, PlaceReport, Reason, Settings};
pub use series::{Series, Summary};
