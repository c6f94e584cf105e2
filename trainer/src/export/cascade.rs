//! Fitted stages -> a bundle of several stages, or such a bundle written anew.

use super::bundle::{BundleSource, File, Origin, complete, read_card, write_files};
use super::onnx::with_metadata;
use super::readme::CARD_NAME;
use crate::bundle::{Existing, NewFolder, read_bundle};
use crate::deployment::DeploymentConfig;
use anyhow::{Context, Result, ensure};
use engine::bundle::{FileEntry, Role, SCHEMA_VERSION, Stage};
use engine::golden::Golden;
use engine::uncertainty::Uncertainty;
use engine::{Bundle, Detector, Manifest, Preprocess, Session, Thresholds};
use serde_json::Value;
use std::path::Path;

/// What a bundle of several stages is made of.
#[derive(Debug, Clone)]
pub struct CascadeContent {
    /// Name of the bundle, for people.
    pub name: String,
    /// Version of the bundle.
    pub version: String,
    /// Terms of the weights.
    pub licence: String,
    /// Model card in Markdown.
    pub card: Vec<u8>,
    /// How the input of stages without a way of their own is made.
    pub preprocess: Preprocess,
    /// Where the meta-model's answer counts as sure.
    pub thresholds: Thresholds,
    /// How mild changes make an answer less sure.
    pub uncertainty: Uncertainty,
    /// Stages in their order, each with its ONNX file.
    pub stages: Vec<(Stage, Vec<u8>)>,
    /// Where the weights come from and how good they were.
    pub training: Value,
}

/// Writes `content` to `folder`, once what was written has been read back and checked.
///
/// # Errors
/// If the stages are no cascade or a network does not load; if `folder` exists or a file cannot be written. Nothing is left
/// under the final name then.
pub fn write_cascade(
    content: CascadeContent,
    config: &DeploymentConfig,
    existing: Existing,
    folder: &Path,
) -> Result<Manifest> {
    config.check()?;
    let output = NewFolder::create(folder, existing)?;
    let (manifest, files) = content.package(config)?;
    write_files(output, &manifest, &files)
        .with_context(|| format!("{} was not written as it should be", folder.display()))?;
    Ok(manifest)
}

impl CascadeContent {
    /// The content of the bundle that `source` begins at; nothing if that has one stage.
    ///
    /// # Errors
    /// If the bundle does not read, or `source` asks for another network in it.
    pub(super) fn of_bundle(source: &BundleSource, config: &DeploymentConfig) -> Result<Option<Self>> {
        let Origin::Bundle(folder) = source.origin else { return Ok(None) };
        let bundle = read_bundle(folder)?;
        let manifest = bundle.manifest().clone();
        if manifest.stages.len() == 1 {
            return Ok(None);
        }
        ensure!(
            source.model.is_none() && source.optimized.is_none() && source.also.is_empty(),
            "{} has several stages: their files are chosen by `aware fit-cascade`, not here",
            folder.display()
        );
        let content = |name: &str| bundle.content(name).map(<[u8]>::to_vec);
        let card = match source.card {
            Some(path) => read_card(path)?,
            None => content(CARD_NAME).with_context(|| format!("{} has no {CARD_NAME}", folder.display()))?,
        };
        let stages = manifest.stages.iter().map(|stage| {
            let onnx = content(&stage.file).with_context(|| format!("{} is missing", stage.file))?;
            Ok((stage.clone(), onnx))
        });
        let or = |own: &str, given: Option<&str>, default: &Option<String>| {
            given.map(str::to_owned).or_else(|| default.clone()).unwrap_or_else(|| own.to_owned())
        };
        Ok(Some(CascadeContent {
            name: or(&manifest.name, source.name, &config.bundle_name),
            version: or(&manifest.version, source.version, &config.bundle_version),
            licence: or(&manifest.licence, source.licence, &config.licence),
            card,
            preprocess: manifest.preprocess.clone(),
            thresholds: manifest.thresholds,
            uncertainty: manifest.uncertainty.clone().unwrap_or_default(),
            stages: stages.collect::<Result<_>>()?,
            training: manifest.training,
        }))
    }

    /// The manifest and every file that it lists.
    pub(super) fn package(self, config: &DeploymentConfig) -> Result<(Manifest, Vec<File>)> {
        let (mut stages, mut files): (Vec<Stage>, Vec<File>) = (Vec::new(), Vec::new());
        for (mut stage, onnx) in self.stages {
            let metadata =
                [("name", self.name.as_str()), ("version", &self.version), ("licence", &self.licence)]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()));
            let temperature = ("temperature".to_owned(), stage.temperature.to_string());
            let metadata = metadata.into_iter().chain((stage.role != Role::Meta).then_some(temperature));
            let onnx = with_metadata(&onnx, metadata.collect()).with_context(|| stage.file.clone())?;
            let session = Session::load(&onnx).with_context(|| stage.file.clone())?;
            stage.multiply_adds = Some(session.plan().multiply_adds());
            files.push((stage.file.clone(), onnx));
            stages.push(stage);
        }
        let manifest = Manifest {
            schema_version: SCHEMA_VERSION.into(),
            name: self.name,
            version: self.version,
            licence: self.licence,
            preprocess: self.preprocess,
            stages,
            thresholds: self.thresholds,
            uncertainty: Some(self.uncertainty),
            files: files.iter().map(|(name, content)| FileEntry::of(name, content)).collect(),
            golden: None,
            others: Vec::new(),
            training: self.training,
        };
        let manifest = Manifest::parse(&serde_json::to_vec(&manifest)?)?;
        let alone = Bundle::new(manifest.clone(), |entry| {
            let found = files.iter().find(|(name, _)| *name == entry.name);
            Ok(found.map(|(_, content)| content.clone()).unwrap_or_default())
        })?;
        let golden = Golden::record(&mut Detector::load(&alone)?, config.golden_vectors)?;
        complete(manifest, files, &golden, self.card, config)
    }
}
