//! How much a picture of a face can say: sharpness, light, contrast, noise.
//!
//! The formulas and weights of the original AWARE-NET, on grey pictures of [`SIDE`] pixels.

use crate::crop::Crop;
use crate::frame::Frame;
use crate::grey::Grey;
use crate::preprocess::resize_square;
use serde::{Deserialize, Serialize};

/// Side of the picture that is measured, in pixels; blur and noise depend on it.
pub const SIDE: u32 = 256;
/// Least [`Quality::overall`] of a picture that is judged, if nobody says otherwise.
pub const THRESHOLD: f64 = 0.6;

/// Measures of a picture, each in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// 1 - min(Var(Laplacian) / 1000, 1): 0 is sharp.
    pub blur: f64,
    /// 1 for a mean of 0.4 to 0.6 of white, falling to 0 towards black and white.
    pub brightness: f64,
    /// min(deviation / 51, 1).
    pub contrast: f64,
    /// min(5 · mean |g - Gauss(g)| / 255, 1): 0 is clean.
    pub noise: f64,
    /// 0.3 (1 - blur) + 0.2 brightness + 0.3 contrast + 0.2 (1 - noise).
    pub overall: f64,
}

impl Quality {
    /// The quality of `crop` in `frame`, at [`SIDE`] pixels.
    pub fn of_crop(frame: &Frame, crop: &Crop) -> Self {
        let side = SIDE as usize;
        Self::of(&Grey::from_rgb(side, side, &resize_square(frame, crop, SIDE)))
    }

    /// The quality of a picture.
    pub fn of(grey: &Grey) -> Self {
        let padded = Padded::of(grey);
        let blur = 1.0 - (laplacian_variance(&padded) / 1000.0).min(1.0);
        let (mean, deviation) = moments(grey);
        let brightness = match mean / 255.0 {
            mean if mean < 0.4 => mean / 0.4,
            mean if mean > 0.6 => ((1.0 - mean) / 0.4).max(0.0),
            _ => 1.0,
        };
        let contrast = (deviation / 255.0 / 0.2).min(1.0);
        let noise = (5.0 * mean_residual(&padded) / 255.0).min(1.0);
        let overall = 0.3 * (1.0 - blur) + 0.2 * brightness + 0.3 * contrast + 0.2 * (1.0 - noise);
        Quality { blur, brightness, contrast, noise, overall }
    }
}

/// A picture with [`EDGE`] mirrored pixels around it.
struct Padded {
    width: usize,
    height: usize,
    /// `[height + 2 EDGE, width + 2 EDGE]`
    values: Vec<i32>,
}

const EDGE: usize = 2;

impl Padded {
    fn of(grey: &Grey) -> Self {
        let (width, height, edge) = (grey.width(), grey.height(), EDGE as isize);
        let rows = -edge..height as isize + edge;
        let row = |y: isize| (-edge..width as isize + edge).map(move |x| i32::from(grey.mirrored(x, y)));
        Padded { width, height, values: rows.flat_map(row).collect() }
    }

    fn stride(&self) -> usize {
        self.width + 2 * EDGE
    }

    /// Where the picture's rows begin.
    fn rows(&self) -> impl Iterator<Item = usize> {
        let stride = self.stride();
        (0..self.height).map(move |y| (y + EDGE) * stride + EDGE)
    }
}

/// In whole numbers: a difference of two large means would lose what matters.
fn variance(sum: i64, squares: i64, count: usize) -> f64 {
    let spread = i128::from(squares) * count as i128 - i128::from(sum) * i128::from(sum);
    spread as f64 / (count as f64 * count as f64)
}

/// Of the kernel 0 1 0, 1 -4 1, 0 1 0.
fn laplacian_variance(picture: &Padded) -> f64 {
    let (values, stride) = (&picture.values, picture.stride());
    let (mut sum, mut squares) = (0_i64, 0_i64);
    for start in picture.rows() {
        for at in start..start + picture.width {
            let around = values[at - 1] + values[at + 1] + values[at - stride] + values[at + stride];
            let laplacian = i64::from(around - 4 * values[at]);
            sum += laplacian;
            squares += laplacian * laplacian;
        }
    }
    variance(sum, squares, picture.width * picture.height)
}

/// Mean and deviation.
fn moments(grey: &Grey) -> (f64, f64) {
    let sum: i64 = grey.values().iter().map(|value| i64::from(*value)).sum();
    let squares: i64 = grey.values().iter().map(|value| i64::from(*value) * i64::from(*value)).sum();
    let count = grey.values().len();
    (sum as f64 / count as f64, variance(sum, squares, count).sqrt())
}

/// Mean difference from the picture blurred by 1 4 6 4 1 in both directions, rounded as OpenCV rounds it.
fn mean_residual(picture: &Padded) -> f64 {
    let weighted = |values: [i32; 5]| values[0] + values[4] + 4 * (values[1] + values[3]) + 6 * values[2];
    let (width, stride) = (picture.width, picture.stride());
    // [height + 2 EDGE, width]
    let blurred_row = |row: &[i32]| -> Vec<i32> {
        row.windows(5).map(|window| weighted(std::array::from_fn(|i| window[i]))).collect()
    };
    let across: Vec<i32> = picture.values.chunks_exact(stride).flat_map(blurred_row).collect();
    let mut sum = 0_i64;
    for (y, start) in picture.rows().enumerate() {
        for x in 0..width {
            let down = weighted(std::array::from_fn(|dy| across[(y + dy) * width + x]));
            sum += i64::from((picture.values[start + x] - ((down + 128) >> 8)).abs());
        }
    }
    sum as f64 / (width * picture.height) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, height: usize, value: impl Fn(usize, usize) -> u8) -> Grey {
        let values = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Grey::from_values(width, height, values.map(|(x, y)| value(x, y)).collect())
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn v3_a_flat_grey_is_all_blur_and_no_contrast() {
        for (value, brightness) in [(128, 1.0), (51, 0.5), (0, 0.0), (255, 0.0), (204, 0.5), (102, 1.0)] {
            let quality = Quality::of(&grey(9, 7, |_, _| value));
            assert_eq!((quality.blur, quality.contrast, quality.noise), (1.0, 0.0, 0.0));
            assert!(close(quality.brightness, brightness), "{value}: {quality:?}");
            assert!(close(quality.overall, 0.2 * brightness + 0.2), "{value}: {quality:?}");
        }
    }

    #[test]
    fn v3_a_checkerboard_is_sharp_rich_in_contrast_and_all_noise() {
        // Each pixel 127 +- 40: Laplacian +- 320, deviation 40. The Gaussian's taps at even places weigh as much as those
        // at odd ones, so that 127 is left of it: the noise is 5 * 40 / 255.
        let quality = Quality::of(&grey(8, 8, |x, y| if (x + y) % 2 == 0 { 167 } else { 87 }));
        assert_eq!((quality.blur, quality.brightness), (0.0, 1.0));
        assert!(close(quality.contrast, 40.0 / 255.0 / 0.2), "{quality:?}");
        assert!(close(quality.noise, 200.0 / 255.0), "{quality:?}");
        assert!(close(quality.overall, 0.3 + 0.2 + 0.3 * 40.0 / 51.0 + 0.2 * (55.0 / 255.0)), "{quality:?}");
    }

    #[test]
    fn v3_a_slope_has_no_laplacian_but_at_its_mirrored_ends() {
        // g = 2 x for x of 0 to 9: mirrored at both ends the Laplacian is 4, 0, ..., 0, -4, with variance 32 / 10.
        let quality = Quality::of(&grey(10, 10, |x, _| 2 * x as u8));
        assert!(close(quality.blur, 1.0 - 3.2 / 1000.0), "{quality:?}");
        assert!(close(quality.brightness, 9.0 / 255.0 / 0.4), "{quality:?}");
        // The variance of 0, 2, ..., 18 is 33.
        assert!(close(quality.contrast, 33f64.sqrt() / 255.0 / 0.2), "{quality:?}");
        // Under the Gaussian 0 becomes (2 * 4 * 2 + 2 * 4) / 16 = 1.5 and 2 becomes (2 * 1 * ... ) by mirroring
        // (6 * 2 + 4 * 0 + 4 * 4 + 1 * 2 + 1 * 6) / 16 = 2.25: after rounding 2 and 2, and at the other end 17 and 16.
        assert!(close(quality.noise, 5.0 * (2.0 + 1.0) / 10.0 / 255.0), "{quality:?}");
    }

    #[test]
    fn flat_pictures_are_worth_little() {
        let flat = |value: u8| Quality::of(&Grey::from_values(8, 8, vec![value; 64]));
        let middle = flat(127);
        assert_eq!((middle.blur, middle.brightness, middle.contrast, middle.noise), (1.0, 1.0, 0.0, 0.0));
        assert!((middle.overall - 0.4).abs() < 1e-12);
        assert_eq!(flat(0).brightness, 0.0);
        assert_eq!(flat(255).brightness, 0.0);
        assert!((flat(51).brightness - 0.5).abs() < 1e-12);
        assert!((flat(204).brightness - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_checkerboard_is_as_sharp_as_it_gets() {
        let board =
            Grey::from_values(8, 8, (0..64).map(|i| if (i + i / 8) % 2 == 0 { 0 } else { 255 }).collect());
        let quality = Quality::of(&board);
        assert_eq!((quality.blur, quality.brightness, quality.contrast, quality.noise), (0.0, 1.0, 1.0, 1.0));
        assert!((quality.overall - 0.8).abs() < 1e-12);
    }

    #[test]
    fn the_smallest_pictures_have_a_quality() {
        for (width, height) in [(1, 1), (1, 5), (2, 1), (3, 2)] {
            let quality = Quality::of(&Grey::from_values(width, height, vec![9; width * height]));
            assert!(quality.overall.is_finite(), "{width} x {height}");
        }
    }
}
