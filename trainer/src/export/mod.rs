//! A trained network -> an ONNX file -> a bundle, or a TFLite file.

mod attention;
mod bundle;
pub mod names;
mod onnx;
mod quantise;
mod ranges;
mod scheme;
pub mod tflite;

pub use bundle::{BundleSource, write_bundle};
pub use onnx::{Metadata, onnx_bytes, onnx_model};
pub use quantise::{layer_inputs, layer_of, points, quantise, quantised};
pub use ranges::{Range, observe};
pub use scheme::{
    ActivationBits, LayerScheme, MAX_BIAS, MIN_SCALE, Parameters, Scheme, WeightBits, covering_scale,
    nearest_scale,
};
pub use tflite::tflite_bytes;
