//! A trained network -> an ONNX file -> a bundle.

mod attention;
mod bundle;
mod format;
mod onnx;
mod parity;
mod quantise;
mod ranges;
mod readme;

pub use bundle::{BundleSource, Origin, write_bundle};
pub use format::network_format;
pub use onnx::{Metadata, onnx_bytes, with_metadata};
pub use quantise::{ActivationBits, quantise};
