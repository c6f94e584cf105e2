//! A picture with its boxes, made small enough to keep many in memory.

use super::config::SceneConfig;
use super::labels::{DOUBTFUL_SCORE, FACE_SCORE, Labelled, Labels};
use super::scene::SceneMaker;
use crate::files::read_limited;
use anyhow::{Context, Result};
use engine::frame::MAX_FILE_BYTES;
use engine::preprocess::resize;
use engine::{Crop, Frame};
use rayon::prelude::*;
use std::path::Path;

/// Longer side of a kept picture, in pixels; larger ones are made smaller.
const MAX_SIDE: u32 = 384;

/// Left, top, right, bottom, in pixels.
pub type Corners = [f32; 4];

/// A picture and what is known of its faces.
#[derive(Debug, Clone)]
pub struct Portrait {
    /// At most 384 pixels a side.
    pub frame: Frame,
    /// Boxes that are faces.
    pub faces: Vec<Corners>,
    /// Boxes that may be faces.
    pub doubtful: Vec<Corners>,
}

impl Portrait {
    /// The picture in `frame` with its boxes.
    pub fn new(frame: &Frame, boxes: &[Labelled]) -> Self {
        let longer = frame.width().max(frame.height());
        let scaled = |length: u32| match longer > MAX_SIDE {
            true => (u64::from(length) * u64::from(MAX_SIDE) / u64::from(longer)).max(1) as u32,
            false => length,
        };
        let [width, height] = [scaled(frame.width()), scaled(frame.height())];
        let small = match longer > MAX_SIDE {
            true => Frame::from_rgb(width, height, resize(frame, &whole(frame), [width, height])),
            false => frame.clone(),
        };
        let ratio = [width as f32 / frame.width() as f32, height as f32 / frame.height() as f32];
        let corners = |labelled: &Labelled| {
            let region = labelled.region;
            let [x, y] = [region.x as f32 * ratio[0], region.y as f32 * ratio[1]];
            [x, y, x + region.width as f32 * ratio[0], y + region.height as f32 * ratio[1]]
        };
        let with = |range: std::ops::Range<f32>| {
            boxes.iter().filter(|one| range.contains(&one.score)).map(corners).collect()
        };
        Portrait {
            frame: small,
            faces: with(FACE_SCORE..f32::INFINITY),
            doubtful: with(DOUBTFUL_SCORE..FACE_SCORE),
        }
    }

    /// The picture at `path` with its boxes.
    ///
    /// # Errors
    /// If it does not load.
    pub fn read(path: &Path, boxes: &[Labelled]) -> Result<Self> {
        let bytes = read_limited(path, MAX_FILE_BYTES as u64)?;
        let frame = Frame::from_encoded(&bytes).with_context(|| format!("cannot load {}", path.display()))?;
        Ok(Portrait::new(&frame, boxes))
    }

    /// Width and height, in pixels.
    pub fn size(&self) -> [f32; 2] {
        [self.frame.width() as f32, self.frame.height() as f32]
    }
}

/// Pictures of one split, kept in memory.
#[derive(Debug, Clone, Default)]
pub struct Album {
    /// In the order in which they were read.
    pub portraits: Vec<Portrait>,
    /// Those of `portraits` that show a face.
    pub with_faces: Vec<usize>,
}

impl Album {
    /// Over `portraits`.
    pub fn new(portraits: Vec<Portrait>) -> Self {
        let shows_face = |index: &usize| !portraits[*index].faces.is_empty();
        let with_faces = (0..portraits.len()).filter(shows_face).collect();
        Album { portraits, with_faces }
    }

    /// The pictures at `paths` with their boxes in `labels`.
    ///
    /// # Errors
    /// If one does not load, or is not in `labels`.
    pub fn read(paths: &[&Path], labels: &Labels) -> Result<Self> {
        let read = |path: &&Path| {
            let boxes = labels.get(*path).with_context(|| format!("{} has no label", path.display()))?;
            Portrait::read(path, boxes)
        };
        Ok(Album::new(paths.par_iter().map(read).collect::<Result<_>>()?))
    }

    /// What makes scenes of `side` pixels of these pictures.
    pub fn maker<'a>(&'a self, side: u32, config: &'a SceneConfig) -> SceneMaker<'a> {
        let Album { portraits, with_faces } = self;
        SceneMaker { portraits, with_faces, side: side as usize, config }
    }
}

/// All of `frame` as a crop.
pub fn whole(frame: &Frame) -> Crop {
    Crop { x: 0, y: 0, side: frame.width(), height: Some(frame.height()), ..Crop::centre_square(frame) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::crop::FaceBox;

    #[test]
    fn boxes_shrink_with_their_picture_and_are_sorted_by_certainty() {
        let frame = Frame::from_rgb(768, 384, vec![7; 768 * 384 * 3]);
        let of = |score| Labelled { region: FaceBox { x: -20, y: 40, width: 100, height: 200 }, score };
        let portrait = Portrait::new(&frame, &[of(0.9), of(0.6), of(0.5), of(0.2)]);
        assert_eq!(portrait.size(), [384.0, 192.0]);
        assert_eq!((portrait.faces.len(), portrait.doubtful.len()), (2, 1));
        assert_eq!(portrait.faces[0], [-10.0, 20.0, 40.0, 120.0]);
    }
}
