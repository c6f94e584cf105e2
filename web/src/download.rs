//! Files of the page's own origin -> verified [`Bundle`]; runs in a worker.

use crate::message::{Failure, Progress};
use crate::transfer::{Size, fetch_body};
use engine::bundle::{FileEntry, MANIFEST_NAME, MAX_MANIFEST_BYTES};
use engine::faces::{FACE_MANIFEST_NAME, FaceFiles, FaceManifest};
use engine::{Bundle, Manifest};
use std::collections::BTreeMap;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::RequestCache;

/// The bundle that the page judges with: networks in integers.
pub const BUNDLE_FOLDER: &str = "models/cascade";
/// The face detector, if the site has one.
pub const FACE_FOLDER: &str = "models/face";
/// Its filter in floats, which wonnx runs: fetched when somebody asks for a second opinion.
pub const FLOAT_FOLDER: &str = "models/faces";

const MANIFEST_SIZE: Size = Size::AtMost(MAX_MANIFEST_BYTES as u64);

/// The verified bundle in `folder`, a path relative to the worker's script: the files that the first picture needs.
///
/// # Errors
/// `model_load` if a file does not arrive; the engine's codes if one is not what it must be.
pub async fn fetch_bundle(folder: &str, on_progress: &dyn Fn(Progress)) -> Result<Bundle, Failure> {
    let manifest_path = format!("{folder}/{MANIFEST_NAME}");
    let json = fetch(&manifest_path, RequestCache::NoCache, MANIFEST_SIZE, &|_| {}).await?;
    let manifest = Manifest::parse(&json)?;
    let total = manifest.eager_files().map(|entry| entry.bytes).sum();
    let mut received = 0;
    let mut contents = BTreeMap::new();
    for entry in manifest.eager_files() {
        let content = fetch_file(folder, entry, &|bytes| {
            on_progress(Progress { received: received + bytes, total });
        })
        .await?;
        received += entry.bytes;
        contents.insert(entry.name.clone(), content);
    }
    // A file that is not there has the wrong size, which the bundle refuses.
    Ok(Bundle::of_eager_files(manifest, |entry| Ok(contents.remove(&entry.name).unwrap_or_default()))?)
}

/// The content of `entry` of the bundle in `folder`, which a picture turned out to need; whoever takes it checks it.
///
/// # Errors
/// `model_load` if it does not arrive.
pub async fn fetch_late(folder: &str, entry: &FileEntry) -> Result<Vec<u8>, Failure> {
    fetch_file(folder, entry, &|_| {}).await
}

/// The content of `entry`, past the cache if the cached one is not it: caches have kept error pages under
/// the names of files.
async fn fetch_file(folder: &str, entry: &FileEntry, on_bytes: &dyn Fn(u64)) -> Result<Vec<u8>, Failure> {
    let path = format!("{folder}/{}", entry.name);
    let size = Size::Exactly(entry.bytes);
    let cached = fetch(&path, RequestCache::Default, size, on_bytes).await?;
    if entry.check(&cached).is_ok() {
        return Ok(cached);
    }
    fetch(&path, RequestCache::Reload, size, on_bytes).await
}

/// The verified face detector of this site; nothing if it has none.
///
/// # Errors
/// As [`fetch_bundle`].
pub async fn fetch_faces() -> Result<Option<FaceFiles>, Failure> {
    let path = format!("{FACE_FOLDER}/{FACE_MANIFEST_NAME}");
    let json = fetch_if_there(&path, RequestCache::NoCache, MANIFEST_SIZE, &|_| {}).await?;
    let Some(json) = json else { return Ok(None) };
    let manifest = FaceManifest::parse(&json)?;
    let Some(entry) = manifest.file(&manifest.network).cloned() else { return Ok(None) };
    let network = fetch_file(FACE_FOLDER, &entry, &|_| {}).await?;
    Ok(Some(FaceFiles::new(manifest, network)?))
}

async fn fetch(
    path: &str,
    cache: RequestCache,
    size: Size,
    on_bytes: &dyn Fn(u64),
) -> Result<Vec<u8>, Failure> {
    let body = fetch_if_there(path, cache, size, on_bytes).await?;
    body.ok_or_else(|| did_not_load(path, "the server answered 404"))
}

/// As [`fetch_body`].
async fn fetch_if_there(
    path: &str,
    cache: RequestCache,
    size: Size,
    on_bytes: &dyn Fn(u64),
) -> Result<Option<Vec<u8>>, Failure> {
    fetch_body(path, cache, size, on_bytes).await.map_err(|why| did_not_load(path, &why))
}

fn did_not_load(path: &str, why: &str) -> Failure {
    Failure::new("model_load", format!("{path} did not load ({why}); check the connection and try again"))
}

/// What a thrown JavaScript value says.
pub fn describe(error: &JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.to_string()),
        None => error.as_string().unwrap_or_else(|| "an unknown error".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_leads_to_the_card_of_the_bundle_that_judges() {
        let document = include_str!("../../index.html");
        assert!(document.contains(&format!("href=\"{BUNDLE_FOLDER}/MODEL_CARD.md\"")));
    }
}
