//! Checked graph -> fused steps over reused buffers.
//!
//! Maps are kept as `[H, W, C]`, so that a pointwise convolution is a matrix product without copies.
//! A convolution takes the addition and the activation behind it into its own last loop, and so does a quantised
//! one with its `QuantizeLinear`. What reads only constants is computed once, here.

mod buffers;
mod fusion;
mod kernel;
mod layers;
mod lower;
mod quantised;
mod rows;
mod scratch;
mod traffic;

pub use kernel::{Kernel, Operand, Written};
pub use scratch::{Scratch, ScratchSize};
pub use traffic::Arithmetic;

use super::constant::Kind;
use super::cpu::int8::Level;
use super::error::ModelError;
use super::graph::Graph;
use super::shape::{MAX_ELEMENTS, infer};
use lower::Lowering;

/// Most multiply-adds and written elements of a run: half a minute on a phone.
pub const MAX_WORK: u64 = 1 << 37;
/// Most inputs of a step.
pub const MAX_INPUTS: usize = 16;
/// Bytes behind the last element of a buffer that kernels may read, whatever stands there.
pub const SLACK: usize = 64;

/// Number of a buffer.
pub type BufferId = usize;

/// One kernel call.
pub struct Step {
    /// Name of the node whose result this makes.
    pub name: String,
    /// What runs.
    pub kernel: Kernel,
    /// What it reads.
    pub inputs: Vec<Source>,
    /// What it writes; never a buffer of `inputs`.
    pub output: Place,
    /// Multiplications of a run.
    pub multiply_adds: u64,
}

/// Where a step finds an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// What an earlier step wrote, or an input.
    Buffer(Place),
    /// Floats that were known at load.
    Constant(usize),
}

/// The first elements of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the buffer.
    pub buffer: BufferId,
    /// How many elements.
    pub elements: usize,
    /// [`Kind::F32`], or [`Kind::U8`] for quantised maps of either sign.
    pub kind: Kind,
}

impl Place {
    /// 32-bit words that the place takes, with what kernels may read behind it.
    pub fn words(&self) -> usize {
        match self.kind {
            Kind::F32 => self.elements + SLACK / 4,
            _ => self.elements.div_ceil(4) + SLACK / 4,
        }
    }
}

/// A value at the border of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Its name in the file.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Where it lies, row-major floats.
    pub place: Source,
}

/// Everything a run needs but the buffers themselves.
pub struct Plan {
    /// Kernel calls in order.
    pub steps: Vec<Step>,
    /// 32-bit words of each buffer; those of the inputs come first and are empty.
    pub buffers: Vec<usize>,
    /// What the step that needs the most uses while it runs.
    pub scratch: ScratchSize,
    /// Operands known at load.
    pub constants: Vec<Vec<f32>>,
    /// What a run is given.
    pub inputs: Vec<End>,
    /// What a run returns.
    pub outputs: Vec<End>,
}

impl Plan {
    /// Multiplications of a run.
    pub fn multiply_adds(&self) -> u64 {
        self.steps.iter().map(|step| step.multiply_adds).sum()
    }

    /// The plan of `graph` with the best instructions that this machine has.
    ///
    /// # Errors
    /// [`ModelError::Node`] where the kernels lack a case, [`ModelError::TooLarge`].
    pub fn new(graph: &Graph) -> Result<Self, ModelError> {
        Self::at(graph, Level::best())
    }

    /// The plan of `graph` with integer kernels of `level`, one of [`Level::available`].
    ///
    /// # Errors
    /// Those of [`Plan::new`].
    pub fn at(graph: &Graph, level: Level) -> Result<Self, ModelError> {
        let infos = infer(graph)?;
        let mut lowering = Lowering::new(graph, infos, level);
        lowering.take_inputs();
        for index in 0..graph.nodes.len() {
            lowering.lower(index)?;
        }
        let outputs = lowering.give_outputs()?;
        let Lowering { steps, constants, inputs, .. } = lowering;
        let (buffers, scratch) = (Vec::new(), ScratchSize::default());
        let mut plan = Plan { steps, buffers, scratch, constants, inputs, outputs };
        plan.drop_unread();
        plan.share_buffers();
        plan.scratch = plan.steps.iter().fold(scratch, |size, step| size.max(step.kernel.scratch_size()));
        let words = plan.buffers.iter().sum::<usize>().saturating_add(plan.scratch.words());
        if words > MAX_ELEMENTS {
            return Err(ModelError::TooLarge {
                what: format!("{words} elements of maps"),
                limit: MAX_ELEMENTS as u64,
            });
        }
        Ok(plan)
    }
}

/// Sizes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step down and right.
    pub strides: [usize; 2],
    /// Step between the rows and columns of a window.
    pub dilations: [usize; 2],
    /// Zeros above and left.
    pub pads: [usize; 2],
}

impl Geometry {
    /// The input index on `axis` that tap `tap` of output `output` reads, unless it is padding.
    pub fn source(&self, axis: usize, output: usize, tap: usize) -> Option<usize> {
        let padded = output * self.strides[axis] + tap * self.dilations[axis];
        padded.checked_sub(self.pads[axis]).filter(|&index| index < self.input[axis])
    }

    /// Every output of a map of `size` sees the input at its own place.
    pub fn pointwise(size: [usize; 2]) -> Self {
        let (one, pads) = ([1, 1], [0, 0]);
        Geometry { input: size, output: size, kernel: one, strides: one, dilations: one, pads }
    }

    /// Every output sees one input, the one at its own place.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.input == self.output && self.pads == [0, 0]
    }
}
