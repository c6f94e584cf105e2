//! The deployment package: a manifest and the files it names, every byte checked.
//!
//! The format is described in `docs/bundle.md`. A bundle is read from memory; where the bytes come
//! from (a folder, a web server, a cache) is the caller's business.

use crate::error::Error;
use crate::preprocess::Preprocess;
use crate::verdict::Thresholds;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Name of the manifest in a bundle's folder.
pub const MANIFEST_NAME: &str = "manifest.json";
/// Version of the manifest's schema: an unknown major is refused, a newer minor is read.
pub const SCHEMA_VERSION: &str = "1.0";
/// Largest manifest, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;
/// Largest file of a bundle, in bytes.
pub const MAX_FILE_BYTES: u64 = 256 << 20;
/// Most files of a bundle.
const MAX_FILES: usize = 64;

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
    /// The networks in the order in which they run; today exactly one.
    pub stages: Vec<Stage>,
    /// P(fake) at which an answer counts as sure.
    pub thresholds: Thresholds,
    /// Every other file of the bundle.
    pub files: Vec<FileEntry>,
    /// Where the weights come from and how good they were; free form, shown to people.
    #[serde(default)]
    pub training: serde_json::Value,
}

/// One network of the cascade.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Name in reports.
    pub name: String,
    /// The ONNX file: one input `[1, 3, S, S]`, one output of one logit.
    pub file: String,
    /// Divisor of the logit: P(fake) = sigmoid(logit / temperature).
    pub temperature: f64,
}

/// A file of the bundle with what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Plain file name, no folders.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Lower-case hexadecimal SHA-256 of the content.
    pub sha256: String,
}

impl FileEntry {
    /// The entry that describes `content`.
    pub fn of(name: impl Into<String>, content: &[u8]) -> Self {
        FileEntry { name: name.into(), bytes: content.len() as u64, sha256: sha256_hex(content) }
    }

    /// Checks `content` against this entry.
    ///
    /// # Errors
    /// [`Error::ModelIntegrity`] with what was expected and what is there.
    pub fn check(&self, content: &[u8]) -> Result<(), Error> {
        let refuse = |detail: String| Err(Error::ModelIntegrity { file: self.name.clone(), detail });
        if content.len() as u64 != self.bytes {
            return refuse(format!("expected {} bytes, got {}", self.bytes, content.len()));
        }
        let actual = sha256_hex(content);
        if actual != self.sha256 {
            return refuse(format!("expected sha256 {}, got {actual}", self.sha256));
        }
        Ok(())
    }
}

impl Manifest {
    /// The manifest in `json`, with every field checked.
    ///
    /// # Errors
    /// [`Error::Manifest`] naming the field.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let refuse = |detail: String| Error::Manifest { detail };
        if json.len() > MAX_MANIFEST_BYTES {
            return Err(refuse(format!(
                "it has {} bytes, at most {MAX_MANIFEST_BYTES} are read",
                json.len()
            )));
        }
        // The version decides how the rest is read, so it is looked at first.
        let value: serde_json::Value =
            serde_json::from_slice(json).map_err(|error| refuse(format!("it is not JSON: {error}")))?;
        let version = value.get("schema_version").and_then(|v| v.as_str()).unwrap_or("missing");
        let major = |version: &str| version.split('.').next().map(str::to_owned);
        if major(version) != major(SCHEMA_VERSION) {
            return Err(refuse(format!("schema_version is {version}, this engine reads {SCHEMA_VERSION}")));
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(|error| refuse(error.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The entry of the file called `name`.
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|entry| entry.name == name)
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |detail: String| Err(Error::Manifest { detail });
        self.preprocess.check()?;
        self.thresholds.check()?;
        if self.files.len() > MAX_FILES {
            return refuse(format!("it lists {} files, at most {MAX_FILES} are read", self.files.len()));
        }
        let mut seen = BTreeSet::new();
        for entry in &self.files {
            check_file_name(&entry.name)?;
            // Two names that differ in case alone are one file on some systems.
            if !seen.insert(entry.name.to_ascii_lowercase()) {
                return refuse(format!("files lists {:?} twice", entry.name));
            }
            if entry.bytes > MAX_FILE_BYTES {
                return refuse(format!(
                    "{:?} has {} bytes, at most {MAX_FILE_BYTES}",
                    entry.name, entry.bytes
                ));
            }
            if entry.sha256.len() != 64
                || !entry.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            {
                return refuse(format!("sha256 of {:?} is not 64 lower-case hexadecimal digits", entry.name));
            }
        }
        if self.stages.len() != 1 {
            return refuse(format!("it has {} stages, this engine runs exactly one", self.stages.len()));
        }
        for stage in &self.stages {
            if self.file(&stage.file).is_none() {
                return refuse(format!(
                    "stage {:?} names {:?}, which files does not list",
                    stage.name, stage.file
                ));
            }
            if !(stage.temperature.is_finite() && stage.temperature > 0.0) {
                return refuse(format!("temperature of stage {:?} is {}", stage.name, stage.temperature));
            }
        }
        Ok(())
    }
}

/// A manifest with the content of its files, all verified.
#[derive(Debug, Clone)]
pub struct Bundle {
    manifest: Manifest,
    contents: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// The bundle of `manifest` whose files `content_of` brings by name.
    ///
    /// # Errors
    /// [`Error::ModelIntegrity`] for the first file that is missing or differs, and whatever
    /// `content_of` answers.
    pub fn new(
        manifest: Manifest,
        mut content_of: impl FnMut(&FileEntry) -> Result<Vec<u8>, Error>,
    ) -> Result<Self, Error> {
        let mut contents = BTreeMap::new();
        for entry in &manifest.files {
            let content = content_of(entry)?;
            entry.check(&content)?;
            contents.insert(entry.name.clone(), content);
        }
        Ok(Bundle { manifest, contents })
    }

    /// What the bundle says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The verified bytes of the file called `name`, if the manifest lists it.
    pub fn content(&self, name: &str) -> Option<&[u8]> {
        self.contents.get(name).map(Vec::as_slice)
    }
}

/// Lower-case hexadecimal SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses names that could leave the bundle's folder or mean a device.
fn check_file_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let ok = !name.is_empty() && name.len() <= 128 && name.chars().all(plain) && !name.starts_with('.');
    if ok && !name.eq_ignore_ascii_case(MANIFEST_NAME) {
        return Ok(());
    }
    let detail = format!("{name:?} is not a plain file name of letters, digits, '.', '-' and '_'");
    Err(Error::Manifest { detail })
}
