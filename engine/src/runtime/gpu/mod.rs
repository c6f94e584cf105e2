//! Runs the plan of the CPU on a GPU, through wgpu: WebGPU in a browser, Vulkan, Metal or Direct3D elsewhere.
//!
//! [`program`]: plan -> launches of kernels, without a GPU; [`session`]: pipelines, buffers and bind groups, made once, then
//! one pass and one submission a run. The kernels are the WGSL files of `shaders`, each the twin of the CPU's kernel of that
//! name. Weights stay bytes. Results in integers are the CPU's, bit for bit; whatever is not is a [`GpuError`], and so is
//! every error that the device reports.

pub mod choice;
pub mod device;
pub mod error;
mod floats;
mod layers;
mod moves;
pub mod peak;
pub mod program;
pub mod session;
pub mod shader;
mod slots;
mod stopwatch;
pub mod trust;
mod words;

pub use choice::{Choice, Place};
pub use device::{AdapterSummary, Gpu};
pub use error::GpuError;
pub use peak::Peak;
pub use program::Program;
pub use session::GpuSession;
pub use shader::Products;
pub use trust::{Remedy, Trust};
