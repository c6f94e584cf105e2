//! Crop -> network input: one antialiased resize in integers, then normalisation.
//!
//! The resize is the triangle ("bilinear") filter with the support widened by the scale, in 8-bit
//! fixed point, as Pillow computes it (`Image.crop(...).resize(size, BILINEAR)`, `Resample.c`), so
//! that models trained elsewhere see the same pixels. Coefficients use only IEEE `+ - * /` in
//! `f64`, the sums are integers: native and wasm agree bit for bit.

use crate::crop::Crop;
use crate::error::Error;
use crate::frame::Frame;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Fraction bits of a filter coefficient: 32 less 8 for the pixel and 2 for head-room (Pillow).
const PRECISION_BITS: u32 = 22;

/// How a crop becomes the network's input; part of a bundle's manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Width and height of the input, in pixels.
    pub size: u32,
    /// Mean that is taken off each RGB channel after scaling to `[0, 1]`.
    pub mean: [f32; 3],
    /// Divisor of each RGB channel after the mean is off.
    pub std: [f32; 3],
}

impl Preprocess {
    /// Side lengths that a manifest may ask for, in pixels.
    pub const SIZES: std::ops::RangeInclusive<u32> = 32..=1024;

    /// Mean and deviation of ImageNet, the convention of timm's checkpoints.
    pub fn imagenet(size: u32) -> Self {
        Preprocess { size, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
    }

    /// Checks every field's range.
    ///
    /// # Errors
    /// [`Error::Manifest`] naming the field.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |detail: String| Err(Error::Manifest { detail });
        if !Self::SIZES.contains(&self.size) {
            return refuse(format!("preprocess.size is {}, expected {:?}", self.size, Self::SIZES));
        }
        if self.mean.iter().any(|m| !m.is_finite()) || self.std.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return refuse("preprocess.mean must be finite and preprocess.std positive".into());
        }
        Ok(())
    }

    /// The network input `[1, 3, size, size]`, RGB, normalised, of `crop` in `frame`.
    pub fn tensor(&self, frame: &Frame, crop: &Crop) -> Tensor {
        let rgb = resize_square(frame, crop, self.size);
        self.normalise(&rgb)
    }

    /// Normalised `[1, 3, size, size]` of packed RGB bytes, row by row.
    pub fn normalise(&self, rgb: &[u8]) -> Tensor {
        let plane = (self.size * self.size) as usize;
        assert_eq!(rgb.len(), plane * 3, "RGB bytes of a {0} x {0} crop", self.size);
        let mut values = vec![0.0; plane * 3];
        for channel in 0..3 {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            let lookup: [f32; 256] = std::array::from_fn(|v| (v as f32 / 255.0 - mean) / std);
            // HWC -> CHW
            let target = &mut values[channel * plane..][..plane];
            for (value, pixel) in target.iter_mut().zip(rgb.chunks_exact(3)) {
                *value = lookup[pixel[channel] as usize];
            }
        }
        let side = self.size as usize;
        Tensor::from_vec(vec![1, 3, side, side], values)
    }
}

/// The RGB bytes of `crop`, resized to `size` x `size`; a crop that is no square is stretched.
pub fn resize_square(frame: &Frame, crop: &Crop, size: u32) -> Vec<u8> {
    resize(frame, crop, [size, size])
}

/// The RGB bytes of `crop`, resized to `width` x `height`, across before down.
pub fn resize(frame: &Frame, crop: &Crop, [width, height]: [u32; 2]) -> Vec<u8> {
    let columns = Filter::triangle(crop.width(), width);
    let rows = Filter::triangle(crop.height(), height);
    let (narrow_bytes, source_bytes) = (width as usize * 3, crop.width() as usize * 3);
    let frame_bytes = frame.width() as usize * 3;

    // Horizontal pass: [crop height, crop width, 3] -> [crop height, width, 3]
    let mut narrow = vec![0u8; crop.height() as usize * narrow_bytes];
    // One byte more than a row: pixels are read as four bytes, which are one vector.
    let mut source = vec![0u8; source_bytes + 1];
    for (y, target) in narrow.chunks_exact_mut(narrow_bytes).enumerate() {
        let start = (crop.y as usize + y) * frame_bytes + crop.x as usize * 3;
        source[..source_bytes].copy_from_slice(&frame.rgb()[start..start + source_bytes]);
        for (window, pixel) in columns.windows.iter().zip(target.chunks_exact_mut(3)) {
            pixel.copy_from_slice(&window.pixel(&source));
        }
    }

    // Vertical pass: [crop height, width, 3] -> [height, width, 3]
    let mut small = vec![0u8; height as usize * narrow_bytes];
    let mut sums = vec![0i32; narrow_bytes];
    for (window, target) in rows.windows.iter().zip(small.chunks_exact_mut(narrow_bytes)) {
        sums.fill(HALF);
        let above = narrow[window.first * narrow_bytes..].chunks_exact(narrow_bytes);
        for (weight, row) in window.weights.iter().zip(above) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum = add(*sum, *value, *weight));
        }
        target.iter_mut().zip(&sums).for_each(|(value, sum)| *value = rounded(*sum));
    }
    small
}

/// Half of the last place that is kept.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// `sum + value * weight`. It cannot wrap: weights are at least 0 and sum to about 2^[`PRECISION_BITS`], values are below 2^8. A
/// check for each would keep the compiler from adding several at once.
#[inline(always)]
fn add(sum: i32, value: u8, weight: i32) -> i32 {
    sum.wrapping_add(i32::from(value).wrapping_mul(weight))
}

#[inline(always)]
fn rounded(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// For each output position, which inputs count and how much.
struct Filter {
    windows: Vec<Window>,
}

struct Window {
    first: usize,
    /// Fixed-point weights with [`PRECISION_BITS`] fraction bits; they sum to about one.
    weights: Vec<i32>,
}

impl Filter {
    fn triangle(input: u32, output: u32) -> Self {
        let scale = f64::from(input) / f64::from(output);
        let support = scale.max(1.0);
        let windows = (0..output).map(|o| Window::triangle(f64::from(o), scale, support, input)).collect();
        Filter { windows }
    }
}

impl Window {
    fn triangle(position: f64, scale: f64, support: f64, input: u32) -> Self {
        let centre = (position + 0.5) * scale;
        // The casts truncate towards zero, as the C reference does.
        let first = ((centre - support + 0.5) as i64).max(0);
        let last = ((centre + support + 0.5) as i64).min(i64::from(input));
        let weight = |i: i64| (1.0 - ((i as f64 - centre + 0.5) * (1.0 / support)).abs()).max(0.0);
        let weights: Vec<f64> = (first..last).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |w: &f64| (0.5 + w / sum * f64::from(1u32 << PRECISION_BITS)) as i32;
        Window { first: first as usize, weights: weights.iter().map(fixed).collect() }
    }

    /// RGB of the window over a row of packed RGB pixels and one more byte.
    #[inline(always)]
    fn pixel(&self, row: &[u8]) -> [u8; 3] {
        let mut sums = [HALF; 4];
        for (i, weight) in self.weights.iter().enumerate() {
            let place = (self.first + i) * 3;
            let values = &row[place..place + 4];
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = add(*sum, *value, *weight));
        }
        let [red, green, blue, _] = sums.map(rounded);
        [red, green, blue]
    }
}
