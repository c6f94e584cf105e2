//! Steps on values in ONNX's order: products, means, normalisations.

use super::fusion::Channels;
use super::kernel::Kernel;
use super::lower::{Layout, Lowering, Stored, axes_in_memory, stretched};
use crate::runtime::cpu::binary::Broadcast;
use crate::runtime::cpu::copy::{Strided, dense_strides};
use crate::runtime::cpu::matmul::MatMul;
use crate::runtime::cpu::matrix::PackedMatrix;
use crate::runtime::cpu::normalise::Stretch;
use crate::runtime::error::ModelError;
use crate::runtime::graph::{Binary, Node, Op};
use crate::runtime::shape::{axis_of, reduced_axes};

impl Lowering<'_> {
    /// Steps on values in ONNX's order.
    pub(super) fn row_major(&mut self, node: &Node) -> Result<Stored, ModelError> {
        let layout = Layout::RowMajor;
        if let Op::Quantize(_) = node.op {
            return self.quantise(node);
        }
        let x = self.operand(node, node.inputs[0], layout)?;
        let shape = self.shape(node.inputs[0]).to_vec();
        let mut inputs = vec![x];
        let mut work = 0;
        let kernel = match &node.op {
            Op::Gemm { transpose } => {
                let (linear, multiplications) = self.linear(node, *transpose)?;
                work = multiplications;
                linear
            }
            Op::MatMul => {
                inputs.push(self.operand(node, node.inputs[1], layout)?);
                let (product, multiplications) = self.product(node)?;
                work = multiplications;
                product
            }
            Op::Pad { pads, value } => {
                let extents: Vec<usize> = self.shape(node.output).to_vec();
                let strides = dense_strides(&extents);
                let offset = strides.iter().zip(pads).map(|(stride, pad)| stride * pad).sum();
                Kernel::Pad(Strided { extents: shape, strides, offset }, *value)
            }
            Op::ReduceMean { axes, .. } => {
                let axes = reduced_axes(node, axes, shape.len())?;
                // The axes go last, so that they are one stretch.
                let kept = (0..shape.len()).filter(|axis| !axes.contains(axis));
                let order: Vec<usize> = kept.chain(axes.iter().copied()).collect();
                let stored = self.floats(node, node.inputs[0])?;
                let walk = self.walk(node.inputs[0], stored.layout).permuted(&order);
                inputs = vec![self.gathered(&node.name, walk, stored.source)?];
                Kernel::Mean(Stretch { extent: axes.iter().map(|&axis| shape[axis]).product(), inner: 1 })
            }
            Op::Softmax { axis, to_the_end } => {
                let axis = axis_of(node, *axis, shape.len())?;
                let last = if *to_the_end { shape.len() - 1 } else { axis };
                let [extent, inner] = [&shape[axis..=last], &shape[last + 1..]].map(|s| s.iter().product());
                Kernel::Softmax(Stretch { extent, inner })
            }
            Op::LayerNorm { axis, epsilon } => {
                let axis = axis_of(node, *axis, shape.len())?;
                for &value in &node.inputs[1..] {
                    inputs.push(self.operand(node, value, layout)?);
                }
                let extent = shape[axis..].iter().product();
                Kernel::LayerNorm(Stretch { extent, inner: 1 }, *epsilon)
            }
            Op::BatchNorm { epsilon } => return self.batch_norm(node, *epsilon),
            Op::Trees(trees) => {
                self.charge((shape[0] as u64).saturating_mul(trees.size() as u64), trees.size())?;
                Kernel::Trees(trees.clone(), shape[1])
            }
            _ => return Err(node.error("it is not supported with these inputs")),
        };
        let source = self.push(&node.name, kernel, inputs, self.size(node), work)?;
        Ok(Stored { source, layout })
    }

    /// A multiplication and an addition of constants of each channel.
    fn batch_norm(&mut self, node: &Node, epsilon: f32) -> Result<Stored, ModelError> {
        let Channels { factors, shifts } = self.normalisation(node, epsilon)?;
        let out = self.shape(node.output).to_vec();
        let mut stored = self.floats(node, node.inputs[0])?;
        let order = axes_in_memory(stored.layout, out.len());
        for (function, values) in [(Binary::Mul, factors), (Binary::Add, shifts)] {
            let mut constant = Strided::dense(&[1; 8][..out.len()]);
            (constant.extents[1], constant.strides[1]) = (out[1], 1);
            let walks = [self.walk(node.output, stored.layout), stretched(&constant, &out)];
            let kernel = Kernel::Binary(Broadcast::new(function, walks.map(|walk| walk.permuted(&order))));
            let inputs = vec![stored.source, self.keep(values)?];
            stored.source = self.push(&node.name, kernel, inputs, self.size(node), 0)?;
        }
        Ok(stored)
    }

    fn product(&mut self, node: &Node) -> Result<(Kernel, u64), ModelError> {
        let [a, b] = [node.inputs[0], node.inputs[1]].map(|value| self.shape(value).to_vec());
        let ([front_a @ .., m, k], [front_b @ .., _, n]) = (&a[..], &b[..]) else {
            return Err(node.error("expected matrices"));
        };
        let work = (self.size(node).0 as u64).saturating_mul(*k as u64);
        // The products are listed, four words each.
        let products = self.size(node).0 / (m * n);
        self.charge(0, PackedMatrix::packed_elements(*k, *n).saturating_add(4 * products))?;
        Ok((Kernel::MatMul(MatMul::new(front_a, front_b, [*m, *k, *n])), work))
    }
}
