//! Nodes -> steps; here every step still writes a buffer of its own.

use super::Scratch;
use super::fusion::only_readers;
use super::kernel::{Kernel, Operand, Written};
use super::{End, Geometry, MAX_INPUTS, MAX_WORK, Place, Source, Step};
use crate::runtime::constant::{Kind, dequantised};
use crate::runtime::cpu::binary::Broadcast;
use crate::runtime::cpu::copy::Strided;
use crate::runtime::cpu::int8::Level;
use crate::runtime::cpu::pool::Pool;
use crate::runtime::cpu::resize::Resampling;
use crate::runtime::error::ModelError;
use crate::runtime::graph::{Binary, Graph, Node, Op, Unary, ValueId};
use crate::runtime::shape::{Info, MAX_ELEMENTS, axis_of, quantisation, split_range, transposition};

/// Order of a value's elements in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As ONNX has it.
    RowMajor,
    /// `[N, C, H, W]` with the channels innermost.
    ChannelsLast,
}

/// Where a computed value lies, and how.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Where.
    pub source: Source,
    /// In which order.
    pub layout: Layout,
}

impl Stored {
    /// The value, of `shape`, lies as `[N, H, W, C]`.
    pub fn is_channels_last_of(&self, shape: &[usize]) -> bool {
        self.layout == Layout::ChannelsLast || is_one_order(shape)
    }
}

/// Both layouts are the same.
fn is_one_order(shape: &[usize]) -> bool {
    matches!(shape, [_, 1, _, _] | [_, _, 1, 1])
}

/// Nodes on their way to steps.
pub struct Lowering<'a> {
    pub(super) graph: &'a Graph,
    /// Instructions of the integer kernels.
    pub(super) level: Level,
    pub(super) infos: Vec<Option<Info>>,
    /// For each value the one node that reads it, if it is read once and is no output.
    pub(super) only_reader: Vec<Option<usize>>,
    /// The node that makes each value.
    pub(super) maker: Vec<Option<usize>>,
    /// Where each value lies, once it is computed.
    pub(super) stored: Vec<Option<Stored>>,
    /// Nodes that an earlier step took in.
    pub(super) fused: Vec<bool>,
    pub(super) steps: Vec<Step>,
    pub(super) constants: Vec<Vec<f32>>,
    pub(super) inputs: Vec<End>,
    /// Multiply-adds and written elements of a run.
    work: u64,
    /// Elements of the weights that the kernels keep; one constant may be kept by many.
    weights: usize,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(graph: &'a Graph, infos: Vec<Option<Info>>, level: Level) -> Self {
        let mut maker = vec![None; graph.value_count];
        graph.nodes.iter().enumerate().for_each(|(index, node)| maker[node.output] = Some(index));
        Lowering {
            graph,
            level,
            infos,
            only_reader: only_readers(graph),
            maker,
            stored: vec![None; graph.value_count],
            fused: vec![false; graph.nodes.len()],
            steps: Vec::new(),
            constants: Vec::new(),
            inputs: Vec::new(),
            work: 0,
            weights: 0,
        }
    }

    /// Gives each input of the graph a buffer.
    pub(super) fn take_inputs(&mut self) {
        for (buffer, input) in self.graph.inputs.iter().enumerate() {
            let elements = input.shape.iter().product();
            let source = Source::Buffer(Place { buffer, elements, kind: Kind::F32 });
            self.stored[input.value] = Some(Stored { source, layout: Layout::RowMajor });
            self.inputs.push(End { name: input.name.clone(), shape: input.shape.clone(), place: source });
        }
    }

    /// Where the outputs of the graph lie at the end.
    pub(super) fn give_outputs(&mut self) -> Result<Vec<End>, ModelError> {
        let graph = self.graph;
        let mut outputs = Vec::new();
        for output in &graph.outputs {
            let Some(index) = self.maker[output.value] else {
                return Err(ModelError::Graph { detail: format!("nothing makes {:?}", output.name) });
            };
            if self.info(output.value).kind != Kind::F32 {
                return Err(graph.nodes[index].error("an output that is not of floats is not supported"));
            }
            let place = self.operand(&graph.nodes[index], output.value, Layout::RowMajor)?;
            outputs.push(End { name: output.name.clone(), shape: self.shape(output.value).to_vec(), place });
        }
        Ok(outputs)
    }

    pub(super) fn info(&self, value: ValueId) -> &Info {
        // Shape inference has been through all nodes.
        static NONE: Info = Info { shape: Vec::new(), kind: Kind::F32 };
        self.infos[value].as_ref().unwrap_or(&NONE)
    }

    pub(super) fn shape(&self, value: ValueId) -> &[usize] {
        &self.info(value).shape
    }

    /// Appends a step that makes `elements` elements, in a new buffer; computes it at once if it reads only
    /// constants.
    pub(super) fn push(
        &mut self,
        name: &str,
        kernel: Kernel,
        inputs: Vec<Source>,
        (elements, kind): (usize, Kind),
        multiply_adds: u64,
    ) -> Result<Source, ModelError> {
        if inputs.len() > MAX_INPUTS {
            let what = format!("node {name:?} with {} inputs", inputs.len());
            return Err(ModelError::TooLarge { what, limit: MAX_INPUTS as u64 });
        }
        self.charge(multiply_adds.saturating_add(elements as u64), 0)?;
        let constants: Option<Vec<Operand>> = inputs
            .iter()
            .map(|source| match source {
                Source::Constant(index) => Some(Operand::F32(&self.constants[*index])),
                Source::Buffer(_) => None,
            })
            .collect();
        if let (Some(operands), Kind::F32) = (constants, kind) {
            let scratch = kernel.scratch_size();
            if scratch.words() > MAX_ELEMENTS {
                let what = format!("{} elements beside node {name:?}", scratch.words());
                return Err(ModelError::TooLarge { what, limit: MAX_ELEMENTS as u64 });
            }
            let mut values = vec![0.0; elements];
            kernel.run(&operands, &mut Written::F32(&mut values), &mut Scratch::new(scratch));
            return self.keep(values);
        }
        let output = Place { buffer: self.inputs.len() + self.steps.len(), elements, kind };
        self.steps.push(Step { name: name.into(), kernel, inputs, output, multiply_adds });
        Ok(Source::Buffer(output))
    }

    /// Keeps floats for the steps.
    pub(super) fn keep(&mut self, values: Vec<f32>) -> Result<Source, ModelError> {
        self.charge(0, values.len())?;
        self.constants.push(values);
        Ok(Source::Constant(self.constants.len() - 1))
    }

    /// Adds to the bill of a run, before anything is allocated for it.
    pub(super) fn charge(&mut self, work: u64, weights: usize) -> Result<(), ModelError> {
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

    /// Where the floats of `value`, which `node` reads, lie; computes them from quantised ones if need be.
    pub(super) fn floats(&mut self, node: &Node, value: ValueId) -> Result<Stored, ModelError> {
        if let Some(stored) = &self.stored[value] {
            return Ok(stored.clone());
        }
        let graph = self.graph;
        let stored = if let Some(constant) = graph.constants.get(&value) {
            let values =
                constant.floats().ok_or_else(|| node.error("an input of integers is not supported here"))?;
            Stored { source: self.keep(values.to_vec())?, layout: Layout::RowMajor }
        } else {
            let maker = self.maker[value].map(|maker| &graph.nodes[maker]);
            match maker.map(|maker| (maker, &maker.op)) {
                Some((maker, Op::Dequantize(axis))) => self.dequantise(maker, *axis)?,
                _ => return Err(node.error("an input is not computed yet")),
            }
        };
        self.stored[value] = Some(stored.clone());
        Ok(stored)
    }

    /// The floats that `DequantizeLinear` makes.
    fn dequantise(&mut self, node: &Node, axis: i64) -> Result<Stored, ModelError> {
        let graph = self.graph;
        let value = node.inputs[0];
        if let Some(constant) = graph.constants.get(&value) {
            let parameters = quantisation(graph, node, axis, &constant.shape)?;
            let floats = dequantised(constant, &parameters)?;
            let values = floats.floats().unwrap_or_default().to_vec();
            return Ok(Stored { source: self.keep(values)?, layout: Layout::RowMajor });
        }
        let (stored, parameters) = self
            .quantised(value, node)
            .ok_or_else(|| node.error("only one scale for all elements is supported here"))?;
        let kernel = Kernel::Dequantise(parameters.dequantise());
        let size = (self.shape(value).iter().product(), Kind::F32);
        let source = self.push(&node.name, kernel, vec![stored.source], size, 0)?;
        Ok(Stored { source, ..stored })
    }

    /// Where the floats of `value` lie in the order of `layout`.
    pub(super) fn operand(
        &mut self,
        node: &Node,
        value: ValueId,
        layout: Layout,
    ) -> Result<Source, ModelError> {
        let stored = self.floats(node, value)?;
        self.arranged(node, &stored, value, layout)
    }

    /// Where `value`, which lies in `stored`, lies in the order of `layout`.
    pub(super) fn arranged(
        &mut self,
        node: &Node,
        stored: &Stored,
        value: ValueId,
        layout: Layout,
    ) -> Result<Source, ModelError> {
        let walk = self.walk(value, stored.layout).permuted(&axes_in_memory(layout, self.shape(value).len()));
        self.gathered(&node.name, walk, stored.source)
    }

    /// The walk over the axes of `value`, as ONNX has them, where it lies in `layout`.
    pub(super) fn walk(&self, value: ValueId, layout: Layout) -> Strided {
        let shape = self.shape(value);
        match (layout, shape) {
            (Layout::ChannelsLast, &[n, c, h, w]) => Strided::dense(&[n, h, w, c]).permuted(&[0, 3, 1, 2]),
            _ => Strided::dense(shape),
        }
    }

    /// The elements of `source` on `walk`, where they are if they lie so already.
    pub(super) fn gathered(
        &mut self,
        name: &str,
        walk: Strided,
        source: Source,
    ) -> Result<Source, ModelError> {
        let elements = walk.extents.iter().product();
        if walk.is_dense() {
            return Ok(match source {
                Source::Buffer(place) => Source::Buffer(Place { elements, ..place }),
                constant => constant,
            });
        }
        let kind = if let Source::Buffer(place) = source { place.kind } else { Kind::F32 };
        self.push(name, Kernel::Gather(walk), vec![source], (elements, kind), 0)
    }

    pub(super) fn lower(&mut self, index: usize) -> Result<(), ModelError> {
        if self.fused[index] || self.is_limit_of_bytes(index) || self.lower_quantised(index)? {
            return Ok(());
        }
        let graph = self.graph;
        let node = &graph.nodes[index];
        let (stored, last) = match &node.op {
            // Made where something needs the floats.
            Op::Dequantize(_) => return Ok(()),
            Op::Conv(conv) => self.convolution(index, conv)?,
            Op::ConvTranspose { conv, .. } => self.conv_transpose(index, conv)?,
            Op::Binary(Binary::Add) => self.addition(index)?,
            Op::Pool(_) | Op::GlobalAveragePool | Op::Resize(_) => (self.map(node)?, index),
            _ => (self.generic(node)?, index),
        };
        self.stored[graph.nodes[last].output] = Some(stored);
        Ok(())
    }

    /// Elements and type of a float result.
    pub(super) fn size(&self, node: &Node) -> (usize, Kind) {
        (self.shape(node.output).iter().product(), Kind::F32)
    }

    fn addition(&mut self, index: usize) -> Result<(Stored, usize), ModelError> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        if self.shape(node.inputs[0]) != self.shape(node.inputs[1]) {
            return Ok((self.generic(node)?, index));
        }
        let layout = self.layout_of_either(node)?;
        let [a, b] = [node.inputs[0], node.inputs[1]];
        let inputs = vec![self.operand(node, a, layout)?, self.operand(node, b, layout)?];
        let tail = self.tail(index, false);
        let (name, size) = (&graph.nodes[tail.last].name, self.size(node));
        let source = self.push(name, Kernel::Add(tail.clamp), inputs, size, 0)?;
        Ok((Stored { source, layout }, tail.last))
    }

    /// The layout in which two operands need the fewest copies.
    fn layout_of_either(&mut self, node: &Node) -> Result<Layout, ModelError> {
        for &value in &node.inputs[..2] {
            let stored = self.floats(node, value)?;
            let is_whole = self.shape(value) == self.shape(node.output);
            if is_whole && matches!(stored.source, Source::Buffer(_)) {
                return Ok(stored.layout);
            }
        }
        Ok(Layout::RowMajor)
    }

    /// Steps on maps with the channels innermost.
    fn map(&mut self, node: &Node) -> Result<Stored, ModelError> {
        let x = self.operand(node, node.inputs[0], Layout::ChannelsLast)?;
        let kernel = self.map_kernel(node)?;
        let work = match &kernel {
            Kernel::Pool(pool) => (pool.geometry.kernel[0] * pool.geometry.kernel[1]) as u64,
            _ => 1,
        };
        let size = self.size(node);
        self.charge(work.saturating_mul(size.0 as u64), 0)?;
        let source = self.push(&node.name, kernel, vec![x], size, 0)?;
        Ok(Stored { source, layout: Layout::ChannelsLast })
    }

    /// The kernel of a node on maps.
    pub(super) fn map_kernel(&self, node: &Node) -> Result<Kernel, ModelError> {
        let (&[_, channels, h, w], &[_, _, oh, ow]) = (self.shape(node.inputs[0]), self.shape(node.output))
        else {
            return Err(node.error("expected maps [N, C, H, W]"));
        };
        let (input, output) = ([h, w], [oh, ow]);
        match &node.op {
            Op::Pool(pool) => {
                let pads = [pool.pads[0], pool.pads[1]];
                let (kernel, strides) = (pool.kernel, pool.strides);
                let geometry = Geometry { input, output, kernel, strides, dilations: [1, 1], pads };
                Ok(Kernel::Pool(Pool { kind: pool.kind, geometry, channels }))
            }
            Op::Resize(resize) => Ok(Kernel::Resize(Resampling::new(resize, input, output, channels))),
            _ => Ok(Kernel::GlobalAveragePool(channels)),
        }
    }

    /// Steps that are not made for maps.
    fn generic(&mut self, node: &Node) -> Result<Stored, ModelError> {
        match &node.op {
            Op::Unary(Unary::Identity) => self.floats(node, node.inputs[0]),
            Op::Unary(function) => {
                let x = self.floats(node, node.inputs[0])?;
                let source =
                    self.push(&node.name, Kernel::Unary(*function), vec![x.source], self.size(node), 0)?;
                Ok(Stored { source, ..x })
            }
            Op::Binary(function) => self.broadcast(node, *function),
            Op::Reshape(_) => {
                let source = self.operand(node, node.inputs[0], Layout::RowMajor)?;
                Ok(Stored { source, layout: Layout::RowMajor })
            }
            Op::Transpose(_) | Op::Slice(_) | Op::Split { .. } => {
                let x = self.floats(node, node.inputs[0])?;
                self.moved(node, &x)
            }
            Op::Concat(_) => {
                let inputs = node
                    .inputs
                    .iter()
                    .map(|&value| self.floats(node, value))
                    .collect::<Result<Vec<_>, _>>()?;
                self.concat(node, &inputs)
            }
            _ => self.row_major(node),
        }
    }

    fn broadcast(&mut self, node: &Node, function: Binary) -> Result<Stored, ModelError> {
        let layout = self.layout_of_either(node)?;
        let out = self.shape(node.output).to_vec();
        let order = axes_in_memory(layout, out.len());
        let mut walks = Vec::new();
        let mut inputs = Vec::new();
        for &value in &node.inputs {
            let stored = self.floats(node, value)?;
            inputs.push(stored.source);
            walks.push(stretched(&self.walk(value, stored.layout), &out).permuted(&order));
        }
        let [a, b] = [walks.remove(0), walks.remove(0)];
        let kernel = Kernel::Binary(Broadcast::new(function, [a, b]));
        let source = self.push(&node.name, kernel, inputs, self.size(node), 0)?;
        Ok(Stored { source, layout })
    }

    /// Elements of one value in another order, floats or quantised.
    pub(super) fn moved(&mut self, node: &Node, x: &Stored) -> Result<Stored, ModelError> {
        let value = node.inputs[0];
        let shape = self.shape(value).to_vec();
        let walk = self.walk(value, x.layout);
        let (walk, layout) = match &node.op {
            Op::Transpose(order) => {
                (walk.permuted(&transposition(node, order, shape.len())?), Layout::RowMajor)
            }
            Op::Slice(parts) => {
                let mut walk = walk;
                for part in parts {
                    let axis = axis_of(node, part.axis, shape.len())?;
                    let (first, count) = part.range(walk.extents[axis]);
                    walk = walk.part(axis, first, count, part.step_size());
                }
                (walk.permuted(&axes_in_memory(x.layout, shape.len())), x.layout)
            }
            _ => {
                let (axis, first, count) = split_range(node, &shape)?;
                (walk.part(axis, first, count, 1).permuted(&axes_in_memory(x.layout, shape.len())), x.layout)
            }
        };
        let source = self.gathered(&node.name, walk, x.source)?;
        Ok(Stored { source, layout })
    }

    /// Values one behind the other, floats or quantised.
    pub(super) fn concat(&mut self, node: &Node, inputs: &[Stored]) -> Result<Stored, ModelError> {
        let shape = self.shape(node.output).to_vec();
        let Op::Concat(axis) = node.op else { return Err(node.error("it is no Concat")) };
        let axis = axis_of(node, axis, shape.len())?;
        let layout = inputs[0].layout;
        let order = axes_in_memory(layout, shape.len());
        let whole = self.walk(node.output, layout);
        let (mut walks, mut sources, mut first) = (Vec::new(), Vec::new(), 0);
        for (&value, stored) in node.inputs.iter().zip(inputs) {
            sources.push(self.arranged(node, stored, value, layout)?);
            let count = self.shape(value)[axis];
            walks.push(whole.clone().part(axis, first, count, 1).permuted(&order));
            first += count;
        }
        let kind = if let Source::Buffer(place) = sources[0] { place.kind } else { Kind::F32 };
        let elements = shape.iter().product();
        let source = self.push(&node.name, Kernel::Concat(walks), sources, (elements, kind), 0)?;
        Ok(Stored { source, layout })
    }
}

/// The axes of a value of `rank` in the order in which they lie in memory.
pub(super) fn axes_in_memory(layout: Layout, rank: usize) -> Vec<usize> {
    match layout {
        Layout::ChannelsLast if rank == 4 => vec![0, 2, 3, 1],
        _ => (0..rank).collect(),
    }
}

/// The walk that repeats `walk` where the result `out` is larger.
pub(super) fn stretched(walk: &Strided, out: &[usize]) -> Strided {
    let missing = out.len() - walk.extents.len();
    let stride = |i: usize| match i.checked_sub(missing) {
        Some(axis) if walk.extents[axis] == out[i] => walk.strides[axis],
        _ => 0,
    };
    Strided { extents: out.to_vec(), strides: (0..out.len()).map(stride).collect(), offset: walk.offset }
}
