//! Why a model is refused.

/// Why a model file or an input is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The bytes are not a complete ONNX file.
    #[error("it is not a complete ONNX file: {detail}")]
    Decode {
        /// What the decoder met.
        detail: String,
    },
    /// Something exceeds what the runtime takes.
    #[error("{what} exceeds the limit of {limit}")]
    TooLarge {
        /// What, with its value.
        what: String,
        /// The largest accepted value.
        limit: u64,
    },
    /// An operator that the runtime does not have.
    #[error("node {node:?} uses operator {operator}, which is not supported")]
    Operator {
        /// Name of the node.
        node: String,
        /// Domain and name of the operator.
        operator: String,
    },
    /// A use of a known operator that the runtime does not have, or that is wrong.
    #[error("node {node:?}: {detail}")]
    Node {
        /// Name of the node.
        node: String,
        /// What is wrong, with expected and actual values.
        detail: String,
    },
    /// A constant whose type, shape and content do not fit each other.
    #[error("constant {tensor:?}: {detail}")]
    Constant {
        /// Name of the constant.
        tensor: String,
        /// What is wrong, with expected and actual values.
        detail: String,
    },
    /// The graph as a whole is wrong: cycles, names, inputs, outputs, versions.
    #[error("the graph is wrong: {detail}")]
    Graph {
        /// What is wrong.
        detail: String,
    },
    /// The input of a run has another shape than the model's.
    #[error("the input has shape {actual:?}, expected {expected:?}")]
    Input {
        /// Shape of the model's input.
        expected: Vec<usize>,
        /// Shape that was given.
        actual: Vec<usize>,
    },
}
