//! Buttons, files and the page's address -> what is measured and shown.

use super::options::{ADDRESS, Options, mode_of};
use super::place::Place;
use super::runner::{self, Plan, Progress, Signals};
use super::view::BenchmarkView;
use crate::download::{FLOAT_FOLDER, describe};
use crate::link::{Link, Shown};
use crate::message::Failure;
use crate::page::on;
use crate::samples::{fetch_blob, fetch_samples};
use crate::saved_report::is_saved;
use crate::text::text;
use crate::timing::check_size;
use crate::worker_handle::ScriptPolicy;
use engine::benchmark::BenchmarkReport;
use engine::benchmark::report::{FileIdentity, MAX_BYTES};
use engine::bundle::MANIFEST_NAME;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, DragEvent, Event, File, FileList, KeyboardEvent, Window};

/// What reports call the visitor's own file, and the bundle's network in floats.
pub const OWN_FILE: &str = "own file";
/// See [`OWN_FILE`].
pub const FLOATS: &str = "the network in floats";

/// What the benchmark is doing.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Task {
    /// Nothing.
    #[default]
    Idle,
    /// It measures.
    Running(Progress),
    /// It did not, and why.
    Failed(Failure),
}

/// All that is shown.
pub struct State {
    /// What is measured next.
    pub options: Options,
    /// At the moment.
    pub task: Task,
    /// The visitor's own file.
    pub own_file: Option<(Blob, String)>,
    /// The result.
    pub report: Option<BenchmarkReport>,
    /// Another one to lay beside it.
    pub other: Option<BenchmarkReport>,
}

/// State and document.
struct Page {
    view: BenchmarkView,
    state: State,
    signals: Rc<Signals>,
    policy: Rc<ScriptPolicy>,
    link: Link<Page>,
}

impl Shown for Page {
    fn show(&mut self) -> Result<(), JsValue> {
        let Page { view, state, .. } = self;
        view.render(state)
    }
}

/// Connects the benchmark with the document; `on_enter` is called when it takes the judging's place on the screen.
///
/// # Errors
/// If the document is not the one of `index.html`.
pub fn start(policy: Rc<ScriptPolicy>, on_enter: impl Fn() + 'static) -> Result<(), JsValue> {
    let window = web_sys::window().ok_or("there is no window")?;
    let view = BenchmarkView::attach()?;
    let options = Options::of(&address(&window), Place::processor());
    let state = State { options, task: Task::Idle, own_file: None, report: None, other: None };
    let (page, link) = Link::keep(|link| Page { view, state, signals: Rc::default(), policy, link });
    listen(&page.borrow(), &window)?;
    let (routed, from) = (link.clone(), window.clone());
    let route = move || {
        let address = address(&from);
        if address.starts_with(ADDRESS) {
            on_enter();
        }
        routed.update(|page| page.route(&address));
    };
    route();
    let spoken = link.clone();
    on(&window, "languagechange", move |_: Event| spoken.update(|_| {}))?;
    on(&window, "hashchange", move |_: Event| route())
}

impl Page {
    /// Shows the part of the page that `address` names.
    fn route(&mut self, address: &str) {
        self.view.is_here = address.starts_with(ADDRESS);
        if !self.view.is_here {
            return self.stop();
        }
        if address.contains('?') {
            self.state.options = Options::of(address, Place::processor());
        }
        if std::mem::take(&mut self.state.options.start) {
            // A page that is loaded again does not measure again.
            self.show_address();
            self.measure();
        }
    }

    /// Puts what the boxes say into options and address.
    fn choose(&mut self) {
        let Ok((mode, places, compare)) = self.view.chosen() else { return };
        let options = &mut self.state.options;
        options.mode = mode_of(&mode).unwrap_or(options.mode);
        options.places = places.iter().filter_map(|name| Place::of(name)).collect();
        options.compare = compare;
        self.show_address();
    }

    /// Lets the address say what the options are.
    fn show_address(&self) {
        let history = web_sys::window().and_then(|window| window.history().ok());
        // Without a history the address stays as it is.
        let _ = history.map(|history| {
            history.replace_state_with_url(&JsValue::NULL, "", Some(&self.state.options.address()))
        });
    }

    fn measure(&mut self) {
        if self.is_running() {
            return;
        }
        if self.state.options.places.is_empty() {
            return self.fail(Failure::new("places", "choose at least one place to measure in"));
        }
        self.state.task = Task::Running(Progress { doing: text("bench.ready").into(), share: 0.0 });
        self.signals = Rc::default();
        let document = web_sys::window().and_then(|window| window.document());
        self.signals.was_hidden.set(document.is_some_and(|document| document.hidden()));
        let (link, policy, signals) = (self.link.clone(), self.policy.clone(), self.signals.clone());
        let (options, own_file) = (self.state.options.clone(), self.state.own_file.clone());
        spawn_local(async move {
            let tell =
                |progress: Progress| link.update(|page| page.state.task = Task::Running(progress.clone()));
            let result = match plan(options, own_file).await {
                Ok(plan) => runner::run(&policy, plan, &signals, &tell).await,
                Err(failure) => Err(failure),
            };
            link.update(|page| match result {
                Ok(report) => {
                    page.state.task = Task::Idle;
                    page.show(report);
                }
                Err(_) if signals.is_stopped.get() => page.state.task = Task::Idle,
                Err(failure) => page.fail(failure),
            });
        });
    }

    fn is_running(&self) -> bool {
        matches!(self.state.task, Task::Running(_))
    }

    fn stop(&mut self) {
        self.signals.is_stopped.set(true);
    }

    fn fail(&mut self, failure: Failure) {
        self.state.task = Task::Failed(failure);
    }

    fn show(&mut self, report: BenchmarkReport) {
        if let Err(error) = self.view.set_report(&report) {
            return self.fail(Failure::new("page", describe(&error)));
        }
        self.state.report = Some(report);
    }

    /// Takes the visitor's own ONNX file, or forgets it.
    fn take_file(&mut self, file: Option<File>) {
        if self.is_running() {
            return;
        }
        self.state.own_file = None;
        if let Some(file) = file {
            if let Err(failure) = check_size(&file) {
                return self.fail(failure);
            }
            let name = file.name();
            self.state.own_file = Some((file.into(), name));
            self.state.task = Task::Idle;
        }
    }

    /// Takes a saved result: the one that is shown, or the one beside it.
    fn take_report(&mut self, read: Result<BenchmarkReport, Failure>) {
        match read {
            _ if self.is_running() => {}
            Err(failure) => self.fail(failure),
            Ok(report) if self.state.report.is_none() => self.show(report),
            Ok(report) => self.state.other = Some(report),
        }
    }
}

/// What is to be measured, with picture and file fetched from this site.
async fn plan(options: Options, own_file: Option<(Blob, String)>) -> Result<Plan, Failure> {
    let samples = fetch_samples().await;
    let picture = match samples.first() {
        Some(sample) => sample.fetch().await.ok(),
        None => None,
    };
    let file = match own_file {
        Some((blob, _)) => {
            let bytes = blob.size();
            Some((blob, FileIdentity { what: OWN_FILE.into(), bytes, sha256: None }))
        }
        None if options.compare => Some(floats().await?),
        None => None,
    };
    Ok(Plan { options, picture, file })
}

/// The bundle's network in floats.
async fn floats() -> Result<(Blob, FileIdentity), Failure> {
    let missing = |error: JsValue| {
        let why = describe(&error);
        Failure::new(
            "model_load",
            format!("the network in floats did not load ({why}); check the connection"),
        )
    };
    let manifest = fetch_blob(&format!("{FLOAT_FOLDER}/{MANIFEST_NAME}")).await.map_err(missing)?;
    // The rules for manifests would make the page half as large again; a wrong name is a file that is not there.
    let manifest: serde_json::Value = serde_json::from_slice(&bytes_of(&manifest).await?).unwrap_or_default();
    let name = manifest.pointer("/stages/0/file").and_then(|name| name.as_str()).unwrap_or_default();
    let blob = fetch_blob(&format!("{FLOAT_FOLDER}/{name}")).await.map_err(missing)?;
    let identity = FileIdentity { what: FLOATS.into(), bytes: blob.size(), sha256: None };
    Ok((blob, identity))
}

/// Whether the benchmark has the judging's place on the screen.
pub fn is_here() -> bool {
    web_sys::window().is_some_and(|window| address(&window).starts_with(ADDRESS))
}

async fn open_reports(link: Link<Page>, files: Vec<File>) {
    for file in files {
        let read = read_report(file).await;
        link.update(|page| page.take_report(read));
    }
}

async fn read_report(file: File) -> Result<BenchmarkReport, Failure> {
    if file.size() > MAX_BYTES as f64 {
        return Err(Failure::new(
            "report",
            format!("a result has at most {MAX_BYTES} bytes; choose another file"),
        ));
    }
    Ok(BenchmarkReport::parse(&bytes_of(&file).await?)?)
}

async fn bytes_of(blob: &Blob) -> Result<Vec<u8>, Failure> {
    let buffer = JsFuture::from(blob.array_buffer()).await;
    let buffer = buffer
        .map_err(|error| Failure::new("io", format!("the file cannot be read ({})", describe(&error))))?;
    Ok(js_sys::Uint8Array::new(&buffer).to_vec())
}

fn address(window: &Window) -> String {
    window.location().hash().unwrap_or_default()
}

fn listen(page: &Page, window: &Window) -> Result<(), JsValue> {
    let (view, link) = (&page.view, &page.link);
    for input in view.choices()? {
        let link = link.clone();
        on(&input, "change", move |_: Event| link.update(Page::choose))?;
    }
    let start = link.clone();
    on(view.element("bench-start")?.as_ref(), "click", move |_: Event| start.update(Page::measure))?;
    let stop = link.clone();
    on(view.element("bench-stop")?.as_ref(), "click", move |_: Event| stop.update(Page::stop))?;

    let (input, chosen) = (view.input("bench-file")?, link.clone());
    on(view.input("bench-file")?.as_ref(), "change", move |_: Event| {
        let file = input.files().and_then(|files| files.get(0));
        chosen.update(|page| page.take_file(file));
    })?;
    let (input, opened) = (view.input("bench-import")?, link.clone());
    on(view.input("bench-import")?.as_ref(), "change", move |_: Event| {
        let files = list(input.files());
        // Else the same file, chosen once more, would be no change.
        input.set_value("");
        spawn_local(open_reports(opened.clone(), files));
    })?;
    let dropped = link.clone();
    let document = window.document().ok_or("there is no document")?;
    on(&document, "drop", move |event: DragEvent| {
        if is_here() {
            let files = list(event.data_transfer().and_then(|data| data.files()));
            let (reports, others): (Vec<File>, Vec<File>) = files.into_iter().partition(is_saved);
            if let Some(file) = others.into_iter().next() {
                dropped.update(|page| page.take_file(Some(file)));
            }
            spawn_local(open_reports(dropped.clone(), reports));
        }
    })?;
    let escaped = link.clone();
    on(window, "keydown", move |event: KeyboardEvent| {
        if event.key() == "Escape" {
            escaped.update(Page::stop);
        }
    })?;
    let link = link.clone();
    on(&document.clone(), "visibilitychange", move |_: Event| {
        if document.hidden() {
            link.update(|page| page.signals.was_hidden.set(true));
        }
    })
}

fn list(files: Option<FileList>) -> Vec<File> {
    files.map(|files| (0..files.length()).filter_map(|at| files.get(at)).collect()).unwrap_or_default()
}
