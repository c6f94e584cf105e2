//! A network as TFLite has it: tensors, operators, options.

use super::schema;

/// Type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Float,
    Byte,
    Integer,
}

impl Element {
    /// Value of `TensorType`.
    pub(super) fn code(self) -> i8 {
        match self {
            Element::Float => schema::FLOAT32,
            Element::Byte => schema::INT8,
            Element::Integer => schema::INT32,
        }
    }
}

/// What the integers of a tensor stand for: `scale * (value - zero point)`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quantisation {
    /// One, or one for each index along `axis`.
    pub(super) scales: Vec<f32>,
    /// As many as scales.
    pub(super) zero_points: Vec<i64>,
    pub(super) axis: usize,
}

impl Quantisation {
    /// One scale and zero point for the whole tensor.
    pub(super) fn whole(scale: f32, zero_point: i64) -> Self {
        Quantisation { scales: vec![scale], zero_points: vec![zero_point], axis: 0 }
    }

    /// A scale for each index along `axis`, and no zero points.
    pub(super) fn per_axis(scales: Vec<f32>, axis: usize) -> Self {
        Quantisation { zero_points: vec![0; scales.len()], scales, axis }
    }
}

/// A value, or a constant.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) element: Element,
    pub(super) quantisation: Option<Quantisation>,
    /// Elements of a constant in little-endian order.
    pub(super) data: Option<Vec<u8>>,
}

/// How the ends of a map are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    Same,
    Valid,
}

/// What limits an operator's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    None,
    Relu,
    Relu6,
}

/// How a window moves over a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) padding: Padding,
    /// Down, right.
    pub(super) strides: [usize; 2],
    pub(super) activation: Activation,
}

/// An operator with its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Add,
    Concatenation { axis: usize },
    Conv(Window),
    DepthwiseConv { window: Window, multiplier: usize },
    Dequantise,
    FullyConnected(Activation),
    Logistic,
    Mul,
    Relu,
    Relu6,
    Reshape,
    Softmax,
    Pad,
    Transpose,
    Mean,
    TransposeConv(Window),
    Quantise,
    BatchMatMul,
}

impl Kind {
    /// Value of `BuiltinOperator`.
    pub(super) fn code(self) -> i32 {
        match self {
            Kind::Add => 0,
            Kind::Concatenation { .. } => 2,
            Kind::Conv(_) => 3,
            Kind::DepthwiseConv { .. } => 4,
            Kind::Dequantise => 6,
            Kind::FullyConnected(_) => 9,
            Kind::Logistic => 14,
            Kind::Mul => 18,
            Kind::Relu => 19,
            Kind::Relu6 => 21,
            Kind::Reshape => 22,
            Kind::Softmax => 25,
            Kind::Pad => 34,
            Kind::Transpose => 39,
            Kind::Mean => 40,
            Kind::TransposeConv(_) => 67,
            Kind::Quantise => 114,
            Kind::BatchMatMul => 126,
        }
    }

    /// The version of the operator that takes `inputs`: the first one that does, after TensorFlow's
    /// `lite/tools/versioning/op_version.cc`.
    pub(super) fn version(self, inputs: &[&Tensor]) -> i32 {
        let has_bytes = inputs.first().is_some_and(|tensor| tensor.element == Element::Byte);
        let is_per_axis = |index: usize| {
            let quantisation = inputs.get(index).and_then(|tensor| tensor.quantisation.as_ref());
            quantisation.is_some_and(|quantisation| quantisation.scales.len() > 1)
        };
        match self {
            Kind::Conv(_) | Kind::DepthwiseConv { .. } if has_bytes => 3,
            Kind::FullyConnected(_) if has_bytes && is_per_axis(1) => 12,
            Kind::FullyConnected(_) if has_bytes => 4,
            Kind::TransposeConv(window) if window.activation != Activation::None => 4,
            // With a bias.
            Kind::TransposeConv(_) => 3,
            Kind::Dequantise if is_per_axis(0) => 5,
            Kind::Transpose if inputs.first().is_some_and(|tensor| tensor.shape.len() > 5) => 6,
            Kind::Transpose if inputs.first().is_some_and(|tensor| tensor.shape.len() > 4) => 4,
            Kind::Add
            | Kind::Concatenation { .. }
            | Kind::Dequantise
            | Kind::Pad
            | Kind::Transpose
            | Kind::Mean
            | Kind::Quantise
                if has_bytes =>
            {
                2
            }
            _ => 1,
        }
    }
}

/// An operator between tensors, by their indices.
#[derive(Debug, Clone)]
pub(super) struct Operator {
    pub(super) kind: Kind,
    pub(super) inputs: Vec<usize>,
    pub(super) output: usize,
}

/// A network from one value to one.
#[derive(Debug, Clone, Default)]
pub(super) struct Network {
    pub(super) tensors: Vec<Tensor>,
    /// In the order in which they run.
    pub(super) operators: Vec<Operator>,
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) description: String,
    /// Names and texts.
    pub(super) metadata: Vec<(String, String)>,
}
