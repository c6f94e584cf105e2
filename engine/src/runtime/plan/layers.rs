//! Layers with constant weights, in floats.

use super::fusion::Tail;
use super::kernel::Kernel;
use super::lower::{Layout, Lowering, Stored};
use super::{Geometry, Source};
use crate::runtime::constant::{Constant, Kind};
use crate::runtime::cpu::clamp::Clamp;
use crate::runtime::cpu::conv::Conv;
use crate::runtime::cpu::conv_transpose::ConvTranspose;
use crate::runtime::cpu::depthwise::Depthwise;
use crate::runtime::cpu::grouped_conv::GroupedConv;
use crate::runtime::cpu::matrix::{Linear, PackedMatrix};
use crate::runtime::error::ModelError;
use crate::runtime::graph::{ConvAttributes, Node};
use crate::runtime::shape::MAX_ELEMENTS;

impl Lowering<'_> {
    /// Floats that are known now, row-major, of input `input`.
    pub(super) fn constant(&mut self, node: &Node, input: usize) -> Result<Constant, ModelError> {
        let value = *node.inputs.get(input).ok_or_else(|| node.error("an input is missing"))?;
        match self.operand(node, value, Layout::RowMajor)? {
            Source::Constant(index) => {
                Ok(Constant::of_floats(self.shape(value).to_vec(), self.constants[index].clone()))
            }
            Source::Buffer(_) => Err(node.error("weights and biases must be constants")),
        }
    }

    /// The constant bias of input 2, one for all repeated, zeros if there is none.
    fn bias(&mut self, node: &Node, channels: usize) -> Result<Vec<f32>, ModelError> {
        if node.inputs.len() < 3 {
            return Ok(vec![0.0; channels]);
        }
        match self.constant(node, 2)?.floats().unwrap_or_default() {
            &[bias] => Ok(vec![bias; channels]),
            biases => Ok(biases.to_vec()),
        }
    }

    /// Sizes of the convolution `node`.
    pub(super) fn geometry(&self, node: &Node, conv: &ConvAttributes) -> Result<Geometry, ModelError> {
        let sizes = [node.inputs[0], node.inputs[1], node.output].map(|value| self.shape(value));
        let [&[_, _, h, w], &[_, _, kh, kw], &[_, _, oh, ow]] = sizes else {
            return Err(node.error("expected maps [N, C, H, W]"));
        };
        let [top, left, ..] = conv.pads([h, w], [kh, kw]);
        let (strides, dilations) = (conv.strides, conv.dilations);
        let (input, output, kernel) = ([h, w], [oh, ow], [kh, kw]);
        Ok(Geometry { input, output, kernel, strides, dilations, pads: [top, left] })
    }

    pub(super) fn convolution(
        &mut self,
        index: usize,
        conv: &ConvAttributes,
    ) -> Result<(Stored, usize), ModelError> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        let geometry = self.geometry(node, conv)?;
        let (channels, cout) = (self.shape(node.inputs[0])[1], self.shape(node.output)[1]);
        let weight = self.constant(node, 1)?;
        let mut bias = self.bias(node, cout)?;
        let x = self.operand(node, node.inputs[0], Layout::ChannelsLast)?;
        let mut values = weight.floats().unwrap_or_default().to_vec();
        let (per_output, (elements, _)) = (values.len() / cout, self.size(node));
        let work = (elements as u64).saturating_mul(per_output as u64);
        let is_depthwise = conv.group == channels && cout == channels && conv.group > 1;
        let is_grouped = conv.group > 1 && !is_depthwise;
        // Before the weights are packed, since one constant may be packed again and again.
        let packed = PackedMatrix::packed_elements(per_output, cout / conv.group);
        self.charge(0, if is_depthwise { values.len() } else { packed.saturating_mul(conv.group) })?;
        let last = self.take_in_channels(index, &mut values, &mut bias)?;
        let values = &values[..];
        let tail = match is_grouped {
            true => Tail { added: None, clamp: Clamp::default(), last },
            false => self.tail(last, true),
        };
        let kernel = if is_depthwise {
            Kernel::Depthwise(Depthwise::new(values, bias, geometry, tail.clamp))
        } else if is_grouped {
            let (cin, width) = (channels / conv.group, cout / conv.group);
            let part = |group: usize| {
                let weights = &values[group * width * per_output..][..width * per_output];
                Conv::new(weights, cin, bias[group * width..][..width].to_vec(), geometry, tail.clamp)
            };
            let images = self.shape(node.output)[0];
            Kernel::GroupedConv(GroupedConv::new((0..conv.group).map(part).collect(), images))
        } else {
            Kernel::Conv(Conv::new(values, channels, bias, geometry, tail.clamp))
        };
        let inputs = [Some(x), tail.added].into_iter().flatten().collect();
        let name = &graph.nodes[tail.last].name;
        let source = self.push(name, kernel, inputs, (elements, Kind::F32), work)?;
        Ok((Stored { source, layout: Layout::ChannelsLast }, tail.last))
    }

    pub(super) fn conv_transpose(
        &mut self,
        index: usize,
        conv: &ConvAttributes,
    ) -> Result<(Stored, usize), ModelError> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        let forward = self.geometry(node, conv)?;
        let (channels, cout) = (self.shape(node.inputs[0])[1], self.shape(node.output)[1]);
        // Of the convolution that leads back.
        let geometry = Geometry { input: forward.output, output: forward.input, ..forward };
        let weight = self.constant(node, 1)?;
        let bias = self.bias(node, cout)?;
        let x = self.operand(node, node.inputs[0], Layout::ChannelsLast)?;
        let (elements, kind) = self.size(node);
        let windows = ConvTranspose::window_elements(&geometry, cout);
        if windows > MAX_ELEMENTS {
            let what = format!("{windows} elements of the windows of {:?}", node.name);
            return Err(ModelError::TooLarge { what, limit: MAX_ELEMENTS as u64 });
        }
        let work = (windows as u64)
            .saturating_mul(channels as u64)
            .saturating_mul(self.shape(node.output)[0] as u64);
        let columns = geometry.kernel[0] * geometry.kernel[1] * cout;
        self.charge(0, PackedMatrix::packed_elements(channels, columns))?;
        let tail = self.tail(index, false);
        let values = weight.floats().unwrap_or_default();
        let kernel = Kernel::ConvTranspose(ConvTranspose::new(values, channels, bias, geometry, tail.clamp));
        let source = self.push(&graph.nodes[tail.last].name, kernel, vec![x], (elements, kind), work)?;
        Ok((Stored { source, layout: Layout::ChannelsLast }, tail.last))
    }

    pub(super) fn linear(&mut self, node: &Node, transpose: bool) -> Result<(Kernel, u64), ModelError> {
        let (rows, k) = (self.shape(node.inputs[0])[0], self.shape(node.inputs[0])[1]);
        let m = self.shape(node.output)[1];
        let work = (k as u64 * m as u64).saturating_mul(rows as u64);
        self.charge(0, PackedMatrix::packed_elements(k, m))?;
        let (weight, bias) = (self.constant(node, 1)?, self.bias(node, m)?);
        let values = weight.floats().unwrap_or_default();
        let weight =
            |row: usize, column: usize| values[if transpose { column * k + row } else { row * m + column }];
        Ok((Kernel::Linear(Linear::new(PackedMatrix::new(k, m, weight), bias)), work))
    }
}
