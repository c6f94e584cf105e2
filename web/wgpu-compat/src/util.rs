//! wgpu 0.16's helpers.

pub use wgpu30::util::{BufferInitDescriptor, DeviceExt, DownloadBuffer};

use crate::lent::lent;
use crate::{Adapter, Backends, Instance, Surface};

/// Nothing: a browser has no environment.
pub fn backend_bits_from_env() -> Option<Backends> {
    None
}

/// The adapter of the lent device. Missing outside [`crate::lend`], where wonnx panics.
pub async fn initialize_adapter_from_env_or_default(
    _instance: &Instance,
    _backends: Backends,
    _compatible_surface: Option<&Surface<'_>>,
) -> Option<Adapter> {
    lent().map(|(device, queue)| Adapter { device, queue })
}
