//! A trained face locator -> the folder that the engine loads, in integers, held to what was trained.

use super::agreement::{Agreement, Matches, average_precision, best_threshold};
use super::config::LocatorConfig;
use super::folder::read_face_files;
use super::labels::Labels;
use super::learn::{Locator, LocatorProgress, MAX_OVERLAP, album, detections, pictures, validation_scenes};
use super::scene::Scene;
use crate::bundle::{Existing, NewFolder};
use crate::dataset::Split;
use crate::export::{ActivationBits, Metadata, onnx_bytes, quantise};
use crate::train::RunFolder;
use anyhow::{Context, Result, ensure};
use candle_core::Device;
use engine::bundle::FileEntry;
use engine::faces::{FACE_MANIFEST_NAME, FACE_SCHEMA_VERSION, FaceManifest};
use engine::{FaceDetector, Session, Tensor};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Name of the network's file.
const NETWORK_NAME: &str = "face.onnx";
/// Name of the model card.
const CARD_NAME: &str = "MODEL_CARD.md";
/// Validation scenes that ranges are observed on.
const CALIBRATION_SCENES: usize = 96;
/// Validation scenes on which the file in floats is held to candle.
const PARITY_SCENES: usize = 8;
/// Largest difference of a value, as a share of it or of 1.
const FLOAT_TOLERANCE: f32 = 1e-3;
/// Integers may cost this much average precision.
const MOST_LOST: f64 = 0.02;
/// Boxes below this score are not looked at.
const LEAST_SCORE: f32 = 0.05;

/// What the folder says of itself.
#[derive(Debug, Clone)]
pub struct LocatorAbout {
    /// Short name.
    pub name: String,
    /// Version of the content.
    pub version: String,
    /// Terms of the weights.
    pub licence: String,
    /// Text of the model card.
    pub card: Vec<u8>,
    /// Least score of a face; that of the best F1 on validation scenes where nobody chose one.
    pub score_threshold: Option<f32>,
}

/// What the written network is worth on validation scenes, which chose the round and the threshold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LocatorFigures {
    /// Scenes.
    pub scenes: usize,
    /// Largest difference of the file in floats from candle, as a share of the value or of 1.
    pub largest_difference: f32,
    /// Of the file in floats.
    pub average_precision_float: f64,
    /// Of the file in integers.
    pub average_precision: f64,
    /// Least score of a face, by choice or that of the best F1 of the file in integers.
    pub score_threshold: f32,
    /// At that score.
    pub agreement: Agreement,
}

/// Writes the best round of `run` to `output`.
///
/// # Errors
/// If the engine's outputs are not candle's, the integers find less than the floats, or the folder cannot be written.
pub fn write_locator(
    run: &RunFolder,
    labels: &Labels,
    about: &LocatorAbout,
    output: &Path,
) -> Result<LocatorFigures> {
    let (locator, progress) = Locator::read(&run.best(), &Device::Cpu)?;
    let config = &progress.config;
    let scenes = validation_scenes(config, &album(config, Split::Val, labels)?);
    let floats = onnx_bytes(&locator.model, config.image_size as usize, metadata(about))?;
    let spread = scenes.len().div_ceil(CALIBRATION_SCENES).max(1);
    let seen: Vec<Tensor> = scenes.iter().step_by(spread).map(|scene| input(scene, config)).collect();
    let integers = quantise(&floats, &seen, ActivationBits::Seven)?;

    let largest_difference = largest_difference(&locator, &floats, &scenes, config)?;
    ensure!(
        largest_difference <= FLOAT_TOLERANCE,
        "the file in floats differs from candle by {largest_difference:.2e}, at most {FLOAT_TOLERANCE:.0e} is allowed"
    );
    let matches = judge(&integers, &scenes, config)?;
    let score_threshold = about.score_threshold.unwrap_or_else(|| best_threshold(&matches));
    let figures = LocatorFigures {
        scenes: scenes.len(),
        largest_difference,
        average_precision_float: average_precision(&judge(&floats, &scenes, config)?),
        average_precision: average_precision(&matches),
        score_threshold,
        agreement: Agreement::of(&matches, score_threshold),
    };
    let lost = figures.average_precision_float - figures.average_precision;
    ensure!(
        lost <= MOST_LOST,
        "integers cost {lost:.3} of average precision, at most {MOST_LOST} is allowed"
    );

    let manifest = FaceManifest {
        schema_version: FACE_SCHEMA_VERSION.into(),
        name: about.name.clone(),
        version: about.version.clone(),
        licence: about.licence.clone(),
        preprocess: config.preprocess(),
        network: NETWORK_NAME.into(),
        score_threshold,
        max_overlap: MAX_OVERLAP,
        files: vec![FileEntry::of(NETWORK_NAME, &integers), FileEntry::of(CARD_NAME, &about.card)],
        training: training(&progress, &figures)?,
    };
    let folder = NewFolder::create(output, Existing::Refuse)?;
    let mut json = serde_json::to_vec_pretty(&manifest)?;
    json.push(b'\n');
    folder.write(FACE_MANIFEST_NAME, &json)?;
    folder.write(NETWORK_NAME, &integers)?;
    folder.write(CARD_NAME, &about.card)?;
    // What cannot be read is not written.
    FaceDetector::load(&read_face_files(folder.temporary())?)?;
    folder.finish()?;
    Ok(figures)
}

fn metadata(about: &LocatorAbout) -> Metadata {
    let description = "Picture in normalised RGB to faces: at strides of 8, 16 and 32 the logit of a face and its four distances";
    [("name", about.name.as_str()), ("version", &about.version), ("description", description)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
}

/// What is told of the run; no path of the machine.
fn training(progress: &LocatorProgress, figures: &LocatorFigures) -> Result<serde_json::Value> {
    let LocatorConfig { network, datasets, epochs, scenes, seed, .. } = &progress.config;
    Ok(serde_json::json!({
        "network": network,
        "datasets": datasets,
        "epochs": epochs,
        "scenes": scenes,
        "seed": seed,
        "best_epoch": progress.best_epoch,
        "validation": serde_json::to_value(figures)?,
    }))
}

fn input(scene: &Scene, config: &LocatorConfig) -> Tensor {
    config.preprocess().normalise(&scene.rgb)
}

fn judge(onnx: &[u8], scenes: &[Scene], config: &LocatorConfig) -> Result<Vec<Matches>> {
    let mut session = Session::load(onnx).context("the engine on the written file")?;
    let mut of = |scene: &Scene| {
        let outputs = session.run_all(&[&input(scene, config)])?;
        Ok(Matches::of(detections(&outputs, LEAST_SCORE)?, &scene.faces, &scene.doubtful))
    };
    scenes.iter().map(&mut of).collect()
}

fn largest_difference(
    locator: &Locator,
    onnx: &[u8],
    scenes: &[Scene],
    config: &LocatorConfig,
) -> Result<f32> {
    let mut session = Session::load(onnx).context("the engine on the file in floats")?;
    let spread = scenes.len().div_ceil(PARITY_SCENES).max(1);
    let mut largest = 0f32;
    for scene in scenes.iter().step_by(spread) {
        let outputs = session.run_all(&[&input(scene, config)])?;
        let maps = locator
            .model
            .forward_t(&pictures(std::slice::from_ref(scene), config, config.image_size)?, false)?;
        for (output, map) in outputs.iter().zip(&maps) {
            let wanted: Vec<f32> = map.flatten_all()?.to_vec1()?;
            ensure!(output.values().len() == wanted.len(), "an output of another size than candle's");
            for (found, wanted) in output.values().iter().zip(wanted) {
                let difference = (found - wanted).abs() / wanted.abs().max(1.0);
                // Written so that NaN stays.
                largest = if difference <= largest { largest } else { difference };
            }
        }
    }
    Ok(largest)
}
