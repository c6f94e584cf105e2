//! Whether a region can show a face at all: a network gives a number for anything, and sure ones for nonsense.
//!
//! Four measures in whole numbers, each with a limit far from every one of 4,336 face pictures of four sets (ciplab,
//! stylegan2, openforensics, gan128; largest centred square):
//!
//! | measure | limit | pictures of faces | what it keeps out |
//! |---|---|---|---|
//! | side | 16 pixels | 13 (one), then 21 and more | single pixels, threads |
//! | deviation of luma at 64 x 64 | 5 | 17.0 and more | one colour (0), fine noise (1.2 to 3.4) |
//! | correlation of neighbours there | 0.5 | 0.82 and more | noise (0.00 to 0.42) |
//! | share of the 16 commonest colours | 0.75 | 0.55 and less | drawings, text (0.84 to 1.00), also as JPEG down to quality 30 |

use crate::crop::Crop;
use crate::error::Error;
use crate::frame::Frame;
use crate::preprocess::resize_square;

/// Shortest side in pixels.
const MIN_SIDE: u32 = 16;
/// Smallest standard deviation of luma, of 255.
const MIN_DEVIATION: f64 = 5.0;
/// Smallest correlation between a pixel's luma and its neighbour's, across and down.
const MIN_CORRELATION: f64 = 0.5;
/// Largest share of the commonest colours.
const MAX_COMMON_COLOURS: f64 = 0.75;
/// Number of the commonest colours.
const COMMON_COLOURS: usize = 16;
/// Side of the small copy that luma is measured on.
const SMALL: u32 = 64;
/// Most rows and columns that colours are counted on.
const MAX_SAMPLED: u32 = 256;

/// Checks that `crop` of `frame` may show a face.
///
/// # Errors
/// [`Error::NotApplicable`] saying what it is instead.
pub fn check(frame: &Frame, crop: &Crop) -> Result<(), Error> {
    let refuse = |reason: &'static str| Err(Error::NotApplicable { reason });
    if crop.width().min(crop.height()) < MIN_SIDE {
        return refuse("it has a side of fewer than 16 pixels");
    }
    let luma = luma(&resize_square(frame, crop, SMALL));
    if deviation(&luma) < MIN_DEVIATION {
        return refuse("it is of one colour");
    }
    let side = SMALL as usize;
    let across = (0..luma.len()).filter(|i| i % side + 1 < side).map(|i| (luma[i], luma[i + 1]));
    let down = luma.iter().copied().zip(luma[side..].iter().copied());
    if correlation(across) < MIN_CORRELATION || correlation(down) < MIN_CORRELATION {
        return refuse("it is noise");
    }
    if common_colours(frame, crop) > MAX_COMMON_COLOURS {
        return refuse("it is drawn in few colours");
    }
    Ok(())
}

/// Luma of packed RGB bytes, 0 to 255.
fn luma(rgb: &[u8]) -> Vec<i64> {
    let luma = |pixel: &[u8]| 77 * i64::from(pixel[0]) + 150 * i64::from(pixel[1]) + 29 * i64::from(pixel[2]);
    rgb.chunks_exact(3).map(|pixel| luma(pixel) >> 8).collect()
}

fn deviation(values: &[i64]) -> f64 {
    let moments = Moments::of(values.iter().map(|&value| (value, value)));
    moments.covariance(moments.ab, moments.a, moments.b).sqrt()
}

/// Pearson's correlation; 0 if one side is constant.
fn correlation(pairs: impl Iterator<Item = (i64, i64)>) -> f64 {
    let m = Moments::of(pairs);
    let variances = m.covariance(m.aa, m.a, m.a) * m.covariance(m.bb, m.b, m.b);
    if variances > 0.0 { m.covariance(m.ab, m.a, m.b) / variances.sqrt() } else { 0.0 }
}

/// Sums over pairs; whole numbers, so that their order does not matter.
#[derive(Default)]
struct Moments {
    count: i64,
    a: i64,
    b: i64,
    aa: i64,
    bb: i64,
    ab: i64,
}

impl Moments {
    fn of(pairs: impl Iterator<Item = (i64, i64)>) -> Self {
        pairs.fold(Moments::default(), |m, (a, b)| Moments {
            count: m.count + 1,
            a: m.a + a,
            b: m.b + b,
            aa: m.aa + a * a,
            bb: m.bb + b * b,
            ab: m.ab + a * b,
        })
    }

    fn covariance(&self, product: i64, a: i64, b: i64) -> f64 {
        let count = self.count as f64;
        (self.count * product - a * b) as f64 / (count * count)
    }
}

/// Share of the [`COMMON_COLOURS`] commonest colours among at most [`MAX_SAMPLED`] rows and columns.
fn common_colours(frame: &Frame, crop: &Crop) -> f64 {
    let steps = |length: u32| {
        let count = length.min(MAX_SAMPLED);
        (0..count).map(move |i| (u64::from(i) * u64::from(length) / u64::from(count)) as usize)
    };
    let mut colours = Vec::with_capacity((MAX_SAMPLED * MAX_SAMPLED) as usize);
    for y in steps(crop.height()) {
        let row = (crop.y as usize + y) * frame.width() as usize + crop.x as usize;
        colours.extend(steps(crop.width()).map(|x| {
            let pixel = &frame.rgb()[(row + x) * 3..][..3];
            u32::from_be_bytes([0, pixel[0], pixel[1], pixel[2]])
        }));
    }
    colours.sort_unstable();
    let mut counts: Vec<u32> = colours.chunk_by(|a, b| a == b).map(|same| same.len() as u32).collect();
    counts.sort_unstable();
    let common: u32 = counts.iter().rev().take(COMMON_COLOURS).sum();
    f64::from(common) / colours.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Frame {
        let rgb = (0..width * height).flat_map(|i| pixel(i % width, i / width)).collect();
        Frame::from_rgb(width, height, rgb)
    }

    fn reason(frame: &Frame) -> Option<&'static str> {
        match check(frame, &Crop::centre_square(frame)) {
            Ok(()) => None,
            Err(Error::NotApplicable { reason }) => Some(reason),
            Err(error) => panic!("{error}"),
        }
    }

    /// The same bytes every time, as a hash of the position.
    fn hash(x: u32, y: u32, c: u32) -> u8 {
        let mut h = x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77) ^ c.wrapping_mul(0xc2b2_ae3d);
        for shift in [15, 13, 16] {
            h = (h ^ (h >> shift)).wrapping_mul(0x2c1b_3c6d);
        }
        (h >> 24) as u8
    }

    #[test]
    fn i10_what_cannot_show_a_face_gets_no_score() {
        let black = |_, _| [0; 3];
        let noise = |x, y| [0, 1, 2].map(|c| hash(x, y, c));
        let coarse = |x, y| [0, 1, 2].map(|c| hash(x / 4, y / 4, c));
        let grey = |x, y| [hash(x, y, 0); 3];
        // A face of three colours on white.
        let drawing = |x: u32, y: u32| {
            let at = |cx: u32, cy: u32| (x.abs_diff(cx).pow(2) + y.abs_diff(cy).pow(2)).isqrt();
            match (at(128, 128), at(90, 100).min(at(166, 100))) {
                (_, 0..12) => [10, 10, 10],
                (0..100, _) => [250, 210, 170],
                _ => [255; 3],
            }
        };
        let cases = [
            (picture(1, 1, black), "fewer than 16 pixels"),
            (picture(3, 10_000, noise), "fewer than 16 pixels"),
            (picture(10_000, 3, noise), "fewer than 16 pixels"),
            (picture(64, 64, black), "one colour"),
            (picture(300, 200, |_, _| [255; 3]), "one colour"),
            (picture(300, 200, |_, _| [120, 30, 200]), "one colour"),
            (picture(64, 64, noise), "noise"),
            (picture(256, 256, noise), "noise"),
            (picture(256, 256, coarse), "noise"),
            (picture(200, 300, grey), "noise"),
            (picture(256, 256, drawing), "few colours"),
        ];
        for (frame, expected) in cases {
            let found = reason(&frame);
            assert!(
                found.is_some_and(|found| found.contains(expected)),
                "{frame:?}: {found:?}, not {expected}"
            );
        }
    }

    #[test]
    fn soft_shades_with_grain_pass() {
        let shades = |x: u32, y: u32| {
            let luma = 90 + (x * x / 300) as u8 / 2 + (y / 3) as u8 + hash(x, y, 0) % 8;
            [luma.saturating_add(20), luma, luma - 20 + hash(x, y, 1) % 4]
        };
        assert_eq!(reason(&picture(200, 200, shades)), None);
        // A grey photograph has few levels, and is none the less one.
        assert_eq!(reason(&picture(200, 200, |x, y| [shades(x, y)[1]; 3])), None);
    }
}
