//! What can go wrong, each cause with a stable code and a message that says what to do.

use crate::runtime::ModelError;
use serde::Serialize;

/// Everything the engine refuses, by cause.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The picture has no bytes.
    #[error("the file is empty; choose a JPEG, PNG, WebP or GIF picture")]
    Empty,
    /// The picture is larger than the engine takes.
    #[error("the picture is too large: {what}; at most {limit} {unit} are taken, scale it down first")]
    TooLarge {
        /// What was measured, with its value.
        what: String,
        /// The largest accepted value.
        limit: u64,
        /// The unit of `limit`.
        unit: &'static str,
    },
    /// The bytes are of a format that the engine does not read.
    #[error("{format} is not supported as a picture; convert it to JPEG, PNG or WebP")]
    Unsupported {
        /// The detected format, or "this kind of file".
        format: &'static str,
    },
    /// The bytes claim a supported format but do not decode completely.
    #[error("the {format} file is damaged or cut off ({detail}); get an intact copy")]
    Corrupt {
        /// "JPEG", "PNG", "WebP" or "GIF".
        format: &'static str,
        /// What the decoder met.
        detail: String,
    },
    /// The bundle's manifest is not one that this engine reads.
    #[error("the bundle manifest is not usable: {detail}")]
    Manifest {
        /// The field and what is wrong with it.
        detail: String,
    },
    /// The bundle's golden vectors are not ones that this engine can compute.
    #[error("the bundle's golden vectors are not usable: {detail}")]
    Golden {
        /// The field and what is wrong with it.
        detail: String,
    },
    /// A report is not one that this engine reads.
    #[error("the report is not usable: {detail}")]
    Report {
        /// The field and what is wrong with it.
        detail: String,
    },
    /// A file of the bundle is missing or is not the one that the manifest names.
    #[error("{file} is not the file that the bundle manifest describes ({detail}); fetch the bundle again")]
    ModelIntegrity {
        /// Name of the file in the bundle.
        file: String,
        /// Expected and actual size or digest.
        detail: String,
    },
    /// The network file is not one that the runtime can run.
    #[error("model {file} was refused: {source}")]
    Model {
        /// Name of the file in the bundle.
        file: String,
        /// The node or tensor, and why.
        source: ModelError,
    },
    /// The picture cannot show a face: there is no score.
    #[error("not applicable: {reason}; choose a photograph of a face")]
    NotApplicable {
        /// What the picture is instead.
        reason: &'static str,
    },
    /// A stage gave something that the cascade cannot use, or something it did not ask for.
    #[error("stage {stage} gave what the cascade cannot use: {detail}")]
    Stage {
        /// Name of the stage.
        stage: String,
        /// What was expected and what came.
        detail: String,
    },
    /// A stage gave NaN or an infinity: there is no verdict.
    #[error("stage {stage} gave a result that is not a number; no verdict")]
    Numeric {
        /// Name of the stage.
        stage: String,
    },
}

/// Stable name of an error's cause, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// See [`Error::Empty`].
    Empty,
    /// See [`Error::TooLarge`].
    TooLarge,
    /// See [`Error::Unsupported`].
    Unsupported,
    /// See [`Error::Corrupt`].
    Corrupt,
    /// See [`Error::Manifest`].
    Manifest,
    /// See [`Error::Golden`].
    Golden,
    /// See [`Error::Report`].
    Report,
    /// See [`Error::ModelIntegrity`].
    ModelIntegrity,
    /// See [`Error::Model`].
    Model,
    /// See [`Error::NotApplicable`].
    NotApplicable,
    /// See [`Error::Stage`].
    Stage,
    /// See [`Error::Numeric`].
    Numeric,
}

impl Error {
    /// The stable name of this error's cause.
    pub fn code(&self) -> ErrorCode {
        match self {
            Error::Empty => ErrorCode::Empty,
            Error::TooLarge { .. } => ErrorCode::TooLarge,
            Error::Unsupported { .. } => ErrorCode::Unsupported,
            Error::Corrupt { .. } => ErrorCode::Corrupt,
            Error::Manifest { .. } => ErrorCode::Manifest,
            Error::Golden { .. } => ErrorCode::Golden,
            Error::Report { .. } => ErrorCode::Report,
            Error::ModelIntegrity { .. } => ErrorCode::ModelIntegrity,
            Error::Model { .. } => ErrorCode::Model,
            Error::NotApplicable { .. } => ErrorCode::NotApplicable,
            Error::Stage { .. } => ErrorCode::Stage,
            Error::Numeric { .. } => ErrorCode::Numeric,
        }
    }
}
