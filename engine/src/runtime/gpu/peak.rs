//! What a device can do at most: the roof that kernels are measured by (Williams, Waterman and Patterson, "Roofline", 2009).

use super::device::Gpu;
use super::error::GpuError;
use super::program::{Launch, Memory, Output, Program, Upload};
use super::session::GpuSession;
use super::shader::{Products, Shader};
use super::words::Words;
use crate::tensor::Tensor;
use std::rc::Rc;

/// Threads of the row of dot products, and rounds of each.
const THREADS: usize = 1 << 16;
const ROUNDS: usize = 64;
/// Products of a round: sixteen sums of four.
const PER_ROUND: usize = 64;
/// Words that are copied.
const COPIED: usize = 1 << 22;

/// The most that a device does in a millisecond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Multiplications of bytes.
    pub multiply_adds_per_ms: f64,
    /// Bytes read and written.
    pub bytes_per_ms: f64,
}

impl Peak {
    /// Measures `gpu` by its own clock; nothing where it shows none.
    ///
    /// # Errors
    /// Those of [`GpuSession::run_all`].
    pub async fn measure(gpu: &Rc<Gpu>) -> Result<Option<Self>, GpuError> {
        let products = if gpu.has_packed_dot() { Products::Dot } else { Products::F32 };
        let dots = Words::default().uints([THREADS, ROUNDS]);
        let dots = time(gpu, Shader::Peak(products), dots, Words::default(), THREADS).await?;
        let walk = Words::default().uints([COPIED, 1, 0]);
        let axes = Words::default().uints([COPIED, 1]);
        let copy = time(gpu, Shader::Gather, walk, axes, COPIED).await?;
        Ok(dots.zip(copy).map(|(dots_ms, copy_ms)| Peak {
            multiply_adds_per_ms: (THREADS * ROUNDS * PER_ROUND) as f64 / dots_ms,
            bytes_per_ms: (2 * 4 * COPIED) as f64 / copy_ms,
        }))
    }

    /// What is possible for a launch, in milliseconds.
    pub fn roof_ms(&self, launch: &Launch) -> f64 {
        let arithmetic_ms = launch.multiply_adds as f64 / self.multiply_adds_per_ms;
        arithmetic_ms.max(launch.bytes as f64 / self.bytes_per_ms)
    }
}

/// Milliseconds of the fastest of three launches.
async fn time(
    gpu: &Rc<Gpu>,
    shader: Shader,
    params: Words,
    constants: Words,
    threads: usize,
) -> Result<Option<f64>, GpuError> {
    let launch = Launch {
        name: shader.name().into(),
        shader,
        params: params.0,
        constants: constants.0,
        x: Memory::Planned(1),
        second: None,
        out: Memory::Planned(0),
        threads: threads as u32,
        multiply_adds: 0,
        bytes: 0,
    };
    let program = Program {
        uploads: vec![Upload { input: 0, quantise: None, widened: None, bytes: 16 }],
        launches: vec![launch; 3],
        buffers: vec![4 * threads; 2],
        constants: Vec::new(),
        outputs: vec![Output { memory: Memory::Planned(0), shape: vec![1] }],
        inputs: vec![vec![4]],
    };
    let session = GpuSession::of(gpu, program)?;
    let input = Tensor::from_vec(vec![4], vec![1.0; 4]);
    let times = session.profile(&[&input]).await?;
    Ok(times.map(|times| times.into_iter().fold(f64::INFINITY, f64::min)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roof_is_the_slower_of_both() {
        let peak = Peak { multiply_adds_per_ms: 1000.0, bytes_per_ms: 100.0 };
        let launch = |multiply_adds, bytes| Launch {
            name: String::new(),
            shader: Shader::Gather,
            params: Vec::new(),
            constants: Vec::new(),
            x: Memory::Planned(0),
            second: None,
            out: Memory::Planned(0),
            threads: 1,
            multiply_adds,
            bytes,
        };
        assert_eq!(peak.roof_ms(&launch(5000, 100)), 5.0);
        assert_eq!(peak.roof_ms(&launch(500, 100)), 1.0);
    }
}
