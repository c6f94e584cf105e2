//! The networks, as structs with named layers, and what can be done with one.
//!
//! A network says its topology once, in `run`, against an [`Executor`]. Computing a forward pass
//! ([`Compute`]) and writing an ONNX graph (`export::onnx`) are two executors of the same walk, so
//! that what is exported cannot differ from what was trained.

mod layers;
mod mobilenet_v4;
mod efficientnet_v2;
mod model;
mod tap;
mod weights;

pub use efficientnet_v2::{Config as EfficientNetV2Config, EfficientNetV2};
pub use layers::{Compute, ConvKind, ConvNorm, Executor, Linear, Mode};
pub use mobilenet_v4::{Config as MobileNetV4Config, MobileNetV4};
pub use model::Model;
pub use tap::Tap;
pub use weights::{initialise, lock, parameter_count};
