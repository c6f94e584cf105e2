//! ONNX file, metrics and model card -> a bundle that the engine has loaded once.

use super::onnx::{Metadata, onnx_bytes};
use crate::checkpoint::Checkpoint;
use crate::files::{write_json, write_whole};
use crate::train::{Network, RunFolder, RunMetrics};
use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use engine::bundle::{FileEntry, MANIFEST_NAME, SCHEMA_VERSION, Stage};
use engine::{Bundle, Detector, Manifest};
use std::path::Path;

/// Name of the only network of a bundle.
const STAGE: &str = "stage1";
/// Largest difference between the engine's logit and candle's.
const TOLERANCE: f32 = 1e-4;

/// Where a bundle comes from.
pub struct BundleSource<'a> {
    /// Finished run.
    pub run: &'a RunFolder,
    /// Name of the bundle, for people.
    pub name: &'a str,
    /// Version of the bundle.
    pub version: &'a str,
    /// Terms of the weights.
    pub licence: &'a str,
    /// Model card in Markdown.
    pub card: &'a Path,
}

/// Writes the bundle of a finished run into `folder` and checks it through the engine.
///
/// # Errors
/// If the run is not finished, a file fails, or the engine's logit is not candle's.
pub fn write_bundle(source: &BundleSource, folder: &Path) -> Result<Manifest> {
    let checkpoint = Checkpoint::read(&source.run.best())?;
    let network = Network::from_checkpoint(&checkpoint, &Device::Cpu)?;
    let metrics_path = source.run.metrics();
    let metrics = std::fs::read(&metrics_path).with_context(|| {
        format!("cannot read {}; finish the run with `aware train`", metrics_path.display())
    })?;
    let metrics: RunMetrics =
        serde_json::from_slice(&metrics).with_context(|| format!("in {}", metrics_path.display()))?;
    let card =
        std::fs::read(source.card).with_context(|| format!("cannot read {}", source.card.display()))?;

    let config = &checkpoint.progress.config;
    let metadata: Metadata = [
        ("name", source.name),
        ("version", source.version),
        ("licence", source.licence),
        ("network", &config.network),
        ("input", "RGB, centre square, resized and normalised as the bundle's manifest says"),
        ("output", "logit; P(fake) = sigmoid(logit / temperature)"),
        ("temperature", &metrics.temperature.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec();
    let onnx = onnx_bytes(&network.model, config.image_size as usize, metadata)?;

    let files = [(format!("{STAGE}.onnx"), onnx), ("MODEL_CARD.md".to_owned(), card)];
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION.into(),
        name: source.name.into(),
        version: source.version.into(),
        licence: source.licence.into(),
        preprocess: config.preprocess(),
        stages: vec![Stage {
            name: STAGE.into(),
            file: files[0].0.clone(),
            temperature: metrics.temperature,
        }],
        thresholds: metrics.thresholds,
        files: files.iter().map(|(name, content)| FileEntry::of(name, content)).collect(),
        training: serde_json::json!({
            "network": config.network,
            "datasets": config.datasets,
            "best_epoch": metrics.progress.best_epoch,
            "test": metrics.test,
            "test_trivial_cues": metrics.test_trivial_cues,
            "test_sure": metrics.test_sure,
        }),
    };
    check(&manifest, &files, &network)?;
    for (name, content) in &files {
        write_whole(&folder.join(name), content)?;
    }
    // Last, so that a broken-off export leaves no manifest that vouches for missing files.
    write_json(&folder.join(MANIFEST_NAME), &manifest)?;
    Ok(manifest)
}

/// Loads the bundle as any user would and compares the engine's logit with candle's.
fn check(manifest: &Manifest, files: &[(String, Vec<u8>)], network: &Network) -> Result<()> {
    let manifest = Manifest::parse(&serde_json::to_vec(manifest)?)?;
    let content = |entry: &FileEntry| {
        let found = files.iter().find(|(name, _)| *name == entry.name);
        Ok(found.map(|(_, content)| content.clone()).unwrap_or_default())
    };
    let side = manifest.preprocess.size as usize;
    let mut detector = Detector::load(&Bundle::new(manifest, content)?)?;
    // Any fixed picture will do; this one has every value.
    let picture: Vec<u8> = (0..side * side * 3).map(|i| (i * 7 + i / 256) as u8).collect();
    let input = detector.manifest().preprocess.normalise(&picture);
    let ours = detector.logit(&input)?;
    let pictures = Tensor::from_vec(input.values().to_vec(), (1, 3, side, side), &Device::Cpu)?;
    let theirs = network.model.forward_t(&pictures, false)?.to_vec1::<f32>()?[0];
    let difference = (ours - theirs).abs();
    ensure!(
        difference <= TOLERANCE * theirs.abs().max(1.0),
        "the engine gives logit {ours}, candle {theirs}: the exported network is not the trained one"
    );
    Ok(())
}
