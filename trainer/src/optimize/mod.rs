//! A finished network -> the same in integers: `aware optimize`.
//!
//! 1. [`QatConfig`]: every choice, one JSON file;
//! 2. [`school`]: the teacher is read strictly, with the pictures of its run; [`run`] goes on from there:
//! 3. batch norms are estimated anew, ranges observed, sensitivities measured, bits chosen (`quantisation`);
//! 4. [`learn`]: the student learns, its best epoch is kept;
//! 5. every file is exported, read back and held to the student (parity) and to the teacher ([`measure`]);
//! 6. [`report`]: what was gained and lost, with gates; [`report_page`]: the same with plots.

mod benchmark;
mod config;
mod files;
mod learn;
mod measure;
mod report;
mod report_page;
mod run;
mod school;

pub use benchmark::{BenchmarkConfig, TestDevice};
pub use config::{Backend, QatConfig, Target};
pub use files::{FileFigures, StudentFiles};
pub use learn::{StudentEpoch, StudentFolder, StudentProgress};
pub use measure::{AucLoss, Speed, auc_loss, engine_logits, rows, speed};
pub use report::{Details, Gate, OptimizationReport, OptimizationResult, PageFigures};
pub use report_page::write_report;
pub use run::{Begin, RESULT_NAME, Task, keep_result, optimize, read_result};
