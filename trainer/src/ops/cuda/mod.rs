//! The operations of this folder on CUDA. NVRTC compiles the kernels, in `.cu` files beside this one, when the first one
//! runs: so that building needs no compiler of CUDA for them, and every device gets code for itself.

pub mod batch_norm;
pub mod convolution;
pub mod gate;

use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaView, CudaViewMut, DeviceRepr, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::cudarc::nvrtc::compile_ptx;
use candle_core::cuda_backend::{CudaDevice, WrapErr};
use candle_core::{CudaStorage, Error, Layout, Result, Shape, Storage, bail};
use std::sync::OnceLock;

/// Threads of a block where each works alone.
const THREADS: u32 = 256;

/// An argument of an operation.
type Argument<'a> = (&'a CudaStorage, &'a Layout);

/// The kernels of one file.
struct Module {
    name: &'static str,
    source: &'static str,
    ptx: OnceLock<String>,
}

impl Module {
    const fn new(name: &'static str, source: &'static str) -> Self {
        Module { name, source, ptx: OnceLock::new() }
    }

    /// Runs `kernel`, which takes `parameters`, `inputs` and `output`, and writes `output` whole.
    fn run(
        &self,
        device: &CudaDevice,
        (kernel, config): (&str, LaunchConfig),
        parameters: impl DeviceRepr,
        inputs: &[CudaView<f32>],
        output: &mut CudaViewMut<f32>,
    ) -> Result<()> {
        let function = device.get_or_load_custom_func(kernel, self.name, self.ptx()?)?;
        let mut launch = function.builder();
        launch.arg(&parameters);
        for input in inputs {
            launch.arg(input);
        }
        launch.arg(output);
        // SAFETY: each caller hands over what its kernel's signature asks for, with as many values as it reads and
        // writes by `parameters`.
        unsafe { launch.launch(config) }.w()?;
        Ok(())
    }

    fn ptx(&self) -> Result<&str> {
        if self.ptx.get().is_none() {
            let ptx = compile_ptx(self.source)
                .map_err(|error| Error::Msg(format!("NVRTC does not compile {}.cu: {error:?}", self.name)))?;
            return Ok(self.ptx.get_or_init(|| ptx.to_src()));
        }
        Ok(self.ptx.get().map_or("", String::as_str))
    }
}

/// One thread for each of `count` elements.
fn elements(count: usize) -> Result<LaunchConfig> {
    let Ok(blocks) = u32::try_from(count.div_ceil(THREADS as usize)) else {
        bail!("{count} values are more than a kernel can be launched for; take smaller batches")
    };
    Ok(LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 })
}

/// `count` blocks of `threads`, a power of two, that share a value of `T` each.
fn blocks<T>(count: usize, threads: u32) -> Result<LaunchConfig> {
    let Ok(blocks) = u32::try_from(count) else {
        bail!("{count} sums are more than a kernel can be launched for")
    };
    let shared_mem_bytes = threads * size_of::<T>() as u32;
    Ok(LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes })
}

/// The contiguous `f32` values of an argument.
fn values<'a>((storage, layout): Argument<'a>) -> Result<CudaView<'a, f32>> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("CUDA kernels need contiguous tensors")
    };
    Ok(storage.as_cuda_slice::<f32>()?.slice(start..end))
}

/// As [`values`], of a tensor's storage.
fn values_of<'a>(storage: &'a Storage, layout: &'a Layout) -> Result<CudaView<'a, f32>> {
    match storage {
        Storage::Cuda(storage) => values((storage, layout)),
        _ => bail!("a tensor lies on another device"),
    }
}

/// Room for `count` values that a kernel will write.
fn allocate(device: &CudaDevice, count: usize) -> Result<CudaSlice<f32>> {
    // SAFETY: `Module::run` writes all of it before anybody reads.
    unsafe { device.alloc::<f32>(count) }
}

fn finished(
    slice: CudaSlice<f32>,
    device: &CudaDevice,
    shape: impl Into<Shape>,
) -> Result<(CudaStorage, Shape)> {
    Ok((CudaStorage::wrap_cuda_slice(slice, device.clone()), shape.into()))
}
