//! Memory that kernels use while they run.

use super::kernel::Kernel;
use crate::runtime::cpu::depthwise::Tap;

/// Memory that kernels use while they run, one after the other.
#[derive(Default)]
pub struct Scratch {
    /// For float kernels.
    pub floats: Vec<f32>,
    /// For integer kernels.
    pub bytes: Vec<u8>,
    /// For depthwise float kernels.
    pub taps: Vec<Tap>,
}

/// How much of a [`Scratch`] is needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScratchSize {
    /// Floats.
    pub floats: usize,
    /// Bytes.
    pub bytes: usize,
    /// Taps.
    pub taps: usize,
}

impl ScratchSize {
    /// Enough for both.
    pub fn max(self, other: Self) -> Self {
        ScratchSize {
            floats: self.floats.max(other.floats),
            bytes: self.bytes.max(other.bytes),
            taps: self.taps.max(other.taps),
        }
    }

    /// 32-bit words of all of it.
    pub fn words(self) -> usize {
        let taps = self.taps.saturating_mul(size_of::<Tap>() / 4);
        self.floats.saturating_add(self.bytes / 4).saturating_add(taps)
    }
}

impl Scratch {
    /// Room for `size`, so that no run asks for memory.
    pub fn new(size: ScratchSize) -> Self {
        Scratch {
            floats: vec![0.0; size.floats],
            bytes: Vec::with_capacity(size.bytes),
            taps: Vec::with_capacity(size.taps),
        }
    }
}

impl Kernel {
    /// What a run needs.
    pub fn scratch_size(&self) -> ScratchSize {
        let floats = |floats: usize| ScratchSize { floats, ..ScratchSize::default() };
        let bytes = |bytes: usize| ScratchSize { bytes, ..ScratchSize::default() };
        match self {
            Kernel::Conv(conv) => floats(conv.scratch_elements()),
            Kernel::GroupedConv(conv) => floats(conv.scratch_elements()),
            Kernel::Depthwise(conv) => ScratchSize { taps: conv.taps(), ..ScratchSize::default() },
            Kernel::ConvTranspose(conv) => floats(conv.scratch_elements()),
            Kernel::Linear(linear) => floats(linear.scratch_elements()),
            Kernel::MatMul(product) => floats(product.scratch_elements()),
            Kernel::ConvInt8(conv) => bytes(conv.scratch_bytes()),
            Kernel::DepthwiseInt8(conv) => bytes(conv.scratch_bytes()),
            _ => ScratchSize::default(),
        }
    }
}
