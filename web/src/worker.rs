//! The worker that owns the model: loads and verifies it, then judges picture after picture.
//!
//! A panic, or memory that is refused, ends the wasm instance. It is not caught here: it reaches the page as the
//! worker's `error` event, and the page starts another one.
//!
//! The bundle lies where the worker's name says, else in [`BUNDLE_FOLDER`]; behind a question mark the name may wish for
//! `cpu` or `gpu`.

use crate::accelerator::{Accelerator, Networks, Wish};
use crate::download::{BUNDLE_FOLDER, describe, fetch_bundle, fetch_faces, fetch_late};
use crate::message::{Failure, GpuState, LoadTimes, ModelCard, Progress, Quality, Request, Response};
use crate::pixels::Pixels;
use crate::timed_engine::TimedFile;
use crate::watch::Watch;
use engine::cascade::{FILTER, Next};
use engine::frame::MAX_FILE_BYTES;
use engine::golden::GoldenReport;
use engine::manifest::Role;
use engine::report::Notice;
use engine::video::container::codec_hint;
use engine::video::report::{End, Media};
use engine::video::{Container, JudgedFace, Region};
use engine::{
    Crop, Detector, Error, FaceDetector, Frame, Gathering, Golden, HeatMap, Manifest, ProbabilityFake, Report,
};
use js_sys::Uint8Array;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, DedicatedWorkerGlobalScope, ImageBitmap, MessageEvent};

/// So much of a video's start and end is searched for the name of its codec, in bytes.
const HINT_BYTES: f64 = 65_536.0;

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
pub(crate) struct Engine {
    folder: String,
    pub(crate) detector: Detector,
    /// Finds faces, if the site has what does.
    pub(crate) faces: Option<FaceDetector>,
    /// Vectors that do not read spoil the check alone.
    golden: Result<Option<Golden>, Error>,
    pub(crate) accelerator: Accelerator,
    pub(crate) timed_file: Option<TimedFile>,
    pixels: Pixels,
    /// The video that is being watched.
    watch: Option<Watch>,
}

/// What the GPU is opened with.
struct Opening {
    networks: Networks,
    wish: Wish,
    times: LoadTimes,
}

/// One request after the other: whoever answers has the engine.
struct Desk {
    engine: RefCell<Option<Engine>>,
    waiting: RefCell<VecDeque<Request>>,
    /// The GPU, opened beside the first answers.
    opened: RefCell<Option<Accelerator>>,
}

async fn serve(engine: Engine, opening: Opening) {
    let mut card = card(engine.detector.manifest(), opening.times);
    let desk = Rc::new(Desk {
        engine: RefCell::new(Some(engine)),
        waiting: RefCell::default(),
        opened: RefCell::default(),
    });
    let is_forced = opening.wish == Wish::Gpu;
    if is_forced {
        let started_ms = now_ms();
        open_gpu(&desk, opening).await;
        card.times.gpu_ms = Some(now_ms() - started_ms);
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
        let started_ms = now_ms();
        let bundle = fetch_bundle(&folder, &|progress| post(&Response::Loading(progress))).await?;
        let face_files = fetch_faces().await?;
        let fetch_ms = now_ms() - started_ms;
        let detector = Detector::load_fastest(&bundle, &now_ms)?;
        let faces = match face_files {
            Some(files) => Some(FaceDetector::load_fastest(&files, &now_ms)?),
            None => None,
        };
        let golden = bundle.golden();
        let vectors = golden.as_ref().ok().and_then(Option::as_ref);
        let load_ms = now_ms() - started_ms - fetch_ms;
        let times = LoadTimes { fetch_ms, load_ms, gpu_ms: None };
        let opening = Opening { networks: Networks::of(&bundle, vectors), wish: Wish::of(wish), times };
        let accelerator = Accelerator::none("it has not been asked yet");
        let engine = Engine {
            folder,
            detector,
            faces,
            golden,
            accelerator,
            timed_file: None,
            pixels: Pixels::default(),
            watch: None,
        };
        Ok((engine, opening))
    }

    async fn answer(&mut self, request: Request) -> Response {
        let id = match &request {
            Request::Check | Request::Time(_) => 0,
            Request::Judge { id, .. }
            | Request::Explain { id, .. }
            | Request::Watch { id, .. }
            | Request::Look { id, .. }
            | Request::Finish { id, .. } => *id,
        };
        let answer = match request {
            Request::Check => return Response::Checked(self.check()),
            Request::Time(request) => return Response::Time(self.time(request).await),
            Request::Judge { picture, .. } => self.judge_file(id, &picture).await,
            Request::Explain { picture, crop, .. } => {
                let map = self.explain(&picture, crop).await;
                map.map(|map| Response::Explained { id, map: Box::new(map) })
            }
            Request::Watch { media, .. } => self.watch(id, media),
            Request::Look { time_s, picture, .. } => self.look(id, time_s, &picture).await,
            Request::Finish { end, ended_s, .. } => self.finish(id, end, ended_s),
        };
        answer.unwrap_or_else(|failure| Response::Failed { id: Some(id), failure })
    }

    fn check(&mut self) -> Result<GoldenReport, Failure> {
        let golden = self.golden.as_ref()?;
        let golden =
            golden.as_ref().ok_or_else(|| Failure::new("golden", "the model has no golden vectors"))?;
        Ok(golden.check(&mut self.detector, &now_ms))
    }

    async fn judge_file(&mut self, id: u32, file: &Blob) -> Result<Response, Failure> {
        let head = piece(file, 0.0, Container::HEAD_BYTES as f64).await?;
        if let Some(container) = Container::sniff(&head) {
            let pieces = [
                piece(file, 0.0, HINT_BYTES).await?,
                piece(file, (file.size() - HINT_BYTES).max(0.0), file.size()).await?,
            ];
            let codec = pieces.iter().find_map(|piece| codec_hint(piece)).map(str::to_owned);
            return Ok(Response::IsVideo { id, container, codec });
        }
        self.judge(file).await.map(|report| Response::Judged { id, report: Box::new(report) })
    }

    /// As [`Detector::judge_faces`] or [`Detector::judge`], each network where it is fastest, and fetched when it is needed.
    pub(crate) async fn judge(&mut self, picture: &Blob) -> Result<Report, Failure> {
        let bytes = read(picture).await?;
        let started_ms = now_ms();
        let frame = Frame::from_encoded(&bytes)?;
        let before = self.accelerator.state().clone();
        let mut report = match &mut self.faces {
            None => self.judge_region(&frame, Crop::centre_square(&frame)).await?,
            Some(faces) => {
                let mut gathering = Gathering::new(&frame, faces.faces(&frame)?)?;
                while let Some(crop) = gathering.next() {
                    gathering.supply(self.judge_region(&frame, crop).await)?;
                }
                gathering.finish()?
            }
        };
        report.set_times(now_ms() - started_ms);
        self.tell_of_gpu(&before, &mut report);
        Ok(report)
    }

    async fn judge_region(&mut self, frame: &Frame, crop: Crop) -> Result<Report, Error> {
        let cascade = self.detector.cascade();
        let mut judgement = cascade.begin(frame, crop)?;
        loop {
            match judgement.next() {
                Next::Done(report) => return Ok(*report),
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
        }
    }

    async fn explain(&mut self, picture: &Blob, crop: Crop) -> Result<HeatMap, Failure> {
        let frame = Frame::from_encoded(&read(picture).await?)?;
        // What the page sends is checked like anything from outside.
        let is_inside = crop.x.checked_add(crop.width()).is_some_and(|right| right <= frame.width())
            && crop.y.checked_add(crop.height()).is_some_and(|bottom| bottom <= frame.height())
            && crop.width() > 0
            && crop.height() > 0;
        if !is_inside {
            return Err(Failure::new("page", "the region is not in the picture"));
        }
        Ok(self.detector.heat_map(&frame, crop)?)
    }

    fn watch(&mut self, id: u32, media: Media) -> Result<Response, Failure> {
        let watch = self.watch.insert(Watch::new(id, self.detector.manifest(), media, self.faces.is_some())?);
        Ok(Response::Planned { id, plan: *watch.plan() })
    }

    async fn look(&mut self, id: u32, time_s: f64, picture: &ImageBitmap) -> Result<Response, Failure> {
        let started_ms = now_ms();
        let frame = self.pixels.read(picture)?;
        // Out of its place while networks run, which need the engine.
        let Some(mut watch) = self.watch.take().filter(|watch| watch.id == id) else {
            return Err(Failure::new("page", "there is no such video"));
        };
        let is_due = watch.looks(&frame, time_s);
        if is_due {
            let regions = match &mut self.faces {
                Some(faces) => Region::of_faces(&frame, &faces.faces(&frame)?),
                None => vec![Region::middle(&frame)],
            };
            let mut judged = Vec::new();
            for region in watch.choose(regions) {
                judged.push(self.judge_face(&watch, &frame, region).await?);
            }
            watch.add(&judged, now_ms() - started_ms);
        }
        let analysis = watch.analysis();
        let faces = analysis.last().filter(|_| is_due).map(|sample| sample.faces.clone());
        let response = Response::Looked {
            id,
            faces: faces.unwrap_or_default(),
            size: [frame.width(), frame.height()],
            samples: analysis.samples(),
            next_due_s: analysis.next_due_s(),
            is_full: analysis.is_full(),
            latency_ms: now_ms() - started_ms,
        };
        self.watch = Some(watch);
        Ok(response)
    }

    async fn judge_face(
        &mut self,
        watch: &Watch,
        frame: &Frame,
        region: Region,
    ) -> Result<JudgedFace, Failure> {
        let face = JudgedFace { region: region.face, quality: None, probability_fake: None };
        let Some(crop) = region.crop else { return Ok(face) };
        let (quality, is_good) = watch.quality(frame, &crop);
        let mut probability_fake = None;
        if is_good {
            probability_fake = match self.judge_region(frame, crop).await {
                Ok(report) => ProbabilityFake::new(report.verdict.probability_fake),
                Err(Error::NotApplicable { .. }) => None,
                Err(error) => return Err(error.into()),
            };
        }
        Ok(JudgedFace { quality: Some(quality), probability_fake, ..face })
    }

    fn finish(&mut self, id: u32, end: End, ended_s: Option<f64>) -> Result<Response, Failure> {
        match self.watch.take().filter(|watch| watch.id == id) {
            Some(watch) => Ok(Response::Watched { id, report: Box::new(watch.finish(end, ended_s)) }),
            None => Err(Failure::new("page", "there is no such video")),
        }
    }

    /// Whether the network of `stage` is there, now that it is needed.
    pub(crate) async fn has(&mut self, stage: usize) -> bool {
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
    bytes_of(picture).await
}

/// The bytes of `file` from `start` to `end`, fewer if it has fewer.
async fn piece(file: &Blob, start: f64, end: f64) -> Result<Vec<u8>, Failure> {
    bytes_of(&file.slice_with_f64_and_f64(start, end).map_err(|error| unreadable(&error))?).await
}

pub(crate) async fn bytes_of(blob: &Blob) -> Result<Vec<u8>, Failure> {
    let buffer = JsFuture::from(blob.array_buffer()).await.map_err(|error| unreadable(&error))?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

fn unreadable(error: &JsValue) -> Failure {
    Failure::new("io", format!("the file cannot be read ({}); choose it again", describe(error)))
}

fn card(manifest: &Manifest, times: LoadTimes) -> ModelCard {
    let networks = manifest.stages.iter().filter(|stage| stage.role != Role::Meta);
    let filter = manifest.stages.get(FILTER).and_then(|stage| manifest.file(&stage.file));
    ModelCard {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        licence: manifest.licence.clone(),
        has_golden: manifest.golden.is_some(),
        networks: networks.map(|stage| stage.name.clone()).collect(),
        sha256: filter.map(|file| file.sha256.clone()).unwrap_or_default(),
        times,
        quality: quality(&manifest.training),
    }
}

/// The figures in the free form that `aware bundle` writes, of the sets with real and fake pictures alone. Over all pictures they
/// would be better than the network is: sets of one class are told apart by how they were made.
fn quality(training: &serde_json::Value) -> Option<Quality> {
    let of = |set: &serde_json::Value| {
        Some(Quality {
            accuracy: set.get("accuracy")?.as_f64()?,
            auc: set.get("auc")?.as_f64()?,
            pictures: set.get("real")?.as_u64()?.checked_add(set.get("fake")?.as_u64()?)?,
        })
    };
    let test = training.get("test")?.as_object()?;
    let sets: Vec<Quality> =
        test.iter().filter(|(name, _)| *name != "all").filter_map(|(_, set)| of(set)).collect();
    if sets.is_empty() {
        return of(test.get("all")?);
    }
    let pictures = sets.iter().map(|set| set.pictures).fold(0, u64::saturating_add);
    let right: f64 = sets.iter().map(|set| set.accuracy * set.pictures as f64).sum();
    Some(Quality {
        accuracy: right / pictures.max(1) as f64,
        auc: sets.iter().map(|set| set.auc).sum::<f64>() / sets.len() as f64,
        pictures,
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

/// Sends `response` to the page and gives `owned`, which is in it, away.
pub(crate) fn post_with(response: &impl Serialize, owned: &JsValue) {
    let posted = serde_wasm_bindgen::to_value(response)
        .map_err(JsValue::from)
        .and_then(|message| scope().post_message_with_transfer(&message, &js_sys::Array::of1(owned)));
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
        let sets = json!({ "test": {
            "all": { "accuracy": 0.9, "auc": 0.9, "real": 30, "fake": 110 },
            "a": { "accuracy": 0.5, "auc": 0.5, "real": 10, "fake": 20 },
            "b": { "accuracy": 1.0, "auc": 0.75, "real": 5, "fake": 5 },
            "fakes": { "accuracy": 1.0, "auc": null, "real": 0, "fake": 100 },
        } });
        assert_eq!(quality(&sets), Some(Quality { accuracy: 0.625, auc: 0.625, pictures: 40 }));
    }
}
