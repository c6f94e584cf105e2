//! Opens a video file or a camera, and hands out its frames one at a time with their media times.
//!
//! [`film`]: a file, frame by frame as fast as it decodes, where [`crate::decoder`] takes it; [`element`]: every other file, and
//! cameras, while they play at a [`pace`]; [`listener`]: what is heard meanwhile.

mod element;
mod film;
mod listener;
mod pace;

pub use pace::Counts;

use crate::message::Failure;
use crate::worker_handle::ScriptPolicy;
use element::Element;
use engine::video::report::{End, Media};
use film::Film;
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, HtmlVideoElement, ImageBitmap, MediaStream};

/// What becomes of a video.
pub enum PlayerEvent {
    /// Its size and length are known; nothing plays before [`Player::play`].
    Opened(Media),
    /// A frame that is due. The next one follows on [`Player::answered`].
    Frame {
        /// Media time in seconds.
        time_s: f64,
        /// Its pixels, to be closed by whoever takes them.
        picture: ImageBitmap,
    },
    /// There are no more frames.
    Ended {
        /// How it ended.
        end: End,
        /// Media time of its own end in seconds, if it was reached.
        ended_s: Option<f64>,
    },
    /// There was none at all.
    Failed(Failure),
}

/// An open video; dropping it stops the video and the camera.
pub struct Player {
    video: HtmlVideoElement,
    source: Rc<RefCell<Source>>,
}

/// Where frames come from.
enum Source {
    /// Nowhere, while one gives place to the other.
    None,
    Film(Film),
    Element(Element),
}

impl Player {
    /// Opens the file in `blob`, to be played.
    ///
    /// # Errors
    /// `browser_too_old` if this browser cannot wait for frames.
    pub fn of_file(
        video: HtmlVideoElement,
        blob: &Blob,
        on_event: impl Fn(PlayerEvent) + 'static,
    ) -> Result<Self, Failure> {
        let element = Element::of_file(video.clone(), blob, Rc::new(on_event))?;
        Ok(Player { video, source: Rc::new(RefCell::new(Source::Element(element))) })
    }

    /// Opens the file in `blob`, to be decoded by a script of `policy` or, where that does not take it, to be played.
    ///
    /// # Errors
    /// `browser_too_old` if this browser can do neither.
    pub fn of_film(
        policy: &ScriptPolicy,
        video: HtmlVideoElement,
        blob: &Blob,
        on_event: impl Fn(PlayerEvent) + 'static,
    ) -> Result<Self, Failure> {
        let on_event: Rc<dyn Fn(PlayerEvent)> = Rc::new(on_event);
        let source = Rc::new(RefCell::new(Source::None));
        let (weak, file, shown, told) =
            (Rc::downgrade(&source), blob.clone(), video.clone(), on_event.clone());
        let play_instead = move || {
            let Some(source) = weak.upgrade() else { return };
            source.replace(Source::None);
            match Element::of_file(shown.clone(), &file, told.clone()) {
                Ok(element) => drop(source.replace(Source::Element(element))),
                Err(failure) => told(PlayerEvent::Failed(failure)),
            }
        };
        let opened = match Film::open(policy, &video, blob, on_event.clone(), play_instead) {
            Some(film) => Source::Film(film),
            None => Source::Element(Element::of_file(video.clone(), blob, on_event)?),
        };
        source.replace(opened);
        Ok(Player { video, source })
    }

    /// Opens a camera.
    ///
    /// # Errors
    /// `browser_too_old` if this browser cannot wait for frames.
    pub fn of_camera(
        video: HtmlVideoElement,
        stream: MediaStream,
        on_event: impl Fn(PlayerEvent) + 'static,
    ) -> Result<Self, Failure> {
        let element = Element::of_camera(video.clone(), stream, Rc::new(on_event))?;
        Ok(Player { video, source: Rc::new(RefCell::new(Source::Element(element))) })
    }

    /// Hands out frames from now on; the first one is due at once, and no two of the same 1 / `max_fps` seconds.
    pub fn play(&self, max_fps: f64) {
        match &*self.source.borrow() {
            Source::None => {}
            Source::Film(film) => film.play(max_fps),
            Source::Element(element) => element.play(max_fps),
        }
    }

    /// Takes note that the frame in flight was answered after `latency_ms`, and that none is due before `next_due_s`.
    pub fn answered(&self, next_due_s: f64, latency_ms: f64) {
        match &*self.source.borrow() {
            Source::None => {}
            Source::Film(film) => film.answered(next_due_s),
            Source::Element(element) => element.answered(next_due_s, latency_ms),
        }
    }

    /// How many frames came and went.
    pub fn counts(&self) -> Counts {
        match &*self.source.borrow() {
            Source::None => Counts::default(),
            Source::Film(film) => film.counts(),
            Source::Element(element) => element.counts(),
        }
    }

    /// Hands out no more frames. A camera is switched off; a file stays, for people to look at.
    pub fn stop(&self) {
        match &*self.source.borrow() {
            Source::None => {}
            Source::Film(film) => film.stop(),
            Source::Element(element) => element.stop(),
        }
    }

    /// Goes to `time_s` of a file.
    pub fn seek(&self, time_s: f64) {
        self.video.set_current_time(time_s);
    }
}

fn now_ms() -> f64 {
    web_sys::window().and_then(|window| window.performance()).map_or(0.0, |performance| performance.now())
}

fn page_failure(error: &JsValue) -> Failure {
    Failure::new("page", crate::download::describe(error))
}
