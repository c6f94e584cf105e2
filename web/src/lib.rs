//! The page of AWARE: judges pictures in the browser and sends nothing anywhere.
//!
//! The page owns the document, a worker owns the model, and [`message`] is all that they share:
//!
//! 1. [`message`]: what page and workers tell each other;
//! 2. [`download`]: files of the page's own origin -> verified bundle, in a worker;
//! 3. [`worker`]: the engine, in the worker that gives the verdict; [`accelerator`]: the GPU beside it, by [`choices`] that
//!    were measured;
//! 4. [`wonnx_session`], [`wonnx_worker`]: the same network on WebGPU, in a worker and a wasm of its own, loaded
//!    when a second opinion is asked for;
//! 5. [`worker_handle`]: a worker seen from the page: typed messages, and its death as an event, which tells when
//!    [`memory`] was refused;
//! 6. [`samples`]: pictures to try;
//! 7. [`state`] and [`device_check`]: what the page is doing, without the document;
//! 8. [`page`]: events -> state;
//! 9. [`view`]: state -> document.

pub mod message;
pub mod download;
pub mod choices;
pub mod accelerator;
pub mod worker;
#[cfg(feature = "wonnx")]
pub mod wonnx_session;
#[cfg(feature = "wonnx")]
pub mod wonnx_worker;
pub mod memory;
pub mod worker_handle;
pub mod samples;
pub mod device_check;
pub mod state;
pub mod page;
pub mod view;
