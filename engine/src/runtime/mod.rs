//! Runs an ONNX graph on the CPU; knows nothing of faces.
//!
//! [`onnx`] bytes -> checked [`graph`] -> [`shape`]s -> fused [`plan`] with reused buffers ->
//! [`Session`] on the kernels of [`cpu`], in floats and in integers. Whatever is not supported is
//! refused by name at load. Loading a hostile file ends in a [`ModelError`], without a panic and
//! without an allocation that the file's own size does not justify.

pub mod proto;
pub mod error;
pub mod constant;
pub mod onnx;
pub mod graph;
pub mod trees;
pub mod shape;
pub mod plan;
pub mod cpu;
pub mod session;
#[cfg(feature = "gpu")]
pub mod gpu;

pub use error::ModelError;
pub use session::Session;
