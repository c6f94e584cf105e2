//! A trained network -> an ONNX file -> a bundle.

mod attention;
mod bundle;
mod onnx;
mod quantise;
mod ranges;

pub use bundle::{BundleSource, write_bundle};
pub use onnx::{Metadata, onnx_bytes};
pub use quantise::{ActivationBits, quantise};
