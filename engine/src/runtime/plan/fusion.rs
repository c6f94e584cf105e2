//! Which nodes a step can take in behind its own.

use super::Source;
use super::lower::Lowering;
use crate::runtime::cpu::clamp::Clamp;
use crate::runtime::graph::{Binary, Op, Unary, ValueId};

/// What a float step takes in behind its node.
pub struct Tail {
    /// What is added.
    pub added: Option<Source>,
    /// Limits of the result.
    pub clamp: Clamp,
    /// Index of the last node that was taken in, or of the node itself.
    pub last: usize,
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

    /// The operand of the addition `node` beside `value`, if it lies ready in the same order and size.
    fn ready_operand(&self, node: usize, value: ValueId) -> Option<Source> {
        let node = &self.graph.nodes[node];
        let other = *node.inputs.iter().find(|&&input| input != value)?;
        let stored = self.stored[other].as_ref()?;
        let fits = self.shape(other) == self.shape(value) && stored.is_channels_last_of(self.shape(other));
        fits.then_some(stored.source)
    }
}
