//! YuNet (<https://doi.org/10.1007/s11633-023-1423-y>): a picture for its input, and faces of its output.
//!
//! At strides of 8, 16 and 32 pixels each cell says how likely it is a face (`cls`), how well its box
//! sits (`obj`), where the box is (`bbox`) and where eyes, nose and corners of the mouth are (`kps`).

use crate::points::Points;
use anyhow::{Result, ensure};
use engine::crop::FaceBox;
use engine::preprocess::resize;
use engine::{Crop, Frame, Tensor};
use serde::Serialize;

const STRIDES: [usize; 3] = [8, 16, 32];
/// Values a cell of `cls`, `obj`, `bbox` and `kps`, in the order of the outputs.
const OUTPUTS: [usize; 4] = [1, 1, 4, 10];
/// Boxes of one face overlap by more than this share of what they cover together (OpenCV's default).
const MAX_OVERLAP: f32 = 0.3;
/// Surer boxes than this many are not looked at (OpenCV's default).
const MAX_BOXES: usize = 5000;

/// A face in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Face {
    /// Where it is, in pixels of the picture.
    #[serde(flatten)]
    pub region: FaceBox,
    /// How sure the network is, 0 to 1.
    pub score: f32,
}

/// A face and its points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Marked {
    /// Where it is, and how sure.
    pub face: Face,
    /// In pixels of the picture.
    pub points: Points,
}

/// A picture as the network takes it.
pub struct Canvas {
    /// `[1, 3, H, W]`: blue, green, red, 0 to 255; the picture in the upper left corner, the rest black.
    pub input: Tensor,
    /// Pixels of the canvas a pixel of the picture.
    scale: f32,
}

impl Canvas {
    /// `frame` made as large as fits on `width` x `height`.
    pub fn new(frame: &Frame, [width, height]: [usize; 2]) -> Self {
        let [across, down] = [width as f32 / frame.width() as f32, height as f32 / frame.height() as f32];
        let scale = across.min(down);
        let side =
            |length: u32, limit: usize| ((length as f32 * scale).round() as u32).clamp(1, limit as u32);
        let [columns, rows] = [side(frame.width(), width), side(frame.height(), height)];
        let whole = Crop {
            x: 0,
            y: 0,
            side: frame.width(),
            height: Some(frame.height()),
            ..Crop::centre_square(frame)
        };
        let rgb = resize(frame, &whole, [columns, rows]);
        let mut values = vec![0.0; 3 * width * height];
        for (y, row) in rgb.chunks_exact(columns as usize * 3).enumerate() {
            for (x, pixel) in row.chunks_exact(3).enumerate() {
                for (channel, value) in pixel.iter().rev().enumerate() {
                    // RGB, HWC -> BGR, CHW
                    values[(channel * height + y) * width + x] = f32::from(*value);
                }
            }
        }
        Canvas { input: Tensor::from_vec(vec![1, 3, height, width], values), scale }
    }

    /// The faces with a score of at least `threshold` in the network's `outputs`, the surest first.
    ///
    /// # Errors
    /// If the outputs are not YuNet's.
    pub fn faces(&self, outputs: &[Tensor], threshold: f32) -> Result<Vec<Face>> {
        Ok(self.marked(outputs, threshold)?.into_iter().map(|marked| marked.face).collect())
    }

    /// The same with the points of each.
    ///
    /// # Errors
    /// Those of [`Canvas::faces`].
    pub fn marked(&self, outputs: &[Tensor], threshold: f32) -> Result<Vec<Marked>> {
        let [_, _, height, width] = self.input.shape() else { unreachable!("made with four sides") };
        let boxes = surest(decode(outputs, [*width, *height], threshold)?);
        let face = |found: Found| {
            let [left, top, right, bottom] = found.corners.map(|corner| corner / self.scale);
            let region = FaceBox::from_corners([left, top], [right, bottom]);
            let points = Points(found.points.map(|point| point.map(|at| at / self.scale)));
            Marked { face: Face { region, score: found.score }, points }
        };
        Ok(boxes.into_iter().map(face).collect())
    }
}

/// A box on the canvas: left, top, right, bottom.
#[derive(Debug, Clone, Copy)]
struct Found {
    corners: [f32; 4],
    points: [[f32; 2]; 5],
    score: f32,
}

fn decode(outputs: &[Tensor], [width, height]: [usize; 2], threshold: f32) -> Result<Vec<Found>> {
    ensure!(outputs.len() == 12, "the face detector has {} outputs, YuNet has 12", outputs.len());
    let mut found = Vec::new();
    for (level, stride) in STRIDES.into_iter().enumerate() {
        let (columns, cells) = (width / stride, (width / stride) * (height / stride));
        let of = |kind: usize| &outputs[kind * STRIDES.len() + level];
        for (kind, values) in OUTPUTS.into_iter().enumerate() {
            ensure!(
                of(kind).values().len() == cells * values,
                "output {} of the face detector has shape {:?}, YuNet's has [1, {cells}, {values}]",
                kind * STRIDES.len() + level,
                of(kind).shape()
            );
        }
        for cell in 0..cells {
            let share = |kind: usize| of(kind).values()[cell].clamp(0.0, 1.0);
            let score = (share(0) * share(1)).sqrt();
            if score.is_nan() || score < threshold {
                continue;
            }
            let [dx, dy, wide, high] = std::array::from_fn(|i| of(2).values()[cell * 4 + i]);
            let stride = stride as f32;
            let origin = [(cell % columns) as f32, (cell / columns) as f32];
            let [x, y] = [origin[0] + dx, origin[1] + dy].map(|at| at * stride);
            let points = std::array::from_fn(|point| {
                std::array::from_fn(|axis| {
                    (origin[axis] + of(3).values()[cell * 10 + point * 2 + axis]) * stride
                })
            });
            let [w, h] = [wide, high].map(|log| log.exp() * stride / 2.0);
            found.push(Found { corners: [x - w, y - h, x + w, y + h], points, score });
        }
    }
    Ok(found)
}

/// Of boxes that overlap the surest one.
fn surest(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(MAX_BOXES);
    let mut kept: Vec<Found> = Vec::new();
    for one in found {
        if kept.iter().all(|other| overlap(&one, other) <= MAX_OVERLAP) {
            kept.push(one);
        }
    }
    kept
}

/// Shared area over the area that both cover.
fn overlap(a: &Found, b: &Found) -> f32 {
    let area = |[left, top, right, bottom]: [f32; 4]| (right - left).max(0.0) * (bottom - top).max(0.0);
    let ([al, at, ar, ab], [bl, bt, br, bb]) = (a.corners, b.corners);
    let shared = area([al.max(bl), at.max(bt), ar.min(br), ab.min(bb)]);
    let covered = area(a.corners) + area(b.corners) - shared;
    if covered > 0.0 { shared / covered } else { 0.0 }
}
