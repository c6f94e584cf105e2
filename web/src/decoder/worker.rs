//! Which frames are decoded, and which of them are handed out: the first one that is due, when the page asks for it.

use super::Unfit;
use super::boxes::index;
use super::codecs::{Heard, VideoDecoder, VideoFrame};
use super::film::Film;
use super::slices::Slices;
use crate::download::describe;
use crate::message::{FilmRequest, FilmResponse};
use crate::worker::{listen, post, post_with};
use engine::video::report::{End, FrameSource, Media};
use engine::video::sampling::{EARLY_S, next_tick_s};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::Blob;

/// Frames that wait to be asked for, at most; a decoder may have no memory for many.
const AHEAD: usize = 3;
/// Frames that the decoder is given before it has begun with them, at most.
const QUEUED: u32 = 3;
const MICROSECONDS: f64 = 1e6;

/// Listens for requests of the page.
pub fn start() {
    let decoding: Shared = Rc::default();
    listen(move |request: FilmRequest| match request {
        FilmRequest::Open { file } => {
            let decoding = decoding.clone();
            spawn_local(async move {
                if let Err(unfit) = open(&decoding, file).await {
                    post(&FilmResponse::Unfit { reason: unfit.to_string() });
                }
            });
        }
        FilmRequest::Next { due_s, max_fps } => with(&decoding, |decoding| {
            decoding.asked = Some(max_fps);
            decoding.due_s = decoding.due_s.max(due_s);
        }),
    });
    post(&FilmResponse::Started);
}

type Shared = Rc<RefCell<Option<Decoding>>>;

/// Work on one film.
struct Decoding {
    me: Shared,
    film: Film,
    /// Times and places of the frames in the order in which they are shown.
    shown: Vec<(i64, usize)>,
    file: Slices,
    decoder: VideoDecoder,
    _heard: Rc<Heard>,
    /// The frame that is decoded next.
    next: usize,
    /// Decoded frames that may be due, in the order of time.
    ready: VecDeque<VideoFrame>,
    /// Media time before which no frame is due, in seconds.
    due_s: f64,
    /// The page waits for a frame, of which there are so many a second at most.
    asked: Option<f64>,
    is_open: bool,
    rest: Rest,
    end: End,
}

/// What is still in the decoder, once it was given all frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Unknown,
    Coming,
    Out,
}

async fn open(shared: &Shared, file: Blob) -> Result<(), Unfit> {
    let mut file = Slices::new(file)?;
    let film = Film::read(&index(&mut file)?)?;
    let heard = Rc::new(heard(shared));
    let decoder = VideoDecoder::open(&film, &heard).await.map_err(|error| Unfit::Codec(describe(&error)))?;
    let mut shown: Vec<_> = film.samples.iter().enumerate().map(|(at, sample)| (sample.time, at)).collect();
    shown.sort_unstable();
    shared.replace(Some(Decoding {
        me: shared.clone(),
        film,
        shown,
        file,
        decoder,
        _heard: heard,
        next: 0,
        ready: VecDeque::new(),
        due_s: 0.0,
        asked: None,
        is_open: false,
        rest: Rest::Unknown,
        end: End::Whole,
    }));
    with(shared, |_| {});
    Ok(())
}

fn heard(shared: &Shared) -> Heard {
    let [frame, error, dequeue] = [shared.clone(), shared.clone(), shared.clone()];
    Heard {
        on_frame: Closure::new(move |picture: VideoFrame| {
            with(&frame, |decoding| decoding.ready.push_back(picture));
        }),
        on_error: Closure::new(move |_: JsValue| with(&error, Decoding::fail)),
        on_dequeue: Closure::new(move || with(&dequeue, |_| {})),
    }
}

/// Changes something, and does what is to be done then.
fn with(shared: &Shared, change: impl FnOnce(&mut Decoding)) {
    if let Some(decoding) = &mut *shared.borrow_mut() {
        change(decoding);
        decoding.go_on();
    }
}

impl Decoding {
    fn go_on(&mut self) {
        self.drop_early();
        if !self.is_open {
            self.tell_opened();
        } else if let Some(max_fps) = self.asked {
            if let Some(frame) = self.ready.pop_front() {
                self.hand_out(frame, max_fps);
                self.drop_early();
            } else if self.rest == Rest::Out {
                self.asked = None;
                let last_s = self.shown.last().map_or(0.0, |(time, _)| *time as f64 / MICROSECONDS);
                let ended_s = (self.end == End::Whole).then_some(last_s);
                post(&FilmResponse::Ended { end: self.end, ended_s });
            }
        }
        if self.rest == Rest::Unknown && self.feed().is_err() {
            self.fail();
            self.go_on();
        }
    }

    /// Gives back what comes before its time.
    fn drop_early(&mut self) {
        let due_s = self.due_s - EARLY_S;
        while let Some(frame) = self.ready.pop_front_if(|frame| frame.timestamp() / MICROSECONDS < due_s) {
            frame.close();
        }
    }

    /// Tells the page, once the first frame has shown that the browser decodes it.
    fn tell_opened(&mut self) {
        let Some(frame) = self.ready.front() else {
            if self.rest == Rest::Out {
                self.asked = None;
                post(&FilmResponse::Unfit { reason: "no frame came of it".into() });
            }
            return;
        };
        self.is_open = true;
        let size = frame.size(self.film.turn);
        let (duration_s, frames) = (Some(self.film.duration_s), Some(FrameSource::Decoded));
        let media = Media { size, duration_s, frame_rate: None, frames };
        post(&FilmResponse::Opened { media });
    }

    /// Sends `frame` to the page.
    fn hand_out(&mut self, frame: VideoFrame, max_fps: f64) {
        self.asked = None;
        let time_s = frame.timestamp() / MICROSECONDS;
        // Until the page says more.
        self.due_s = self.due_s.max(next_tick_s(time_s, max_fps));
        let (turn, me) = (self.film.turn, self.me.clone());
        spawn_local(async move {
            let made = frame.picture(turn).await;
            frame.close();
            match made {
                Ok(picture) => {
                    let owned = picture.clone().into();
                    post_with(&FilmResponse::Frame { time_s, picture }, &owned);
                }
                Err(_) => with(&me, |decoding| {
                    decoding.asked = Some(max_fps);
                    decoding.fail();
                }),
            }
        });
    }

    /// Gives the decoder more, as long as nobody has to wait for it.
    fn feed(&mut self) -> Result<(), JsValue> {
        let due = (self.due_s - EARLY_S) * MICROSECONDS;
        let at = self.shown.partition_point(|(time, _)| (*time as f64) < due);
        let target = self.shown.get(at).map(|(_, at)| *at);
        if let Some(key) = target.and_then(|target| self.film.shortcut(self.next, target)) {
            self.next = key;
        }
        while self.ready.len() < AHEAD && self.decoder.queue_size() < QUEUED {
            let Some(sample) = self.film.samples.get(self.next) else { return self.flush() };
            match self.file.bytes(sample.offset, sample.size) {
                Ok(Some(bytes)) => self.decoder.decode(sample, bytes)?,
                Ok(None) | Err(_) => {
                    self.end = End::Truncated;
                    return self.flush();
                }
            }
            self.next += 1;
        }
        Ok(())
    }

    /// Lets the decoder hand out what it still has.
    fn flush(&mut self) -> Result<(), JsValue> {
        self.rest = Rest::Coming;
        let (flushed, me) = (JsFuture::from(self.decoder.flush()?), self.me.clone());
        spawn_local(async move {
            let flushed = flushed.await;
            with(&me, |decoding| match flushed {
                Ok(_) => decoding.rest = Rest::Out,
                Err(_) => decoding.fail(),
            });
        });
        Ok(())
    }

    /// What was decoded before is still good.
    fn fail(&mut self) {
        self.rest = Rest::Out;
        self.end = End::Truncated;
    }
}
