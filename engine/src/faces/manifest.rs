//! What a face detector's folder says of itself, and its files, every byte checked.
//!
//! The folder is a small bundle: `face.json`, the ONNX file, a model card. The format is described in `docs/bundle.md`.

use crate::bundle::FileEntry;
use crate::error::Error;
use crate::manifest::{check_file_name, is_read};
use crate::preprocess::Preprocess;
use serde::{Deserialize, Serialize};

/// Name of the manifest in a face detector's folder.
pub const FACE_MANIFEST_NAME: &str = "face.json";
/// Version of the manifest's schema: an unknown major is refused, a newer minor is read.
pub const FACE_SCHEMA_VERSION: &str = "1.0";
/// Largest file of a face detector, in bytes.
pub const MAX_FACE_FILE_BYTES: u64 = 16 << 20;
/// Most files of a face detector.
const MAX_FILES: usize = 8;
/// Largest manifest, in bytes.
const MAX_MANIFEST_BYTES: usize = 1 << 16;
/// The network has cells of up to 32 pixels.
const CELL: u32 = 32;

/// What a face detector is and how it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaceManifest {
    /// `major.minor` of this schema.
    pub schema_version: String,
    /// Short name, for people.
    pub name: String,
    /// Version of the content.
    pub version: String,
    /// Terms under which the weights may be used.
    pub licence: String,
    /// How the letter-boxed frame becomes the network input.
    pub preprocess: Preprocess,
    /// The ONNX file: one input `[1, 3, S, S]`, three outputs `[1, 5, S / stride, S / stride]`; see
    /// [`boxes`](super::boxes).
    pub network: String,
    /// Least score of a face, 0 to 1.
    pub score_threshold: f32,
    /// Boxes of one face overlap by more than this share of what they cover together.
    pub max_overlap: f32,
    /// Every other file of the folder.
    pub files: Vec<FileEntry>,
    /// Where the weights come from and how good they were; free form, shown to people.
    #[serde(default)]
    pub training: serde_json::Value,
}

impl FaceManifest {
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
        let value: serde_json::Value =
            serde_json::from_slice(json).map_err(|error| refusal(format!("it is not JSON: {error}")))?;
        let version = value.get("schema_version").and_then(|v| v.as_str()).unwrap_or("missing");
        if !is_read(version, FACE_SCHEMA_VERSION) {
            return Err(refusal(format!(
                "schema_version is {version}, this engine reads {FACE_SCHEMA_VERSION}"
            )));
        }
        // Once more from the text, whose errors name line and column.
        let manifest: FaceManifest =
            serde_json::from_slice(json).map_err(|error| refusal(error.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The entry of the file called `name`.
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|entry| entry.name == name)
    }

    fn check(&self) -> Result<(), Error> {
        self.preprocess.check()?;
        if !self.preprocess.size.is_multiple_of(CELL) {
            return Err(refusal(format!(
                "preprocess.size is {}, expected a multiple of {CELL}",
                self.preprocess.size
            )));
        }
        for (name, value) in [("score_threshold", self.score_threshold), ("max_overlap", self.max_overlap)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(refusal(format!("{name} is {value}, expected 0 to 1")));
            }
        }
        if self.files.len() > MAX_FILES {
            return Err(refusal(format!(
                "it lists {} files, at most {MAX_FILES} are read",
                self.files.len()
            )));
        }
        for (index, entry) in self.files.iter().enumerate() {
            check_file_name(&entry.name)?;
            let is_same = |other: &FileEntry| other.name.eq_ignore_ascii_case(&entry.name);
            if self.files[..index].iter().any(is_same) || entry.name.eq_ignore_ascii_case(FACE_MANIFEST_NAME)
            {
                return Err(refusal(format!("files lists {:?}, which is taken", entry.name)));
            }
            if entry.bytes > MAX_FACE_FILE_BYTES {
                return Err(refusal(format!(
                    "{:?} has {} bytes, at most {MAX_FACE_FILE_BYTES}",
                    entry.name, entry.bytes
                )));
            }
        }
        if self.file(&self.network).is_none() {
            return Err(refusal(format!("network names {:?}, which files does not list", self.network)));
        }
        Ok(())
    }
}

/// A manifest with the bytes of its network, verified.
#[derive(Debug, Clone)]
pub struct FaceFiles {
    manifest: FaceManifest,
    network: Vec<u8>,
}

impl FaceFiles {
    /// Those of `manifest` with `network`, the content of the file that it names.
    ///
    /// # Errors
    /// [`Error::ModelIntegrity`] if the content is not what the manifest lists.
    pub fn new(manifest: FaceManifest, network: Vec<u8>) -> Result<Self, Error> {
        let entry = manifest.file(&manifest.network);
        let missing = || refusal(format!("network names {:?}, which files does not list", manifest.network));
        entry.ok_or_else(missing)?.check(&network)?;
        Ok(FaceFiles { manifest, network })
    }

    /// What the files say of themselves.
    pub fn manifest(&self) -> &FaceManifest {
        &self.manifest
    }

    /// The verified bytes of the ONNX file.
    pub fn network(&self) -> &[u8] {
        &self.network
    }
}

fn refusal(detail: String) -> Error {
    Error::Manifest { detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest() -> serde_json::Value {
        json!({
            "schema_version": "1.0", "name": "toy", "version": "1", "licence": "none",
            "preprocess": { "size": 64, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5] },
            "network": "face.onnx", "score_threshold": 0.4, "max_overlap": 0.3,
            "files": [FileEntry::of("face.onnx", b"network")],
        })
    }

    fn parse(manifest: &serde_json::Value) -> Result<FaceManifest, Error> {
        FaceManifest::parse(&serde_json::to_vec(manifest).unwrap())
    }

    #[test]
    fn m02_every_field_is_checked_by_name() {
        assert!(parse(&manifest()).is_ok());
        let cases = [
            ("/schema_version", json!("2.0"), "schema_version"),
            ("/preprocess/size", json!(48), "multiple of 32"),
            ("/preprocess/size", json!(4096), "preprocess.size"),
            ("/score_threshold", json!(1.5), "score_threshold"),
            ("/max_overlap", json!(-0.1), "max_overlap"),
            ("/network", json!("other.onnx"), "other.onnx"),
            ("/files/0/name", json!("../face.onnx"), "plain file name"),
            ("/files/0/name", json!("FACE.json"), "taken"),
            ("/files/0/bytes", json!(1u64 << 40), "at most"),
            ("/licence", json!(3), "line"),
        ];
        for (pointer, value, want) in cases {
            let mut altered = manifest();
            *altered.pointer_mut(pointer).unwrap() = value;
            let error = parse(&altered).unwrap_err().to_string();
            assert!(error.contains(want), "{pointer}: {error}");
        }
        assert!(FaceManifest::parse(b"{").is_err());
        assert!(FaceManifest::parse(&vec![b' '; MAX_MANIFEST_BYTES + 1]).is_err());
    }

    #[test]
    fn m01_an_altered_network_is_refused() {
        let manifest = parse(&manifest()).unwrap();
        assert!(FaceFiles::new(manifest.clone(), b"network".to_vec()).is_ok());
        for altered in [&b"networt"[..], b"network ", b""] {
            let error = FaceFiles::new(manifest.clone(), altered.to_vec()).unwrap_err();
            assert!(matches!(error, Error::ModelIntegrity { .. }), "{error}");
        }
    }
}
