//! A checked graph: typed operators in topological order over numbered values.

use super::error::ModelError;
use crate::tensor::Tensor;
use std::collections::HashMap;

/// Number of a value of a graph.
pub type ValueId = usize;

/// What a node computes, with its attributes; shapes are ONNX's (`NCHW`).
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Two-dimensional convolution: data, weight, bias.
    Conv(ConvAttributes),
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, low), high)`
    Clip {
        /// Smallest result.
        low: f32,
        /// Largest result.
        high: f32,
    },
    /// Sum of two values of one shape.
    Add,
    /// Mean over height and width.
    GlobalAveragePool,
    /// `[N, ...]` to `[N, product]`.
    Flatten,
    /// `[N, K]` times a constant `[K, M]`, plus a constant `[M]`.
    Gemm {
        /// The constant is `[M, K]`.
        transpose: bool,
    },
}

/// Attributes of a convolution; dilation is 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvAttributes {
    /// Groups of channels.
    pub group: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step down and right.
    pub strides: [usize; 2],
    /// Zeros above, left, below, right.
    pub pads: [usize; 4],
}

/// One operator with its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Name for messages.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Values it reads.
    pub inputs: Vec<ValueId>,
    /// Value it makes.
    pub output: ValueId,
}

impl Node {
    /// An error about this node.
    pub fn error(&self, detail: impl Into<String>) -> ModelError {
        ModelError::Node { node: self.name.clone(), detail: detail.into() }
    }
}

/// A checked graph with one input and one output.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Nodes; each reads only what stands before it.
    pub nodes: Vec<Node>,
    /// Values that are known at load.
    pub constants: HashMap<ValueId, Tensor>,
    /// Number of values.
    pub value_count: usize,
    /// The value that a run is given.
    pub input: ValueId,
    /// Shape of the input.
    pub input_shape: Vec<usize>,
    /// The value that a run returns.
    pub output: ValueId,
}

impl Graph {
    /// Puts `nodes` into an order in which each reads only what is known before it.
    ///
    /// # Errors
    /// [`ModelError::Graph`] naming a node of a cycle.
    pub fn sort(
        nodes: Vec<Node>,
        known: impl Iterator<Item = ValueId>,
        value_count: usize,
    ) -> Result<Vec<Node>, ModelError> {
        let mut ready = vec![false; value_count];
        known.for_each(|value| ready[value] = true);
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); value_count];
        let mut missing: Vec<usize> = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let open: Vec<ValueId> = node.inputs.iter().copied().filter(|&value| !ready[value]).collect();
            missing.push(open.len());
            open.into_iter().for_each(|value| readers[value].push(index));
        }
        // A queue in the file's order keeps an already sorted file as it is.
        let mut queue: std::collections::BTreeSet<usize> =
            (0..nodes.len()).filter(|&i| missing[i] == 0).collect();
        let mut order = Vec::with_capacity(nodes.len());
        while let Some(index) = queue.pop_first() {
            order.push(index);
            for &reader in &readers[nodes[index].output] {
                missing[reader] -= 1;
                if missing[reader] == 0 {
                    queue.insert(reader);
                }
            }
        }
        if let Some(stuck) = missing.iter().position(|&open| open > 0) {
            let detail = format!("node {:?} is part of a cycle or reads from one", nodes[stuck].name);
            return Err(ModelError::Graph { detail });
        }
        let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
        Ok(order.into_iter().filter_map(|index| nodes[index].take()).collect())
    }
}
