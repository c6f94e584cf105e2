//! Files of named tensors (safetensors), whoever wrote them: what is checked before their content is used.

use safetensors::SafeTensors;
use safetensors::tensor::Metadata;

/// Largest header, in bytes; a network here needs 0.1 MB.
pub const MAX_HEADER_BYTES: u64 = 1 << 20;
/// Most tensors; a checkpoint here holds 2,500.
pub const MAX_TENSORS: usize = 4096;

/// Why tensors are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorsError {
    /// The header alone is too large.
    #[error("the header has {bytes} bytes, at most {MAX_HEADER_BYTES}")]
    HeaderTooLarge {
        /// Length that the file states.
        bytes: u64,
    },
    /// There are too many of them.
    #[error("{count} tensors, at most {MAX_TENSORS}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// Header and content contradict each other or themselves.
    #[error("not a sound safetensors file: {0}")]
    Damaged(String),
    /// A tensor is not there.
    #[error("tensor {name} is missing")]
    Missing {
        /// Its name in the network.
        name: String,
    },
    /// Some tensors belong to nothing.
    #[error("the network has no tensor {}", .names.join(", "))]
    Extra {
        /// Some of their names in the file.
        names: Vec<String>,
    },
    /// A tensor has other dimensions.
    #[error("tensor {name} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// Dimensions in the file.
        found: Vec<usize>,
        /// Dimensions in the network.
        expected: Vec<usize>,
    },
    /// A tensor has values of another type.
    #[error("tensor {name} holds {found}, expected F32")]
    Type {
        /// Its name.
        name: String,
        /// Type in the file.
        found: String,
    },
    /// A value is NaN or infinite.
    #[error("tensor {name} holds a value that is not finite")]
    NotFinite {
        /// Its name.
        name: String,
    },
}

impl TensorsError {
    /// That the tensors called `names` belong to nothing; the first few are named.
    pub fn extra(mut names: Vec<String>) -> Self {
        const SHOWN: usize = 4;
        names.sort();
        if let Some(more) = names.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            names.truncate(SHOWN);
            names.push(format!("and {more} more"));
        }
        TensorsError::Extra { names }
    }
}

/// The header of the safetensors file `bytes`, whose every tensor lies in the file, apart from the others, with as many
/// bytes as its shape says.
///
/// # Errors
/// [`TensorsError::HeaderTooLarge`], [`TensorsError::TooMany`] or [`TensorsError::Damaged`].
pub fn read_header(bytes: &[u8]) -> Result<Metadata, TensorsError> {
    let damaged = |error: safetensors::SafeTensorError| TensorsError::Damaged(error.to_string());
    // The library's own limit is 100 MB.
    if let Some(length) = bytes.first_chunk().map(|length| u64::from_le_bytes(*length))
        && length > MAX_HEADER_BYTES
    {
        return Err(TensorsError::HeaderTooLarge { bytes: length });
    }
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let count = header.tensors().len();
    if count > MAX_TENSORS {
        return Err(TensorsError::TooMany { count });
    }
    Ok(header)
}

/// Checks that a tensor called `name`, of shape `found` and with values of type `kind`, can take the place of one of
/// shape `expected`.
///
/// # Errors
/// [`TensorsError::Shape`] or [`TensorsError::Type`].
pub fn check_fit(
    name: &str,
    found: &[usize],
    kind: impl std::fmt::Debug,
    expected: &[usize],
) -> Result<(), TensorsError> {
    if found != expected {
        return Err(TensorsError::Shape {
            name: name.into(),
            found: found.to_vec(),
            expected: expected.to_vec(),
        });
    }
    let found = format!("{kind:?}"); // candle and safetensors have a type of their own each, and name it alike
    if found != "F32" {
        return Err(TensorsError::Type { name: name.into(), found });
    }
    Ok(())
}
