//! Where a network computes.

use anyhow::{Context, Result, bail};
use candle_core::Device;
use clap::ValueEnum;

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
}

impl DeviceKind {
    /// The device itself; never another kind than was asked for.
    ///
    /// # Errors
    /// If the program was built without CUDA, or there is no GPU with a driver that serves it.
    pub fn open(self) -> Result<Device> {
        match self {
            DeviceKind::Cpu => Ok(Device::Cpu),
            DeviceKind::Cuda if cfg!(feature = "cuda") => Device::new_cuda(0).context(
                "no CUDA device can be used (see docs/cuda.md); --device cpu computes on the processor",
            ),
            DeviceKind::Cuda => bail!(
                "this program was built without CUDA: build it with --features cuda (see docs/cuda.md), or compute \
                 with --device cpu"
            ),
        }
    }
}

/// `error`, with advice if it says that a GPU's memory is full.
pub fn explain(error: anyhow::Error) -> anyhow::Error {
    if format!("{error:#}").contains("OUT_OF_MEMORY") {
        return error.context("the GPU's memory is full: lower batch_size or image_size");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t06_cuda_is_there_or_refused_with_advice() -> Result<()> {
        match DeviceKind::Cuda.open() {
            Ok(device) => assert!(device.is_cuda()),
            Err(error) => assert!(error.to_string().contains("--device cpu"), "{error}"),
        }
        assert!(DeviceKind::Cpu.open()?.is_cpu());
        Ok(())
    }

    #[test]
    fn t06_a_full_memory_is_told_from_other_errors() {
        let full = anyhow::anyhow!(r#"DriverError(CUDA_ERROR_OUT_OF_MEMORY, "out of memory")"#);
        assert!(explain(full.context("step 3")).to_string().contains("batch_size"));
        assert_eq!(explain(anyhow::anyhow!("no space left")).to_string(), "no space left");
    }
}
