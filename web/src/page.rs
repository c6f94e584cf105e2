//! The page: what happens when, and what becomes of it.

use crate::device_check::DeviceCheck;
use crate::download::describe;
use crate::message::{Failure, Request, Response, SecondRequest, SecondResponse};
use crate::samples::{Sample, fetch_samples};
use crate::state::{Model, Picture, Second, State, Task};
use crate::view::{View, set_dragging};
use crate::worker_handle::{Script, ScriptPolicy, WorkerHandle};
use std::cell::RefCell;
use std::rc::{Rc, Weak};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, ClipboardEvent, DragEvent, Event, EventTarget, FileList};

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
        self.last_id += 1;
        self.wonnx = None;
        self.picture = Some(picture);
        self.state.picture = Some(about);
        self.state.task = Task::Judging;
        self.state.second = Second::Off;
        self.send_picture();
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
                if matches!(self.state.task, Task::Judging) {
                    self.send_picture();
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
            Response::Gpu(gpu) => self.state.gpu = Some(gpu),
            Response::Checked(Ok(report)) => self.state.check = DeviceCheck::Done(report),
            Response::Checked(Err(failure)) => self.state.check = DeviceCheck::Failed(failure),
            Response::Failed { id: Some(id), failure } if id == self.last_id => {
                self.state.task = Task::Failed(failure);
            }
            Response::Judged { .. } | Response::Failed { .. } => {}
        }
    }

    /// Shows why there is no picture to judge.
    fn fail(&mut self, failure: Failure) {
        self.last_id += 1;
        self.wonnx = None;
        self.picture = None;
        self.state.picture = None;
        self.state.task = Task::Failed(failure);
    }

    fn break_model(&mut self, failure: Failure) {
        self.engine = None;
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
        if matches!(self.state.task, Task::Judging) {
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
