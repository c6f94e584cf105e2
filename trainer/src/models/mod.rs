//! The networks, as structs with named layers, and what can be done with one.
//!
//! A network says its topology once, in `run`, against an [`Executor`]. Computing a forward pass
//! ([`Compute`]) and writing an ONNX graph (`export::onnx`) are two executors of the same walk, so
//! that what is exported cannot differ from what was trained.

mod layers;
mod norm;
mod point_conv;
mod attention;
mod gaussian;
mod auxiliary;
mod universal;
mod mobile_attention;
mod mobilenet_v4;
mod efficientnet;
mod genconvit;
mod model;
mod topology;
mod face_locator;
mod folded;
mod weights;

pub use attention::Attention;
pub use auxiliary::Auxiliary;
pub use efficientnet::{Config as EfficientNetConfig, EfficientNet};
pub use face_locator::{Config as FaceLocatorConfig, FaceLocator};
pub use folded::{Folded, FoldedLayer};
pub use gaussian::{Gaussian, Noise, NoiseSeed};
pub use genconvit::{Config as GenConViTConfig, GenConViT, Stage as GenConViTStage};
pub use layers::{Compute, ConvKind, ConvNorm, Executor, Linear, MOMENTUM, Mode, convolve};
pub use mobilenet_v4::{Config as MobileNetV4Config, MobileNetV4};
pub use model::{Lesson, Model};
pub use norm::Norm;
pub use point_conv::PointConv;
pub use topology::Topology;
pub use weights::{initialise, lock, parameter_count};
