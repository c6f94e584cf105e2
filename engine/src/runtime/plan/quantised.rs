//! `QuantizeLinear` and `DequantizeLinear` absorbed into integer steps.
//!
//! A node whose inputs come out of `DequantizeLinear` and whose result goes, perhaps through limits, into one
//! `QuantizeLinear` becomes one integer step. Whatever does not fit stays in floats, which is slower but right.

use super::kernel::Kernel;
use super::lower::{Layout, Lowering, Stored};
use super::{Geometry, Source};
use crate::runtime::constant::{Constant, Kind, Quantisation, Values};
use crate::runtime::cpu::clamp::Clamp;
use crate::runtime::cpu::int8::{self, Finish, Parameters, Requantise, conv::Layer};
use crate::runtime::error::ModelError;
use crate::runtime::graph::{Binary, ConvAttributes, Node, Op, PoolKind, ResizeMode, Unary, ValueId};
use crate::runtime::shape::quantisation;

/// The `QuantizeLinear` that a value goes into, and what stands between.
struct Ending {
    /// Index of the `QuantizeLinear`.
    quantize: usize,
    /// Indices of the limits before it.
    limits: Vec<usize>,
    /// What the bytes stand for.
    parameters: Parameters,
}

/// A quantised value as a node reads it through `DequantizeLinear`.
struct Dequantised {
    /// The bytes.
    value: ValueId,
    /// Where they lie.
    stored: Stored,
    /// What they stand for.
    parameters: Parameters,
}

/// Weights of a quantised layer.
struct Weights {
    /// In the file's order.
    values: Vec<i8>,
    /// One, or one for each output.
    scales: Vec<f32>,
}

impl Lowering<'_> {
    /// Where the bytes of `value` lie and what they stand for, as the `DequantizeLinear` `node` reads them.
    pub(super) fn quantised(&self, value: ValueId, node: &Node) -> Option<(Stored, Parameters)> {
        let Op::Dequantize(axis) = node.op else { return None };
        let stored = self.stored[value].clone()?;
        let found = quantisation(self.graph, node, axis, self.shape(value)).ok()?;
        let (scale, zero_point) = found.of_all()?;
        let (low, high) = self.limits_of(value);
        Some((stored, Parameters { scale, zero_point: zero_point + self.shift(value), low, high }))
    }

    /// Signed bytes are kept 128 higher.
    fn shift(&self, value: ValueId) -> i32 {
        if self.info(value).kind == Kind::I8 { 128 } else { 0 }
    }

    /// Smallest and largest byte of a quantised value: those of its `QuantizeLinear`, as far as it is known.
    fn limits_of(&self, value: ValueId) -> (u8, u8) {
        let maker = self.maker[value].map(|maker| &self.graph.nodes[maker]);
        match maker.map(|maker| (maker, &maker.op)) {
            Some((maker, Op::Quantize(_))) => {
                self.result_of(maker).map_or((0, 255), |parameters| (parameters.low, parameters.high))
            }
            _ => (0, 255),
        }
    }

    /// What the bytes of the `QuantizeLinear` `node` stand for, within the limits before it.
    fn result_of(&self, node: &Node) -> Option<Parameters> {
        let Op::Quantize(axis) = node.op else { return None };
        let found = quantisation(self.graph, node, axis, self.shape(node.inputs[0])).ok()?;
        let (scale, zero_point) = found.of_all()?;
        let zero_point = zero_point + self.shift(node.output);
        let whole = Parameters { scale, zero_point, low: 0, high: 255 };
        // The last limits first: what comes before them ends within them.
        let (mut limits, mut value) = (Clamp::default(), node.inputs[0]);
        while let Some(Op::Unary(Unary::Clip { low, high })) =
            self.maker[value].map(|maker| &self.graph.nodes[maker].op)
        {
            let [low, high] = [*low, *high].map(|limit| limits.apply(limit));
            limits = Clamp { low, high };
            value = self.graph.nodes[self.maker[value]?].inputs[0];
        }
        let [low, high] = [limits.low, limits.high].map(|limit| whole.quantised(limit));
        Some(Parameters { low, high: high.max(low), ..whole })
    }

    /// The `QuantizeLinear` behind `value`, if nothing but limits stands between and nothing else reads it.
    fn ending(&self, value: ValueId) -> Option<Ending> {
        let (mut limits, mut value) = (Vec::new(), value);
        loop {
            let next = self.only_reader[value]?;
            let node = &self.graph.nodes[next];
            match node.op {
                Op::Unary(Unary::Clip { .. }) => {
                    limits.push(next);
                    value = node.output;
                }
                Op::Quantize(_) => {
                    let parameters = self.result_of(node)?;
                    return Some(Ending { quantize: next, limits, parameters });
                }
                _ => return None,
            }
        }
    }

    /// Node `index` limits what goes into one `QuantizeLinear`, which keeps the limits itself.
    pub(super) fn is_limit_of_bytes(&self, index: usize) -> bool {
        let node = &self.graph.nodes[index];
        matches!(node.op, Op::Unary(Unary::Clip { .. })) && self.ending(node.output).is_some()
    }

    /// Marks what an integer step took in, and keeps where its result lies.
    fn end(&mut self, ending: &Ending, stored: Stored) {
        for &index in ending.limits.iter().chain([&ending.quantize]) {
            self.fused[index] = true;
        }
        self.stored[self.graph.nodes[ending.quantize].output] = Some(stored);
    }

    /// The bytes behind the floats `value`.
    fn dequantised(&self, value: ValueId) -> Option<Dequantised> {
        let node = &self.graph.nodes[self.maker[value]?];
        let (stored, parameters) = self.quantised(*node.inputs.first()?, node)?;
        Some(Dequantised { value: node.inputs[0], stored, parameters })
    }

    /// The constant integers behind the floats `value`.
    fn constant_integers(&self, value: ValueId) -> Option<(&Constant, Quantisation)> {
        let node = &self.graph.nodes[self.maker[value]?];
        let Op::Dequantize(axis) = node.op else { return None };
        let constant = self.graph.constants.get(&node.inputs[0])?;
        Some((constant, quantisation(self.graph, node, axis, &constant.shape).ok()?))
    }

    /// Lowers node `index` to integers if it fits.
    pub(super) fn lower_quantised(&mut self, index: usize) -> Result<bool, ModelError> {
        let node = &self.graph.nodes[index];
        let is_done = match &node.op {
            Op::Conv(conv) => self.quantised_conv(index, conv)?,
            Op::Gemm { transpose } => self.quantised_gemm(index, *transpose)?,
            Op::Binary(Binary::Add) => self.quantised_add(index)?,
            Op::GlobalAveragePool => self.quantised_average(index)?,
            Op::Unary(function) if !matches!(function, Unary::Clip { .. } | Unary::Identity) => {
                self.quantised_function(index, *function)?
            }
            Op::Pool(pool) if pool.kind == PoolKind::Max => self.quantised_move(index)?,
            Op::Resize(resize) if resize.mode != ResizeMode::Linear => self.quantised_move(index)?,
            Op::Unary(_)
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Slice(_)
            | Op::Split { .. }
            | Op::Concat(_) => self.quantised_move(index)?,
            _ => None,
        };
        let Some((ending, stored)) = is_done else { return Ok(false) };
        match ending {
            Some(ending) => self.end(&ending, stored),
            None => self.stored[node.output] = Some(stored),
        }
        Ok(true)
    }

    /// A `QuantizeLinear` that no integer step took in.
    pub(super) fn quantise(&mut self, node: &Node) -> Result<Stored, ModelError> {
        let unsupported = || node.error("only one scale for all elements is supported");
        let parameters = self.result_of(node).ok_or_else(unsupported)?;
        let mut value = node.inputs[0];
        // Past the limits that were left to this step.
        while let Some(maker) =
            self.maker[value].filter(|&maker| self.stored[value].is_none() && self.is_limit_of_bytes(maker))
        {
            value = self.graph.nodes[maker].inputs[0];
        }
        let x = self.floats(node, value)?;
        let shape = self.shape(value).to_vec();
        let elements = shape.iter().product();
        // Maps get their channels innermost on the way.
        let (channels, pixels, layout) = match (x.layout, &shape[..]) {
            (Layout::RowMajor, &[_, channels, h, w]) => (channels, h * w, Layout::ChannelsLast),
            (layout, _) => (1, elements, layout),
        };
        let kernel = Kernel::Quantise(int8::Quantise { parameters, channels, pixels });
        let source = self.push(&node.name, kernel, vec![x.source], (elements, Kind::U8), 0)?;
        Ok(Stored { source, layout })
    }

    /// The weights of a layer of `outputs` along `axis` of the constant behind `value`.
    fn weights(&self, value: ValueId, outputs: usize, axis: usize) -> Option<Weights> {
        let (constant, found) = self.constant_integers(value)?;
        let Values::I8(values) = &constant.values else { return None };
        let is_symmetric = found.zero_points.iter().all(|&zero| zero == 0);
        let fits = found.scales.len() == 1 || (found.scales.len() == outputs && found.axis == axis);
        (is_symmetric && fits).then(|| Weights { values: values.clone(), scales: found.scales })
    }

    /// The bias in units of the sums, whose scales are `units`.
    fn integer_bias(&self, node: &Node, units: &[f32]) -> Option<Vec<i32>> {
        let Some(&value) = node.inputs.get(2) else { return Some(vec![0; units.len()]) };
        let rounded = |bias: f32, unit: f32| {
            let rounded = (f64::from(bias) / f64::from(unit)).round_ties_even();
            (rounded.abs() < f64::from(1 << 30)).then_some(rounded as i32)
        };
        if let Some((constant, found)) = self.constant_integers(value) {
            let Values::I32(values) = &constant.values else { return None };
            // One bias for all is left to the floats.
            if values.len() != units.len() || found.zero_points.iter().any(|&zero| zero != 0) {
                return None;
            }
            let scale = |i: usize| found.scales[if found.scales.len() == 1 { 0 } else { i }];
            let integer = |(i, &value): (usize, &i32)| match scale(i) == units[i] {
                true => Some(value),
                false => rounded(value as f32 * scale(i), units[i]),
            };
            return values.iter().enumerate().map(integer).collect();
        }
        let floats = self.graph.constants.get(&value)?.floats()?;
        if floats.len() != units.len() {
            return None;
        }
        floats.iter().zip(units).map(|(&bias, &unit)| rounded(bias, unit)).collect()
    }

    /// An integer layer: convolution or fully connected, with what can be taken in behind it.
    fn quantised_layer(
        &mut self,
        index: usize,
        input: &Dequantised,
        x: Source,
        weights: &Weights,
        [channels, cout, groups]: [usize; 3],
        geometry: Geometry,
    ) -> Result<Option<(Option<Ending>, Stored)>, ModelError> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        let factor = |i: usize| weights.scales[if weights.scales.len() == 1 { 0 } else { i }];
        let units: Vec<f32> = (0..cout).map(|i| input.parameters.scale * factor(i)).collect();
        let Some(bias) = self.integer_bias(node, &units) else { return Ok(None) };
        // All sums stay within 31 bits, whatever the bytes are.
        let per_output = weights.values.len() / cout;
        let most = (per_output as u64).saturating_mul(127 * 255 * 2);
        if most > 1 << 30 || bias.iter().any(|bias| bias.unsigned_abs() > 1 << 30) {
            return Ok(None);
        }
        let is_depthwise = groups == channels && cout == channels && groups > 1;
        let (packed, kernel) = (|kernel| int8::Conv::packed_bytes(cout, channels, kernel), geometry.kernel);
        let bytes =
            if is_depthwise { int8::Depthwise::packed_bytes(channels, kernel) } else { packed(kernel) };
        self.charge(0, bytes / 4)?;
        let elements: usize = self.shape(node.output).iter().product();
        let work = (elements as u64).saturating_mul(per_output as u64);

        let ending = self.ending(node.output);
        let residual = ending.as_ref().and_then(|ending| self.residual(ending));
        if ending.is_none() && is_depthwise {
            return Ok(None);
        }
        let requantise = |parameters: Parameters| Requantise {
            multipliers: units.iter().map(|unit| unit / parameters.scale).collect(),
            parameters,
        };
        let mut inputs = vec![x];
        let (finish, last) = match (ending, residual) {
            (Some(first), Some((add, other, second))) => {
                inputs.push(other);
                let finish = Finish::Added(requantise(first.parameters), add);
                for index in first.limits.iter().copied().chain([first.quantize]) {
                    self.fused[index] = true;
                }
                (finish, Some(second))
            }
            (Some(ending), None) => (Finish::Bytes(requantise(ending.parameters)), Some(ending)),
            (None, _) => (Finish::Floats(units.clone()), None),
        };
        let layer = Layer { weight: &weights.values, bias: &bias, channels, geometry, x: input.parameters };
        let level = self.level;
        let kernel = match is_depthwise {
            true => Kernel::DepthwiseInt8(int8::Depthwise::new(&layer, finish, level)),
            false => Kernel::ConvInt8(int8::Conv::new(&layer, finish, level)),
        };
        let kind = if last.is_some() { Kind::U8 } else { Kind::F32 };
        let name = last.as_ref().map_or(&node.name, |ending| &graph.nodes[ending.quantize].name);
        let source = self.push(name, kernel, inputs, (elements, kind), work)?;
        let layout =
            if geometry_is_rows(self.shape(node.output)) { Layout::RowMajor } else { Layout::ChannelsLast };
        Ok(Some((last, Stored { source, layout })))
    }

    /// The addition of another map behind the result of a layer, with what it makes of both.
    fn residual(&mut self, ending: &Ending) -> Option<(int8::Add, Source, Ending)> {
        let graph = self.graph;
        let bytes = graph.nodes[ending.quantize].output;
        let dequantize = self.only_reader[bytes]?;
        let (_, parameters) = {
            // Not computed yet, so that the parameters are read off the node alone.
            let node = &graph.nodes[dequantize];
            let Op::Dequantize(axis) = node.op else { return None };
            let (scale, zero_point) = quantisation(graph, node, axis, self.shape(bytes)).ok()?.of_all()?;
            (scale, Parameters { scale, zero_point: zero_point + self.shift(bytes), low: 0, high: 255 })
        };
        let value = graph.nodes[dequantize].output;
        let add = self.only_reader[value]?;
        let node = &graph.nodes[add];
        if node.op != Op::Binary(Binary::Add) {
            return None;
        }
        let other = *node.inputs.iter().find(|&&input| input != value)?;
        let added = self.dequantised(other)?;
        if self.shape(other) != self.shape(value) || !added.stored.is_channels_last_of(self.shape(other)) {
            return None;
        }
        let second = self.ending(node.output)?;
        self.fused[add] = true;
        let sum = int8::Add::new([parameters, added.parameters], second.parameters);
        Some((sum, added.stored.source, second))
    }

    fn quantised_conv(
        &mut self,
        index: usize,
        conv: &ConvAttributes,
    ) -> Result<Option<(Option<Ending>, Stored)>, ModelError> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        let geometry = self.geometry(node, conv)?;
        let (channels, cout) = (self.shape(node.inputs[0])[1], self.shape(node.output)[1]);
        let is_depthwise = conv.group == channels && cout == channels;
        let (Some(x), Some(weights)) =
            (self.dequantised(node.inputs[0]), self.weights(node.inputs[1], cout, 0))
        else {
            return Ok(None);
        };
        // The integer kernels read windows whose columns lie side by side.
        if conv.dilations != [1, 1] || (conv.group != 1 && !is_depthwise) {
            return Ok(None);
        }
        let source = self.arranged(node, &x.stored, x.value, Layout::ChannelsLast)?;
        self.quantised_layer(index, &x, source, &weights, [channels, cout, conv.group], geometry)
    }

    fn quantised_gemm(
        &mut self,
        index: usize,
        transpose: bool,
    ) -> Result<Option<(Option<Ending>, Stored)>, ModelError> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        let (&[rows, k], m) = (self.shape(node.inputs[0]), self.shape(node.output)[1]) else {
            return Ok(None);
        };
        // The same bytes are rows and a map of one pixel.
        let mut value = node.inputs[0];
        while let Some(Op::Reshape(_)) = self.maker[value].map(|maker| &graph.nodes[maker].op) {
            value = self.maker[value].map_or(value, |maker| graph.nodes[maker].inputs[0]);
        }
        let found = self.weights(node.inputs[1], m, usize::from(!transpose));
        let (Some(x), Some(mut weights)) = (self.dequantised(value), found) else { return Ok(None) };
        if !transpose {
            let turned = |i: usize| weights.values[i % k * m + i / k];
            weights.values = (0..k * m).map(turned).collect();
        }
        let source = self.arranged(node, &x.stored, x.value, Layout::RowMajor)?;
        let size = [1, rows];
        let geometry = Geometry::pointwise(size);
        self.quantised_layer(index, &x, source, &weights, [k, m, 1], geometry)
    }

    fn quantised_add(&mut self, index: usize) -> Result<Option<(Option<Ending>, Stored)>, ModelError> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        let [a, b] = [node.inputs[0], node.inputs[1]];
        let (Some(left), Some(right), Some(ending)) =
            (self.dequantised(a), self.dequantised(b), self.ending(node.output))
        else {
            return Ok(None);
        };
        if self.shape(a) != self.shape(b) {
            return Ok(None);
        }
        let layout = left.stored.layout;
        let other = self.arranged(node, &right.stored, right.value, layout)?;
        let add = int8::Add::new([left.parameters, right.parameters], ending.parameters);
        let elements = self.shape(node.output).iter().product();
        let name = &graph.nodes[ending.quantize].name;
        let inputs = vec![left.stored.source, other];
        let source = self.push(name, Kernel::AddInt8(add), inputs, (elements, Kind::U8), 0)?;
        Ok(Some((Some(ending), Stored { source, layout })))
    }

    fn quantised_average(&mut self, index: usize) -> Result<Option<(Option<Ending>, Stored)>, ModelError> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        let (Some(x), Some(ending)) = (self.dequantised(node.inputs[0]), self.ending(node.output)) else {
            return Ok(None);
        };
        let &[images, channels, h, w] = self.shape(node.inputs[0]) else { return Ok(None) };
        if h * w > 1 << 20 {
            return Ok(None);
        }
        let source = self.arranged(node, &x.stored, x.value, Layout::ChannelsLast)?;
        let pool = int8::GlobalAverage::new(h * w, channels, x.parameters, ending.parameters);
        let name = &graph.nodes[ending.quantize].name;
        let size = (images * channels, Kind::U8);
        let source = self.push(name, Kernel::GlobalAveragePoolInt8(pool), vec![source], size, 0)?;
        Ok(Some((Some(ending), Stored { source, layout: Layout::ChannelsLast })))
    }

    /// A function of one quantised value is a table.
    fn quantised_function(
        &mut self,
        index: usize,
        function: Unary,
    ) -> Result<Option<(Option<Ending>, Stored)>, ModelError> {
        let node = &self.graph.nodes[index];
        let (Some(x), Some(ending)) = (self.dequantised(node.inputs[0]), self.ending(node.output)) else {
            return Ok(None);
        };
        let byte = |q: usize| ending.parameters.quantised(function.apply(x.parameters.dequantised(q as u8)));
        let table = Box::new(std::array::from_fn(byte));
        let name = &self.graph.nodes[ending.quantize].name;
        let elements = self.shape(node.output).iter().product();
        let source =
            self.push(name, Kernel::Lookup(table), vec![x.stored.source], (elements, Kind::U8), 0)?;
        Ok(Some((Some(ending), Stored { source, layout: x.stored.layout })))
    }

    /// Bytes that are only moved or compared: between one scale and zero point and the same.
    fn quantised_move(&mut self, index: usize) -> Result<Option<(Option<Ending>, Stored)>, ModelError> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        let inputs: Option<Vec<Dequantised>> =
            node.inputs.iter().map(|&value| self.dequantised(value)).collect();
        let (Some(inputs), Some(ending)) = (inputs, self.ending(node.output)) else { return Ok(None) };
        let result = ending.parameters;
        // Limits that cut nothing off are none.
        let is_same = |x: &Dequantised| {
            (x.parameters.scale, x.parameters.zero_point) == (result.scale, result.zero_point)
                && (result.low..=result.high).contains(&x.parameters.low)
                && (result.low..=result.high).contains(&x.parameters.high)
        };
        if !inputs.iter().all(is_same) {
            return Ok(None);
        }
        let first = &inputs[0];
        let elements = self.shape(node.output).iter().product();
        let stored = match &node.op {
            Op::Pool(_) | Op::Resize(_) => {
                let source = self.arranged(node, &first.stored, first.value, Layout::ChannelsLast)?;
                let kernel = self.map_kernel(node)?;
                let source = self.push(&node.name, kernel, vec![source], (elements, Kind::U8), 0)?;
                Stored { source, layout: Layout::ChannelsLast }
            }
            Op::Reshape(_) => {
                let source = self.arranged(node, &first.stored, first.value, Layout::RowMajor)?;
                Stored { source, layout: Layout::RowMajor }
            }
            Op::Unary(Unary::Identity) => first.stored.clone(),
            Op::Transpose(_) | Op::Slice(_) | Op::Split { .. } => self.moved(node, &first.stored)?,
            Op::Concat(_) => {
                let all: Vec<Stored> = inputs.iter().map(|input| input.stored.clone()).collect();
                self.concat(node, &all)?
            }
            _ => return Ok(None),
        };
        Ok(Some((Some(ending), stored)))
    }
}

/// The result of a fully connected layer is no map.
fn geometry_is_rows(shape: &[usize]) -> bool {
    shape.len() == 2
}
