//! A frame made small: enough to tell scenes and motion, and cheap to hold.

use crate::frame::Frame;
use crate::grey::Grey;

/// Longest side, in pixels.
pub const MAX_SIDE: usize = 160;

/// A small picture in colour and grey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// Packed RGB bytes.
    rgb: Vec<u8>,
    grey: Grey,
}

impl Thumbnail {
    /// Means of whole squares of pixels of `frame`; what is left at the right and lower edge does not count.
    pub fn of(frame: &Frame) -> Self {
        let [wide, high] = [frame.width() as usize, frame.height() as usize];
        let [across, down] = [wide, high].map(|side| wide.max(high).div_ceil(MAX_SIDE).min(side));
        let [width, height] = [wide / across, high / down];
        let count = (across * down) as u32;
        let mut rgb = Vec::with_capacity(width * height * 3);
        let mut sums = vec![0_u32; width * 3];
        for y in 0..height {
            sums.fill(0);
            for row in frame.rgb()[y * down * wide * 3..].chunks_exact(wide * 3).take(down) {
                for (sums, pixels) in sums.chunks_exact_mut(3).zip(row.chunks_exact(across * 3)) {
                    for pixel in pixels.chunks_exact(3) {
                        for (sum, value) in sums.iter_mut().zip(pixel) {
                            *sum += u32::from(*value);
                        }
                    }
                }
            }
            rgb.extend(sums.iter().map(|sum| ((sum + count / 2) / count) as u8));
        }
        let grey = Grey::from_rgb(width, height, &rgb);
        Thumbnail { rgb, grey }
    }

    /// Packed RGB bytes, row by row.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The same in grey.
    pub fn grey(&self) -> &Grey {
        &self.grey
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_averaged_and_edges_cut() {
        // 321 x 4: squares of three pixels, one row of them.
        let rgb: Vec<u8> = (0..321 * 4).flat_map(|i| [(i % 321 / 3) as u8, 10, 20]).collect();
        let small = Thumbnail::of(&Frame::from_rgb(321, 4, rgb));
        assert_eq!((small.grey().width(), small.grey().height()), (107, 1));
        assert!(small.rgb().chunks_exact(3).enumerate().all(|(x, pixel)| pixel == [x as u8, 10, 20]));
    }

    #[test]
    fn small_and_narrow_frames_stay() {
        for (width, height) in [(1, 1), (160, 90), (1, 500), (4000, 1)] {
            let frame = Frame::from_rgb(width, height, vec![7; (width * height * 3) as usize]);
            let small = Thumbnail::of(&frame);
            assert!(small.grey().width() <= MAX_SIDE && small.grey().height() <= MAX_SIDE);
            assert!(small.rgb().iter().all(|value| *value == 7));
        }
    }
}
