//! Deepfake detection that never leaves the device: picture bytes in, [`Report`] out.
//!
//! The inference story, one module a step:
//!
//! 1. [`frame`]: encoded bytes -> upright RGB pixels, hostile files refused before allocation;
//! 2. [`faces`] and [`crop`]: the faces of the frame, and the square that is judged; [`quality`] of what they show, in [`grey`];
//! 3. [`preprocess`]: crop -> normalised [`Tensor`] `[1, 3, S, S]`;
//! 4. [`manifest`] and [`bundle`]: model files and how they are read, every byte checked against its sha256;
//! 5. [`runtime`]: ONNX graph -> plan -> CPU kernels; knows nothing of faces;
//! 6. [`applicability`]: whether the crop can show a face at all;
//! 7. [`cascade`]: which network runs next and who decides, over [`stability`], [`uncertainty`] and [`meta`];
//! 8. [`detector`]: the cascade, driven on this processor; [`occlusion`]: what moved its first stage;
//! 9. [`people`]: several faces of a picture -> the report of the one that decides;
//! 10. [`verdict`]: logit -> P(fake) -> real, fake or uncertain;
//! 11. [`report`]: the one result that page, command line and JSON share; [`opened`] again from files; [`statistics`] of many;
//! 12. [`video`]: frames over time -> one verdict a person;
//! 13. [`golden`] over [`pattern`]: whether this device gives the numbers that the bundle was made with;
//! 14. [`benchmark`]: how fast a device is.
//!
//! The crate does no I/O and reads no clock, so the same bytes give the same verdict, bit for
//! bit, natively and as WebAssembly.

#![deny(unsafe_code)]

pub mod error;
pub mod order;
pub mod frame;
pub mod crop;
pub mod grey;
pub mod quality;
pub mod faces;
pub mod preprocess;
pub mod tensor;
pub mod stage;
pub mod manifest;
pub mod bundle;
pub mod runtime;
pub mod applicability;
pub mod stability;
pub mod uncertainty;
pub mod meta;
pub mod cascade;
pub mod detector;
pub mod occlusion;
pub mod people;
pub mod verdict;
pub mod report;
pub mod opened;
pub mod statistics;
pub mod video;
pub mod pattern;
pub mod golden;
pub mod benchmark;

/// Version of the engine, as reports name it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub use bundle::{Bundle, Manifest};
pub use cascade::{Cascade, Judgement, Next};
pub use crop::Crop;
pub use detector::Detector;
pub use error::{Error, ErrorCode};
pub use faces::{Face, FaceDetector, Faces};
pub use frame::Frame;
pub use golden::Golden;
pub use occlusion::HeatMap;
pub use people::{FaceReport, Gathering};
pub use preprocess::Preprocess;
pub use report::Report;
pub use runtime::{ModelError, Session};
pub use statistics::Statistics;
pub use tensor::Tensor;
pub use verdict::{Label, Preset, ProbabilityFake, Thresholds, Verdict};
