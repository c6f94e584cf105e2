//! Many files on disk -> findings in the order of their names, by all cores at once.
//!
//! A session of the engine takes one picture, so a batch is as many sessions as there are threads: the numbers are those of
//! judging one file after the other. Memory is bounded by [`Room`], order by one channel a thread.

use crate::detect::{Failure, Finding, judge_bytes, read_picture};
use crate::faces::FaceFinder;
use crate::interrupt::Interrupt;
use crate::video_detect::container_of;
use anyhow::Result;
use engine::frame::{MAX_PIXELS, claimed_pixels};
use engine::video::Container;
use engine::{Bundle, Detector, Preset};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};

/// Findings that a thread may be ahead of whoever takes them.
const AHEAD: usize = 16;
/// Files that a thread has at least: loading a bundle for it takes as long as judging some.
const FILES_A_THREAD: usize = 8;

/// What a file turned out to be.
pub enum Turn {
    /// A picture, or nothing that can be judged.
    Picture(Box<Finding>),
    /// A video, which whoever takes the turn judges.
    Video(Container),
}

/// What judges a batch.
pub struct Batch<'a> {
    /// The bundle that each thread loads.
    pub bundle: &'a Bundle,
    /// Where answers count as sure.
    pub preset: Preset,
    /// What finds faces; without it the middle of each picture is judged.
    pub finder: Option<&'a FaceFinder>,
    /// Who may ask to stop.
    pub interrupt: &'a Interrupt,
}

impl Batch<'_> {
    /// Hands `take` each of `files` in their order until it breaks, or somebody asks to stop. As many threads as rayon has
    /// work, each on eight files at least; their pictures have at most [`MAX_PIXELS`] pixels together, one alone as many.
    ///
    /// # Errors
    /// If the bundle does not load, and those of `take`.
    pub fn each(
        &self,
        files: &[PathBuf],
        take: &mut dyn FnMut(&Path, Turn) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let threads = rayon::current_num_threads().min(files.len().div_ceil(FILES_A_THREAD)).max(1);
        let room = Room::default();
        std::thread::scope(|scope| {
            let lane = |first: usize| {
                let (sender, receiver) = sync_channel(AHEAD);
                let (own, room) = (files.iter().skip(first).step_by(threads), &room);
                scope.spawn(move || self.work(own, room, &sender));
                receiver
            };
            let lanes: Vec<Receiver<Result<Turn>>> = (0..threads).map(lane).collect();
            for (file, lane) in files.iter().zip(lanes.iter().cycle()) {
                // A thread ends early only if somebody asked to stop.
                let Ok(turn) = lane.recv() else { break };
                if take(file, turn?)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn work<'f>(
        &self,
        files: impl Iterator<Item = &'f PathBuf>,
        room: &Room,
        turns: &SyncSender<Result<Turn>>,
    ) {
        let mut detector = match Detector::load(self.bundle) {
            Ok(detector) => detector,
            Err(error) => return turns.send(Err(error.into())).unwrap_or_default(),
        };
        detector.set_preset(self.preset);
        for file in files {
            if self.interrupt.stop().is_some() {
                return;
            }
            let turn = match container_of(file) {
                Some(container) => Turn::Video(container),
                None => {
                    let judged = self.judge(&mut detector, file, room);
                    Turn::Picture(Box::new(Finding::new(file, judged)))
                }
            };
            // Nobody takes it any more.
            if turns.send(Ok(turn)).is_err() {
                return;
            }
        }
    }

    fn judge(&self, detector: &mut Detector, file: &Path, room: &Room) -> Result<engine::Report, Failure> {
        let bytes = read_picture(file)?;
        let _space = room.take(claimed_pixels(&bytes));
        judge_bytes(detector, self.finder, &bytes)
    }
}

/// Room for decoded pictures, in pixels.
#[derive(Default)]
struct Room {
    taken: Mutex<u64>,
    freed: Condvar,
}

impl Room {
    /// Waits until `pixels` more fit; what is too large for any room is refused by the engine, so it waits for nobody.
    fn take(&self, pixels: u64) -> Space<'_> {
        let pixels = pixels.min(MAX_PIXELS);
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |taken: &mut u64| *taken + pixels > MAX_PIXELS;
        let mut taken = self.freed.wait_while(taken, is_full).unwrap_or_else(PoisonError::into_inner);
        *taken += pixels;
        Space { room: self, pixels }
    }
}

/// A part of a [`Room`], given back when it goes.
struct Space<'a> {
    room: &'a Room,
    pixels: u64,
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        *self.room.taken.lock().unwrap_or_else(PoisonError::into_inner) -= self.pixels;
        self.room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn no_more_pixels_are_held_than_one_picture_may_have() {
        let (room, held, most) = (Room::default(), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let (room, held, most) = (&room, &held, &most);
                scope.spawn(move || {
                    for step in 0..200 {
                        // The largest alone, or claims beyond any picture, among small ones.
                        let pixels =
                            if (thread + step) % 7 == 0 { u64::MAX } else { 9_000_000 + step * 10_000 };
                        let space = room.take(pixels);
                        most.fetch_max(
                            held.fetch_add(space.pixels, Ordering::SeqCst) + space.pixels,
                            Ordering::SeqCst,
                        );
                        held.fetch_sub(space.pixels, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= MAX_PIXELS && *room.taken.lock().unwrap() == 0);
    }
}
