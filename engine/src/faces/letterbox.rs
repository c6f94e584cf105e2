//! Frame -> the square that the face network looks at, and back.

use crate::crop::{Crop, FaceBox};
use crate::frame::Frame;
use crate::preprocess::resize;

/// A frame made as large as fits, in the upper left corner of a black square.
#[derive(Debug, Clone, PartialEq)]
pub struct Letterbox {
    rgb: Vec<u8>,
    /// Pixels of the frame a pixel of the square, across and down.
    ratio: [f32; 2],
}

impl Letterbox {
    /// `frame` on a square of `side` pixels.
    ///
    /// # Panics
    /// If `side` is 0.
    pub fn new(frame: &Frame, side: u32) -> Self {
        assert!(side > 0, "a square without pixels");
        let [width, height] = [frame.width(), frame.height()];
        let longer = u64::from(width.max(height));
        // Rounded in whole numbers; a line of pixels keeps a width of one.
        let scaled = |length: u32| {
            ((2 * u64::from(length) * u64::from(side) + longer) / (2 * longer)).clamp(1, u64::from(side))
                as u32
        };
        let [columns, rows] = [scaled(width), scaled(height)];
        let whole = Crop { x: 0, y: 0, side: width, height: Some(height), ..Crop::centre_square(frame) };
        let small = resize(frame, &whole, [columns, rows]);
        let (row_bytes, side_bytes) = (columns as usize * 3, side as usize * 3);
        let mut rgb = vec![0; side_bytes * side as usize];
        for (target, row) in rgb.chunks_exact_mut(side_bytes).zip(small.chunks_exact(row_bytes)) {
            target[..row_bytes].copy_from_slice(row);
        }
        let ratio = [width as f32 / columns as f32, height as f32 / rows as f32];
        Letterbox { rgb, ratio }
    }

    /// Packed RGB bytes of the square, row by row.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The box with these corners (left, top, right, bottom, in pixels of the square) in the frame.
    pub fn in_frame(&self, [left, top, right, bottom]: [f32; 4]) -> FaceBox {
        let [across, down] = self.ratio;
        FaceBox::from_corners([left * across, top * down], [right * across, bottom * down])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: u32, height: u32) -> Frame {
        Frame::from_rgb(width, height, vec![200; (width * height * 3) as usize])
    }

    #[test]
    fn the_frame_fills_the_longer_side_and_the_rest_is_black() {
        struct Case {
            frame: [u32; 2],
            want: [usize; 2],
        }
        let cases = [
            Case { frame: [64, 32], want: [32, 16] },
            Case { frame: [10, 40], want: [8, 32] },
            Case { frame: [7, 7], want: [32, 32] },
            Case { frame: [3, 2], want: [32, 21] },
            Case { frame: [4000, 1], want: [32, 1] },
            Case { frame: [1, 1], want: [32, 32] },
        ];
        for Case { frame: [width, height], want: [columns, rows] } in cases {
            let letterbox = Letterbox::new(&frame(width, height), 32);
            for (y, row) in letterbox.rgb().chunks_exact(32 * 3).enumerate() {
                for (x, pixel) in row.chunks_exact(3).enumerate() {
                    let want = if x < columns && y < rows { 200 } else { 0 };
                    assert_eq!(pixel, [want; 3], "{width} x {height} at ({x}, {y})");
                }
            }
        }
    }

    #[test]
    fn boxes_come_back_in_pixels_of_the_frame() {
        let letterbox = Letterbox::new(&frame(640, 480), 320);
        let face = letterbox.in_frame([10.0, 20.5, 60.0, 90.25]);
        assert_eq!(face, FaceBox { x: 20, y: 41, width: 100, height: 139 });
        assert_eq!(
            letterbox.in_frame([-8.0, -4.0, 0.0, 10.0]),
            FaceBox { x: -16, y: -8, width: 16, height: 28 }
        );
    }
}
