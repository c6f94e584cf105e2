//! A trained network -> an ONNX file -> a bundle, or a TFLite file.

mod attention;
mod bundle;
mod cascade;
mod format;
pub mod names;
mod onnx;
mod parity;
mod quantise;
mod ranges;
mod readme;
mod scheme;
pub mod tflite;
mod trees;
mod values;

pub use bundle::{BundleSource, Origin, write_bundle};
pub use cascade::{CascadeContent, write_cascade};
pub use format::network_format;
pub use onnx::{Metadata, onnx_bytes, onnx_model, with_metadata, without_metadata};
pub use quantise::{layer_inputs, layer_of, points, quantise, quantised};
pub use ranges::{Range, observe};
pub use scheme::{
    ActivationBits, LayerScheme, MAX_BIAS, MIN_SCALE, Parameters, Scheme, WeightBits, covering_scale,
    nearest_scale,
};
pub use tflite::tflite_bytes;
pub use trees::trees_bytes;
pub use values::{COPY_ERRORS, DIRECTIONS, Reduction, with_embedding, with_values};
