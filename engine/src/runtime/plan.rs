//! Checked graph -> fused steps over reused buffers.
//!
//! Maps are kept as `[H, W, C]`, so that a pointwise convolution is a matrix product without copies.
//! A convolution takes the addition and the activation behind it into its own last loop.

use super::cpu::clamp::{self, Clamp};
use super::cpu::conv::Conv;
use super::cpu::depthwise::Depthwise;
use super::cpu::layout::{to_channels_first, to_channels_last};
use super::cpu::matrix::{Linear, PackedMatrix};
use super::cpu::pool;
use super::error::ModelError;
use super::graph::{ConvAttributes, Graph, Node, Op};
use super::shape::{MAX_ELEMENTS, infer};
use crate::tensor::Tensor;

/// Most multiply-adds and written elements of a run: half a minute on a phone.
const MAX_WORK: u64 = 1 << 37;

/// Number of a buffer.
pub type BufferId = usize;

/// One kernel call.
pub struct Step {
    /// Name of the node whose result this makes.
    pub name: String,
    /// What runs.
    pub kernel: Kernel,
    /// What it reads.
    pub inputs: Vec<Place>,
    /// What it writes; never a buffer of `inputs`.
    pub output: Place,
}

/// The first elements of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the buffer.
    pub buffer: BufferId,
    /// How many elements.
    pub elements: usize,
}

/// A kernel with its packed constants. Maps are `[H, W, C]`.
pub enum Kernel {
    /// Dense convolution; a second input is added before the clamp.
    Conv(Conv),
    /// Depthwise convolution; a second input is added before the clamp.
    Depthwise(Depthwise),
    /// Fully connected layer.
    Linear(Linear),
    /// Sum of two inputs, clamped.
    Add(Clamp),
    /// The input, clamped.
    Clamp(Clamp),
    /// Mean of each of so many channels.
    GlobalAveragePool(usize),
    /// `[C, H, W]` of so many channels to `[H, W, C]`.
    ToChannelsLast(usize),
    /// `[H, W, C]` of so many channels to `[C, H, W]`.
    ToChannelsFirst(usize),
}

impl Kernel {
    /// Computes `output` from `inputs`; `scratch` is the kernel's to grow and use.
    pub fn run(&self, inputs: &[&[f32]], output: &mut [f32], scratch: &mut Vec<f32>) {
        let added = inputs.get(1).copied();
        match self {
            Kernel::Conv(conv) => conv.run(inputs[0], added, output, scratch),
            Kernel::Depthwise(conv) => conv.run(inputs[0], added, output),
            Kernel::Linear(linear) => linear.run(inputs[0], output, scratch),
            Kernel::Add(limits) => clamp::add(inputs[0], inputs[1], *limits, output),
            Kernel::Clamp(limits) => clamp::clamp(inputs[0], *limits, output),
            Kernel::GlobalAveragePool(channels) => pool::global_average(inputs[0], *channels, output),
            Kernel::ToChannelsLast(channels) => to_channels_last(inputs[0], *channels, output),
            Kernel::ToChannelsFirst(channels) => to_channels_first(inputs[0], *channels, output),
        }
    }
}

/// Everything a run needs but the buffers themselves.
pub struct Plan {
    /// Kernel calls in order.
    pub steps: Vec<Step>,
    /// Elements of each buffer.
    pub buffers: Vec<usize>,
    /// Where the input goes, `[1, C, H, W]`.
    pub input: Place,
    /// Shape of the input.
    pub input_shape: Vec<usize>,
    /// Where the output lies.
    pub output: Place,
    /// Shape of the output.
    pub output_shape: Vec<usize>,
}

impl Plan {
    /// The plan of `graph`.
    ///
    /// # Errors
    /// [`ModelError::Node`] where the kernels lack a case, [`ModelError::TooLarge`].
    pub fn new(graph: &Graph) -> Result<Self, ModelError> {
        let shapes: Vec<Vec<usize>> = infer(graph)?.into_iter().map(Option::unwrap_or_default).collect();
        let [1, channels, _, _] = graph.input_shape[..] else {
            let detail = format!("its input is {:?}, expected [1, C, H, W]", graph.input_shape);
            return Err(ModelError::Graph { detail });
        };
        let mut lowering = Lowering::new(graph, shapes);
        let picture = Place { buffer: 0, elements: graph.input_shape.iter().product() };
        let input = lowering.push("input", Kernel::ToChannelsLast(channels), vec![picture], graph.input);
        lowering.place_of[graph.input] = Some(input);
        for index in 0..graph.nodes.len() {
            lowering.lower(index)?;
        }
        let output = lowering.place_of[graph.output]
            .ok_or_else(|| ModelError::Graph { detail: "its output does not depend on its input".into() })?;
        let output = lowering.channels_first("output", output, graph.output);
        let output_shape = lowering.shapes[graph.output].clone();
        let (steps, buffers, output) = share_buffers(lowering.steps, picture, output)?;
        Ok(Plan {
            steps,
            buffers,
            input: picture,
            input_shape: graph.input_shape.clone(),
            output,
            output_shape,
        })
    }
}

/// Nodes on their way to steps; here every step still has a buffer of its own.
struct Lowering<'a> {
    graph: &'a Graph,
    shapes: Vec<Vec<usize>>,
    /// For each value the one node that reads it, if it is read once and is not the output.
    only_reader: Vec<Option<usize>>,
    /// Where each value lies, once it is computed.
    place_of: Vec<Option<Place>>,
    /// Nodes that an earlier step took in.
    fused: Vec<bool>,
    steps: Vec<Step>,
    /// Multiply-adds and written elements of a run.
    work: u64,
    /// Elements of the weights that the kernels keep; one constant may be kept by many.
    weights: usize,
}

/// What a step can take in behind its node.
struct Tail {
    /// What is added.
    added: Option<Place>,
    /// Limits of the result.
    clamp: Clamp,
    /// Index of the last node that was taken in, or of the node itself.
    last: usize,
}

impl<'a> Lowering<'a> {
    fn new(graph: &'a Graph, shapes: Vec<Vec<usize>>) -> Self {
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.value_count];
        for (index, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&value| readers[value].push(index));
        }
        readers[graph.output].clear();
        let only = |readers: Vec<usize>| if let [reader] = readers[..] { Some(reader) } else { None };
        Lowering {
            graph,
            shapes,
            only_reader: readers.into_iter().map(only).collect(),
            place_of: vec![None; graph.value_count],
            fused: vec![false; graph.nodes.len()],
            steps: Vec::new(),
            work: 0,
            weights: 0,
        }
    }

    /// Appends a step that makes `value`, in a new buffer.
    fn push(&mut self, name: &str, kernel: Kernel, inputs: Vec<Place>, value: usize) -> Place {
        let output = Place { buffer: self.steps.len() + 1, elements: self.shapes[value].iter().product() };
        self.steps.push(Step { name: name.into(), kernel, inputs, output });
        output
    }

    /// Where `value`, which lies in `place` as `[H, W, C]`, lies in ONNX's order.
    fn channels_first(&mut self, name: &str, place: Place, value: usize) -> Place {
        match self.shapes[value][..] {
            [_, channels, h, w] if h * w > 1 => {
                self.push(name, Kernel::ToChannelsFirst(channels), vec![place], value)
            }
            _ => place,
        }
    }

    fn lower(&mut self, index: usize) -> Result<(), ModelError> {
        if self.fused[index] {
            return Ok(());
        }
        let graph = self.graph;
        let node = &graph.nodes[index];
        let input = |lowering: &Self, i: usize| {
            lowering.place_of[node.inputs[i]]
                .ok_or_else(|| node.error("an input that is a constant is not supported here"))
        };
        let data = input(self, 0)?;
        let (kernel, inputs, last) = match &node.op {
            Op::Conv(conv) => {
                let tail = self.tail(index, true);
                let inputs = [Some(data), tail.added].into_iter().flatten().collect();
                (self.convolution(node, conv, tail.clamp)?, inputs, tail.last)
            }
            Op::Gemm { transpose } => (self.linear(node, *transpose)?, vec![data], index),
            Op::Add => {
                let tail = self.tail(index, false);
                (Kernel::Add(tail.clamp), vec![data, input(self, 1)?], tail.last)
            }
            Op::Relu | Op::Clip { .. } => {
                let limits = clamp_of(&node.op).unwrap_or_default();
                (Kernel::Clamp(limits), vec![data], index)
            }
            Op::GlobalAveragePool => {
                (Kernel::GlobalAveragePool(self.shapes[node.inputs[0]][1]), vec![data], index)
            }
            Op::Flatten => {
                let place = self.channels_first(&node.name, data, node.inputs[0]);
                self.place_of[node.output] = Some(place);
                return Ok(());
            }
        };
        let value = graph.nodes[last].output;
        let place = self.push(&graph.nodes[last].name, kernel, inputs, value);
        self.place_of[value] = Some(place);
        self.charge(place.elements as u64, 0)
    }

    /// Adds to the bill of a run, before anything is allocated for it.
    fn charge(&mut self, work: u64, weights: usize) -> Result<(), ModelError> {
        self.work = self.work.saturating_add(work);
        if self.work > MAX_WORK {
            return Err(ModelError::TooLarge {
                what: format!("a run of {} multiply-adds and elements", self.work),
                limit: MAX_WORK,
            });
        }
        self.weights = self.weights.saturating_add(weights);
        if self.weights > MAX_ELEMENTS {
            let what = format!("{} weights", self.weights);
            return Err(ModelError::TooLarge { what, limit: MAX_ELEMENTS as u64 });
        }
        Ok(())
    }

    /// Takes in an addition of something that is already computed (if `with_add`), then a clamp.
    fn tail(&mut self, index: usize, with_add: bool) -> Tail {
        let graph = self.graph;
        let mut tail = Tail { added: None, clamp: Clamp::default(), last: index };
        let mut reader = self.only_reader[graph.nodes[index].output];
        if let Some(next) = reader.filter(|&next| with_add && graph.nodes[next].op == Op::Add) {
            let value = graph.nodes[index].output;
            let other = graph.nodes[next].inputs.iter().find(|&&input| input != value);
            if let Some(added) = other.and_then(|&other| self.place_of[other]) {
                tail.added = Some(added);
                tail.last = next;
                self.fused[next] = true;
                reader = self.only_reader[graph.nodes[next].output];
            }
        }
        if let Some((next, clamp)) = reader.and_then(|next| Some((next, clamp_of(&graph.nodes[next].op)?))) {
            tail.clamp = clamp;
            tail.last = next;
            self.fused[next] = true;
        }
        tail
    }

    fn constant(&self, node: &Node, input: usize) -> Result<&'a Tensor, ModelError> {
        let constant = node.inputs.get(input).and_then(|value| self.graph.constants.get(value));
        constant.ok_or_else(|| node.error("weights and biases must be constants"))
    }

    fn convolution(
        &mut self,
        node: &Node,
        conv: &ConvAttributes,
        clamp: Clamp,
    ) -> Result<Kernel, ModelError> {
        let weight = self.constant(node, 1)?;
        let (&[_, channels, h, w], &[_, cout, oh, ow]) =
            (&self.shapes[node.inputs[0]][..], &self.shapes[node.output][..])
        else {
            return Err(node.error("expected maps [N, C, H, W]"));
        };
        let bias = match node.inputs.len() {
            3 => self.constant(node, 2)?.values().to_vec(),
            _ => vec![0.0; cout],
        };
        let per_output = weight.values().len() / cout;
        self.charge(
            ((oh * ow * cout) as u64).saturating_mul(per_output as u64),
            PackedMatrix::packed_elements(per_output, cout),
        )?;
        let geometry = Geometry {
            input: [h, w],
            output: [oh, ow],
            kernel: [weight.shape()[2], weight.shape()[3]],
            strides: conv.strides,
            pads: [conv.pads[0], conv.pads[1]],
        };
        if conv.group == 1 {
            return Ok(Kernel::Conv(Conv::new(weight.values(), channels, bias, geometry, clamp)));
        }
        if conv.group == channels && cout == channels {
            return Ok(Kernel::Depthwise(Depthwise::new(weight.values(), bias, geometry, clamp)));
        }
        Err(node.error(format!(
            "{} groups of {channels} channels: only 1 and depthwise are supported",
            conv.group
        )))
    }

    fn linear(&mut self, node: &Node, transpose: bool) -> Result<Kernel, ModelError> {
        let (weight, bias) = (self.constant(node, 1)?, self.constant(node, 2)?);
        let (k, m) = (self.shapes[node.inputs[0]][1], self.shapes[node.output][1]);
        self.charge((k * m) as u64, PackedMatrix::packed_elements(k, m))?;
        let weight = |row: usize, column: usize| {
            weight.values()[if transpose { column * k + row } else { row * m + column }]
        };
        Ok(Kernel::Linear(Linear::new(PackedMatrix::new(k, m, weight), bias.values().to_vec())))
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
    /// Zeros above and left.
    pub pads: [usize; 2],
}

impl Geometry {
    /// The input index on `axis` that tap `tap` of output `output` reads, unless it is padding.
    pub fn source(&self, axis: usize, output: usize, tap: usize) -> Option<usize> {
        let padded = output * self.strides[axis] + tap;
        padded.checked_sub(self.pads[axis]).filter(|&index| index < self.input[axis])
    }
}

/// The limits of an operator that only limits.
fn clamp_of(op: &Op) -> Option<Clamp> {
    match *op {
        Op::Relu => Some(Clamp { low: 0.0, high: f32::INFINITY }),
        Op::Clip { low, high } => Some(Clamp { low, high }),
        _ => None,
    }
}

/// Gives buffers whose content is no longer read to later steps; returns the steps over shared
/// buffers, their sizes, and where `output` lies now.
fn share_buffers(
    mut steps: Vec<Step>,
    input: Place,
    output: Place,
) -> Result<(Vec<Step>, Vec<usize>, Place), ModelError> {
    let mut last_use = vec![0; steps.len() + 1];
    for (index, step) in steps.iter().enumerate() {
        step.inputs.iter().for_each(|input| last_use[input.buffer] = index);
    }
    last_use[output.buffer] = usize::MAX;
    let mut sizes = vec![input.elements];
    let mut free: Vec<BufferId> = Vec::new();
    let mut shared = vec![input.buffer; steps.len() + 1];
    for (index, step) in steps.iter_mut().enumerate() {
        let needed = step.output.elements;
        // The tightest free buffer that is large enough, else the largest one, grown.
        let fit = |buffer: &BufferId| match sizes[*buffer] {
            size if size >= needed => (0, size),
            size => (1, usize::MAX - size),
        };
        let tightest = (0..free.len()).min_by_key(|&position| fit(&free[position]));
        let buffer = tightest.map_or(sizes.len(), |position| free.swap_remove(position));
        sizes.resize(sizes.len().max(buffer + 1), 0);
        sizes[buffer] = sizes[buffer].max(needed);
        shared[step.output.buffer] = buffer;
        step.output.buffer = buffer;
        let mut spent: Vec<BufferId> = step.inputs.iter().map(|input| input.buffer).collect();
        spent.sort_unstable();
        spent.dedup();
        free.extend(spent.into_iter().filter(|&input| last_use[input] == index).map(|input| shared[input]));
        step.inputs.iter_mut().for_each(|input| input.buffer = shared[input.buffer]);
    }
    let elements = sizes.iter().sum::<usize>();
    if elements > MAX_ELEMENTS {
        return Err(ModelError::TooLarge {
            what: format!("{elements} elements of maps"),
            limit: MAX_ELEMENTS as u64,
        });
    }
    Ok((steps, sizes, Place { buffer: shared[output.buffer], ..output }))
}
