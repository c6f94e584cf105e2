//! The worker that owns the model: loads and verifies it, then judges picture after picture.
//!
//! A panic, or memory that is refused, ends the wasm instance. It is not caught here: it reaches the page as the
//! worker's `error` event, and the page starts another one.
//!
//! The bundle lies where the worker's name says, else in [`BUNDLE_FOLDER`].

use crate::download::{BUNDLE_FOLDER, describe, fetch_bundle};
use crate::message::{Failure, ModelCard, Progress, Quality, Request, Response};
use engine::frame::MAX_FILE_BYTES;
use engine::golden::GoldenReport;
use engine::{Detector, Error, Golden, Manifest};
use js_sys::Uint8Array;
use serde::Serialize;
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, DedicatedWorkerGlobalScope, MessageEvent};

#[wasm_bindgen]
extern "C" {
    /// Milliseconds since the worker began.
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    pub(crate) fn now_ms() -> f64;
}

/// Loads the model and answers the page from then on.
pub fn start() {
    spawn_local(async {
        match load().await {
            Ok(engine) => serve(engine),
            Err(failure) => post(&Response::Failed { id: None, failure }),
        }
    });
}

/// The loaded bundle.
struct Engine {
    detector: RefCell<Detector>,
    /// Vectors that do not read spoil the check alone.
    golden: Result<Option<Golden>, Error>,
}

async fn load() -> Result<Engine, Failure> {
    post(&Response::Loading(Progress::default()));
    let name = scope().name();
    let folder = if name.is_empty() { BUNDLE_FOLDER } else { &name };
    let bundle = fetch_bundle(folder, &|progress| post(&Response::Loading(progress))).await?;
    let detector = RefCell::new(Detector::load_fastest(&bundle, &now_ms)?);
    Ok(Engine { detector, golden: bundle.golden() })
}

fn serve(engine: Engine) {
    let card = card(engine.detector.borrow().manifest());
    let engine = Rc::new(engine);
    listen(move |request: Request| {
        let engine = engine.clone();
        spawn_local(async move { post(&answer(&engine, request).await) });
    });
    post(&Response::Ready(card));
}

async fn answer(engine: &Engine, request: Request) -> Response {
    let detector = &engine.detector;
    let (id, answer) = match request {
        Request::Check => return Response::Checked(check(engine)),
        Request::Judge { id, picture } => (id, judge(detector, id, &picture).await),
    };
    answer.unwrap_or_else(|failure| Response::Failed { id: Some(id), failure })
}

fn check(engine: &Engine) -> Result<GoldenReport, Failure> {
    let golden = engine.golden.as_ref()?;
    let golden = golden.as_ref().ok_or_else(|| Failure::new("golden", "the model has no golden vectors"))?;
    Ok(golden.check(&mut engine.detector.borrow_mut(), &now_ms))
}

async fn judge(detector: &RefCell<Detector>, id: u32, picture: &Blob) -> Result<Response, Failure> {
    let bytes = read(picture).await?;
    let report = detector.borrow_mut().judge(&bytes, &now_ms)?;
    Ok(Response::Judged { id, report: Box::new(report) })
}

/// The bytes of `picture`, unless the engine would refuse so many.
pub(crate) async fn read(picture: &Blob) -> Result<Vec<u8>, Failure> {
    if picture.size() > MAX_FILE_BYTES as f64 {
        let what = format!("the file has {} bytes", picture.size());
        return Err(Error::TooLarge { what, limit: MAX_FILE_BYTES as u64, unit: "bytes" }.into());
    }
    let buffer = JsFuture::from(picture.array_buffer()).await.map_err(|error| {
        Failure::new("io", format!("the file cannot be read ({}); choose it again", describe(&error)))
    })?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

fn card(manifest: &Manifest) -> ModelCard {
    ModelCard {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        licence: manifest.licence.clone(),
        has_golden: manifest.golden.is_some(),
        quality: quality(&manifest.training),
    }
}

/// The figures in the free form that `aware bundle` writes.
fn quality(training: &serde_json::Value) -> Option<Quality> {
    let all = training.get("test")?.get("all")?;
    Some(Quality {
        accuracy: all.get("accuracy")?.as_f64()?,
        auc: all.get("auc")?.as_f64()?,
        pictures: all.get("real")?.as_u64()? + all.get("fake")?.as_u64()?,
    })
}

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Calls `on_request` with each message of the page.
pub(crate) fn listen<T: serde::de::DeserializeOwned>(on_request: impl Fn(T) + 'static) {
    let on_message =
        Closure::<dyn Fn(MessageEvent)>::new(
            move |event: MessageEvent| match serde_wasm_bindgen::from_value(event.data()) {
                Ok(request) => on_request(request),
                Err(error) => throw(error.into()),
            },
        );
    scope().set_onmessage(Some(on_message.into_js_value().unchecked_ref()));
}

/// Sends `response` to the page.
pub(crate) fn post(response: &impl Serialize) {
    let posted = serde_wasm_bindgen::to_value(response)
        .map_err(JsValue::from)
        .and_then(|message| scope().post_message(&message));
    if let Err(error) = posted {
        throw(error);
    }
}

/// Ends this turn of the worker; the page hears of it as an `error` event.
fn throw(error: JsValue) -> ! {
    wasm_bindgen::throw_val(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quality_is_read_where_the_manifest_has_it() {
        let training = json!({ "test": { "all": { "accuracy": 0.75, "auc": 0.8, "real": 30, "fake": 12 } } });
        assert_eq!(quality(&training), Some(Quality { accuracy: 0.75, auc: 0.8, pictures: 42 }));
        for other in
            [json!(null), json!({ "test": {} }), json!({ "test": { "all": { "accuracy": "good" } } })]
        {
            assert_eq!(quality(&other), None, "{other}");
        }
    }
}
