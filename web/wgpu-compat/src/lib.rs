//! The part of wgpu 0.16 that wonnx 0.5.1 calls, on wgpu 30.
//!
//! wonnx 0.5.1, its last release, was written for wgpu 0.16. For the web that version builds only with a
//! `web-sys` so old that today's wgpu cannot share a dependency graph with it. In what wonnx calls, the two differ
//! by a dozen signatures: this crate carries the old ones and hands everything else through. The workspace puts it
//! under wonnx with `[patch.crates-io] wgpu = { path = "web/wgpu-compat" }`; wonnx itself stays as released.
//!
//! wonnx opens its device by itself, panics without one and looks at no GPU error: a shader that WebGPU refuses
//! then yields zeros. So [`lend`] gives it the engine's device, which keeps every error.

pub use wgpu30::*;

mod legacy;
mod lent;
pub mod util;

pub use legacy::{
    Adapter, CommandEncoder, ComputePassDescriptor, ComputePipelineDescriptor, Device, Dx12Compiler,
    Instance, InstanceDescriptor, Maintain,
};
pub use lent::lend;
