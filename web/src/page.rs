//! The page: what happens when, and what becomes of it.

use crate::camera;
use crate::device_check::DeviceCheck;
use crate::download::describe;
use crate::message::{Failure, Request, Response, SecondRequest, SecondResponse};
use crate::player::{Player, PlayerEvent};
use crate::samples::{Sample, fetch_samples};
use crate::state::{Heat, Model, Picture, Second, State, Task, Watching};
use crate::view::{View, set_dragging};
use crate::worker_handle::{Script, ScriptPolicy, WorkerHandle};
use engine::video::report::{End, FaceSample};
use std::cell::RefCell;
use std::rc::{Rc, Weak};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, ClipboardEvent, DragEvent, Event, EventTarget, FileList, MediaStream, MouseEvent};

/// Builds the page, and starts to load the model.
///
/// # Errors
/// If the document is not the one of `index.html`, or the browser refuses the page's script policy.
pub fn start() -> Result<(), JsValue> {
    let view = View::attach()?;
    let policy = ScriptPolicy::create()?;
    let page = Rc::new_cyclic(|me| {
        RefCell::new(Page {
            link: Link(me.clone()),
            view,
            policy,
            state: State::default(),
            engine: None,
            wonnx: None,
            picture: None,
            player: None,
            last_id: 0,
        })
    });
    // Callbacks hold it weakly; the page itself lives as long as its document.
    std::mem::forget(page.clone());
    listen(&page.borrow())?;
    let link = page.borrow().link.clone();
    link.update(Page::open_engine);
    spawn_local(show_samples(link));
    Ok(())
}

/// State, document and workers.
struct Page {
    link: Link,
    view: View,
    policy: ScriptPolicy,
    state: State,
    engine: Option<WorkerHandle>,
    wonnx: Option<WorkerHandle>,
    /// The bytes of the state's picture.
    picture: Option<Blob>,
    /// The video or camera that runs, or that can be looked at again.
    player: Option<Player>,
    /// Of the latest request; answers to earlier ones come too late.
    last_id: u32,
}

/// The page, for callbacks.
#[derive(Clone)]
struct Link(Weak<RefCell<Page>>);

impl Link {
    /// Runs `change` on the page and shows what came out.
    fn update(&self, change: impl FnOnce(&mut Page)) {
        let Some(page) = self.0.upgrade() else { return };
        let shown = page.try_borrow_mut().map_err(|error| error.to_string().into()).and_then(|mut page| {
            change(&mut page);
            page.view.render(&page.state)
        });
        // Only here, where nothing is borrowed: what is thrown passes by all destructors.
        if let Err(error) = shown {
            wasm_bindgen::throw_val(error);
        }
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
                self.state.model = Model::default();
            }
            Err(failure) => self.break_model(failure),
        }
    }

    /// Judges `picture`, now or when the model is there.
    fn judge(&mut self, picture: Blob, about: Picture) {
        self.clear();
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

    /// Judges the one file of `files`, which were chosen, dropped or pasted.
    fn take(&mut self, files: Option<FileList>) {
        let count = files.as_ref().map_or(0, FileList::length);
        match files.and_then(|files| files.get(0)).filter(|_| count == 1) {
            Some(file) => {
                let about = Picture { name: file.name(), sample: None };
                self.judge(file.into(), about);
            }
            None if count == 0 => self.fail(Failure::new(
                "no_file",
                "that was no file; save the picture, then choose the file: links are not followed, so that \
                 nothing leaves this device",
            )),
            None => self
                .fail(Failure::new("too_many", format!("those were {count} files; one picture at a time"))),
        }
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
                self.state.task = match self.view.set_result_files(picture, &report) {
                    Ok(()) => Task::Judged(report),
                    Err(error) => Task::Failed(Failure::new("page", describe(&error))),
                };
            }
            Response::IsVideo { id, codec } if id == self.last_id => self.open_video(codec),
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
                    self.finish(End::Whole);
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
            | Response::Explained { .. } => {}
        }
    }

    /// Shows why there is no picture to judge.
    fn fail(&mut self, failure: Failure) {
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

    /// Once more what failed: the model, the picture, or both.
    fn retry(&mut self) {
        if self.engine.is_none() {
            self.open_engine();
        }
        if self.picture.is_some() {
            self.state.task = Task::Judging;
            self.send_picture();
        } else if self.state.failure().is_some_and(|failure| failure.code.starts_with("camera")) {
            self.ask_for_camera();
        }
    }

    /// Watches the file that turned out to be a video.
    fn open_video(&mut self, codec: Option<String>) {
        let (Task::Judging, Some(file), Ok(video)) = (&self.state.task, &self.picture, self.view.video())
        else {
            return;
        };
        let (link, id) = (self.link.clone(), self.last_id);
        let player = Player::of_file(video, file, move |event| {
            link.update(|page| page.on_player(id, event, codec.as_deref()));
        });
        self.show_player(player, Watching::default());
    }

    /// Asks the visitor for the camera.
    fn ask_for_camera(&mut self) {
        self.clear();
        self.state.task = Task::AskingForCamera;
        let (link, id) = (self.link.clone(), self.last_id);
        spawn_local(async move {
            let opened = camera::open().await;
            link.update(|page| match opened {
                // Something else was chosen meanwhile.
                Ok(stream) if page.last_id != id => camera::close(&stream),
                Err(_) if page.last_id != id => {}
                Ok(stream) => page.open_camera(stream),
                Err(failure) => page.fail(failure),
            });
        });
    }

    fn open_camera(&mut self, stream: MediaStream) {
        let Ok(video) = self.view.video() else { return camera::close(&stream) };
        let (link, id) = (self.link.clone(), self.last_id);
        let player = Player::of_camera(video, Clone::clone(&stream), move |event| {
            link.update(|page| page.on_player(id, event, None));
        });
        if player.is_err() {
            camera::close(&stream);
        }
        self.state.picture = Some(Picture { name: "Camera".into(), sample: None });
        self.show_player(player, Watching { is_live: true, ..Watching::default() });
    }

    fn show_player(&mut self, player: Result<Player, Failure>, watching: Watching) {
        match player {
            Ok(player) => {
                self.player = Some(player);
                self.state.task = Task::Watching(Box::new(watching));
            }
            Err(failure) => self.state.task = Task::Failed(failure),
        }
    }

    fn on_player(&mut self, id: u32, event: PlayerEvent, codec: Option<&str>) {
        if id != self.last_id {
            if let PlayerEvent::Frame { picture, .. } = event {
                picture.close();
            }
            return;
        }
        match event {
            PlayerEvent::Opened(media) => {
                if let Task::Watching(watching) = &mut self.state.task {
                    watching.media = Some(media);
                }
                self.begin_watch();
            }
            PlayerEvent::Frame { time_s, picture } => {
                let owned = picture.clone().into();
                let request = Request::Look { id, time_s, picture };
                let sent = self.engine.as_ref().map(|engine| engine.send_with(&request, &owned));
                if let Some(Err(failure)) = sent {
                    self.on_engine_death(failure);
                }
            }
            PlayerEvent::Ended(end) => self.finish(end),
            PlayerEvent::Failed(failure) => {
                self.player = None;
                let failure = if failure.code == "codec" { unplayable(codec) } else { failure };
                self.state.task = Task::Failed(failure);
            }
        }
    }

    /// Tells the engine what is to be watched, once both are there.
    fn begin_watch(&mut self) {
        let (Task::Watching(watching), Model::Ready(_)) = (&self.state.task, &self.state.model) else {
            return;
        };
        if let Some(media) = watching.media {
            self.send(&Request::Watch { id: self.last_id, media });
        }
    }

    fn on_look(&mut self, faces: Vec<FaceSample>, size: [u32; 2], samples: u32) {
        let (Task::Watching(watching), Some(player)) = (&mut self.state.task, &self.player) else { return };
        watching.counts = player.counts();
        watching.samples = samples;
        watching.size = size;
        if !faces.is_empty() {
            watching.faces = faces;
        }
    }

    /// Ends the video with what was looked at so far.
    fn finish(&mut self, end: End) {
        if let (Task::Watching(_), Some(player)) = (&self.state.task, &self.player) {
            player.stop();
            self.send(&Request::Finish { id: self.last_id, end });
        }
    }

    /// Stops the video or camera by the visitor's wish. A camera has no end of its own.
    fn stop(&mut self) {
        let Task::Watching(watching) = &self.state.task else { return };
        let is_live = watching.is_live;
        if watching.plan.is_none() {
            // Nothing was looked at yet.
            self.clear();
            self.state.task = Task::Idle;
            return;
        }
        self.finish(if is_live { End::Whole } else { End::Interrupted });
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

    /// Goes to the place of the timeline that was clicked.
    fn seek(&self, event: &MouseEvent) {
        let (Task::Watched(report), Some(player)) = (&self.state.task, &self.player) else { return };
        if let Ok(Some(time_s)) = self.view.time_at(event, report) {
            player.seek(time_s);
        }
    }

    /// Starts wonnx on the region that was judged.
    fn ask_second_opinion(&mut self) {
        let (Task::Judged(report), Some(picture)) = (&self.state.task, self.picture.clone()) else { return };
        let request = SecondRequest { picture, crop: report.crop };
        self.state.second = Second::Running;
        let (on_response, on_death) = (self.link.clone(), self.link.clone());
        let opened = WorkerHandle::open(
            &self.policy,
            Script::Wonnx,
            "",
            move |response| on_response.update(|page| page.on_second_response(response, &request)),
            move |failure| on_death.update(|page| page.end_second_opinion(Second::Failed(failure))),
        );
        match opened {
            Ok(worker) => self.wonnx = Some(worker),
            Err(failure) => self.end_second_opinion(Second::Failed(failure)),
        }
    }

    fn on_second_response(&mut self, response: SecondResponse, request: &SecondRequest) {
        match response {
            SecondResponse::Started => {
                let sent = self.wonnx.as_ref().map(|wonnx| wonnx.send(request));
                if let Some(Err(failure)) = sent {
                    self.end_second_opinion(Second::Failed(failure));
                }
            }
            SecondResponse::Opinion(opinion) => self.end_second_opinion(Second::Done(opinion)),
            SecondResponse::Failed(failure) => self.end_second_opinion(Second::Failed(failure)),
        }
    }

    /// Ends wonnx, and with it its device.
    fn end_second_opinion(&mut self, second: Second) {
        self.wonnx = None;
        self.state.second = second;
    }
}

/// Why a video does not play here, and what helps.
fn unplayable(codec: Option<&str>) -> Failure {
    let what =
        codec.map_or_else(|| "this video".to_owned(), |codec| format!("this video, which holds {codec},"));
    let message = format!(
        "this browser does not play {what} or it is damaged; convert it to MP4 with H.264, or judge the file with the \
         program `aware detect`"
    );
    Failure::new("codec", message)
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

/// Connects the document's events with `page`.
fn listen(page: &Page) -> Result<(), JsValue> {
    let (view, link) = (&page.view, &page.link);
    let document = view.document();

    let (input, on_change) = (view.input()?, link.clone());
    on(view.input()?.as_ref(), "change", move |_: Event| {
        let files = input.files();
        on_change.update(|page| page.take(files));
        // Else the same file, chosen once more, would be no change.
        input.set_value("");
    })?;

    let (on_drop, marked) = (link.clone(), document.clone());
    on(document, "drop", move |event: DragEvent| {
        event.prevent_default();
        set_dragging(&marked, false);
        on_drop.update(|page| page.take(event.data_transfer().and_then(|data| data.files())));
    })?;
    for (name, dragging) in [("dragover", true), ("dragleave", false)] {
        let marked = document.clone();
        on(document, name, move |event: DragEvent| {
            // Without this the browser would leave the page for the dropped file.
            event.prevent_default();
            set_dragging(&marked, dragging);
        })?;
    }

    let on_paste = link.clone();
    on(document, "paste", move |event: ClipboardEvent| {
        on_paste.update(|page| page.take(event.clipboard_data().and_then(|data| data.files())));
    })?;

    let on_retry = link.clone();
    on(view.element("retry")?.as_ref(), "click", move |_: Event| on_retry.update(Page::retry))?;
    let on_check = link.clone();
    on(view.element("check")?.as_ref(), "click", move |_: Event| on_check.update(Page::check_device))?;
    let on_camera = link.clone();
    on(view.element("camera")?.as_ref(), "click", move |_: Event| on_camera.update(Page::ask_for_camera))?;
    let on_stop = link.clone();
    on(view.element("film-stop")?.as_ref(), "click", move |_: Event| on_stop.update(Page::stop))?;
    let on_explain = link.clone();
    on(view.element("explain")?.as_ref(), "click", move |_: Event| on_explain.update(Page::explain))?;
    let on_seek = link.clone();
    on(view.element("timeline")?.as_ref(), "click", move |event: MouseEvent| {
        on_seek.update(|page| page.seek(&event));
    })?;
    // Boxes follow the video while it is looked at again.
    let on_time = link.clone();
    on(view.element("film-video")?.as_ref(), "timeupdate", move |_: Event| on_time.update(|_| {}))?;
    let on_second = link.clone();
    on(view.element("second")?.as_ref(), "click", move |_: Event| on_second.update(Page::ask_second_opinion))
}

/// Offers the samples of this site, if it has any.
async fn show_samples(link: Link) {
    let samples = fetch_samples().await;
    link.update(|page| {
        for (number, sample) in (1..).zip(samples) {
            let clicked = page.link.clone();
            let shown = page.view.add_sample(number, &sample).and_then(|button| {
                on(button.as_ref(), "click", move |_: Event| {
                    spawn_local(judge_sample(clicked.clone(), sample.clone(), number));
                })
            });
            if let Err(error) = shown {
                page.fail(Failure::new("page", describe(&error)));
            }
        }
    });
}

async fn judge_sample(link: Link, sample: Sample, number: u32) {
    let mut id = 0;
    link.update(|page| {
        page.last_id += 1;
        id = page.last_id;
    });
    let fetched = sample.fetch().await;
    link.update(|page| match fetched {
        // Something else was chosen meanwhile.
        _ if page.last_id != id => {}
        Ok(picture) => {
            page.judge(picture, Picture { name: format!("Sample {number}"), sample: Some(sample) });
        }
        Err(_) => {
            let message =
                format!("sample {number} did not load; check the connection, or choose a picture of yours");
            page.fail(Failure::new("sample_load", message));
        }
    });
}

/// Calls `listener` on each event `name` of `target`, for as long as the page lives.
fn on<E: JsCast + wasm_bindgen::convert::FromWasmAbi + 'static>(
    target: &EventTarget,
    name: &str,
    listener: impl Fn(E) + 'static,
) -> Result<(), JsValue> {
    let listener = Closure::<dyn Fn(E)>::new(listener).into_js_value();
    target.add_event_listener_with_callback(name, listener.unchecked_ref())
}
