//! The folder of a face detector on disk: read with every byte checked, and nothing else in it.

use crate::bundle::read_own;
use anyhow::{Context, Result, ensure};
use engine::faces::{FACE_MANIFEST_NAME, FaceFiles, FaceManifest, MAX_FACE_FILE_BYTES};
use std::path::Path;

/// More entries than any such folder has.
const MOST_ENTRIES: usize = 16;

/// The verified network of the face detector in `folder`.
///
/// # Errors
/// If the manifest or a file it names is missing, a link, too large or altered, or if the folder holds anything else.
pub fn read_face_files(folder: &Path) -> Result<FaceFiles> {
    let place = || format!("in {}", folder.display());
    let json = read_own(&folder.join(FACE_MANIFEST_NAME), MAX_FACE_FILE_BYTES)
        .with_context(|| format!("{} is no face detector", folder.display()))?;
    let manifest = FaceManifest::parse(&json).with_context(place)?;
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries.take(MOST_ENTRIES) {
        let name = entry.with_context(place)?.file_name();
        let is_listed =
            name.to_str().is_some_and(|name| name == FACE_MANIFEST_NAME || manifest.file(name).is_some());
        ensure!(is_listed, "{} holds {name:?}, which {FACE_MANIFEST_NAME} does not list", folder.display());
    }
    let mut network = Vec::new();
    for entry in &manifest.files {
        let content = read_own(&folder.join(&entry.name), entry.bytes)?;
        entry.check(&content).with_context(place)?;
        if entry.name == manifest.network {
            network = content;
        }
    }
    FaceFiles::new(manifest, network).with_context(place)
}
