//! A bundle that is tested.

use super::figures::StageFigures;
use crate::bundle::read_bundle_with_digest;
use crate::export::network_format;
use anyhow::{Context, Result};
use engine::bundle::Role;
use engine::report::ModelIdentity;
use engine::{Bundle, Detector};
use std::path::Path;

/// A bundle that is tested, with every digest checked.
pub struct Subject {
    /// Its files.
    pub bundle: Bundle,
    /// SHA-256 of its manifest.
    pub sha256: String,
    /// What judges by it.
    pub detector: Detector,
    /// What its networks weigh, in their order; not timed yet.
    pub stages: Vec<StageFigures>,
}

impl Subject {
    /// The bundle in `folder`.
    ///
    /// # Errors
    /// If it is no bundle, a file is not the one that its manifest names, or a network does not load.
    pub fn read(folder: &Path) -> Result<Self> {
        let (bundle, sha256) = read_bundle_with_digest(folder)?;
        let detector = Detector::load(&bundle).with_context(|| folder.display().to_string())?;
        let manifest = detector.manifest();
        let mut stages = Vec::new();
        for stage in &manifest.stages {
            let onnx = bundle.content(&stage.file).with_context(|| format!("{} is missing", stage.file))?;
            // Trees have no picture for an input.
            let size = if stage.role == Role::Meta { 0 } else { manifest.preprocess_of(stage).size };
            let format = network_format(onnx, size)?;
            stages.push(StageFigures {
                name: stage.name.clone(),
                role: stage.role,
                sha256: engine::bundle::sha256_hex(onnx),
                bytes: onnx.len() as u64,
                weights: format.weights.name().into(),
                activations: format.activations.name().into(),
                multiply_adds: stage.multiply_adds.unwrap_or_default(),
                times: None,
            });
        }
        Ok(Subject { bundle, sha256, detector, stages })
    }

    /// Name and version of the bundle.
    pub fn identity(&self) -> ModelIdentity {
        let manifest = self.detector.manifest();
        ModelIdentity { name: manifest.name.clone(), version: manifest.version.clone() }
    }
}
