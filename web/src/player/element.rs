//! A video element plays a file or a camera, and each frame that it shows may be taken.
//!
//! One frame is in flight. A file waits for its answer, so that none that is due is lost, and plays as fast as answers come;
//! a camera does not wait: what comes meanwhile is dropped and counted.

use super::listener::Listener;
use super::pace::{Counts, Pace};
use super::{PlayerEvent, now_ms, page_failure};
use crate::message::Failure;
use crate::view::ObjectUrl;
use engine::video::report::{End, FrameSource, Media};
use engine::video::sampling::EARLY_S;
use std::cell::RefCell;
use std::rc::{Rc, Weak};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, Document, HtmlVideoElement, ImageBitmap, MediaStream, MediaStreamTrack, Window};

/// Longest time without a frame, in milliseconds.
const STALL_MS: f64 = 15_000.0;
/// How often that is looked at, in milliseconds.
const WATCH_MS: i32 = 1000;
/// Fastest and slowest speed of a file. A display shows 60 frames a second, and 15 of each second of the video may be due.
const SPEEDS: [f64; 2] = [0.25, 4.0];
/// Share of the time that answers may take of it, so that waiting is rare.
const BUSY: f64 = 0.8;
/// Where the first frame that is due comes so much later, the browser has left some out, and the file plays at half the speed.
const LATE_S: f64 = 0.1;
/// A last frame that begins so much before the length that a file tells is looked for once more, in seconds.
const END_S: f64 = 1.0;
/// Where it is looked for, in seconds before that length, and how long, in milliseconds.
const PROBE_S: f64 = 0.2;
const PROBE_MS: f64 = 2000.0;
/// Most that the speed of a file grows by, from one frame to the next.
const FASTER: f64 = 1.25;

#[wasm_bindgen]
extern "C" {
    /// A video whose frames can be waited for, which web-sys does not know.
    #[wasm_bindgen(extends = HtmlVideoElement)]
    #[derive(Clone)]
    type FrameVideo;

    #[wasm_bindgen(method, js_name = requestVideoFrameCallback)]
    fn request_frame(this: &FrameVideo, callback: &js_sys::Function) -> u32;

    #[wasm_bindgen(method, js_name = cancelVideoFrameCallback)]
    fn cancel_frame(this: &FrameVideo, handle: u32);

    /// What is told of a frame.
    type FrameInfo;

    #[wasm_bindgen(method, getter, js_name = mediaTime)]
    fn media_time(this: &FrameInfo) -> f64;
}

/// Where frames come from.
enum Source {
    /// Its address is good for as long as the player.
    File {
        _address: ObjectUrl,
    },
    Camera(MediaStream),
}

/// A playing element; dropping it stops the video and the camera.
pub struct Element {
    inner: Rc<RefCell<Inner>>,
    _listeners: Vec<Listener>,
}

struct Inner {
    video: FrameVideo,
    source: Source,
    pace: Pace,
    on_frame: Option<Closure<dyn Fn(f64, FrameInfo)>>,
    frame_handle: u32,
    on_event: Rc<dyn Fn(PlayerEvent)>,
    me: Weak<RefCell<Inner>>,
}

impl Element {
    /// Opens the file in `blob`.
    ///
    /// # Errors
    /// `browser_too_old` if this browser cannot wait for frames.
    pub fn of_file(
        video: HtmlVideoElement,
        blob: &Blob,
        on_event: Rc<dyn Fn(PlayerEvent)>,
    ) -> Result<Self, Failure> {
        let url = ObjectUrl::new(blob).map_err(|error| page_failure(&error))?;
        let address = url.address().to_owned();
        Self::open(video, Source::File { _address: url }, on_event, |video| video.set_src(&address))
    }

    /// Opens a camera.
    ///
    /// # Errors
    /// `browser_too_old` if this browser cannot wait for frames.
    pub fn of_camera(
        video: HtmlVideoElement,
        stream: MediaStream,
        on_event: Rc<dyn Fn(PlayerEvent)>,
    ) -> Result<Self, Failure> {
        // Not `stream.clone()`, which is the browser's: a second stream, that would keep the camera on.
        let source = Clone::clone(&stream);
        Self::open(video, Source::Camera(stream), on_event, |video| video.set_src_object(Some(&source)))
    }

    fn open(
        video: HtmlVideoElement,
        source: Source,
        on_event: Rc<dyn Fn(PlayerEvent)>,
        begin: impl FnOnce(&HtmlVideoElement),
    ) -> Result<Self, Failure> {
        let has_frames = js_sys::Reflect::has(&video, &"requestVideoFrameCallback".into()).unwrap_or(false);
        if !has_frames {
            let advice = "this browser does not hand out the frames of videos; use Chrome or Edge 83, Safari 15.4, \
                          Firefox 132, or a newer one, or judge the file with the program `aware detect`";
            return Err(Failure::new("browser_too_old", advice));
        }
        video.set_muted(true);
        video.set_controls(false);
        let inner = Rc::new_cyclic(|me: &Weak<RefCell<Inner>>| {
            RefCell::new(Inner {
                video: video.clone().unchecked_into(),
                source,
                pace: Pace::default(),
                on_frame: None,
                frame_handle: 0,
                on_event,
                me: me.clone(),
            })
        });
        let listeners = listen(&inner, &video).map_err(|error| page_failure(&error))?;
        begin(&video);
        Ok(Element { inner, _listeners: listeners })
    }

    /// Plays from now on; the first frame is due at once, and no two of the same 1 / `max_fps` seconds.
    pub fn play(&self, max_fps: f64) {
        let me = self.inner.borrow().me.clone();
        let on_frame = Closure::<dyn Fn(f64, FrameInfo)>::new(move |now_ms: f64, info: FrameInfo| {
            tell(&me, |inner| inner.on_frame(now_ms, info.media_time()));
        });
        let mut inner = self.inner.borrow_mut();
        inner.on_frame = Some(on_frame);
        inner.pace.is_playing = true;
        inner.pace.max_fps = max_fps;
        inner.pace.last_ms = now_ms();
        inner.ask_for_frame();
        inner.start();
    }

    /// Takes note that the frame in flight was answered after `latency_ms`, and that none is due before `next_due_s`.
    pub fn answered(&self, next_due_s: f64, latency_ms: f64) {
        let me = self.inner.borrow().me.clone();
        tell(&me, |inner| inner.on_answer(next_due_s, latency_ms));
    }

    /// How many frames came and went.
    pub fn counts(&self) -> Counts {
        self.inner.borrow().pace.counts
    }

    /// Hands out no more frames. A camera is switched off; a file stays, for people to look at.
    pub fn stop(&self) {
        self.inner.borrow_mut().stop();
    }
}

impl Drop for Element {
    fn drop(&mut self) {
        let mut inner = self.inner.borrow_mut();
        inner.stop();
        inner.video.set_controls(false);
        inner.video.set_src_object(None);
        // Without a source the decoder is given back.
        let _ = inner.video.remove_attribute("src");
        inner.video.load();
    }
}

/// Lets the player behind `me` do something, and tells what came of it in a turn of its own: whoever calls may be in the middle
/// of something.
fn tell(me: &Weak<RefCell<Inner>>, change: impl FnOnce(&mut Inner) -> Option<PlayerEvent>) {
    let Some(inner) = me.upgrade() else { return };
    let event = change(&mut inner.borrow_mut());
    let on_event = inner.borrow().on_event.clone();
    if let Some(event) = event {
        spawn_local(async move { on_event(event) });
    }
}

impl Inner {
    fn is_live(&self) -> bool {
        matches!(self.source, Source::Camera(_))
    }

    fn ask_for_frame(&mut self) {
        if let Some(on_frame) = &self.on_frame {
            self.frame_handle = self.video.request_frame(on_frame.as_ref().unchecked_ref());
        }
    }

    fn start(&self) {
        let Ok(started) = self.video.play() else { return };
        let me = self.me.clone();
        spawn_local(async move {
            if let Err(error) = JsFuture::from(started).await {
                // A pause that came sooner, or the end, is nothing to speak of.
                let name =
                    js_sys::Reflect::get(&error, &"name".into()).ok().and_then(|name| name.as_string());
                if name.as_deref() != Some("AbortError") {
                    tell(&me, |inner| {
                        inner.fail(Failure::new("video", "the browser does not let the video play"))
                    });
                }
            }
        });
    }

    fn on_opened(&mut self) -> Option<PlayerEvent> {
        let size = [self.video.video_width(), self.video.video_height()];
        if size.contains(&0) {
            return self
                .fail(Failure::new("no_video", "there is no picture in it, only sound; choose a video"));
        }
        let duration_s =
            Some(self.video.duration()).filter(|duration| duration.is_finite() && *duration > 0.0);
        Some(PlayerEvent::Opened(Media {
            size,
            duration_s,
            frame_rate: None,
            frames: Some(FrameSource::Played),
        }))
    }

    fn on_frame(&mut self, now_ms: f64, media_time_s: f64) -> Option<PlayerEvent> {
        if self.pace.is_over {
            return None;
        }
        if self.pace.is_probing {
            return self.end(End::Whole, Some(media_time_s));
        }
        self.ask_for_frame();
        self.pace.last_ms = now_ms;
        self.pace.seen_s = media_time_s;
        let time_s = match self.is_live() {
            true => media_time_s - *self.pace.first_s.get_or_insert(media_time_s),
            false => media_time_s,
        };
        if time_s + EARLY_S < self.pace.next_due_s {
            return None;
        }
        if self.pace.in_flight {
            if self.is_live() {
                self.pace.counts.dropped += 1;
            } else if self.pace.waiting.is_none() {
                self.pace.waiting = Some(time_s);
                // Ignored by what has ended.
                let _ = self.video.pause();
            }
            return None;
        }
        let is_late = self.pace.counts.taken > 0 && time_s - self.pace.next_due_s > LATE_S;
        if is_late && !self.is_live() {
            self.video.set_playback_rate((self.video.playback_rate() / 2.0).max(SPEEDS[0]));
        }
        self.take(time_s, now_ms);
        None
    }

    /// Takes the frame that is shown.
    fn take(&mut self, time_s: f64, now_ms: f64) {
        self.pace.take(time_s, now_ms);
        let made = web_sys::window()
            .ok_or(JsValue::NULL)
            .and_then(|window: Window| window.create_image_bitmap_with_html_video_element(&self.video));
        let me = self.me.clone();
        spawn_local(async move {
            let picture = match made {
                Ok(made) => JsFuture::from(made).await,
                Err(error) => Err(error),
            };
            tell(&me, |inner| match picture {
                Ok(picture) if inner.pace.is_over => {
                    picture.unchecked_into::<ImageBitmap>().close();
                    None
                }
                Ok(picture) => Some(PlayerEvent::Frame { time_s, picture: picture.unchecked_into() }),
                Err(_) => inner.end(End::Truncated, None),
            });
        });
    }

    fn on_answer(&mut self, next_due_s: f64, latency_ms: f64) -> Option<PlayerEvent> {
        let pace = &mut self.pace;
        pace.in_flight = false;
        let gap_s = next_due_s - pace.counts.time_s;
        pace.next_due_s = next_due_s;
        pace.last_ms = now_ms();
        if self.pace.is_over {
            return None;
        }
        if !self.is_live() && gap_s > 0.0 && latency_ms > 0.0 {
            let speed = (BUSY * gap_s * 1e3 / latency_ms).clamp(SPEEDS[0], SPEEDS[1]);
            // Half of the way each time, and slowly up: one answer says little of the device.
            let before = self.video.playback_rate();
            self.video.set_playback_rate(((before + speed) / 2.0).min(before * FASTER));
        }
        let waiting = self.pace.waiting.take();
        let is_due = waiting.is_some_and(|time_s| time_s + EARLY_S >= next_due_s);
        if let Some(time_s) = waiting.filter(|_| is_due) {
            self.take(time_s, now_ms());
        }
        match self.pace.end.take_if(|_| !is_due) {
            Some((end, ended_s)) => return self.end(end, ended_s),
            // What has ended would begin anew.
            None if waiting.is_some() && self.pace.end.is_none() => self.start(),
            None => {}
        }
        None
    }

    fn on_ended(&mut self) -> Option<PlayerEvent> {
        let duration_s = self.video.duration();
        let is_known = !duration_s.is_finite() || self.pace.seen_s >= duration_s - END_S;
        if is_known || self.pace.is_probing || self.pace.waiting.is_some() {
            return self.end(End::Whole, Some(self.pace.seen_s));
        }
        // Either a busy browser has left out the last frames, or they are not there: players count on to the length that the
        // file tells. The frame that is shown near it knows its own time.
        self.pace.is_probing = true;
        self.pace.last_ms = now_ms();
        self.video.set_current_time(duration_s - PROBE_S);
        None
    }

    fn on_error(&mut self) -> Option<PlayerEvent> {
        let failure = match self.video.error().map(|error| error.code()) {
            Some(web_sys::MediaError::MEDIA_ERR_SRC_NOT_SUPPORTED) | None => Failure::new("codec", ""),
            Some(_) => Failure::new("corrupt", "the video is damaged: it does not decode; get a whole copy"),
        };
        match self.pace.counts.taken {
            0 => self.fail(failure),
            _ => self.end(End::Truncated, None),
        }
    }

    fn on_watch(&mut self) -> Option<PlayerEvent> {
        let pace = &self.pace;
        if pace.is_probing && now_ms() - pace.last_ms > PROBE_MS {
            return self.end(End::Whole, Some(pace.seen_s));
        }
        let is_still = !pace.is_playing || pace.is_over || pace.in_flight || self.video.paused();
        if is_still || now_ms() - pace.last_ms < STALL_MS {
            return None;
        }
        match pace.counts.taken {
            0 => self
                .fail(Failure::new("timeout", "no frame came for a long time; try another file or camera")),
            _ => self.end(End::Truncated, None),
        }
    }

    fn on_visibility(&mut self, is_hidden: bool) {
        if self.is_live() || !self.pace.is_playing || self.pace.is_over {
            return;
        }
        // A hidden page shows no frames, but would play on.
        self.pace.last_ms = now_ms();
        if is_hidden {
            let _ = self.video.pause();
        } else if self.pace.waiting.is_none() {
            self.start();
        }
    }

    /// Ends once the frame in flight is answered.
    fn end(&mut self, end: End, ended_s: Option<f64>) -> Option<PlayerEvent> {
        if self.pace.is_over {
            return None;
        }
        if self.pace.in_flight || self.pace.waiting.is_some() {
            self.pace.end.get_or_insert((end, ended_s));
            return None;
        }
        self.stop();
        Some(PlayerEvent::Ended { end, ended_s })
    }

    fn fail(&mut self, failure: Failure) -> Option<PlayerEvent> {
        if self.pace.is_over {
            return None;
        }
        self.stop();
        Some(PlayerEvent::Failed(failure))
    }

    fn stop(&mut self) {
        self.pace.is_over = true;
        if self.on_frame.is_some() {
            self.video.cancel_frame(self.frame_handle);
        }
        let _ = self.video.pause();
        self.video.set_playback_rate(1.0);
        match &self.source {
            Source::Camera(stream) => {
                for track in stream.get_tracks() {
                    track.unchecked_into::<MediaStreamTrack>().stop();
                }
                self.video.set_src_object(None);
            }
            Source::File { .. } => self.video.set_controls(true),
        }
    }
}

/// Connects the events of `video` with its player.
fn listen(inner: &Rc<RefCell<Inner>>, video: &HtmlVideoElement) -> Result<Vec<Listener>, JsValue> {
    type Heard = fn(&mut Inner) -> Option<PlayerEvent>;
    let me = Rc::downgrade(inner);
    let heard: [(&str, Heard); 3] =
        [("loadedmetadata", Inner::on_opened), ("ended", Inner::on_ended), ("error", Inner::on_error)];
    let mut listeners = Vec::new();
    for (name, change) in heard {
        let me = me.clone();
        listeners.push(Listener::new(video, name, move || tell(&me, change))?);
    }
    let document: Document = video.owner_document().ok_or("the video is in no document")?;
    let (hiding, asked) = (me.clone(), document.clone());
    listeners.push(Listener::new(&document, "visibilitychange", move || {
        tell(&hiding, |inner| {
            inner.on_visibility(asked.hidden());
            None
        });
    })?);
    if let Source::Camera(stream) = &inner.borrow().source {
        for track in stream.get_tracks() {
            let me = me.clone();
            let lost = move || {
                tell(&me, |inner| match inner.pace.counts.taken {
                    0 => inner.fail(Failure::new(
                        "camera_ended",
                        "the camera was unplugged or taken away; try again",
                    )),
                    _ => inner.end(End::Interrupted, None),
                });
            };
            listeners.push(Listener::new(track.unchecked_ref(), "ended", lost)?);
        }
    }
    listeners.push(Listener::every(WATCH_MS, move || tell(&me, Inner::on_watch))?);
    Ok(listeners)
}
