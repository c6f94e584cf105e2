//! What a scan was made with, and what says that a shard of it is done.

use super::shard::MAX_SHARDS;
use crate::files::{read_limited, write_json};
use anyhow::{Context, Result, bail, ensure};
use engine::bundle::FileEntry;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Version of the files of a scan; another major is not read.
pub const SCAN_SCHEMA_VERSION: &str = "1.0";
/// The file in an output folder that says what all its shards are made with.
pub const SCAN_NAME: &str = "scan.json";
/// The file in a shard's folder that says that the shard is done.
pub const DONE_NAME: &str = "done.json";
/// Largest [`SCAN_NAME`] and [`DONE_NAME`]: a hundred million files in parts of a thousand.
const MAX_BYTES: u64 = 64 << 20;

/// What every shard of a scan has in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanIdentity {
    /// `major.minor` of this schema.
    pub schema_version: String,
    /// Version of the engine.
    pub engine_version: String,
    /// The bundle that judges.
    pub bundle: BundleIdentity,
    /// SHA-256 of the face detector's file, if one was given.
    pub faces_sha256: Option<String>,
    /// Number of shards.
    pub shards: u32,
}

/// Which bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleIdentity {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Lower-case hexadecimal SHA-256 of its manifest, which names the digest of every other file.
    pub sha256: String,
}

/// What says that a shard is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// What the whole scan has in common.
    pub scan: ScanIdentity,
    /// Number of the shard, from 0.
    pub shard: u32,
    /// What became of its files.
    pub counts: Counts,
    /// The files with its lines.
    pub parts: Vec<Part>,
}

/// What became of files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// How many there are, whatever became of them.
    pub files: u64,
    /// How many were judged, by the label of the verdict.
    pub labels: BTreeMap<String, u64>,
    /// How many were not judged, by the code of the cause.
    pub errors: BTreeMap<String, u64>,
}

/// A file of lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Name, size and digest.
    #[serde(flatten)]
    pub file: FileEntry,
    /// Number of lines.
    pub lines: u64,
}

impl ScanIdentity {
    /// Claims the folder `output` for this scan: the first shard writes [`SCAN_NAME`], the others compare.
    ///
    /// # Errors
    /// If the folder belongs to a scan with another bundle, engine, face detector or number of shards.
    pub fn claim(&self, output: &Path) -> Result<()> {
        let path = output.join(SCAN_NAME);
        let context = || format!("cannot write {}", path.display());
        std::fs::create_dir_all(output).with_context(context)?;
        if !path.exists() {
            let mut file = tempfile::NamedTempFile::new_in(output).with_context(context)?;
            let mut json = serde_json::to_vec_pretty(self)?;
            json.push(b'\n');
            file.write_all(&json).and_then(|()| file.as_file().sync_all()).with_context(context)?;
            match file.persist_noclobber(&path) {
                // Another shard was faster.
                Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {}
                written => drop(written.map_err(|error| error.error).with_context(context)?),
            }
        }
        let found: ScanIdentity = read(&path)?;
        found
            .check_same(self)
            .with_context(|| format!("{} belongs to another scan; choose another --output", output.display()))
    }

    /// Whether `other` is the same scan.
    ///
    /// # Errors
    /// If not, with the first difference.
    pub fn check_same(&self, other: &Self) -> Result<()> {
        let faces = |identity: &Self| identity.faces_sha256.clone().unwrap_or_else(|| "none".into());
        let bundle = |identity: &Self| {
            let BundleIdentity { name, version, sha256 } = &identity.bundle;
            format!("{name:?} {version:?} (sha256 {sha256})")
        };
        for (what, a, b) in [
            ("bundle", bundle(self), bundle(other)),
            ("number of shards", self.shards.to_string(), other.shards.to_string()),
            ("engine", self.engine_version.clone(), other.engine_version.clone()),
            ("face detector", faces(self), faces(other)),
            ("schema_version", self.schema_version.clone(), other.schema_version.clone()),
        ] {
            ensure!(a == b, "another {what}: {a}, not {b}");
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let major = self.schema_version.split('.').next();
        ensure!(
            major == SCAN_SCHEMA_VERSION.split('.').next(),
            "schema_version is {:?}, this program reads {SCAN_SCHEMA_VERSION:?}",
            self.schema_version
        );
        ensure!((1..=MAX_SHARDS).contains(&self.shards), "it has {} shards", self.shards);
        Ok(())
    }
}

impl Done {
    /// Reads `folder`'s [`DONE_NAME`], if the shard is done.
    ///
    /// # Errors
    /// If the file is not one of ours, or contradicts itself.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(DONE_NAME);
        if path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let done: Done = read(&path)?;
        done.check().with_context(|| format!("in {}", path.display()))?;
        Ok(Some(done))
    }

    /// Writes it to `folder`, which makes the shard done.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(DONE_NAME), self)?;
        crate::files::sync_folder(folder).with_context(|| format!("cannot write {}", folder.display()))
    }

    fn check(&self) -> Result<()> {
        self.scan.check()?;
        ensure!(self.shard < self.scan.shards, "shard {} of {}", self.shard, self.scan.shards);
        for (number, part) in self.parts.iter().enumerate() {
            // The only names there are, so none leads elsewhere.
            ensure!(part.file.name == part_name(number), "part {number} is called {:?}", part.file.name);
        }
        let sums = [self.parts.iter().map(|part| part.lines).fold(0, u64::saturating_add), self.counts.sum()];
        if sums != [self.counts.files; 2] {
            bail!("its counts do not add up: {} files, {sums:?}", self.counts.files);
        }
        Ok(())
    }
}

impl Counts {
    /// Counts one file that was judged to be this.
    pub fn add_label(&mut self, label: &str) {
        self.files += 1;
        *self.labels.entry(label.into()).or_default() += 1;
    }

    /// Counts one file that was not judged, with the code of the cause.
    pub fn add_error(&mut self, code: &str) {
        self.files += 1;
        *self.errors.entry(code.into()).or_default() += 1;
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Counts) {
        self.files = self.files.saturating_add(other.files);
        for (own, others) in [(&mut self.labels, &other.labels), (&mut self.errors, &other.errors)] {
            for (name, count) in others {
                let sum = own.entry(name.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
    }

    /// The counts in a line for people.
    pub fn text(&self) -> String {
        let list = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(name, count)| format!(", {count} {name}")).collect::<String>()
        };
        let errors = self.errors.values().copied().fold(0, u64::saturating_add);
        let causes = list(&self.errors);
        let causes = causes.strip_prefix(", ").map(|causes| format!(" ({causes})")).unwrap_or_default();
        format!("{} files{}, {errors} not judged{causes}", self.files, list(&self.labels))
    }

    fn sum(&self) -> u64 {
        self.labels.values().chain(self.errors.values()).copied().fold(0, u64::saturating_add)
    }
}

/// The folder of shard `index` in `output`.
pub fn shard_folder(output: &Path, index: u32) -> PathBuf {
    output.join(format!("shard-{index:05}"))
}

/// The number that the name of a shard's folder gives.
pub fn shard_of_folder(name: &str) -> Option<u32> {
    let index: u32 = name.strip_prefix("shard-")?.parse().ok()?;
    (name == format!("shard-{index:05}")).then_some(index)
}

/// The name of part `number` of a shard.
pub fn part_name(number: usize) -> String {
    format!("part-{number:06}.jsonl")
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let json = read_limited(path, MAX_BYTES)?;
    serde_json::from_slice(&json).with_context(|| format!("{} is not of a scan", path.display()))
}
