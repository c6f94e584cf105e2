//! The benchmark at `#benchmark` ("mobile simulation"): how fast this device is, and whether it computes right.
//!
//! 1. [`options`]: what is measured, all of it in the page's address;
//! 2. [`place`]: where networks run: this processor or the GPU, by the engine or another runtime;
//! 3. [`conversation`]: one worker, asked and heard in turn;
//! 4. [`environment`]: the device in the browser's words;
//! 5. [`runner`]: all places turn by turn -> [`BenchmarkReport`](engine::benchmark::BenchmarkReport);
//! 6. [`page`]: buttons and files -> what is shown;
//! 7. [`view`]: reports -> tables and curves.

pub mod options;
pub mod place;
pub mod conversation;
pub mod environment;
pub mod runner;
pub mod page;
pub mod view;
mod view_environment;
