//! The built page's list of its own files, and the service worker that keeps them.

use crate::project::Project;
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// What web/src/worker_handle.rs registers; it is no file of the list, which is in it.
const SERVICE_WORKER: &str = "service_worker.js";
const DOCUMENT: &str = "index.html";

/// Beginnings of the paths of what a first verdict takes, besides the engine. Everything else is kept once it was asked for.
const NEEDED: [&str; 16] = [
    "index.html",
    "start.js",
    "style.css",
    "icon.svg",
    // Firefox asks for it at each visit.
    "icon-192.png",
    "app.js",
    "app_bg.wasm",
    "app.webmanifest",
    "models/face/face.",
    "models/cascade/manifest.json",
    "models/cascade/stage1.onnx",
    "models/cascade/golden.json",
    "models/cascade/MODEL_CARD.md",
    "models/samples/samples.json",
    "models/samples/real-",
    "models/samples/fake-",
];

/// Writes the version of the page in `folder` into its document, and its service worker beside it; gives the version.
///
/// The version is a digest of all files, so that any change makes another one, and the same sources the same.
///
/// # Errors
/// If the folder holds no page, or cannot be read or written.
pub fn write_service_worker(project: &Project, folder: &Path) -> Result<String> {
    let source = read_text(&project.web().join(SERVICE_WORKER))?;
    let document = folder.join(DOCUMENT);
    let html = read_text(&document)?;
    let stamped = |version: &str| {
        with_version(&html, version).with_context(|| format!("{} has no #version", document.display()))
    };
    let mut files = BTreeMap::new();
    collect(folder, "", &mut files)?;
    files.insert(DOCUMENT.into(), stamped("")?.into_bytes());
    let version = version(&files, &source);
    let html = stamped(&version)?;
    write(&document, &html)?;
    files.insert(DOCUMENT.into(), html.into_bytes());
    let list: Map<String, Value> =
        files.iter().map(|(path, content)| (path.clone(), entry(path, content))).collect();
    let site = json!({ "version": version, "files": list });
    write(&folder.join(SERVICE_WORKER), &format!("const SITE = {site};\n{source}"))?;
    Ok(version)
}

fn entry(path: &str, content: &[u8]) -> Value {
    json!({ "when": when(path), "bytes": content.len(), "sha256": sha256(content) })
}

/// When the file at `path` is kept: from the first visit on, `relaxed` and `simd128` by browsers with these instructions.
fn when(path: &str) -> &'static str {
    if path.starts_with("worker_relaxed") {
        "relaxed"
    } else if path.starts_with("worker") {
        "simd128"
    } else if NEEDED.iter().any(|needed| path.starts_with(needed)) {
        "always"
    } else {
        "later"
    }
}

fn version(files: &BTreeMap<String, Vec<u8>>, source: &str) -> String {
    let lines: String =
        files.iter().map(|(path, content)| format!("{}  {path}\n", sha256(content))).collect();
    sha256((lines + source).as_bytes())[..12].to_owned()
}

/// `html` with `version` in its element `#version`; nothing if it has none.
fn with_version(html: &str, version: &str) -> Option<String> {
    const OPEN: &str = r#"<span id="version">"#;
    let (before, behind) = html.split_once(OPEN)?;
    let (_, behind) = behind.split_once("</span>")?;
    Some(format!("{before}{OPEN}{version}</span>{behind}"))
}

/// The files of `folder` by their paths, which begin with `prefix`.
fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    let context = || format!("cannot list {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().with_context(context)?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if path != SERVICE_WORKER {
            let content = std::fs::read(entry.path())
                .with_context(|| format!("cannot read {}", entry.path().display()))?;
            files.insert(path, content);
        }
    }
    Ok(())
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn write(file: &Path, content: &str) -> Result<()> {
    std::fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kept_when_they_are_needed() {
        for (path, want) in [
            ("index.html", "always"),
            ("icon-192.png", "always"),
            ("icon-512.png", "later"),
            ("worker.js", "simd128"),
            ("worker_loader.js", "simd128"),
            ("worker_relaxed_bg.wasm", "relaxed"),
            ("wonnx_bg.wasm", "later"),
            ("decoder_bg.wasm", "later"),
            ("models/cascade/stage1.onnx", "always"),
            ("models/cascade/efficientnet.onnx", "later"),
            ("models/faces/stage1.onnx", "later"),
            ("models/samples/README.md", "later"),
            ("peers/index.html", "later"),
        ] {
            assert_eq!(when(path), want, "{path}");
        }
    }

    #[test]
    fn the_version_changes_with_every_file_and_not_with_itself() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf();
        let project = Project { root, target: "target".into(), tools: "tools".into() };
        let folder = std::env::temp_dir().join(format!("aware-offline-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("models")).unwrap();
        write(&folder.join(DOCUMENT), r#"<p>Version <span id="version">x</span>.</p>"#).unwrap();
        write(&folder.join("models/a b"), "1").unwrap();
        let first = write_service_worker(&project, &folder).unwrap();
        let script = read_text(&folder.join(SERVICE_WORKER)).unwrap();
        let list = script.lines().next().unwrap().strip_prefix("const SITE = ").unwrap();
        let list: Value = serde_json::from_str(list.strip_suffix(';').unwrap()).unwrap();
        let html = read_text(&folder.join(DOCUMENT)).unwrap();
        assert_eq!(html, format!(r#"<p>Version <span id="version">{first}</span>.</p>"#));
        assert_eq!(list["version"], first);
        assert_eq!(list["files"]["index.html"], entry("index.html", html.as_bytes()));
        assert_eq!(
            list["files"].as_object().unwrap().keys().collect::<Vec<_>>(),
            ["index.html", "models/a b"]
        );
        assert_eq!(write_service_worker(&project, &folder).unwrap(), first);
        write(&folder.join("models/a b"), "2").unwrap();
        assert_ne!(write_service_worker(&project, &folder).unwrap(), first);
        write(&folder.join(DOCUMENT), "<p>").unwrap();
        assert!(write_service_worker(&project, &folder).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
