//! Float kernels on maps `[H, W, C]`.
//!
//! Every output is a sum in one fixed order, without fused multiply-add: vectors run over outputs,
//! never over the terms of a sum. So scalar, simd128, SSE and AVX builds of this one source give the
//! same bits, and page and command line the same verdict.

pub mod binary;
pub mod clamp;
pub mod conv_transpose;
pub mod copy;
pub mod functions;
pub mod grouped_conv;
// Vectors of a machine, and pointers for them: the one place with unsafe code.
#[allow(unsafe_code)]
pub mod int8;
pub mod matmul;
pub mod normalise;
pub mod resize;
pub mod matrix;
pub mod conv;
pub mod depthwise;
pub mod peak;
pub mod pool;
