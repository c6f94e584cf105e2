//! How much the picture of a face says: blur, brightness, contrast, noise, by the original AWARE-NET's formulas.
//!
//! On grey pixels `g` of 0 to 255, with borders mirrored without the edge pixel itself, as OpenCV has it:
//!
//! | | |
//! |---|---|
//! | blur | `1 - min(Var(Laplacian(g)) / 1000, 1)`, the Laplacian with the kernel 0 1 0, 1 -4 1, 0 1 0 |
//! | brightness | with `m = mean(g) / 255`: 1 in [0.4, 0.6], `m / 0.4` below, `(1 - m) / 0.4` above |
//! | contrast | `min(std(g) / 255 / 0.2, 1)` |
//! | noise | `min(5 mean(abs(g - Gauss(g))) / 255, 1)`, the Gaussian with the kernel 1 4 6 4 1 each way, rounded |
//! | score | `0.3 (1 - blur) + 0.2 brightness + 0.3 contrast + 0.2 (1 - noise)` |

use crate::crop::{Crop, FaceBox};
use crate::frame::Frame;
use crate::preprocess::resize;
use serde::{Deserialize, Serialize};

/// Least score of a face whose picture says enough; the original skipped what was below.
pub const QUALITY_THRESHOLD: f64 = 0.6;
/// A larger face is made this large first: what no network sees needs no measuring.
const MAX_SIDE: u32 = 256;

/// How much the picture of a face says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FaceQuality {
    /// The shorter side of the face's box, in pixels of the frame; the score knows nothing of it.
    pub side: u32,
    /// 0 sharp, 1 without edges.
    pub blur: f64,
    /// 1 neither dark nor bright.
    pub brightness: f64,
    /// 0 flat, 1 enough.
    pub contrast: f64,
    /// 0 smooth, 1 all noise.
    pub noise: f64,
    /// All of it, 0 to 1.
    pub score: f64,
}

impl FaceQuality {
    /// Of what `frame` shows of `face`; a face outside of it is as bad as can be.
    pub fn of_face(frame: &Frame, face: &FaceBox) -> Self {
        let side = face.width.min(face.height);
        match Grey::of_region(frame, face) {
            Some(grey) => FaceQuality { side, ..Self::of_grey(&grey) },
            None => FaceQuality { side, blur: 1.0, brightness: 0.0, contrast: 0.0, noise: 1.0, score: 0.0 },
        }
    }

    /// Of all pixels of `grey`, as they are.
    pub fn of_grey(grey: &Grey) -> Self {
        let count = grey.pixels.len() as f64;
        let Moments { mean, variance } = Moments::of(grey.pixels.iter().map(|&value| i64::from(value)));
        let blur = 1.0 - (Moments::of(grey.laplacian()).variance / 1000.0).min(1.0);
        let share = mean / 255.0;
        let brightness = match share {
            _ if share < 0.4 => share / 0.4,
            _ if share > 0.6 => ((1.0 - share) / 0.4).max(0.0),
            _ => 1.0,
        };
        let contrast = (variance.sqrt() / 255.0 / 0.2).min(1.0);
        let noise = (5.0 * (grey.roughness() as f64 / count) / 255.0).min(1.0);
        let score = 0.3 * (1.0 - blur) + 0.2 * brightness + 0.3 * contrast + 0.2 * (1.0 - noise);
        FaceQuality { side: grey.width.min(grey.height) as u32, blur, brightness, contrast, noise, score }
    }
}

/// Mean and population variance of whole numbers, summed exactly.
struct Moments {
    mean: f64,
    variance: f64,
}

impl Moments {
    fn of(values: impl Iterator<Item = i64>) -> Self {
        let (count, sum, squares) =
            values.fold((0i64, 0i64, 0i64), |(n, sum, squares), v| (n + 1, sum + v, squares + v * v));
        let mean = sum as f64 / count as f64;
        // In whole numbers: a difference of two large means would lose what matters. At most 2^26 pixels of 1020.
        let spread = i128::from(squares) * i128::from(count) - i128::from(sum) * i128::from(sum);
        Moments { mean, variance: spread as f64 / (count as f64 * count as f64) }
    }
}

/// A grey picture, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grey {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Grey {
    /// The luma of packed RGB bytes, in OpenCV's whole numbers: `(9798 r + 19235 g + 3735 b + 2^14) / 2^15`.
    ///
    /// # Panics
    /// If there is no pixel, or `rgb` has another length.
    pub fn from_rgb(rgb: &[u8], width: usize, height: usize) -> Self {
        assert!(
            width > 0 && height > 0 && rgb.len() == width * height * 3,
            "a grey picture of {width} x {height}"
        );
        let luma = |pixel: &[u8]| {
            let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            ((9798 * r + 19235 * g + 3735 * b + (1 << 14)) >> 15) as u8
        };
        Grey { width, height, pixels: rgb.chunks_exact(3).map(luma).collect() }
    }

    /// What `frame` shows of `face`, at most 256 pixels a side; nothing if that is no pixel.
    pub fn of_region(frame: &Frame, face: &FaceBox) -> Option<Self> {
        let span = |from: i32, length: u32, limit: u32| {
            let end = (i64::from(from) + i64::from(length)).clamp(0, i64::from(limit)) as u32;
            let start = i64::from(from).clamp(0, i64::from(limit)) as u32;
            (end > start).then(|| (start, end - start))
        };
        let (x, width) = span(face.x, face.width, frame.width())?;
        let (y, height) = span(face.y, face.height, frame.height())?;
        let longer = width.max(height);
        let scaled = |length: u32| match longer > MAX_SIDE {
            true => (u64::from(length) * u64::from(MAX_SIDE) / u64::from(longer)).max(1) as u32,
            false => length,
        };
        let [columns, rows] = [scaled(width), scaled(height)];
        let crop = Crop { x, y, side: width, height: Some(height), ..Crop::centre_square(frame) };
        Some(Self::from_rgb(&resize(frame, &crop, [columns, rows]), columns as usize, rows as usize))
    }

    /// The pixel at a place that may lie outside by less than the picture's size.
    fn at(&self, x: isize, y: isize) -> i64 {
        let [x, y] = [mirrored(x, self.width), mirrored(y, self.height)];
        i64::from(self.pixels[y * self.width + x])
    }

    fn places(&self) -> impl Iterator<Item = (isize, isize)> + use<> {
        let [width, height] = [self.width as isize, self.height as isize];
        (0..height).flat_map(move |y| (0..width).map(move |x| (x, y)))
    }

    fn laplacian(&self) -> impl Iterator<Item = i64> {
        self.places().map(|(x, y)| {
            self.at(x - 1, y) + self.at(x + 1, y) + self.at(x, y - 1) + self.at(x, y + 1) - 4 * self.at(x, y)
        })
    }

    /// Sum of the differences from the picture under the Gaussian.
    fn roughness(&self) -> i64 {
        const TAPS: [i64; 5] = [1, 4, 6, 4, 1];
        let row = |x: isize, y: isize| -> i64 {
            TAPS.iter().zip(-2..).map(|(tap, step)| tap * self.at(x + step, y)).sum()
        };
        let rows: Vec<i64> = self.places().map(|(x, y)| row(x, y)).collect();
        let blurred = |x: isize, y: isize| -> i64 {
            let down = |step: isize| rows[mirrored(y + step, self.height) * self.width + x as usize];
            (TAPS.iter().zip(-2..).map(|(tap, step)| tap * down(step)).sum::<i64>() + 128) >> 8
        };
        self.places().map(|(x, y)| (self.at(x, y) - blurred(x, y)).abs()).sum()
    }
}

/// The index on an axis of `length` that stands for `index` outside of it: mirrored about the last pixel, again and again.
fn mirrored(index: isize, length: usize) -> usize {
    let last = length as isize - 1;
    if last == 0 {
        return 0;
    }
    let turn = index.rem_euclid(2 * last);
    turn.min(2 * last - turn) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, height: usize, value: impl Fn(usize, usize) -> u8) -> Grey {
        let pixels =
            (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect();
        Grey { width, height, pixels }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn v3_a_flat_grey_is_all_blur_and_no_contrast() {
        for (value, brightness) in [(128, 1.0), (51, 0.5), (0, 0.0), (255, 0.0), (204, 0.5), (102, 1.0)] {
            let quality = FaceQuality::of_grey(&grey(9, 7, |_, _| value));
            assert_eq!((quality.blur, quality.contrast, quality.noise), (1.0, 0.0, 0.0));
            assert!(close(quality.brightness, brightness), "{value}: {quality:?}");
            assert!(close(quality.score, 0.2 * brightness + 0.2), "{value}: {quality:?}");
        }
    }

    #[test]
    fn v3_a_checkerboard_is_sharp_rich_in_contrast_and_all_noise() {
        // Each pixel 127 +- 40: Laplacian +- 320, deviation 40. The Gaussian's taps at even places weigh as much as those
        // at odd ones, so that 127 is left of it: the noise is 5 * 40 / 255.
        let quality = FaceQuality::of_grey(&grey(8, 8, |x, y| if (x + y) % 2 == 0 { 167 } else { 87 }));
        assert_eq!((quality.blur, quality.brightness), (0.0, 1.0));
        assert!(close(quality.contrast, 40.0 / 255.0 / 0.2), "{quality:?}");
        assert!(close(quality.noise, 200.0 / 255.0), "{quality:?}");
        assert!(close(quality.score, 0.3 + 0.2 + 0.3 * 40.0 / 51.0 + 0.2 * (55.0 / 255.0)), "{quality:?}");
    }

    #[test]
    fn v3_a_slope_has_no_laplacian_but_at_its_mirrored_ends() {
        // g = 2 x for x of 0 to 9: mirrored at both ends the Laplacian is 4, 0, ..., 0, -4, with variance 32 / 10.
        let quality = FaceQuality::of_grey(&grey(10, 10, |x, _| 2 * x as u8));
        assert!(close(quality.blur, 1.0 - 3.2 / 1000.0), "{quality:?}");
        assert!(close(quality.brightness, 9.0 / 255.0 / 0.4), "{quality:?}");
        // The variance of 0, 2, ..., 18 is 33.
        assert!(close(quality.contrast, 33f64.sqrt() / 255.0 / 0.2), "{quality:?}");
        // Under the Gaussian 0 becomes (2 * 4 * 2 + 2 * 4) / 16 = 1.5 and 2 becomes (2 * 1 * ... ) by mirroring
        // (6 * 2 + 4 * 0 + 4 * 4 + 1 * 2 + 1 * 6) / 16 = 2.25: after rounding 2 and 2, and at the other end 17 and 16.
        assert!(close(quality.noise, 5.0 * (2.0 + 1.0) / 10.0 / 255.0), "{quality:?}");
    }

    #[test]
    fn a_face_outside_or_without_area_is_as_bad_as_can_be() {
        let frame = Frame::from_rgb(20, 10, vec![120; 600]);
        for (x, width) in [(20, 10), (-10, 10), (3, 0), (i32::MIN, 1 << 31), (i32::MAX, u32::MAX)] {
            let quality = FaceQuality::of_face(&frame, &FaceBox { x, y: 0, width, height: 10 });
            assert_eq!(quality.score, 0.0, "{x}");
        }
        let one = FaceQuality::of_face(&frame, &FaceBox { x: 19, y: 9, width: 500, height: 500 });
        assert_eq!((one.side, one.blur, one.brightness), (500, 1.0, 1.0));
    }

    #[test]
    fn a_large_face_is_measured_as_networks_see_it() {
        let value = |i: usize| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0];
        let frame = Frame::from_rgb(600, 520, (0..600 * 520 * 3).map(value).collect());
        let grey = Grey::of_region(&frame, &FaceBox { x: -5, y: 0, width: 605, height: 520 }).unwrap();
        assert_eq!((grey.width, grey.height), (256, 221));
        let whole = Grey::of_region(&frame, &FaceBox { x: 1, y: 2, width: 256, height: 3 }).unwrap();
        assert_eq!(whole.pixels, Grey::from_rgb(&region(&frame), 256, 3).pixels);
    }

    fn region(frame: &Frame) -> Vec<u8> {
        (2..5).flat_map(|y| frame.rgb()[(y * 600 + 1) * 3..][..256 * 3].to_vec()).collect()
    }

    #[test]
    fn outside_mirrors_without_the_edge_itself() {
        let indices: Vec<usize> = (-4..8).map(|index| mirrored(index, 4)).collect();
        assert_eq!(indices, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert!((-3..3).all(|index| mirrored(index, 1) == 0));
    }
}
