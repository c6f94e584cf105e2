//! The page of AWARE: judges pictures in the browser and sends nothing anywhere.
//!
//! The page owns the document, a worker owns the model, and [`message`] is all that they share:
//!
//! 1. [`message`]: what page and workers tell each other;
//! 2. [`transfer`]: bytes of the page's own origin, for as long as a [`timer`] lets them come; [`download`]: files ->
//!    verified bundle, in a worker;
//! 3. [`worker`]: the engine, in the worker that gives the verdict; [`accelerator`]: the GPU beside it, by [`choices`] that
//!    were measured; [`watch`]: frames of a video, by their [`pixels`];
//! 4. [`wonnx_session`], [`wonnx_worker`]: the same network on WebGPU, in a worker and a wasm of its own, loaded
//!    when a second opinion is asked for;
//! 5. [`worker_handle`]: a worker seen from the page: typed messages, and its death as an event, which tells when
//!    [`memory`] was refused;
//! 6. [`samples`]: pictures to try; [`player`] and [`camera`]: where frames come from, and [`decoder`]: those of an MP4, in a
//!    worker and a wasm of its own; [`saved_report`]: reports come back;
//! 7. [`state`], [`history`] and [`device_check`]: what the page is doing, and did, without the document;
//! 8. [`offline`]: the page kept on this device; [`page`]: events -> state, by a `link` that callbacks hold;
//! 9. [`text`]: what is said, in the visitor's language;
//! 10. [`view`]: state -> document, with parts of its own for stages and videos;
//! 11. [`benchmark`]: how fast this device is, by workers of its own that answer what [`timing`] asks.

pub mod message;
pub mod timer;
pub mod transfer;
pub mod download;
pub mod choices;
pub mod accelerator;
pub mod pixels;
pub mod watch;
pub mod timing;
pub mod worker;
mod timed_engine;
#[cfg(feature = "wonnx")]
pub mod wonnx_session;
#[cfg(feature = "wonnx")]
pub mod wonnx_worker;
pub mod memory;
pub mod worker_handle;
pub mod samples;
pub mod camera;
pub mod decoder;
pub mod player;
pub mod history;
pub mod saved_report;
pub mod device_check;
pub mod offline;
pub mod state;
mod link;
pub mod page;
pub mod text;
pub mod view;
mod view_device;
mod view_history;
mod view_offline;
mod view_stages;
mod view_video;
pub mod benchmark;
