//! The deployment package: a manifest and the files it names, every byte checked.
//!
//! The format is described in `docs/bundle.md`. A bundle is read from memory; where the bytes come
//! from (a folder, a web server, a cache) is the caller's business.

pub use crate::manifest::{
    Loading, MANIFEST_NAME, MAX_FILE_BYTES, MAX_FILES, MAX_MANIFEST_BYTES, Manifest, NetworkFormat,
    OtherFile, Precision, Role, SCHEMA_VERSION, Stage,
};

use crate::error::Error;
use crate::golden::Golden;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A file of the bundle with what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
        let contents = verified(manifest.files.iter(), &mut content_of)?;
        Ok(Bundle { manifest, contents })
    }

    /// As [`Bundle::new`], but only of the files that this engine loads: what is for people and other runtimes need not
    /// be fetched to judge a picture.
    ///
    /// # Errors
    /// Those of [`Bundle::new`].
    pub fn of_loaded_files(
        manifest: Manifest,
        mut content_of: impl FnMut(&FileEntry) -> Result<Vec<u8>, Error>,
    ) -> Result<Self, Error> {
        let contents = verified(manifest.loaded_files(), &mut content_of)?;
        Ok(Bundle { manifest, contents })
    }

    /// As [`Bundle::of_loaded_files`], but without the stages that are loaded lazily; [`crate::Detector::take`] takes
    /// them when they arrive.
    ///
    /// # Errors
    /// Those of [`Bundle::new`].
    pub fn of_eager_files(
        manifest: Manifest,
        mut content_of: impl FnMut(&FileEntry) -> Result<Vec<u8>, Error>,
    ) -> Result<Self, Error> {
        let contents = verified(manifest.eager_files(), &mut content_of)?;
        Ok(Bundle { manifest, contents })
    }

    /// What the bundle says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The golden vectors, if the bundle has any.
    ///
    /// # Errors
    /// Those of [`Golden::parse`].
    pub fn golden(&self) -> Result<Option<Golden>, Error> {
        let content = self.manifest.golden.as_deref().and_then(|name| self.content(name));
        content.map(|json| Golden::parse(json, &self.manifest)).transpose()
    }

    /// The verified bytes of the file called `name`, if it was read.
    pub fn content(&self, name: &str) -> Option<&[u8]> {
        self.contents.get(name).map(Vec::as_slice)
    }
}

fn verified<'a>(
    entries: impl Iterator<Item = &'a FileEntry>,
    content_of: &mut impl FnMut(&FileEntry) -> Result<Vec<u8>, Error>,
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let mut contents = BTreeMap::new();
    for entry in entries {
        let content = content_of(entry)?;
        entry.check(&content)?;
        contents.insert(entry.name.clone(), content);
    }
    Ok(contents)
}

/// Lower-case hexadecimal SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
