//! What a bundle says of itself: networks, preprocessing, thresholds, and every file with its digest.
//!
//! The format is described in `docs/bundle.md`.

use crate::bundle::FileEntry;
use crate::error::Error;
use crate::preprocess::Preprocess;
use crate::uncertainty::Uncertainty;
use crate::verdict::Thresholds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

pub use crate::stage::{Loading, NetworkFormat, Precision, Role, Stage};

/// Name of the manifest in a bundle's folder.
pub const MANIFEST_NAME: &str = "manifest.json";
/// Version of the manifest's schema: an unknown major is refused, a newer minor is read.
pub const SCHEMA_VERSION: &str = "1.3";
/// Largest manifest, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;
/// Largest file of a bundle, in bytes.
pub const MAX_FILE_BYTES: u64 = 256 << 20;
/// Most stages of a bundle.
pub const MAX_STAGES: usize = 8;
/// Most files of a bundle.
pub const MAX_FILES: usize = 64;

/// What a bundle is, how its input is made and how its output is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// `major.minor` of this schema.
    pub schema_version: String,
    /// Short name of the bundle, for people.
    pub name: String,
    /// Version of the bundle's content.
    pub version: String,
    /// Terms under which the weights may be used.
    pub licence: String,
    /// How a crop becomes the network input.
    pub preprocess: Preprocess,
    /// The networks in the order in which they are loaded and run: a filter, then any number of experts with one
    /// meta-model behind them, or one expert that decides itself.
    pub stages: Vec<Stage>,
    /// P(fake) at which an answer counts as sure.
    pub thresholds: Thresholds,
    /// How mild changes of a picture make its answer less sure, since schema 1.2; not at all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<Uncertainty>,
    /// Every other file of the bundle.
    pub files: Vec<FileEntry>,
    /// The file of golden vectors, since schema 1.1; see [`crate::golden`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden: Option<String>,
    /// Files with the same networks for other runtimes, since schema 1.1; this engine does not load them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherFile>,
    /// Where the weights come from and how good they were; free form, shown to people.
    #[serde(default)]
    pub training: serde_json::Value,
}

/// A file of the bundle for another runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherFile {
    /// Name of the file.
    pub file: String,
    /// What runs it: "tflite" or "onnx" today.
    pub runtime: String,
    /// Its numbers, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<NetworkFormat>,
}

impl Manifest {
    /// The manifest in `json`, with every field checked.
    ///
    /// # Errors
    /// [`Error::Manifest`] naming the field, or line and column.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        if json.len() > MAX_MANIFEST_BYTES {
            return Err(refusal(format!(
                "it has {} bytes, at most {MAX_MANIFEST_BYTES} are read",
                json.len()
            )));
        }
        // The version decides how the rest is read, so it is looked at first.
        let value: serde_json::Value =
            serde_json::from_slice(json).map_err(|error| refusal(format!("it is not JSON: {error}")))?;
        let version = value.get("schema_version").and_then(|v| v.as_str()).unwrap_or("missing");
        if !is_read(version, SCHEMA_VERSION) {
            return Err(refusal(format!("schema_version is {version}, this engine reads {SCHEMA_VERSION}")));
        }
        // Once more from the text, whose errors name line and column.
        let manifest: Manifest = serde_json::from_slice(json).map_err(|error| refusal(error.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The entry of the file called `name`.
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|entry| entry.name == name)
    }

    /// The files that this engine loads, in that order: the networks, then the golden vectors.
    pub fn loaded_files(&self) -> impl Iterator<Item = &FileEntry> {
        self.files_of(|_| true)
    }

    /// Those of [`Manifest::loaded_files`] that are needed before the first picture.
    pub fn eager_files(&self) -> impl Iterator<Item = &FileEntry> {
        self.files_of(|stage| stage.loading == Loading::Eager)
    }

    fn files_of(&self, wanted: impl Fn(&Stage) -> bool) -> impl Iterator<Item = &FileEntry> {
        let stages = self.stages.iter().filter(move |stage| wanted(stage)).map(|stage| stage.file.as_str());
        // Every name is listed, as `parse` has checked.
        stages.chain(self.golden.as_deref()).filter_map(|name| self.file(name))
    }

    /// How the input of `stage` is made.
    pub fn preprocess_of<'a>(&'a self, stage: &'a Stage) -> &'a Preprocess {
        stage.preprocess.as_ref().unwrap_or(&self.preprocess)
    }

    /// Where the answer of `stage` counts as sure.
    pub fn thresholds_of(&self, stage: &Stage) -> Thresholds {
        stage.thresholds.unwrap_or(self.thresholds)
    }

    fn check(&self) -> Result<(), Error> {
        self.preprocess.check()?;
        self.thresholds.check()?;
        self.uncertainty.as_ref().map_or(Ok(()), Uncertainty::check)?;
        self.check_files()?;
        self.check_stages()?;
        let mut used: BTreeSet<&str> = self.stages.iter().map(|stage| stage.file.as_str()).collect();
        let others = self.others.iter().map(|other| ("others", other.file.as_str()));
        for (field, name) in self.golden.iter().map(|name| ("golden", name.as_str())).chain(others) {
            if self.file(name).is_none() {
                return Err(refusal(format!("{field} names {name:?}, which files does not list")));
            }
            if !used.insert(name) {
                return Err(refusal(format!("{field} names {name:?}, which has another use already")));
            }
        }
        Ok(())
    }

    fn check_files(&self) -> Result<(), Error> {
        if self.files.len() > MAX_FILES {
            return Err(refusal(format!(
                "it lists {} files, at most {MAX_FILES} are read",
                self.files.len()
            )));
        }
        let mut seen = BTreeSet::new();
        for entry in &self.files {
            check_file_name(&entry.name)?;
            // Two names that differ in case alone are one file on some systems.
            if !seen.insert(entry.name.to_ascii_lowercase()) {
                return Err(refusal(format!("files lists {:?} twice", entry.name)));
            }
            if entry.bytes > MAX_FILE_BYTES {
                return Err(refusal(format!(
                    "{:?} has {} bytes, at most {MAX_FILE_BYTES}",
                    entry.name, entry.bytes
                )));
            }
            let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            if entry.sha256.len() != 64 || !entry.sha256.bytes().all(is_digit) {
                return Err(refusal(format!(
                    "sha256 of {:?} is not 64 lower-case hexadecimal digits",
                    entry.name
                )));
            }
        }
        Ok(())
    }

    fn check_stages(&self) -> Result<(), Error> {
        if self.stages.is_empty() || self.stages.len() > MAX_STAGES {
            return Err(refusal(format!("it has {} stages, expected 1 to {MAX_STAGES}", self.stages.len())));
        }
        let roles: Vec<Role> = self.stages.iter().map(|stage| stage.role).collect();
        let is_cascade = match roles.as_slice() {
            [Role::Filter] | [Role::Filter, Role::Expert] => true,
            [Role::Filter, experts @ .., Role::Meta] => {
                !experts.is_empty() && experts.iter().all(|&role| role == Role::Expert)
            }
            _ => false,
        };
        if !is_cascade {
            return Err(refusal(
                "stages are neither one filter, nor a filter and an expert, nor filter, experts and meta in this order".into(),
            ));
        }
        if self.stages[0].loading == Loading::Lazy {
            return Err(refusal("the filter looks at every picture and cannot be loaded lazily".into()));
        }
        let mut names = BTreeSet::new();
        for stage in &self.stages {
            stage.check(&self.preprocess)?;
            if self.file(&stage.file).is_none() {
                let (name, file) = (&stage.name, &stage.file);
                return Err(refusal(format!("stage {name:?} names {file:?}, which files does not list")));
            }
            if !names.insert(&stage.name) || !names.insert(&stage.file) {
                return Err(refusal(format!(
                    "name or file of stage {:?} has another use already",
                    stage.name
                )));
            }
        }
        Ok(())
    }
}

/// Whether a reader of schema `known` reads `version`: both are `major.minor`, of the same major.
pub(crate) fn is_read(version: &str, known: &str) -> bool {
    let major = |version: &str| {
        let (major, minor) = version.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?).0)
    };
    major(version).is_some() && major(version) == major(known)
}

/// Refuses names that could leave the bundle's folder or mean a device.
pub(crate) fn check_file_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let ok = !name.is_empty() && name.len() <= 128 && name.chars().all(plain) && !name.starts_with('.');
    if ok && !name.eq_ignore_ascii_case(MANIFEST_NAME) {
        return Ok(());
    }
    Err(refusal(format!("{name:?} is not a plain file name of letters, digits, '.', '-' and '_'")))
}

fn refusal(detail: String) -> Error {
    Error::Manifest { detail }
}
