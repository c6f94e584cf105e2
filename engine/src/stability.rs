//! Mild variants of a picture, which say nothing new of the face: an answer that they move is not sure.
//!
//! They are made of the filter's input in bytes, or of the crop, by integers and by floats without fused steps, and `cos`
//! comes from `libm`: native and wasm agree bit for bit.

use crate::crop::Crop;
use crate::frame::Frame;
use crate::preprocess::{resize, resize_square};
use serde::{Deserialize, Serialize};

/// A variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// The crop without a sixteenth on each side.
    Closer,
    /// Made smaller by a quarter and enlarged again, as a resized copy is.
    Softened,
    /// Luma quantised and colours halved as JPEG of quality [`RECOMPRESSION_QUALITY`] does.
    Recompressed,
}

/// Quality of [`View::Recompressed`] in the scale of libjpeg.
pub const RECOMPRESSION_QUALITY: u32 = 60;

/// Part of the crop that [`View::Closer`] leaves out on each side.
const MARGIN: u32 = 16;

impl View {
    /// Every view, in the order in which they are looked at.
    pub const ALL: [View; 3] = [View::Closer, View::Softened, View::Recompressed];

    /// The name in manifests and reports.
    pub fn name(self) -> &'static str {
        match self {
            View::Closer => "closer",
            View::Softened => "softened",
            View::Recompressed => "recompressed",
        }
    }

    /// The view of `crop` in `frame` as packed RGB bytes of `size` x `size`.
    pub fn rgb(self, frame: &Frame, crop: &Crop, size: u32) -> Vec<u8> {
        match self {
            View::Closer => resize_square(frame, &closer(crop), size),
            View::Softened => {
                let small = size * 3 / 4;
                let inner = square(resize_square(frame, crop, size), size);
                let soft = square(resize(&inner, &Crop::centre_square(&inner), [small, small]), small);
                resize(&soft, &Crop::centre_square(&soft), [size, size])
            }
            View::Recompressed => recompressed(&resize_square(frame, crop, size), size as usize),
        }
    }
}

fn closer(crop: &Crop) -> Crop {
    let (x, y) = (crop.width() / MARGIN, crop.height() / MARGIN);
    Crop {
        x: crop.x + x,
        y: crop.y + y,
        side: crop.width() - 2 * x,
        height: crop.height.map(|height| height - 2 * y),
        ..*crop
    }
}

fn square(rgb: Vec<u8>, side: u32) -> Frame {
    Frame::from_rgb(side, side, rgb)
}

/// Side of JPEG's blocks.
const BLOCK: usize = 8;

/// Steps of luma in JPEG's annex K, table K.1.
const LUMA_STEPS: [u32; BLOCK * BLOCK] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17,
    22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78,
    87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];

/// `rgb` of `side` x `side` after luma went through quantised cosines and colours through means of 2 x 2.
fn recompressed(rgb: &[u8], side: usize) -> Vec<u8> {
    let mut luma = vec![0.0; side * side];
    let mut colour = vec![[0.0; 2]; side * side];
    for (i, pixel) in rgb.chunks_exact(3).enumerate() {
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(f64::from);
        luma[i] = 0.299 * r + 0.587 * g + 0.114 * b;
        colour[i] = [(b - luma[i]) / 1.772, (r - luma[i]) / 1.402];
    }
    quantise(&mut luma, side);
    let mut out = vec![0; rgb.len()];
    for (i, pixel) in out.chunks_exact_mut(3).enumerate() {
        let (x, y) = ((i % side) & !1, (i / side) & !1);
        let (right, below) = ((x + 1).min(side - 1), (y + 1).min(side - 1));
        let at = |x: usize, y: usize, channel: usize| colour[y * side + x][channel];
        let mean = |c| (at(x, y, c) + at(right, y, c) + at(x, below, c) + at(right, below, c)) / 4.0;
        let (blue, red) = (mean(0), mean(1));
        let (r, b) = (luma[i] + 1.402 * red, luma[i] + 1.772 * blue);
        let g = (luma[i] - 0.299 * r - 0.114 * b) / 0.587;
        for (value, exact) in pixel.iter_mut().zip([r, g, b]) {
            // The cast clamps to a byte.
            *value = (exact + 0.5).floor() as u8;
        }
    }
    out
}

/// Quantises `luma` of `side` x `side` block by block; blocks over the edge repeat its last pixels.
fn quantise(luma: &mut [f64], side: usize) {
    let cosines = cosines();
    // libjpeg's scale of qualities from 50.
    let scale = 200 - 2 * RECOMPRESSION_QUALITY;
    let steps = LUMA_STEPS.map(|step| f64::from(((step * scale + 50) / 100).max(1)));
    for top in (0..side).step_by(BLOCK) {
        for left in (0..side).step_by(BLOCK) {
            let at = |i: usize| {
                let (x, y) = ((left + i % BLOCK).min(side - 1), (top + i / BLOCK).min(side - 1));
                y * side + x
            };
            let block: [f64; BLOCK * BLOCK] = std::array::from_fn(|i| luma[at(i)] - 128.0);
            let mut waves = transform(&transform(&block, &cosines), &cosines);
            for (wave, step) in waves.iter_mut().zip(steps) {
                *wave = (*wave / step).round() * step;
            }
            let turned = std::array::from_fn(|i| cosines[i % BLOCK * BLOCK + i / BLOCK]);
            let block = transform(&transform(&waves, &turned), &turned);
            for (i, value) in block.iter().enumerate() {
                if left + i % BLOCK < side && top + i / BLOCK < side {
                    luma[at(i)] = value + 128.0;
                }
            }
        }
    }
}

/// Row `u` holds the `u`-th cosine of an orthonormal DCT-II, `[8, 8]`.
fn cosines() -> [f64; BLOCK * BLOCK] {
    std::array::from_fn(|i| {
        let (u, x) = ((i / BLOCK) as f64, (i % BLOCK) as f64);
        let length = if i < BLOCK { 0.125 } else { 0.25 };
        f64::sqrt(length) * libm::cos((2.0 * x + 1.0) * u * std::f64::consts::PI / 16.0)
    })
}

/// `matrix` times `block` `[8, 8]`, turned: twice makes both axes.
fn transform(block: &[f64; BLOCK * BLOCK], matrix: &[f64; BLOCK * BLOCK]) -> [f64; BLOCK * BLOCK] {
    std::array::from_fn(|i| {
        let (column, row) = (i / BLOCK, i % BLOCK);
        (0..BLOCK).fold(0.0, |sum, k| sum + matrix[row * BLOCK + k] * block[k * BLOCK + column])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::{Pattern, PatternKind};

    fn waves(width: u32, height: u32) -> Frame {
        Pattern { kind: PatternKind::Waves, width, height, seed: 3 }.frame().unwrap()
    }

    #[test]
    fn the_cosines_are_orthonormal_and_turn_back() {
        let block: [f64; 64] = std::array::from_fn(|i| ((i * 37) % 64) as f64 - 31.0);
        let cosines = cosines();
        let waves = transform(&transform(&block, &cosines), &cosines);
        // The first wave is the mean, eight times.
        assert!((waves[0] - block.iter().sum::<f64>() / 8.0).abs() < 1e-9);
        let turned = std::array::from_fn(|i| cosines[i % 8 * 8 + i / 8]);
        let again = transform(&transform(&waves, &turned), &turned);
        assert!(block.iter().zip(again).all(|(a, b)| (a - b).abs() < 1e-9), "{again:?}");
    }

    #[test]
    fn waves_across_land_in_the_first_row() {
        let block: [f64; 64] =
            std::array::from_fn(|i| libm::cos((2 * (i % 8) + 1) as f64 * 3.0 * 0.196_349_540_849_362_07));
        let found = transform(&transform(&block, &cosines()), &cosines());
        let largest = (0..64).max_by(|&a, &b| found[a].abs().total_cmp(&found[b].abs())).unwrap();
        assert_eq!(largest, 3, "{found:?}");
    }

    #[test]
    fn views_are_mild_and_none_is_the_picture_itself() {
        for (width, height, size) in [(320, 240, 160), (90, 131, 50), (33, 33, 36)] {
            let frame = waves(width, height);
            let crop = Crop::centre_square(&frame);
            let plain = resize_square(&frame, &crop, size);
            for view in View::ALL {
                let seen = view.rgb(&frame, &crop, size);
                assert_eq!(seen.len(), plain.len());
                let sum: u64 = seen.iter().zip(&plain).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
                let mean = sum as f64 / plain.len() as f64;
                assert!(mean > 0.0 && mean < 48.0, "{view:?} of {width}x{height}: {mean}");
            }
        }
    }

    #[test]
    fn a_flat_picture_looks_the_same_from_everywhere() {
        let frame = Frame::from_rgb(40, 40, vec![128; 40 * 40 * 3]);
        for view in View::ALL {
            let seen = view.rgb(&frame, &Crop::centre_square(&frame), 36);
            assert!(seen.iter().all(|&value| value == 128), "{view:?}");
        }
    }
}
