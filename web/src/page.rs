//! The page: what happens when, and what becomes of it.
//!
//! [`language`]: another one is spoken; [`listeners`]: events of the document; [`queue`]: files in their turn; [`film`]: a video
//! or camera; [`second`]: wonnx. What stands here is the rest: the engine's worker, what it answers, and what happens where it
//! fails.

mod film;
mod language;
mod listeners;
mod queue;
mod second;

use crate::benchmark;
use crate::device_check::DeviceCheck;
use crate::download::describe;
use crate::link::{Link, Shown};
use crate::message::{Failure, Request, Response};
use crate::offline::Keeper;
use crate::player::Player;
use crate::state::{Heat, Model, Phase, Picture, Second, State, Task};
use crate::text::{is_english, languages};
use crate::timer::{Timer, sleep};
use crate::view::View;
use crate::worker_handle::{Script, ScriptPolicy, WorkerHandle};
use engine::video::report::End;
use language::listen_to_language;
use listeners::{listen, show_samples};
use std::collections::VecDeque;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, EventTarget, File};

/// A worker that says nothing for so long will not: its script or its wasm is stuck.
const SILENCE_MS: i32 = 60_000;

/// Builds the page, and starts to load the model: in several tasks, so that a visitor's first click need not wait for all of it.
///
/// # Errors
/// If the document is not the one of `index.html`, or the browser refuses the page's script policy.
pub async fn start() -> Result<(), JsValue> {
    let view = View::attach()?;
    languages::choose(&web_sys::window().ok_or("there is no window")?);
    let policy = Rc::new(ScriptPolicy::create()?);
    let (page, link) = Link::keep(|link| Page {
        link,
        view,
        policy: policy.clone(),
        state: State::default(),
        engine: None,
        silence: None,
        keeper: None,
        wonnx: None,
        picture: None,
        player: None,
        queue: VecDeque::new(),
        is_open: false,
        last_id: 0,
    });
    // First of all: its worker, its wasm and the model come from elsewhere, while the rest goes on here.
    page.borrow_mut().open_engine();
    sleep(0).await;
    if !is_english() {
        page.borrow().view.translate()?;
    }
    listen(&page.borrow())?;
    listen_to_language(&page.borrow())?;
    sleep(0).await;
    page.borrow_mut().show()?;
    sleep(0).await;
    let left = link.clone();
    benchmark::page::start(policy, move || left.update(Page::cancel))?;
    spawn_local(show_samples(link));
    Ok(())
}

/// State, document and workers.
struct Page {
    link: Link<Page>,
    view: View,
    policy: Rc<ScriptPolicy>,
    state: State,
    engine: Option<WorkerHandle>,
    /// Rings if the engine never speaks.
    silence: Option<Timer>,
    /// Keeps the page for use offline.
    keeper: Option<Keeper>,
    wonnx: Option<WorkerHandle>,
    /// The bytes of the state's picture.
    picture: Option<Blob>,
    /// The video or camera that runs, or that can be looked at again.
    player: Option<Player>,
    /// Files that wait for their turn.
    queue: VecDeque<File>,
    /// Whether the history waits for what becomes of the task.
    is_open: bool,
    /// Of the latest request; answers to earlier ones come too late.
    last_id: u32,
}

impl Shown for Page {
    fn show(&mut self) -> Result<(), JsValue> {
        self.settle();
        self.keep()?;
        self.state.waiting = self.queue.len();
        let Page { view, state, .. } = self;
        view.render(state)
    }
}

impl Page {
    /// Starts the worker that judges, instead of an earlier one.
    fn open_engine(&mut self) {
        let (on_response, on_death) = (self.link.clone(), self.link.clone());
        let opened = WorkerHandle::open(
            &self.policy,
            Script::engine(),
            &wish(),
            move |response| on_response.update(|page| page.on_response(response)),
            move |failure| on_death.update(|page| page.on_engine_death(failure)),
        );
        match opened {
            Ok(worker) => {
                self.engine = Some(worker);
                let on_silence = self.link.clone();
                self.silence = Some(Timer::new(SILENCE_MS, move || on_silence.update(Page::on_silence)));
                self.state.model = Model::default();
            }
            Err(failure) => self.break_model(failure),
        }
    }

    /// Judges `picture` and nothing after it, now or when the model is there.
    fn judge(&mut self, picture: Blob, about: Picture) {
        self.empty_queue();
        self.begin(picture, about);
    }

    fn begin(&mut self, picture: Blob, about: Picture) {
        self.clear();
        self.is_open = true;
        self.picture = Some(picture);
        self.state.picture = Some(about);
        self.state.task = Task::Judging;
        self.send_picture();
    }

    /// Forgets what was shown; answers about it come too late from now on.
    fn clear(&mut self) {
        self.last_id += 1;
        self.wonnx = None;
        self.player = None;
        self.picture = None;
        self.state.picture = None;
        self.state.second = Second::Off;
        self.state.heat = Heat::Off;
    }

    /// Lets the engine run the golden vectors.
    fn check_device(&mut self) {
        if matches!(self.state.model, Model::Ready(_)) && self.state.check != DeviceCheck::Running {
            self.state.check = DeviceCheck::Running;
            self.send(&Request::Check);
        }
    }

    fn send_picture(&mut self) {
        let (Model::Ready(_), Some(picture)) = (&self.state.model, self.picture.clone()) else { return };
        self.last_id += 1;
        self.send(&Request::Judge { id: self.last_id, picture });
    }

    fn send(&mut self, request: &Request) {
        let sent = self.engine.as_ref().map(|engine| engine.send(request));
        if let Some(Err(failure)) = sent {
            self.on_engine_death(failure);
        }
    }

    fn on_response(&mut self, response: Response) {
        self.silence = None;
        match response {
            Response::Loading(progress) => self.state.model = Model::Loading(progress),
            Response::Ready(card) => {
                self.state.model = Model::Ready(card);
                match self.state.task {
                    Task::Judging => self.send_picture(),
                    Task::Watching(_) => self.begin_watch(),
                    _ => {}
                }
            }
            Response::Failed { id: None, failure } => self.break_model(failure),
            Response::Judged { id, report } if id == self.last_id => {
                let (Task::Judging, Some(picture)) = (&self.state.task, &self.picture) else { return };
                self.state.task = match self.view.set_result_files(Some(picture), &report) {
                    Ok(()) => Task::Judged(report),
                    Err(error) => Task::Failed(Failure::new("page", describe(&error))),
                };
            }
            Response::IsVideo { id, container, codec } if id == self.last_id => {
                self.open_video(container, codec);
            }
            Response::Planned { id, plan } if id == self.last_id => {
                if let (Task::Watching(watching), Some(player)) = (&mut self.state.task, &self.player) {
                    watching.plan = Some(plan);
                    player.play(plan.max_fps);
                }
            }
            Response::Looked { id, faces, size, samples, next_due_s, is_full, latency_ms }
                if id == self.last_id =>
            {
                self.on_look(faces, size, samples);
                let Some(player) = &self.player else { return };
                if is_full {
                    self.finish(End::Whole, None);
                } else {
                    player.answered(next_due_s, latency_ms);
                }
            }
            Response::Watched { id, report } if id == self.last_id => {
                self.state.task = match self.view.set_video_report(&report) {
                    Ok(()) => Task::Watched(report),
                    Err(error) => Task::Failed(Failure::new("page", describe(&error))),
                };
            }
            Response::Explained { id, map } if id == self.last_id => self.state.heat = Heat::Shown(map),
            Response::Failed { id: Some(id), failure }
                if id == self.last_id && self.state.heat == Heat::Running =>
            {
                self.state.heat = Heat::Failed(failure);
            }
            Response::Gpu(gpu) => self.state.gpu = Some(gpu),
            Response::Checked(Ok(report)) => self.state.check = DeviceCheck::Done(report),
            Response::Checked(Err(failure)) => self.state.check = DeviceCheck::Failed(failure),
            Response::Failed { id: Some(id), failure } if id == self.last_id => {
                self.player = None;
                self.state.task = Task::Failed(failure);
            }
            Response::Judged { .. }
            | Response::Failed { .. }
            | Response::IsVideo { .. }
            | Response::Planned { .. }
            | Response::Looked { .. }
            | Response::Watched { .. }
            | Response::Explained { .. }
            | Response::Time(_) => {}
        }
    }

    /// Shows why there is no picture to judge.
    fn fail(&mut self, failure: Failure) {
        self.empty_queue();
        self.is_open = false;
        self.clear();
        self.state.task = Task::Failed(failure);
    }

    fn break_model(&mut self, failure: Failure) {
        self.engine = None;
        if matches!(self.state.task, Task::Watching(_)) {
            // Nobody looks: the camera goes off.
            self.clear();
            self.state.task = Task::Idle;
        }
        self.state.model = Model::Broken(failure);
    }

    /// A worker that had loaded is replaced at once; one that had not would most likely die again.
    fn on_engine_death(&mut self, failure: Failure) {
        if !matches!(self.state.model, Model::Ready(_)) {
            return self.break_model(failure);
        }
        if self.state.check == DeviceCheck::Running {
            self.state.check = DeviceCheck::Failed(failure.clone());
        }
        if self.state.heat == Heat::Running {
            self.state.heat = Heat::Failed(failure.clone());
        }
        if matches!(self.state.task, Task::Judging | Task::Watching(_)) {
            self.player = None;
            self.state.task = Task::Failed(failure);
        }
        self.open_engine();
    }

    fn on_silence(&mut self) {
        if self.engine.is_some() {
            let message = "the part of the page that computes did not arrive within a minute; check the connection and try again";
            self.break_model(Failure::new("model_load", message));
        }
    }

    /// Ends the download of the model by the visitor's wish.
    fn stop_loading(&mut self) {
        if matches!(self.state.model, Model::Loading(_)) {
            self.break_model(Failure::new(
                "stopped",
                "you stopped the download of the model; try again when you like",
            ));
        }
    }

    /// Keeps the page for use offline, once nobody waits for a verdict.
    fn keep(&mut self) -> Result<(), JsValue> {
        let is_busy = matches!(self.state.phase(), Phase::Loading | Phase::Judging | Phase::Watching);
        if is_busy || self.keeper.is_some() {
            return Ok(());
        }
        let (url, link) = (self.policy.url(Script::ServiceWorker)?, self.link.clone());
        self.keeper = Some(Keeper::open(url, self.view.version()?, move |offline| {
            link.update(|page| page.state.offline = offline);
        }));
        Ok(())
    }

    /// Once more what failed: the model, the picture, or both.
    fn retry(&mut self) {
        if self.engine.is_none() {
            self.open_engine();
        }
        if self.picture.is_some() {
            self.is_open = true;
            self.state.task = Task::Judging;
            self.send_picture();
        } else if self.state.failure().is_some_and(|failure| failure.code.starts_with("camera")) {
            self.ask_for_camera();
        }
    }

    /// Lets the engine show what moved the answer, or hides it.
    fn explain(&mut self) {
        let (Task::Judged(report), Some(picture)) = (&self.state.task, self.picture.clone()) else { return };
        match self.state.heat {
            Heat::Running => {}
            Heat::Shown(_) => self.state.heat = Heat::Off,
            Heat::Off | Heat::Failed(_) => {
                self.state.heat = Heat::Running;
                let request = Request::Explain { id: self.last_id, picture, crop: report.crop };
                self.send(&request);
            }
        }
    }
}

/// The worker's name: where networks are to run, as `?backend=cpu` or `?backend=gpu` in the page's address wishes.
fn wish() -> String {
    let search = web_sys::window().and_then(|window| window.location().search().ok()).unwrap_or_default();
    let wishes = ["cpu", "gpu"];
    let mut parts =
        search.trim_start_matches('?').split('&').filter_map(|part| part.strip_prefix("backend="));
    let wish = parts.find(|part| wishes.contains(part));
    wish.map(|wish| format!("?{wish}")).unwrap_or_default()
}

/// Calls `listener` on each event `name` of `target`, for as long as the page lives.
pub(crate) fn on<E: JsCast + wasm_bindgen::convert::FromWasmAbi + 'static>(
    target: &EventTarget,
    name: &str,
    listener: impl Fn(E) + 'static,
) -> Result<(), JsValue> {
    let listener = Closure::<dyn Fn(E)>::new(listener).into_js_value();
    target.add_event_listener_with_callback(name, listener.unchecked_ref())
}
