//! A file whose frames come from [`crate::decoder`], seen from the page.

use super::pace::Counts;
use super::{PlayerEvent, now_ms};
use crate::message::{FilmRequest, FilmResponse};
use crate::timer::Timer;
use crate::view::ObjectUrl;
use crate::worker_handle::{Script, ScriptPolicy, WorkerHandle};
use engine::video::report::End;
use std::cell::RefCell;
use std::rc::{Rc, Weak};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, CanvasRenderingContext2d, HtmlCanvasElement, HtmlVideoElement, ImageBitmap};

/// Longest time without an answer, in milliseconds; the first one takes a download.
const SILENCE_MS: i32 = 15_000;
/// Longer side of the picture that is shown meanwhile, in pixels.
const SHOWN_SIDE: u32 = 640;

/// A file that is decoded; dropping it stops that.
pub struct Film {
    inner: Rc<RefCell<Inner>>,
}

struct Inner {
    video: HtmlVideoElement,
    /// Shows the frames in the video's place.
    canvas: Option<(HtmlCanvasElement, CanvasRenderingContext2d)>,
    /// The file, and its address once people may look at it.
    file: Blob,
    address: Option<ObjectUrl>,
    worker: Option<WorkerHandle>,
    silence: Option<Timer>,
    is_open: bool,
    /// Whether the worker owes an answer.
    is_waiting: bool,
    max_fps: f64,
    first_ms: f64,
    counts: Counts,
    on_event: Rc<dyn Fn(PlayerEvent)>,
    play_instead: Rc<dyn Fn()>,
}

impl Film {
    /// Opens `file` in a worker of `policy`, and shows its frames in the place of `video`. `play_instead` is called where that
    /// turns out not to work. Nothing in a browser that has no decoder.
    pub fn open(
        policy: &ScriptPolicy,
        video: &HtmlVideoElement,
        file: &Blob,
        on_event: Rc<dyn Fn(PlayerEvent)>,
        play_instead: impl Fn() + 'static,
    ) -> Option<Self> {
        if !js_sys::Reflect::has(&js_sys::global(), &"VideoDecoder".into()).unwrap_or(false) {
            return None;
        }
        let inner = Rc::new(RefCell::new(Inner {
            video: video.clone(),
            canvas: None,
            file: file.clone(),
            address: None,
            worker: None,
            silence: None,
            is_open: false,
            is_waiting: true,
            max_fps: 1.0,
            first_ms: 0.0,
            counts: Counts::default(),
            on_event,
            play_instead: Rc::new(play_instead),
        }));
        // In a turn of its own: the worker may end, which frees whoever tells of it.
        let later = |change: Change, me: &Weak<RefCell<Inner>>| {
            let me = me.clone();
            spawn_local(async move { tell(&me, change) });
        };
        let [told, died, silent] = [(); 3].map(|()| Rc::downgrade(&inner));
        let on_response =
            move |response: FilmResponse| later(Box::new(|inner| inner.on_response(response)), &told);
        let on_death = move |_| later(Box::new(|inner| inner.give_up(End::Interrupted)), &died);
        let worker = WorkerHandle::open(policy, Script::Decoder, "", on_response, on_death).ok()?;
        let silence = Timer::new(SILENCE_MS, move || later(Box::new(Inner::on_silence), &silent));
        inner.borrow_mut().worker = Some(worker);
        inner.borrow_mut().silence = Some(silence);
        Some(Film { inner })
    }

    /// Asks for the first frame; no two are of the same 1 / `max_fps` seconds.
    pub fn play(&self, max_fps: f64) {
        self.inner.borrow_mut().max_fps = max_fps;
        self.answered(0.0);
    }

    /// Asks for the next frame, of which none is due before `next_due_s`.
    pub fn answered(&self, next_due_s: f64) {
        let me = Rc::downgrade(&self.inner);
        tell(&me, |inner| inner.ask(next_due_s));
    }

    /// How many frames came.
    pub fn counts(&self) -> Counts {
        self.inner.borrow().counts
    }

    /// Ends decoding; the file stays, for people to look at.
    pub fn stop(&self) {
        self.inner.borrow_mut().stop();
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        let mut inner = self.inner.borrow_mut();
        inner.end_worker();
        if inner.address.take().is_some() {
            inner.video.set_controls(false);
            let _ = inner.video.remove_attribute("src");
            inner.video.load();
        }
    }
}

/// Something that happens to a player, and what is told of it.
type Change = Box<dyn FnOnce(&mut Inner) -> Option<PlayerEvent>>;

fn tell(me: &Weak<RefCell<Inner>>, change: impl FnOnce(&mut Inner) -> Option<PlayerEvent>) {
    let Some(inner) = me.upgrade() else { return };
    let event = change(&mut inner.borrow_mut());
    let on_event = inner.borrow().on_event.clone();
    if let Some(event) = event {
        spawn_local(async move { on_event(event) });
    }
}

impl Inner {
    fn on_response(&mut self, response: FilmResponse) -> Option<PlayerEvent> {
        if self.worker.is_none() {
            if let FilmResponse::Frame { picture, .. } = response {
                picture.close();
            }
            return None;
        }
        match response {
            FilmResponse::Started => self.send(&FilmRequest::Open { file: self.file.clone() }),
            FilmResponse::Opened { media } => {
                self.is_open = true;
                self.is_waiting = false;
                Some(PlayerEvent::Opened(media))
            }
            FilmResponse::Unfit { .. } => self.give_up(End::Truncated),
            FilmResponse::Frame { time_s, picture } => {
                self.is_waiting = false;
                if self.counts.taken == 0 {
                    self.first_ms = now_ms();
                }
                self.counts.take(time_s, now_ms() - self.first_ms);
                // The frame is judged whether it is seen or not.
                let _ = self.show(&picture);
                Some(PlayerEvent::Frame { time_s, picture })
            }
            FilmResponse::Ended { end, ended_s } => {
                self.stop();
                Some(PlayerEvent::Ended { end, ended_s })
            }
        }
    }

    fn ask(&mut self, due_s: f64) -> Option<PlayerEvent> {
        self.is_waiting = true;
        self.silence.iter_mut().for_each(Timer::restart);
        self.send(&FilmRequest::Next { due_s, max_fps: self.max_fps })
    }

    fn send(&mut self, request: &FilmRequest) -> Option<PlayerEvent> {
        let sent = self.worker.as_ref()?.send(request);
        sent.err().and_then(|_| self.give_up(End::Interrupted))
    }

    fn on_silence(&mut self) -> Option<PlayerEvent> {
        if self.is_waiting { self.give_up(End::Interrupted) } else { None }
    }

    /// Ends; before the first frame, the file is played instead.
    fn give_up(&mut self, end: End) -> Option<PlayerEvent> {
        self.worker.as_ref()?;
        if self.counts.taken == 0 && !self.is_open {
            self.end_worker();
            let play_instead = self.play_instead.clone();
            spawn_local(async move { play_instead() });
            return None;
        }
        self.stop();
        Some(PlayerEvent::Ended { end, ended_s: None })
    }

    fn show(&mut self, picture: &ImageBitmap) -> Result<(), JsValue> {
        let [width, height] = [picture.width(), picture.height()];
        if self.canvas.is_none() {
            self.canvas = Some(canvas(&self.video, [width, height])?);
        }
        let Some((canvas, context)) = &self.canvas else { return Ok(()) };
        let [right, bottom] = [canvas.width(), canvas.height()].map(f64::from);
        context.draw_image_with_image_bitmap_and_dw_and_dh(picture, 0.0, 0.0, right, bottom)
    }

    fn end_worker(&mut self) {
        self.worker = None;
        self.silence = None;
        if let Some((canvas, _)) = self.canvas.take() {
            canvas.remove();
            self.video.set_hidden(false);
        }
    }

    fn stop(&mut self) {
        self.end_worker();
        if self.address.is_none()
            && let Ok(address) = ObjectUrl::new(&self.file)
        {
            self.video.set_muted(true);
            self.video.set_controls(true);
            self.video.set_src(address.address());
            self.address = Some(address);
        }
    }
}

/// A canvas in the place of `video`, for pictures of this size.
fn canvas(
    video: &HtmlVideoElement,
    [width, height]: [u32; 2],
) -> Result<(HtmlCanvasElement, CanvasRenderingContext2d), JsValue> {
    let document = video.owner_document().ok_or("the video is in no document")?;
    let canvas: HtmlCanvasElement = document.create_element("canvas")?.unchecked_into();
    let scale = (f64::from(SHOWN_SIDE) / f64::from(width.max(height).max(1))).min(1.0);
    canvas.set_width((f64::from(width) * scale) as u32);
    canvas.set_height((f64::from(height) * scale) as u32);
    canvas.set_id("film-picture");
    canvas.set_attribute("aria-hidden", "true")?;
    let context = canvas.get_context("2d")?.ok_or("there is no 2d context")?;
    video.after_with_node_1(&canvas)?;
    video.set_hidden(true);
    Ok((canvas, context.unchecked_into()))
}
