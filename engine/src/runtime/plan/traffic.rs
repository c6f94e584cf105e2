//! How many bytes a step reads and writes at least.

use super::{Kernel, Place, Plan, Source, Step};
use crate::runtime::constant::Kind;

/// What a kernel multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// Bytes.
    Integers,
    /// 32-bit floats.
    Floats,
}

impl Plan {
    /// Bytes that `step` reads and writes at least once: operands, packed weights, result.
    pub fn bytes_of(&self, step: &Step) -> usize {
        let place = |place: &Place| place.elements * if place.kind == Kind::F32 { 4 } else { 1 };
        let read = step.inputs.iter().map(|input| match input {
            Source::Buffer(from) => place(from),
            Source::Constant(index) => 4 * self.constants[*index].len(),
        });
        read.sum::<usize>() + step.kernel.weight_bytes() + place(&step.output)
    }
}

impl Kernel {
    /// Bytes of its packed weights and biases.
    pub fn weight_bytes(&self) -> usize {
        match self {
            Kernel::Conv(conv) => 4 * conv.weight_elements(),
            Kernel::GroupedConv(conv) => 4 * conv.weight_elements(),
            Kernel::Depthwise(conv) => 4 * conv.weight_elements(),
            Kernel::ConvTranspose(conv) => 4 * conv.weight_elements(),
            Kernel::Linear(linear) => 4 * linear.weight_elements(),
            Kernel::ConvInt8(conv) => conv.weight_bytes(),
            Kernel::DepthwiseInt8(conv) => conv.weight_bytes(),
            _ => 0,
        }
    }

    /// What it multiplies, if it does.
    pub fn arithmetic(&self) -> Arithmetic {
        match self {
            Kernel::ConvInt8(_) | Kernel::DepthwiseInt8(_) => Arithmetic::Integers,
            _ => Arithmetic::Floats,
        }
    }
}
