//! Everything a step can run.

use super::Scratch;
use crate::runtime::cpu::binary::Broadcast;
use crate::runtime::cpu::clamp::{self, Clamp};
use crate::runtime::cpu::conv::Conv;
use crate::runtime::cpu::conv_transpose::ConvTranspose;
use crate::runtime::cpu::copy::Strided;
use crate::runtime::cpu::depthwise::Depthwise;
use crate::runtime::cpu::functions::unary;
use crate::runtime::cpu::grouped_conv::GroupedConv;
use crate::runtime::cpu::int8;
use crate::runtime::cpu::matmul::MatMul;
use crate::runtime::cpu::matrix::Linear;
use crate::runtime::cpu::normalise::Stretch;
use crate::runtime::cpu::pool::{self, Pool};
use crate::runtime::cpu::resize::Resampling;
use crate::runtime::graph::Unary;
use crate::runtime::trees::TreeEnsemble;

/// An operand of a kernel.
#[derive(Clone, Copy)]
pub enum Operand<'a> {
    /// Floats.
    F32(&'a [f32]),
    /// Quantised values, [`super::SLACK`] readable bytes behind them.
    U8(&'a [u8]),
}

/// What a kernel writes.
pub enum Written<'a> {
    /// Floats.
    F32(&'a mut [f32]),
    /// Quantised values.
    U8(&'a mut [u8]),
}

impl<'a> Operand<'a> {
    fn floats(self) -> &'a [f32] {
        match self {
            Operand::F32(values) => values,
            Operand::U8(_) => unreachable!("the plan gives float kernels floats"),
        }
    }

    fn bytes(self) -> &'a [u8] {
        match self {
            Operand::U8(values) => values,
            Operand::F32(_) => unreachable!("the plan gives integer kernels bytes"),
        }
    }
}

impl Written<'_> {
    fn floats(&mut self) -> &mut [f32] {
        match self {
            Written::F32(values) => values,
            Written::U8(_) => unreachable!("the plan gives float kernels floats"),
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        match self {
            Written::U8(values) => values,
            Written::F32(_) => unreachable!("the plan gives integer kernels bytes"),
        }
    }
}

/// A kernel with its packed constants. Maps are `[H, W, C]`, image by image.
pub enum Kernel {
    /// Dense convolution; a second input is added before the clamp.
    Conv(Conv),
    /// Convolutions of equal parts of the channels.
    GroupedConv(GroupedConv),
    /// Depthwise convolution; a second input is added before the clamp.
    Depthwise(Depthwise),
    /// Transposed convolution.
    ConvTranspose(ConvTranspose),
    /// Fully connected layer.
    Linear(Linear),
    /// Products of variable matrices.
    MatMul(MatMul),
    /// Sum of two inputs, clamped.
    Add(Clamp),
    /// A function of each element.
    Unary(Unary),
    /// A function of two elements, shapes broadcast.
    Binary(Broadcast),
    /// Pooling.
    Pool(Pool),
    /// Mean of each of so many channels.
    GlobalAveragePool(usize),
    /// A map of another size.
    Resize(Resampling),
    /// Elements of the input on a walk.
    Gather(Strided),
    /// Inputs put onto one walk each; between them they meet every element once.
    Concat(Vec<Strided>),
    /// A constant everywhere but on the walk.
    Pad(Strided, f32),
    /// Means.
    Mean(Stretch),
    /// Softmax.
    Softmax(Stretch),
    /// Layer norm with this epsilon; scale and perhaps bias are the further inputs.
    LayerNorm(Stretch, f32),
    /// Scores of rows of so many features.
    Trees(Box<TreeEnsemble>, usize),
    /// Floats to quantised values.
    Quantise(int8::Quantise),
    /// Quantised values to floats.
    Dequantise(int8::Dequantise),
    /// Quantised dense convolution; a second input is added behind it.
    ConvInt8(int8::Conv),
    /// Quantised depthwise convolution; a second input is added behind it.
    DepthwiseInt8(int8::Depthwise),
    /// Sum of two quantised values.
    AddInt8(int8::Add),
    /// Mean of each channel of quantised maps.
    GlobalAveragePoolInt8(int8::GlobalAverage),
    /// Any function of one quantised value.
    Lookup(Box<[u8; 256]>),
}

impl Kernel {
    /// What it is called in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Kernel::Conv(_) => "conv",
            Kernel::GroupedConv(_) => "grouped conv",
            Kernel::Depthwise(_) => "depthwise",
            Kernel::ConvTranspose(_) => "conv transpose",
            Kernel::Linear(_) => "linear",
            Kernel::MatMul(_) => "matmul",
            Kernel::Add(_) => "add",
            Kernel::Unary(_) => "unary",
            Kernel::Binary(_) => "binary",
            Kernel::Pool(_) => "pool",
            Kernel::GlobalAveragePool(_) => "global average pool",
            Kernel::Resize(_) => "resize",
            Kernel::Gather(_) => "gather",
            Kernel::Concat(_) => "concat",
            Kernel::Pad(..) => "pad",
            Kernel::Mean(_) => "mean",
            Kernel::Softmax(_) => "softmax",
            Kernel::LayerNorm(..) => "layer norm",
            Kernel::Trees(..) => "trees",
            Kernel::Quantise(_) => "quantise",
            Kernel::Dequantise(_) => "dequantise",
            Kernel::ConvInt8(_) => "conv int8",
            Kernel::DepthwiseInt8(_) => "depthwise int8",
            Kernel::AddInt8(_) => "add int8",
            Kernel::GlobalAveragePoolInt8(_) => "global average pool int8",
            Kernel::Lookup(_) => "lookup int8",
        }
    }

    /// Computes `output` from `inputs`; `scratch` holds [`Kernel::scratch_size`].
    pub fn run(&self, inputs: &[Operand], output: &mut Written, scratch: &mut Scratch) {
        let x = inputs[0];
        match self {
            Kernel::Conv(conv) => {
                let images = x.floats().len() / conv.input_elements();
                for_each_image(images, inputs, output.floats(), |x, added, out| {
                    conv.run(x, added, out, &mut scratch.floats);
                });
            }
            Kernel::Depthwise(conv) => {
                let images = x.floats().len() / conv.input_elements();
                for_each_image(images, inputs, output.floats(), |x, added, out| {
                    conv.run(x, added, out, &mut scratch.taps);
                });
            }
            Kernel::GroupedConv(conv) => conv.run(x.floats(), output.floats(), &mut scratch.floats),
            Kernel::ConvTranspose(conv) => {
                let images = x.floats().len() / conv.input_elements();
                for_each_image(images, inputs, output.floats(), |x, _, out| {
                    conv.run(x, out, &mut scratch.floats);
                });
            }
            Kernel::Linear(linear) => linear.run(x.floats(), output.floats(), &mut scratch.floats),
            Kernel::MatMul(product) => {
                product.run(x.floats(), inputs[1].floats(), output.floats(), &mut scratch.floats);
            }
            Kernel::Add(limits) => clamp::add(x.floats(), inputs[1].floats(), *limits, output.floats()),
            Kernel::Unary(function) => unary(*function, x.floats(), output.floats()),
            Kernel::Binary(broadcast) => broadcast.run(x.floats(), inputs[1].floats(), output.floats()),
            Kernel::Pool(pool) => {
                let map = pool.geometry.input[0] * pool.geometry.input[1] * pool.channels;
                let result = pool.geometry.output[0] * pool.geometry.output[1] * pool.channels;
                match output {
                    Written::F32(out) => {
                        let maps = x.floats().chunks_exact(map);
                        maps.zip(out.chunks_exact_mut(result)).for_each(|(x, out)| pool.run(x, out));
                    }
                    Written::U8(out) => {
                        let maps = x.bytes().chunks_exact(map);
                        maps.zip(out.chunks_exact_mut(result))
                            .for_each(|(x, out)| pool.run_quantised(x, out));
                    }
                }
            }
            Kernel::GlobalAveragePool(channels) => {
                let out = output.floats();
                let map = x.floats().len() / (out.len() / channels);
                for (x, out) in x.floats().chunks_exact(map).zip(out.chunks_exact_mut(*channels)) {
                    pool::global_average(x, *channels, out);
                }
            }
            Kernel::Resize(resampling) => match output {
                Written::F32(out) => {
                    let images = out.len() / resampling.output_elements();
                    let maps = x.floats().chunks_exact(x.floats().len() / images);
                    let outs = out.chunks_exact_mut(resampling.output_elements());
                    maps.zip(outs).for_each(|(x, out)| resampling.run(x, out));
                }
                Written::U8(out) => resampling.copy(x.bytes(), out),
            },
            Kernel::Gather(walk) => match output {
                Written::F32(out) => walk.gather(x.floats(), out),
                Written::U8(out) => walk.gather(x.bytes(), out),
            },
            Kernel::Concat(walks) => {
                for (walk, input) in walks.iter().zip(inputs) {
                    match output {
                        Written::F32(out) => walk.scatter(input.floats(), out),
                        Written::U8(out) => walk.scatter(input.bytes(), out),
                    }
                }
            }
            Kernel::Pad(walk, value) => {
                output.floats().fill(*value);
                walk.scatter(x.floats(), output.floats());
            }
            Kernel::Mean(stretch) => stretch.mean(x.floats(), output.floats()),
            Kernel::Softmax(stretch) => stretch.softmax(x.floats(), output.floats()),
            Kernel::LayerNorm(stretch, epsilon) => {
                let bias = inputs.get(2).map(|bias| bias.floats());
                stretch.layer_norm(x.floats(), inputs[1].floats(), bias, *epsilon, output.floats());
            }
            Kernel::Trees(trees, columns) => trees.run(x.floats(), *columns, output.floats()),
            Kernel::Quantise(quantise) => quantise.run(x.floats(), output.bytes()),
            Kernel::Dequantise(dequantise) => dequantise.run(x.bytes(), output.floats()),
            Kernel::ConvInt8(conv) => {
                let added = inputs.get(1).map(|added| added.bytes());
                match output {
                    Written::F32(out) => conv.run_to_floats(x.bytes(), out, &mut scratch.bytes),
                    Written::U8(out) => conv.run(x.bytes(), added, out, &mut scratch.bytes),
                }
            }
            Kernel::DepthwiseInt8(conv) => {
                let added = inputs.get(1).map(|added| added.bytes());
                conv.run(x.bytes(), added, output.bytes(), &mut scratch.bytes);
            }
            Kernel::AddInt8(add) => add.run(x.bytes(), inputs[1].bytes(), output.bytes()),
            Kernel::GlobalAveragePoolInt8(pool) => pool.run(x.bytes(), output.bytes()),
            Kernel::Lookup(table) => int8::look_up(table, x.bytes(), output.bytes()),
        }
    }
}

/// Calls `run` with the part of each image: of the first input, of the second one, if there is one, and of the result.
fn for_each_image(
    images: usize,
    inputs: &[Operand],
    out: &mut [f32],
    mut run: impl FnMut(&[f32], Option<&[f32]>, &mut [f32]),
) {
    let length = out.len() / images;
    for (image, out) in out.chunks_exact_mut(length).enumerate() {
        let part = |values: &[f32]| values.len() / images * image..values.len() / images * (image + 1);
        let (x, added) = (inputs[0].floats(), inputs.get(1).map(|added| added.floats()));
        run(&x[part(x)], added.map(|added| &added[part(added)]), out);
    }
}
