//! Which nodes a step can take in behind its own.

use super::Source;
use super::lower::Lowering;
use crate::runtime::cpu::clamp::Clamp;
use crate::runtime::error::ModelError;
use crate::runtime::graph::{Binary, Node, Op, Unary, ValueId};

/// What a float step takes in behind its node.
pub struct Tail {
    /// What is added.
    pub added: Option<Source>,
    /// Limits of the result.
    pub clamp: Clamp,
    /// Index of the last node that was taken in, or of the node itself.
    pub last: usize,
}

/// A factor and a shift for each channel, or one for all.
pub struct Channels {
    /// What a channel is multiplied with.
    pub factors: Vec<f32>,
    /// What is added to it then.
    pub shifts: Vec<f32>,
}

impl Channels {
    fn factor(&self, channel: usize) -> f32 {
        self.factors[channel % self.factors.len()]
    }

    fn shift(&self, channel: usize) -> f32 {
        self.shifts[channel % self.shifts.len()]
    }
}

/// For each value the one node that reads it, if it is read once and is no output.
pub fn only_readers(graph: &crate::runtime::graph::Graph) -> Vec<Option<usize>> {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.value_count];
    for (index, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|&value| readers[value].push(index));
    }
    for output in &graph.outputs {
        readers[output.value].clear();
    }
    let only = |readers: Vec<usize>| if let [reader] = readers[..] { Some(reader) } else { None };
    readers.into_iter().map(only).collect()
}

impl Lowering<'_> {
    /// Takes in an addition of something that is already computed (if `with_add`), then a clamp.
    pub(super) fn tail(&mut self, index: usize, with_add: bool) -> Tail {
        let graph = self.graph;
        let value = graph.nodes[index].output;
        let mut tail = Tail { added: None, clamp: Clamp::default(), last: index };
        let mut reader = self.only_reader[value];
        let adds = |&next: &usize| with_add && graph.nodes[next].op == Op::Binary(Binary::Add);
        if let Some(next) = reader.filter(adds)
            && let Some(added) = self.ready_operand(next, value)
        {
            tail.added = Some(added);
            tail.last = next;
            self.fused[next] = true;
            reader = self.only_reader[graph.nodes[next].output];
        }
        if let Some(next) = reader
            && let Op::Unary(Unary::Clip { low, high }) = graph.nodes[next].op
        {
            tail.clamp = Clamp { low, high };
            tail.last = next;
            self.fused[next] = true;
        }
        tail
    }

    /// Takes what is multiplied with or added to each channel behind convolution `index` into its weights (those of each
    /// output one after the other) and biases: batch norms, and constants. The index of the last node that was taken in.
    pub(super) fn take_in_channels(
        &mut self,
        index: usize,
        weights: &mut [f32],
        bias: &mut [f32],
    ) -> Result<usize, ModelError> {
        let graph = self.graph;
        let per_output = weights.len() / bias.len();
        let mut last = index;
        while let Some(next) = self.only_reader[graph.nodes[last].output] {
            let Some(channels) = self.channel_function(next, graph.nodes[last].output, bias.len())? else {
                break;
            };
            for (output, weights) in weights.chunks_exact_mut(per_output).enumerate() {
                weights.iter_mut().for_each(|weight| *weight *= channels.factor(output));
                bias[output] = bias[output] * channels.factor(output) + channels.shift(output);
            }
            self.fused[next] = true;
            last = next;
        }
        Ok(last)
    }

    /// What node `index` makes of each channel of `value`, which has so many, if that is one factor and one shift.
    fn channel_function(
        &mut self,
        index: usize,
        value: ValueId,
        count: usize,
    ) -> Result<Option<Channels>, ModelError> {
        let node = &self.graph.nodes[index];
        match node.op {
            Op::BatchNorm { epsilon } if node.inputs[0] == value => {
                self.normalisation(node, epsilon).map(Some)
            }
            Op::Binary(function @ (Binary::Mul | Binary::Add)) => {
                let Some(&other) = node.inputs.iter().find(|&&input| input != value) else { return Ok(None) };
                let Some(constant) = self.graph.constants.get(&other) else { return Ok(None) };
                // One value, or one for each channel of maps; nothing that makes the result larger.
                let is_one = constant.shape.iter().all(|&extent| extent == 1);
                let is_of_channels = matches!(constant.shape[..], [1, c, 1, 1] | [c, 1, 1] if c == count);
                let fits = (is_one || is_of_channels) && self.shape(node.output) == self.shape(value);
                let Some(values) = constant.floats().filter(|_| fits) else { return Ok(None) };
                let values = values.to_vec();
                Ok(Some(match function {
                    Binary::Mul => Channels { factors: values, shifts: vec![0.0] },
                    _ => Channels { factors: vec![1.0], shifts: values },
                }))
            }
            _ => Ok(None),
        }
    }

    /// What the batch norm `node`, whose parameters are constants, does to each channel.
    pub(super) fn normalisation(&mut self, node: &Node, epsilon: f32) -> Result<Channels, ModelError> {
        let mut channel =
            |input: usize| Ok(self.constant(node, input)?.floats().unwrap_or_default().to_vec());
        let (scale, bias, mean, variance) = (channel(1)?, channel(2)?, channel(3)?, channel(4)?);
        let factors: Vec<f32> = scale.iter().zip(&variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
        let shifts = bias.iter().zip(&mean).zip(&factors).map(|((b, m), f)| b - m * f).collect();
        Ok(Channels { factors, shifts })
    }

    /// The operand of the addition `node` beside `value`, if it lies ready in the same order and size.
    fn ready_operand(&self, node: usize, value: ValueId) -> Option<Source> {
        let node = &self.graph.nodes[node];
        let other = *node.inputs.iter().find(|&&input| input != value)?;
        let stored = self.stored[other].as_ref()?;
        let fits = self.shape(other) == self.shape(value) && stored.is_channels_last_of(self.shape(other));
        fits.then_some(stored.source)
    }
}
