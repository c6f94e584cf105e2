//! Why a GPU gives no result.

use crate::runtime::error::ModelError;

/// Why a GPU gives no result; the CPU gives one in every case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// There is no adapter, or it gives no device.
    #[error("no GPU can be used: {detail}")]
    Unavailable {
        /// What was asked for, and the answer.
        detail: String,
    },
    /// The model or the input is refused, as on the CPU.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A step that has no kernel for the GPU, or not for this case.
    #[error("step {step:?} does not run on the GPU: {detail}")]
    Step {
        /// Name of the step.
        step: String,
        /// What is missing.
        detail: String,
    },
    /// The device takes less than the model needs.
    #[error("{what} is beyond what the GPU takes, {limit}")]
    Limit {
        /// What, with its value.
        what: String,
        /// The device's limit.
        limit: u64,
    },
    /// The device reported an error: no result of it counts.
    #[error("the GPU reported an error: {detail}")]
    Fault {
        /// Its words.
        detail: String,
    },
    /// The device is gone: driver, browser or system took it away.
    #[error("the GPU was lost: {detail}")]
    Lost {
        /// The browser's or driver's words.
        detail: String,
    },
    /// The numbers are not those of the CPU.
    #[error("the GPU computes wrong numbers: {detail}")]
    Wrong {
        /// What was compared, with both numbers.
        detail: String,
    },
}
