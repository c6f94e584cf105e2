//! `NodeProto` -> typed [`Node`]s; what is not supported is refused by name.

use super::attributes::Attributes;
use super::{Names, named};
use crate::runtime::constant::Constant;
use crate::runtime::error::ModelError;
use crate::runtime::graph::{
    Binary, ConvAttributes, Coordinates, Node, Op, Padding, PoolAttributes, PoolKind, Reshape, Resize,
    ResizeMode, ResizeTarget, SliceAxis, Unary, ValueId,
};
use crate::runtime::proto::NodeProto;
use crate::runtime::shape::MAX_ELEMENTS;
use crate::runtime::trees::TreeEnsemble;
use std::collections::HashMap;

/// Domain of the operators for classical machine learning.
const ML_DOMAIN: &str = "ai.onnx.ml";

/// The nodes that `proto` stands for: one, or one for each output of `Split`.
///
/// # Errors
/// [`ModelError::Operator`] and [`ModelError::Node`].
pub fn typed_nodes(
    proto: &NodeProto,
    opset: i64,
    names: &Names,
    constants: &HashMap<ValueId, Constant>,
) -> Result<Vec<Node>, ModelError> {
    let node = named(proto);
    let is_trees = proto.domain == ML_DOMAIN && proto.op_type == "TreeEnsembleClassifier";
    if !super::is_standard(&proto.domain) && !is_trees {
        let operator = format!("{}.{}", proto.domain, proto.op_type);
        return Err(ModelError::Operator { node: node.name, operator });
    }
    // An empty name stands for an optional input that is not given.
    let given = proto.input.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
    let reader = Reader {
        attributes: Attributes { node: &node, attributes: &proto.attribute },
        operator: &proto.op_type,
        opset,
        inputs: &proto.input[..given],
        names,
        constants,
    };
    let output = |index: usize| {
        let name = proto.output.get(index).filter(|name| !name.is_empty());
        name.map(|name| names.find(name).ok_or_else(|| node.error("its output has no number"))).transpose()
    };
    if proto.op_type == "Split" {
        return reader.split(&proto.output, output);
    }
    // Of a classifier only the scores are computed, its second output.
    let wanted = usize::from(is_trees);
    let result = output(wanted)?.ok_or_else(|| node.error("its output has no name"))?;
    let (op, data) = if is_trees { reader.trees()? } else { reader.operator()? };
    Ok(vec![Node { name: node.name.clone(), op, inputs: data, output: result }])
}

/// What is known of a node while its operator is read.
struct Reader<'a> {
    attributes: Attributes<'a>,
    operator: &'a str,
    /// Version of the standard operator set.
    opset: i64,
    inputs: &'a [String],
    names: &'a Names,
    constants: &'a HashMap<ValueId, Constant>,
}

/// An operator and the values it reads as data.
type Typed = (Op, Vec<ValueId>);

impl Reader<'_> {
    fn error(&self, detail: impl Into<String>) -> ModelError {
        self.attributes.node.error(detail)
    }

    fn find(&self, name: &str) -> Result<ValueId, ModelError> {
        self.names.find(name).ok_or_else(|| self.error(format!("nothing makes its input {name:?}")))
    }

    fn arity(&self, range: std::ops::RangeInclusive<usize>) -> Result<(), ModelError> {
        if range.contains(&self.inputs.len()) {
            return Ok(());
        }
        Err(self.error(format!("{} has {} inputs, expected {range:?}", self.operator, self.inputs.len())))
    }

    /// The first `count` inputs, or all there are.
    fn data(&self, count: usize) -> Result<Vec<ValueId>, ModelError> {
        self.inputs.iter().take(count).map(|name| self.find(name)).collect()
    }

    /// The constant that input `index` names, if it is given.
    fn constant(&self, index: usize) -> Result<Option<&Constant>, ModelError> {
        let Some(name) = self.inputs.get(index).filter(|name| !name.is_empty()) else { return Ok(None) };
        let constant = self.constants.get(&self.find(name)?);
        constant.map(Some).ok_or_else(|| self.error(format!("its input {name:?} must be a constant")))
    }

    /// The indices that input `index` or, in older operator sets, the attribute `name` lists.
    fn indices(&self, index: usize, name: &str) -> Result<Option<Vec<i64>>, ModelError> {
        if let Some(list) = self.attributes.list(name)? {
            return Ok(Some(list.to_vec()));
        }
        let Some(constant) = self.constant(index)? else { return Ok(None) };
        let values =
            constant.indices().ok_or_else(|| self.error(format!("{name} must be 64-bit integers")))?;
        Ok(Some(values.to_vec()))
    }

    /// One operator of the standard set.
    fn operator(&self) -> Result<Typed, ModelError> {
        let known = |names: &[&str]| self.attributes.check(names);
        match self.operator {
            "Conv" => {
                self.arity(2..=3)?;
                Ok((Op::Conv(self.conv(&[])?), self.data(3)?))
            }
            "ConvTranspose" => {
                self.arity(2..=3)?;
                let conv = self.conv(&["output_padding"])?;
                // There they take off the result, by a rule of their own.
                self.explicit_pads()?;
                if conv.dilations != [1, 1] {
                    return Err(self.error("dilations other than 1 are not supported"));
                }
                let output_padding = self.attributes.sizes("output_padding", [0, 0])?;
                Ok((Op::ConvTranspose { conv, output_padding }, self.data(3)?))
            }
            "Gemm" => {
                self.arity(2..=3)?;
                known(&["alpha", "beta", "transA", "transB"])?;
                self.attributes.require_float("alpha", 1.0)?;
                self.attributes.require_float("beta", 1.0)?;
                self.attributes.require_int("transA", 0, 0)?;
                Ok((Op::Gemm { transpose: self.attributes.int("transB", 0)? != 0 }, self.data(3)?))
            }
            "MatMul" => {
                self.arity(2..=2)?;
                known(&[])?;
                Ok((Op::MatMul, self.data(2)?))
            }
            "Add" => self.binary(Binary::Add),
            "Sub" => self.binary(Binary::Sub),
            "Mul" => self.binary(Binary::Mul),
            "Div" => self.binary(Binary::Div),
            "MaxPool" | "AveragePool" => self.pool(),
            "GlobalAveragePool" => {
                self.arity(1..=1)?;
                known(&[])?;
                Ok((Op::GlobalAveragePool, self.data(1)?))
            }
            "Resize" => self.resize(),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => self.reshape(),
            "Transpose" => {
                self.arity(1..=1)?;
                known(&["perm"])?;
                let order = self.attributes.list("perm")?.unwrap_or_default();
                let order: Option<Vec<usize>> =
                    order.iter().map(|&axis| usize::try_from(axis).ok()).collect();
                Ok((Op::Transpose(order.ok_or_else(|| self.error("perm is negative"))?), self.data(1)?))
            }
            "Slice" => self.slice(),
            "Concat" => {
                self.arity(1..=64)?;
                known(&["axis"])?;
                Ok((Op::Concat(self.attributes.int("axis", 1)?), self.data(64)?))
            }
            "Pad" => self.pad(),
            "ReduceMean" => {
                self.arity(1..=2)?;
                known(&["axes", "keepdims", "noop_with_empty_axes"])?;
                self.attributes.require_int("noop_with_empty_axes", 0, 0)?;
                let axes = self.indices(1, "axes")?.unwrap_or_default();
                Ok((Op::ReduceMean { axes, keep: self.attributes.int("keepdims", 1)? != 0 }, self.data(1)?))
            }
            "Softmax" => {
                self.arity(1..=1)?;
                known(&["axis"])?;
                // Until set 13 it took all axes from the given one on, together.
                let to_the_end = self.opset < 13;
                let axis = self.attributes.int("axis", if to_the_end { 1 } else { -1 })?;
                Ok((Op::Softmax { axis, to_the_end }, self.data(1)?))
            }
            "LayerNormalization" => {
                self.arity(2..=3)?;
                known(&["axis", "epsilon", "stash_type"])?;
                self.attributes.require_int("stash_type", 1, 1)?;
                let axis = self.attributes.int("axis", -1)?;
                Ok((Op::LayerNorm { axis, epsilon: self.attributes.float("epsilon", 1e-5)? }, self.data(3)?))
            }
            "BatchNormalization" => {
                self.arity(5..=5)?;
                known(&["epsilon", "momentum", "training_mode"])?;
                self.attributes.require_int("training_mode", 0, 0)?;
                Ok((Op::BatchNorm { epsilon: self.attributes.float("epsilon", 1e-5)? }, self.data(5)?))
            }
            "QuantizeLinear" | "DequantizeLinear" => self.quantisation(),
            _ => self.unary(),
        }
    }

    fn binary(&self, function: Binary) -> Result<Typed, ModelError> {
        self.arity(2..=2)?;
        self.attributes.check(&[])?;
        Ok((Op::Binary(function), self.data(2)?))
    }

    fn unary(&self) -> Result<Typed, ModelError> {
        let attributes = &self.attributes;
        let (function, known): (Unary, &[&str]) = match self.operator {
            "Relu" => (Unary::RELU, &[]),
            "Clip" => (self.clip()?, &[]),
            "LeakyRelu" => (Unary::LeakyRelu(attributes.float("alpha", 0.01)?), &["alpha"]),
            "HardSigmoid" => {
                let (alpha, beta) = (attributes.float("alpha", 0.2)?, attributes.float("beta", 0.5)?);
                (Unary::HardSigmoid { alpha, beta }, &["alpha", "beta"])
            }
            "HardSwish" => (Unary::HardSwish, &[]),
            "Sigmoid" => (Unary::Sigmoid, &[]),
            "Swish" => {
                attributes.require_float("alpha", 1.0)?;
                (Unary::Silu, &["alpha"])
            }
            "Tanh" => (Unary::Tanh, &[]),
            "Gelu" => {
                attributes.require_text("approximate", &["none", "tanh"])?;
                let is_exact = attributes.text("approximate", "none")? == "none";
                (if is_exact { Unary::Gelu } else { Unary::GeluTanh }, &["approximate"])
            }
            "Erf" => (Unary::Erf, &[]),
            "Exp" => (Unary::Exp, &[]),
            "Sqrt" => (Unary::Sqrt, &[]),
            "Reciprocal" => (Unary::Reciprocal, &[]),
            "Neg" => (Unary::Neg, &[]),
            "Abs" => (Unary::Abs, &[]),
            "Identity" | "Dropout" => (Unary::Identity, &["seed", "ratio"]),
            other => {
                let node = attributes.node.name.clone();
                return Err(ModelError::Operator { node, operator: other.into() });
            }
        };
        attributes.check(known)?;
        match self.operator {
            "Clip" => self.arity(1..=3)?,
            "Dropout" => self.arity(1..=2)?,
            _ => self.arity(1..=1)?,
        }
        Ok((Op::Unary(function), self.data(1)?))
    }

    /// The bounds are no data, and the lower one may be left out before the upper one.
    fn clip(&self) -> Result<Unary, ModelError> {
        let bound = |index: usize, absent: f32| match self.inputs.get(index).filter(|name| !name.is_empty()) {
            None => Ok(absent),
            Some(name) => match self.constants.get(&self.find(name)?).and_then(Constant::floats) {
                Some(&[bound]) if !bound.is_nan() => Ok(bound),
                _ => Err(self.error("its bounds must be constant numbers")),
            },
        };
        Ok(Unary::Clip { low: bound(1, f32::NEG_INFINITY)?, high: bound(2, f32::INFINITY)? })
    }

    /// Attributes of a window; `more` may stand beside them.
    fn conv(&self, more: &[&str]) -> Result<ConvAttributes, ModelError> {
        let known = ["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];
        self.attributes.check(&[&known[..], more].concat())?;
        let padding = match self.attributes.text("auto_pad", "NOTSET")? {
            "NOTSET" | "" => Padding::Explicit(self.attributes.sizes("pads", [0; 4])?),
            _ if self.attributes.list("pads")?.is_some() => {
                return Err(self.error("pads beside auto_pad are not supported"));
            }
            "VALID" => Padding::Explicit([0; 4]),
            "SAME_UPPER" => Padding::SameUpper,
            "SAME_LOWER" => Padding::SameLower,
            other => return Err(self.error(format!("auto_pad {other:?} is unknown"))),
        };
        let dilations = self.attributes.sizes("dilations", [1, 1])?;
        if dilations.contains(&0) {
            return Err(self.error("dilations must be positive"));
        }
        if !matches!(padding, Padding::Explicit(_)) && dilations != [1, 1] {
            // Runtimes do not agree on what it means.
            return Err(self.error("auto_pad of a dilated window is not supported; write the pads out"));
        }
        let group = self.attributes.int("group", 1)?;
        let group = usize::try_from(group).ok().filter(|&group| group > 0).ok_or_else(|| {
            self.error("group: expected a positive number of groups that this machine can count")
        })?;
        let kernel = self.attributes.sizes("kernel_shape", [0, 0])?;
        Ok(ConvAttributes { group, kernel, strides: self.strides()?, dilations, padding })
    }

    fn explicit_pads(&self) -> Result<(), ModelError> {
        match self.attributes.text("auto_pad", "NOTSET")? {
            "NOTSET" | "" => Ok(()),
            _ => Err(self.error("auto_pad is not supported; write the pads out")),
        }
    }

    fn strides(&self) -> Result<[usize; 2], ModelError> {
        let strides = self.attributes.sizes("strides", [1, 1])?;
        if strides.contains(&0) { Err(self.error("strides must be positive")) } else { Ok(strides) }
    }

    fn pool(&self) -> Result<Typed, ModelError> {
        self.arity(1..=1)?;
        let known = [
            "auto_pad",
            "ceil_mode",
            "count_include_pad",
            "dilations",
            "kernel_shape",
            "pads",
            "storage_order",
        ];
        self.attributes.check(&[&known[..], &["strides"]].concat())?;
        self.explicit_pads()?;
        let is_rounded_up = self.attributes.int("ceil_mode", 0)? != 0;
        self.attributes.require_int("storage_order", 0, 0)?;
        if self.attributes.sizes("dilations", [1, 1])? != [1, 1] {
            return Err(self.error("dilations other than 1 are not supported"));
        }
        let kind = match (self.operator, self.attributes.int("count_include_pad", 0)?) {
            ("MaxPool", _) => PoolKind::Max,
            (_, 0) => PoolKind::Average,
            _ if is_rounded_up => {
                return Err(self.error("ceil_mode with count_include_pad is not supported"));
            }
            _ => PoolKind::AverageWithPads,
        };
        let kernel = self.attributes.sizes("kernel_shape", [0, 0])?;
        let pads: [usize; 4] = self.attributes.sizes("pads", [0; 4])?;
        if kernel.contains(&0) || (0..4).any(|side| pads[side] >= kernel[side % 2]) {
            return Err(self.error(format!("a window of {kernel:?} with pads {pads:?} is not supported")));
        }
        let pool = PoolAttributes { kind, kernel, strides: self.strides()?, pads, is_rounded_up };
        Ok((Op::Pool(pool), self.data(1)?))
    }

    fn resize(&self) -> Result<Typed, ModelError> {
        self.arity(2..=4)?;
        let known = [
            "antialias",
            "axes",
            "coordinate_transformation_mode",
            "cubic_coeff_a",
            "exclude_outside",
            "extrapolation_value",
            "keep_aspect_ratio_policy",
            "mode",
            "nearest_mode",
        ];
        self.attributes.check(&known)?;
        self.attributes.require_int("antialias", 0, 0)?;
        self.attributes.require_int("exclude_outside", 0, 0)?;
        self.attributes.require_text("keep_aspect_ratio_policy", &["stretch"])?;
        if self.attributes.list("axes")?.is_some() {
            return Err(self.error("axes are not supported"));
        }
        let text = |name: &str, absent: &'static str| self.attributes.text(name, absent).map(str::to_owned);
        let (mode, nearest) = (text("mode", "nearest")?, text("nearest_mode", "round_prefer_floor")?);
        let mode = match (&mode[..], &nearest[..]) {
            ("nearest", "floor") => ResizeMode::NearestFloor,
            ("nearest", "round_prefer_floor") => ResizeMode::NearestPreferFloor,
            ("linear", _) => ResizeMode::Linear,
            other => return Err(self.error(format!("mode {other:?} is not supported"))),
        };
        let coordinates = match &text("coordinate_transformation_mode", "half_pixel")?[..] {
            "half_pixel" => Coordinates::HalfPixel,
            "asymmetric" => Coordinates::Asymmetric,
            "align_corners" => Coordinates::AlignCorners,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            other => return Err(self.error(format!("coordinates {other:?} are not supported"))),
        };
        let scales = self.constant(2)?.and_then(Constant::floats).filter(|scales| !scales.is_empty());
        let sizes = self.constant(3)?.and_then(Constant::indices);
        let target = match (scales, sizes) {
            (Some(&[n, c, y, x]), None) if n == 1.0 && c == 1.0 && x > 0.0 && y > 0.0 => {
                ResizeTarget::Scales([y, x])
            }
            (None, Some(&[_, _, h, w])) if (1..=1 << 16).contains(&h) && (1..=1 << 16).contains(&w) => {
                ResizeTarget::Sizes([h as usize, w as usize])
            }
            _ => return Err(self.error("expected four scales [1, 1, y, x] or four sizes")),
        };
        Ok((Op::Resize(Resize { mode, coordinates, target }), self.data(1)?))
    }

    fn reshape(&self) -> Result<Typed, ModelError> {
        let (range, known): (_, &[&str]) = match self.operator {
            "Reshape" => (2..=2, &["allowzero"]),
            "Flatten" => (1..=1, &["axis"]),
            _ => (1..=2, &["axes"]),
        };
        self.arity(range)?;
        self.attributes.check(known)?;
        let target = match self.operator {
            "Reshape" => {
                self.attributes.require_int("allowzero", 0, 0)?;
                Reshape::To(self.indices(1, "shape")?.unwrap_or_default())
            }
            "Flatten" => Reshape::Flatten(self.attributes.int("axis", 1)?),
            "Squeeze" => Reshape::Squeeze(self.indices(1, "axes")?.unwrap_or_default()),
            _ => Reshape::Unsqueeze(self.indices(1, "axes")?.ok_or_else(|| self.error("it names no axes"))?),
        };
        Ok((Op::Reshape(target), self.data(1)?))
    }

    fn slice(&self) -> Result<Typed, ModelError> {
        self.arity(3..=5)?;
        self.attributes.check(&[])?;
        let list = |index: usize| self.indices(index, "starts, ends, axes and steps");
        let (starts, ends) = (list(1)?.unwrap_or_default(), list(2)?.unwrap_or_default());
        let axes = list(3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = list(4)?.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || starts.len() > 8 {
            return Err(self.error("starts, ends, axes and steps have different lengths"));
        }
        if steps.iter().any(|&step| step < 1) {
            return Err(self.error("steps below 1 are not supported"));
        }
        let part = |i: usize| SliceAxis { axis: axes[i], start: starts[i], end: ends[i], step: steps[i] };
        Ok((Op::Slice((0..starts.len()).map(part).collect()), self.data(1)?))
    }

    fn split(
        &self,
        outputs: &[String],
        output: impl Fn(usize) -> Result<Option<ValueId>, ModelError>,
    ) -> Result<Vec<Node>, ModelError> {
        self.arity(1..=2)?;
        self.attributes.check(&["axis", "split", "num_outputs"])?;
        let parts = outputs.len();
        if parts == 0 || parts > 64 {
            return Err(self.error(format!("{parts} parts are not supported")));
        }
        self.attributes.require_int("num_outputs", parts as i64, parts as i64)?;
        let axis = self.attributes.int("axis", 0)?;
        let sizes = self.indices(1, "split")?;
        let sizes: Option<Option<Vec<usize>>> =
            sizes.map(|sizes| sizes.iter().map(|&size| usize::try_from(size).ok()).collect());
        let sizes = match sizes {
            None => None,
            Some(Some(sizes)) if sizes.len() == parts => Some(sizes),
            _ => return Err(self.error("the sizes of its parts do not fit its outputs")),
        };
        let data = self.data(1)?;
        let mut nodes = Vec::new();
        for (part, name) in outputs.iter().enumerate() {
            if let Some(output) = output(part)? {
                let op = Op::Split { axis, part, sizes: sizes.clone(), parts };
                nodes.push(Node { name: name.clone(), op, inputs: data.clone(), output });
            }
        }
        Ok(nodes)
    }

    fn pad(&self) -> Result<Typed, ModelError> {
        self.arity(2..=3)?;
        self.attributes.check(&["mode"])?;
        self.attributes.require_text("mode", &["constant"])?;
        let pads = self.indices(1, "pads")?.unwrap_or_default();
        let pads: Option<Vec<usize>> =
            pads.iter().map(|&pad| usize::try_from(pad).ok().filter(|&pad| pad <= MAX_ELEMENTS)).collect();
        let value = match self.constant(2)?.map(Constant::floats) {
            None => 0.0,
            Some(Some(&[value])) => value,
            Some(_) => return Err(self.error("its value must be a constant number")),
        };
        Ok((
            Op::Pad {
                pads: pads.ok_or_else(|| {
                    self.error(format!("pads are negative or above {MAX_ELEMENTS} elements"))
                })?,
                value,
            },
            self.data(1)?,
        ))
    }

    /// Scale and zero point stay inputs: constants that shape inference checks.
    fn quantisation(&self) -> Result<Typed, ModelError> {
        self.arity(2..=3)?;
        self.attributes.check(&["axis", "block_size", "output_dtype", "saturate"])?;
        self.attributes.require_int("block_size", 0, 0)?;
        self.attributes.require_int("output_dtype", 0, 0)?;
        let axis = self.attributes.int("axis", 1)?;
        let op = if self.operator == "QuantizeLinear" { Op::Quantize(axis) } else { Op::Dequantize(axis) };
        Ok((op, self.data(3)?))
    }

    fn trees(&self) -> Result<Typed, ModelError> {
        self.arity(1..=1)?;
        Ok((Op::Trees(Box::new(TreeEnsemble::read(&self.attributes)?)), self.data(1)?))
    }
}
