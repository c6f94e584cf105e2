//! A checked graph: typed operators in topological order over numbered values.

use super::constant::Constant;
use super::error::ModelError;
use super::trees::TreeEnsemble;
use std::collections::HashMap;

/// Number of a value of a graph.
pub type ValueId = usize;

/// What a node computes, with its attributes; shapes are ONNX's (`NCHW`).
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Two-dimensional convolution: data, weight, bias.
    Conv(ConvAttributes),
    /// Two-dimensional transposed convolution: data, weight `[C_in, C_out / group, KH, KW]`, bias.
    ConvTranspose {
        /// Window; its pads are taken off the output.
        conv: ConvAttributes,
        /// Rows and columns added below and right.
        output_padding: [usize; 2],
    },
    /// `[N, K]` times a constant `[K, M]`, plus a constant `[M]` or one for all, if there is any.
    Gemm {
        /// The constant is `[M, K]`.
        transpose: bool,
    },
    /// Matrix product of the last two axes; the others broadcast.
    MatMul,
    /// A function of each element.
    Unary(Unary),
    /// A function of two elements; shapes broadcast.
    Binary(Binary),
    /// Largest or mean value of each window.
    Pool(PoolAttributes),
    /// Mean over height and width.
    GlobalAveragePool,
    /// Larger or smaller map.
    Resize(Resize),
    /// The same elements in another shape.
    Reshape(Reshape),
    /// Axes in another order; all reversed if empty.
    Transpose(Vec<usize>),
    /// Parts of some axes.
    Slice(Vec<SliceAxis>),
    /// One of the parts that `Split` makes of an axis.
    Split {
        /// The axis; negative from the end.
        axis: i64,
        /// Which part.
        part: usize,
        /// Sizes of all parts; equal if absent.
        sizes: Option<Vec<usize>>,
        /// How many parts.
        parts: usize,
    },
    /// Values one behind the other along an axis; negative from the end.
    Concat(i64),
    /// A constant around the data: amounts before and after each axis.
    Pad {
        /// Before each axis, then after each axis.
        pads: Vec<usize>,
        /// What is put there.
        value: f32,
    },
    /// Mean over axes.
    ReduceMean {
        /// Negative from the end; all if empty.
        axes: Vec<i64>,
        /// The axes stay, with extent 1.
        keep: bool,
    },
    /// `exp(x - max) / sum` along an axis.
    Softmax {
        /// The axis; negative from the end.
        axis: i64,
        /// Along all axes from this one on, together.
        to_the_end: bool,
    },
    /// `(x - mean) / sqrt(variance + epsilon) * scale + bias` over the axes from `axis` on.
    LayerNorm {
        /// First axis; negative from the end.
        axis: i64,
        /// Added to the variance.
        epsilon: f32,
    },
    /// `(x - mean) / sqrt(variance + epsilon) * scale + bias` with constants of each channel.
    BatchNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// `saturate(round_half_even(x / scale) + zero_point)`; axis of the scales.
    Quantize(i64),
    /// `(q - zero_point) * scale`; axis of the scales.
    Dequantize(i64),
    /// Scores of a tree ensemble classifier for rows of features.
    Trees(Box<TreeEnsemble>),
}

/// Functions of one element.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unary {
    /// `x`
    Identity,
    /// `min(max(x, low), high)`; a ReLU has the limits 0 and infinity.
    Clip {
        /// Smallest result.
        low: f32,
        /// Largest result.
        high: f32,
    },
    /// `x` or, below 0, `slope * x`
    LeakyRelu(f32),
    /// `max(0, min(1, alpha * x + beta))`
    HardSigmoid {
        /// Factor.
        alpha: f32,
        /// Summand.
        beta: f32,
    },
    /// `x * hard_sigmoid(x)` with 1/6 and 1/2
    HardSwish,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `x * sigmoid(x)`
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// `x / 2 * (1 + erf(x / sqrt(2)))`
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`
    GeluTanh,
    /// Error function.
    Erf,
    /// Exponential function.
    Exp,
    /// Square root.
    Sqrt,
    /// `1 / x`
    Reciprocal,
    /// `-x`
    Neg,
    /// Absolute value.
    Abs,
}

impl Unary {
    /// `max(x, 0)`
    pub const RELU: Unary = Unary::Clip { low: 0.0, high: f32::INFINITY };
}

/// Functions of two elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
}

/// Zeros around a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// So many above, left, below, right.
    Explicit([usize; 4]),
    /// As many as give a result for each step of the stride; of an odd number one more below and right.
    SameUpper,
    /// The same, of an odd number one more above and left.
    SameLower,
}

impl Padding {
    /// Zeros above, left, below, right of a map of size `input`.
    pub fn around(self, input: [usize; 2], extent: [usize; 2], strides: [usize; 2]) -> [usize; 4] {
        let both = |axis: usize| {
            let steps = input[axis].div_ceil(strides[axis]).saturating_sub(1);
            steps.saturating_mul(strides[axis]).saturating_add(extent[axis]).saturating_sub(input[axis])
        };
        let [rows, columns] = [both(0), both(1)];
        match self {
            Padding::Explicit(pads) => pads,
            Padding::SameUpper => [rows / 2, columns / 2, rows.div_ceil(2), columns.div_ceil(2)],
            Padding::SameLower => [rows.div_ceil(2), columns.div_ceil(2), rows / 2, columns / 2],
        }
    }
}

/// Attributes of a convolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvAttributes {
    /// Groups of channels.
    pub group: usize,
    /// Height and width of the kernel; zeros if the weight tells.
    pub kernel: [usize; 2],
    /// Step down and right.
    pub strides: [usize; 2],
    /// Step between the rows and columns of a window.
    pub dilations: [usize; 2],
    /// Zeros around the map.
    pub padding: Padding,
}

impl ConvAttributes {
    /// Rows and columns of the map that a window of size `kernel` spans.
    pub fn extent(&self, kernel: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| match kernel[axis] {
            0 => 0,
            size => (size - 1).saturating_mul(self.dilations[axis]).saturating_add(1),
        })
    }

    /// Zeros above, left, below, right of a map of size `input` under windows of size `kernel`.
    pub fn pads(&self, input: [usize; 2], kernel: [usize; 2]) -> [usize; 4] {
        self.padding.around(input, self.extent(kernel), self.strides)
    }
}

/// Attributes of a pooling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolAttributes {
    /// What is made of a window.
    pub kind: PoolKind,
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Step down and right.
    pub strides: [usize; 2],
    /// Around the map: above, left, below, right.
    pub pads: [usize; 4],
    /// A last window that reaches over the padded map counts, if it begins before the pads at its end.
    pub is_rounded_up: bool,
}

/// What is made of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolKind {
    /// The largest value.
    Max,
    /// The mean of the values inside the map.
    Average,
    /// The sum of the values inside the map over the size of the window.
    AverageWithPads,
}

/// Another size of a map; the number of images and channels stays.
#[derive(Debug, Clone, PartialEq)]
pub struct Resize {
    /// How values between pixels are made.
    pub mode: ResizeMode,
    /// Where the pixels of the result lie.
    pub coordinates: Coordinates,
    /// Factor of each of four axes, or sizes.
    pub target: ResizeTarget,
}

/// How values between pixels are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResizeMode {
    /// The pixel at `floor`.
    NearestFloor,
    /// The nearest pixel, the lower one at the middle.
    NearestPreferFloor,
    /// Between the four pixels around.
    Linear,
}

/// Where output pixel `i` lies in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coordinates {
    /// `(i + 0.5) / scale - 0.5`
    HalfPixel,
    /// `i / scale`
    Asymmetric,
    /// `i * (input - 1) / (output - 1)`
    AlignCorners,
    /// As `HalfPixel`, but 0 for an output of one pixel.
    PytorchHalfPixel,
}

/// How the size is said.
#[derive(Debug, Clone, PartialEq)]
pub enum ResizeTarget {
    /// Output over input, for height and width.
    Scales([f32; 2]),
    /// Height and width.
    Sizes([usize; 2]),
}

/// How a new shape is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reshape {
    /// The extents; 0 keeps the input's, one -1 takes the rest.
    To(Vec<i64>),
    /// Two axes: those before `axis`, and the others.
    Flatten(i64),
    /// Without these axes of extent 1; without all of them if empty.
    Squeeze(Vec<i64>),
    /// With more axes of extent 1 at these places of the result.
    Unsqueeze(Vec<i64>),
}

/// A part of one axis, as `Slice` says it: negative indices from the end, clamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceAxis {
    /// The axis.
    pub axis: i64,
    /// First index.
    pub start: i64,
    /// Index behind the last one.
    pub end: i64,
    /// Step; positive.
    pub step: i64,
}

/// One operator with its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Name for messages.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Values it reads.
    pub inputs: Vec<ValueId>,
    /// Value it makes.
    pub output: ValueId,
}

impl Node {
    /// An error about this node.
    pub fn error(&self, detail: impl Into<String>) -> ModelError {
        ModelError::Node { node: self.name.clone(), detail: detail.into() }
    }
}

/// A value that a run is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name in the file.
    pub name: String,
    /// Its number.
    pub value: ValueId,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// A value that a run returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name in the file.
    pub name: String,
    /// Its number.
    pub value: ValueId,
}

/// A checked graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Nodes; each reads only what stands before it.
    pub nodes: Vec<Node>,
    /// Values that are known at load.
    pub constants: HashMap<ValueId, Constant>,
    /// Number of values.
    pub value_count: usize,
    /// The values that a run is given, at least one.
    pub inputs: Vec<Input>,
    /// The values that a run returns, at least one.
    pub outputs: Vec<Output>,
}

impl Graph {
    /// Puts `nodes` into an order in which each reads only what is known before it.
    ///
    /// # Errors
    /// [`ModelError::Graph`] naming a node of a cycle.
    pub fn sort(
        nodes: Vec<Node>,
        known: impl Iterator<Item = ValueId>,
        value_count: usize,
    ) -> Result<Vec<Node>, ModelError> {
        let mut ready = vec![false; value_count];
        known.for_each(|value| ready[value] = true);
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); value_count];
        let mut missing: Vec<usize> = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let open: Vec<ValueId> = node.inputs.iter().copied().filter(|&value| !ready[value]).collect();
            missing.push(open.len());
            open.into_iter().for_each(|value| readers[value].push(index));
        }
        // A queue in the file's order keeps an already sorted file as it is.
        let mut queue: std::collections::BTreeSet<usize> =
            (0..nodes.len()).filter(|&i| missing[i] == 0).collect();
        let mut order = Vec::with_capacity(nodes.len());
        while let Some(index) = queue.pop_first() {
            order.push(index);
            for &reader in &readers[nodes[index].output] {
                missing[reader] -= 1;
                if missing[reader] == 0 {
                    queue.insert(reader);
                }
            }
        }
        if let Some(stuck) = missing.iter().position(|&open| open > 0) {
            let detail = format!("node {:?} is part of a cycle or reads from one", nodes[stuck].name);
            return Err(ModelError::Graph { detail });
        }
        let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
        Ok(order.into_iter().filter_map(|index| nodes[index].take()).collect())
    }
}
