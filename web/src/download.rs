//! Files of the page's own origin -> verified [`Bundle`]; runs in a worker.

use crate::message::{Failure, Progress};
use crate::timer::{Timer, sleep};
use engine::bundle::{FileEntry, MANIFEST_NAME, MAX_MANIFEST_BYTES};
use engine::faces::{FACE_MANIFEST_NAME, FaceFiles, FaceManifest};
use engine::{Bundle, Manifest};
use js_sys::{Reflect, Uint8Array};
use std::collections::BTreeMap;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, ReadableStreamDefaultReader, RequestCache, RequestInit, WorkerGlobalScope};

/// The bundle that the page judges with: a network in integers.
pub const BUNDLE_FOLDER: &str = "models/first-int8";
/// The face detector, if the site has one.
pub const FACE_FOLDER: &str = "models/face";
/// The same network in floats, which wonnx runs: fetched when somebody asks for a second opinion.
pub const FLOAT_FOLDER: &str = "models/first";

/// A download without a byte for so long has stalled.
const STALL_MS: i32 = 20_000;
const STALLED: &str = "no byte came for 20 seconds";
/// Waits before a download is tried again.
const BACK_OFF_MS: [i32; 2] = [1_000, 4_000];

/// The verified bundle in `folder`, a path relative to the worker's script: the files that the first picture needs.
///
/// # Errors
/// `model_load` if a file does not arrive; the engine's codes if one is not what it must be.
pub async fn fetch_bundle(folder: &str, on_progress: &dyn Fn(Progress)) -> Result<Bundle, Failure> {
    let manifest_path = format!("{folder}/{MANIFEST_NAME}");
    let json = fetch(&manifest_path, RequestCache::NoCache, MAX_MANIFEST_BYTES as u64, &|_| {}).await?;
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
    let cached = fetch(&path, RequestCache::Default, entry.bytes, on_bytes).await?;
    if entry.check(&cached).is_ok() {
        return Ok(cached);
    }
    fetch(&path, RequestCache::Reload, entry.bytes, on_bytes).await
}

/// The verified face detector of this site; nothing if it has none.
///
/// # Errors
/// As [`fetch_bundle`].
pub async fn fetch_faces() -> Result<Option<FaceFiles>, Failure> {
    let path = format!("{FACE_FOLDER}/{FACE_MANIFEST_NAME}");
    let json = fetch_if_there(&path, RequestCache::NoCache, MAX_MANIFEST_BYTES as u64, &|_| {}).await?;
    let Some(json) = json else { return Ok(None) };
    let manifest = FaceManifest::parse(&json)?;
    let Some(entry) = manifest.file(&manifest.network).cloned() else { return Ok(None) };
    let network = fetch_file(FACE_FOLDER, &entry, &|_| {}).await?;
    Ok(Some(FaceFiles::new(manifest, network)?))
}

/// The body at `path`. Reading stops after `expected` bytes are exceeded: who knows the right size refuses it.
async fn fetch(
    path: &str,
    cache: RequestCache,
    expected: u64,
    on_bytes: &dyn Fn(u64),
) -> Result<Vec<u8>, Failure> {
    let body = fetch_if_there(path, cache, expected, on_bytes).await?;
    body.ok_or_else(|| did_not_load(path, "the server answered 404"))
}

fn did_not_load(path: &str, why: &str) -> Failure {
    Failure::new("model_load", format!("{path} did not load ({why}); check the connection and try again"))
}

/// Why a body did not come.
enum Miss {
    /// Asking again may help.
    Passing(String),
    /// The server means it.
    Lasting(String),
}

/// As [`fetch`]; nothing where the server has no such file.
async fn fetch_if_there(
    path: &str,
    cache: RequestCache,
    expected: u64,
    on_bytes: &dyn Fn(u64),
) -> Result<Option<Vec<u8>>, Failure> {
    let mut waits_ms = BACK_OFF_MS.iter();
    loop {
        let why = match fetch_once(path, cache, expected, on_bytes).await {
            Ok(body) => return Ok(body),
            Err(Miss::Lasting(why)) => return Err(did_not_load(path, &why)),
            Err(Miss::Passing(why)) => why,
        };
        let Some(&wait_ms) = waits_ms.next() else { return Err(did_not_load(path, &why)) };
        sleep(wait_ms).await;
    }
}

async fn fetch_once(
    path: &str,
    cache: RequestCache,
    expected: u64,
    on_bytes: &dyn Fn(u64),
) -> Result<Option<Vec<u8>>, Miss> {
    let broken = |error: JsValue| Miss::Passing(describe(&error));
    let controller = AbortController::new().map_err(broken)?;
    let options = RequestInit::new();
    options.set_cache(cache);
    options.set_signal(Some(&controller.signal()));
    let mut patience = Timer::new(STALL_MS, move || controller.abort_with_reason(&STALLED.into()));
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    let response = JsFuture::from(scope.fetch_with_str_and_init(path, &options)).await.map_err(broken)?;
    let response: web_sys::Response = response.unchecked_into();
    match response.status() {
        200 => {}
        404 => return Ok(None),
        status @ (408 | 429 | 500..) => return Err(Miss::Passing(format!("the server answered {status}"))),
        status => return Err(Miss::Lasting(format!("the server answered {status}"))),
    }
    let Some(body) = response.body() else { return Ok(Some(Vec::new())) };
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut content = Vec::new();
    while content.len() as u64 <= expected {
        let chunk = JsFuture::from(reader.read()).await.map_err(broken)?;
        patience.restart();
        if Reflect::get(&chunk, &"done".into()).map_err(broken)?.is_truthy() {
            break;
        }
        let chunk = Reflect::get(&chunk, &"value".into()).map_err(broken)?;
        let chunk: Uint8Array = chunk.dyn_into().map_err(broken)?;
        let start = content.len();
        content.resize(start + chunk.length() as usize, 0);
        chunk.copy_to(&mut content[start..]);
        on_bytes(content.len() as u64);
    }
    // Nobody waits for the rest of a body that is too long.
    drop(reader.cancel());
    Ok(Some(content))
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
