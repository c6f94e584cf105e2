//! One report on what a bundle is worth: `aware bench`.
//!
//! 1. [`Plan`]: bundles, pictures and parts; [`Subject`]: a bundle that is tested, and the one in floats beside it;
//! 2. [`accuracy`]: the whole cascade on a labelled split, its routing and its times, beside cues that know nothing of faces;
//! 3. [`speed`]: every network and the way from bytes to verdict, in turns and on one thread;
//! 4. [`robustness`]: the AUC under growing changes of the pictures;
//! 5. [`mobile`]: the built page in a slowed-down Chromium with a phone's screen;
//! 6. [`figures`] of each bundle and the [`report`] of all, with the original's keys; [`advice`] derived from it by rules, and a
//!    [`page`].

pub mod accuracy;
pub mod advice;
pub mod figures;
pub mod mobile;
mod page;
mod plan;
pub mod report;
pub mod robustness;
mod run;
pub mod speed;
mod subject;

pub use page::write_bench;
pub use plan::{Part, Plan};
pub use report::{BENCH_SCHEMA_VERSION, BenchReport};
pub use run::{Observer, bench};
pub use subject::Subject;
