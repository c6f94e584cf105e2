//! The worker that owns the model: loads and verifies it, then judges picture after picture.
//!
//! A panic, or memory that is refused, ends the wasm instance. It is not caught here: it reaches the page as the
//! worker's `error` event, and the page starts another one.
//!
//! The bundle lies where the worker's name says, else in [`BUNDLE_FOLDER`]; behind a question mark the name may wish for
//! `cpu` or `gpu`.

use crate::accelerator::{Accelerator, Networks, Wish};
use crate::download::{BUNDLE_FOLDER, describe, fetch_bundle, fetch_late};
use crate::message::{Failure, GpuState, ModelCard, Progress, Quality, Request, Response};
use engine::cascade::Next;
use engine::frame::MAX_FILE_BYTES;
use engine::golden::GoldenReport;
use engine::report::Notice;
use engine::{Crop, Detector, Error, Frame, Golden, Manifest, Report};
use js_sys::Uint8Array;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::VecDeque;
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
        match Engine::load().await {
            Ok((engine, opening)) => serve(engine, opening).await,
            Err(failure) => post(&Response::Failed { id: None, failure }),
        }
    });
}

/// The loaded bundle.
struct Engine {
    folder: String,
    detector: Detector,
    /// Vectors that do not read spoil the check alone.
    golden: Result<Option<Golden>, Error>,
    accelerator: Accelerator,
}

/// What the GPU is opened with.
struct Opening {
    networks: Networks,
    wish: Wish,
}

/// One request after the other: whoever answers has the engine.
struct Desk {
    engine: RefCell<Option<Engine>>,
    waiting: RefCell<VecDeque<Request>>,
    /// The GPU, opened beside the first answers.
    opened: RefCell<Option<Accelerator>>,
}

async fn serve(engine: Engine, opening: Opening) {
    let card = card(engine.detector.manifest());
    let desk = Rc::new(Desk {
        engine: RefCell::new(Some(engine)),
        waiting: RefCell::default(),
        opened: RefCell::default(),
    });
    let is_forced = opening.wish == Wish::Gpu;
    if is_forced {
        open_gpu(&desk, opening).await;
        listen_at(&desk);
        post(&Response::Ready(card));
    } else {
        listen_at(&desk);
        post(&Response::Ready(card));
        open_gpu(&desk, opening).await;
    }
}

async fn open_gpu(desk: &Desk, opening: Opening) {
    let accelerator = Accelerator::open(opening.networks, opening.wish).await;
    post(&Response::Gpu(accelerator.state().clone()));
    desk.opened.replace(Some(accelerator));
}

fn listen_at(desk: &Rc<Desk>) {
    let desk = desk.clone();
    listen(move |request: Request| {
        desk.waiting.borrow_mut().push_back(request);
        spawn_local(work_off(desk.clone()));
    });
}

/// Answers what waits, unless somebody does already.
async fn work_off(desk: Rc<Desk>) {
    let Some(mut engine) = desk.engine.take() else { return };
    loop {
        let Some(request) = desk.waiting.borrow_mut().pop_front() else { break };
        if let Some(accelerator) = desk.opened.take() {
            engine.accelerator = accelerator;
        }
        post(&engine.answer(request).await);
    }
    desk.engine.replace(Some(engine));
}

impl Engine {
    async fn load() -> Result<(Self, Opening), Failure> {
        post(&Response::Loading(Progress::default()));
        let name = scope().name();
        let (folder, wish) = name.split_once('?').unwrap_or((&name, ""));
        let folder = if folder.is_empty() { BUNDLE_FOLDER } else { folder }.to_owned();
        let bundle = fetch_bundle(&folder, &|progress| post(&Response::Loading(progress))).await?;
        let detector = Detector::load_fastest(&bundle, &now_ms)?;
        let golden = bundle.golden();
        let vectors = golden.as_ref().ok().and_then(Option::as_ref);
        let opening = Opening { networks: Networks::of(&bundle, vectors), wish: Wish::of(wish) };
        let accelerator = Accelerator::none("it has not been asked yet");
        Ok((Engine { folder, detector, golden, accelerator }, opening))
    }

    async fn answer(&mut self, request: Request) -> Response {
        let (id, answer) = match request {
            Request::Check => return Response::Checked(self.check()),
            Request::Judge { id, picture } => (id, self.judge(&picture).await),
        };
        match answer {
            Ok(report) => Response::Judged { id, report: Box::new(report) },
            Err(failure) => Response::Failed { id: Some(id), failure },
        }
    }

    fn check(&mut self) -> Result<GoldenReport, Failure> {
        let golden = self.golden.as_ref()?;
        let golden =
            golden.as_ref().ok_or_else(|| Failure::new("golden", "the model has no golden vectors"))?;
        Ok(golden.check(&mut self.detector, &now_ms))
    }

    /// As [`Detector::judge`], each network where it is fastest, and fetched when it is needed.
    async fn judge(&mut self, picture: &Blob) -> Result<Report, Failure> {
        let bytes = read(picture).await?;
        let started_ms = now_ms();
        let frame = Frame::from_encoded(&bytes)?;
        let cascade = self.detector.cascade();
        let mut judgement = cascade.begin(&frame, Crop::centre_square(&frame))?;
        let before = self.accelerator.state().clone();
        let mut report = loop {
            match judgement.next() {
                Next::Done(report) => break *report,
                Next::Run { stage, .. } if !self.has(stage).await => judgement.missing(stage)?,
                Next::Run { stage, input } => {
                    let run_ms = now_ms();
                    let (outputs, backend) = match self.accelerator.run(stage, &input).await {
                        Some(result) => result,
                        None => (self.detector.run(stage, &input)?, "cpu".into()),
                    };
                    judgement.supply(stage, &outputs, now_ms() - run_ms, &backend)?;
                }
            }
        };
        report.set_times(now_ms() - started_ms);
        self.tell_of_gpu(&before, &mut report);
        Ok(report)
    }

    /// Whether the network of `stage` is there, now that it is needed.
    async fn has(&mut self, stage: usize) -> bool {
        if self.detector.has(stage) {
            return true;
        }
        let manifest = self.detector.manifest();
        let entry = manifest.stages.get(stage).and_then(|stage| manifest.file(&stage.file)).cloned();
        let Some(entry) = entry else { return false };
        // A network that does not arrive leaves the answer uncertain, which the report says.
        let Ok(onnx) = fetch_late(&self.folder, &entry).await else { return false };
        let is_taken = self.detector.take(stage, &onnx).is_ok();
        if is_taken {
            self.accelerator.take(stage, &onnx);
        }
        is_taken
    }

    /// Says in the report and to the page that the GPU was left.
    fn tell_of_gpu(&self, before: &GpuState, report: &mut Report) {
        let state = self.accelerator.state();
        if state.has_failed {
            report.notices.push(Notice::GpuLeft);
        }
        if state != before {
            post(&Response::Gpu(state.clone()));
        }
    }
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
