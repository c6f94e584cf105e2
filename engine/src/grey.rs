//! A picture in grey.

use crate::crop::{Crop, FaceBox};
use crate::frame::Frame;
use crate::preprocess::resize;

/// Packed 8-bit luma, row by row from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grey {
    width: usize,
    height: usize,
    values: Vec<u8>,
}

impl Grey {
    /// Luma of packed RGB bytes: 0.299 R + 0.587 G + 0.114 B in 15-bit fixed point, as OpenCV computes it.
    ///
    /// # Panics
    /// If `rgb` does not hold `width * height` pixels or a side is zero.
    pub fn from_rgb(width: usize, height: usize, rgb: &[u8]) -> Self {
        assert_eq!(rgb.len(), width * height * 3, "RGB bytes of {width} x {height}");
        let luma = |pixel: &[u8]| {
            let [r, g, b] = [0, 1, 2].map(|channel| u32::from(pixel[channel]));
            ((r * 9798 + g * 19_235 + b * 3735 + (1 << 14)) >> 15) as u8
        };
        Self::from_values(width, height, rgb.chunks_exact(3).map(luma).collect())
    }

    /// What `frame` shows of `face`, at most `side` pixels wide and high; nothing if that is no pixel.
    pub fn of_region(frame: &Frame, face: &FaceBox, side: u32) -> Option<Self> {
        let span = |from: i32, length: u32, limit: u32| {
            let end = (i64::from(from) + i64::from(length)).clamp(0, i64::from(limit)) as u32;
            let start = i64::from(from).clamp(0, i64::from(limit)) as u32;
            (end > start).then(|| (start, end - start))
        };
        let (x, width) = span(face.x, face.width, frame.width())?;
        let (y, height) = span(face.y, face.height, frame.height())?;
        let longer = width.max(height);
        let scaled = |length: u32| match longer > side {
            true => (u64::from(length) * u64::from(side) / u64::from(longer)).max(1) as u32,
            false => length,
        };
        let [columns, rows] = [scaled(width), scaled(height)];
        let crop = Crop { x, y, side: width, height: Some(height), ..Crop::centre_square(frame) };
        Some(Self::from_rgb(columns as usize, rows as usize, &resize(frame, &crop, [columns, rows])))
    }

    /// A picture of `width * height` values.
    ///
    /// # Panics
    /// If there are more or fewer, or a side is zero.
    pub fn from_values(width: usize, height: usize, values: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0 && values.len() == width * height, "a picture of {width} x {height}");
        Grey { width, height, values }
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All values, row by row.
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// The value at a position that may lie outside, mirrored at the edge pixel (OpenCV's reflect-101).
    pub fn mirrored(&self, x: isize, y: isize) -> u8 {
        self.values[mirror(y, self.height) * self.width + mirror(x, self.width)]
    }
}

/// The index on an axis of `length` that stands for `at` outside of it: mirrored about the last pixel, again and again.
fn mirror(at: isize, length: usize) -> usize {
    let last = length as isize - 1;
    if last == 0 {
        return 0;
    }
    let turn = at.rem_euclid(2 * last);
    turn.min(2 * last - turn) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_mirrors_without_the_edge_itself() {
        let indices: Vec<usize> = (-4..8).map(|index| mirror(index, 4)).collect();
        assert_eq!(indices, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert!((-3..3).all(|index| mirror(index, 1) == 0));
    }

    #[test]
    fn a_large_region_is_made_smaller_and_a_small_one_kept() {
        let value = |i: usize| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0];
        let frame = Frame::from_rgb(600, 520, (0..600 * 520 * 3).map(value).collect());
        let grey = Grey::of_region(&frame, &FaceBox { x: -5, y: 0, width: 605, height: 520 }, 256).unwrap();
        assert_eq!((grey.width, grey.height), (256, 221));
        let whole = Grey::of_region(&frame, &FaceBox { x: 1, y: 2, width: 256, height: 3 }, 256).unwrap();
        let rows: Vec<u8> =
            (2..5).flat_map(|y| frame.rgb()[(y * 600 + 1) * 3..][..256 * 3].to_vec()).collect();
        assert_eq!(whole, Grey::from_rgb(256, 3, &rows));
    }
}
