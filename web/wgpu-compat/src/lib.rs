//! The part of wgpu 0.16 that wonnx 0.5.1 calls, on wgpu 30.
//!
//! wonnx 0.5.1, its last release, was written for wgpu 0.16. For the web that version builds only with a
//! `web-sys` so old that today's wgpu cannot share a dependency graph with it. In what wonnx calls, the two differ
//! by a dozen signatures: this crate carries the old ones and hands everything else through. The workspace puts it
//! under wonnx with `[patch.crates-io] wgpu = { path = "web/wgpu-compat" }`; wonnx itself stays as released.
//!
//! wonnx opens its device by itself, panics without one and looks at no GPU error: a shader that WebGPU refuses
//! then yields zeros. [`Gpu`] therefore opens the device first, lends it to wonnx, and keeps its every error.
//!
//! The only backend asked for is the browser's WebGPU. In a native build that has no other, [`Gpu::open`] is an
//! error.

pub use wgpu30::*;

mod gpu;
mod legacy;
pub mod util;

pub use gpu::{AdapterSummary, Gpu};
pub use legacy::{
    Adapter, CommandEncoder, ComputePassDescriptor, ComputePipelineDescriptor, Device, Dx12Compiler,
    Instance, InstanceDescriptor, Maintain,
};
