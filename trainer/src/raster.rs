//! What augmentation does to packed pixels: moving, blurring, resizing, shifting colours.
//!
//! Pictures are square, `side` pixels wide, values interleaved by channel, rows from the top.

use engine::preprocess::resize_square;
use engine::{Crop, Frame};

/// A square picture or mask of `channels` values a pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct Raster {
    /// Width and height in pixels.
    pub side: usize,
    /// Values a pixel.
    pub channels: usize,
    /// `side * side * channels` values; 0 to 255 for pictures, 0 to 1 for masks.
    pub values: Vec<f32>,
}

/// Rotation, zoom and shift around the middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// Degrees, counter-clockwise on the screen.
    pub degrees: f32,
    /// Above 1 enlarges.
    pub scale: f32,
    /// To the right and down, in shares of the side.
    pub shift: [f32; 2],
}

impl Raster {
    /// The picture of packed RGB bytes.
    pub fn from_rgb(rgb: &[u8], side: usize) -> Self {
        Raster { side, channels: 3, values: rgb.iter().map(|&value| f32::from(value)).collect() }
    }

    /// Packed bytes, rounded and clamped.
    pub fn to_rgb(&self) -> Vec<u8> {
        self.values.iter().map(|value| value.round().clamp(0.0, 255.0) as u8).collect()
    }

    /// A mask of `value` at each pixel's middle, given in shares of the side.
    pub fn mask(side: usize, value: impl Fn(f32, f32) -> f32) -> Self {
        let share = |i: usize| (i as f32 + 0.5) / side as f32;
        let pixels = (0..side).flat_map(|y| (0..side).map(move |x| (x, y)));
        Raster { side, channels: 1, values: pixels.map(|(x, y)| value(share(x), share(y))).collect() }
    }

    fn at(&self, x: isize, y: isize, channel: usize) -> f32 {
        // What lies outside repeats the border: black corners would be a cue of their own.
        let inside = |i: isize| i.clamp(0, self.side as isize - 1) as usize;
        self.values[(inside(y) * self.side + inside(x)) * self.channels + channel]
    }

    /// The picture moved by `affine`, bilinear.
    #[must_use]
    pub fn moved(&self, affine: &Affine) -> Self {
        let (sin, cos) = affine.degrees.to_radians().sin_cos();
        let middle = (self.side as f32 - 1.0) / 2.0;
        let [right, down] = affine.shift.map(|share| share * self.side as f32);
        let mut values = Vec::with_capacity(self.values.len());
        for y in 0..self.side {
            for x in 0..self.side {
                // Backwards: where does this pixel come from?
                let (dx, dy) = (x as f32 - middle - right, y as f32 - middle - down);
                let from_x = (cos * dx - sin * dy) / affine.scale + middle;
                let from_y = (sin * dx + cos * dy) / affine.scale + middle;
                let (left, top) = (from_x.floor(), from_y.floor());
                let (wx, wy) = (from_x - left, from_y - top);
                let (left, top) = (left as isize, top as isize);
                for channel in 0..self.channels {
                    let at = |x, y| self.at(x, y, channel);
                    let upper = at(left, top) * (1.0 - wx) + at(left + 1, top) * wx;
                    let lower = at(left, top + 1) * (1.0 - wx) + at(left + 1, top + 1) * wx;
                    values.push(upper * (1.0 - wy) + lower * wy);
                }
            }
        }
        Raster { values, ..*self }
    }

    /// The picture under a Gaussian of deviation `sigma` pixels, cut off at three deviations.
    #[must_use]
    pub fn blurred(&self, sigma: f32) -> Self {
        let radius = (3.0 * sigma).ceil().max(1.0) as isize;
        let weight = |i: isize| (-0.5 * (i as f32 / sigma).powi(2)).exp();
        let weights: Vec<f32> = (-radius..=radius).map(weight).collect();
        let sum: f32 = weights.iter().sum();
        let weights: Vec<f32> = weights.iter().map(|weight| weight / sum).collect();
        let (side, channels) = (self.side, self.channels);
        let width = side * channels;
        let reach = radius as usize * channels;
        let (mut padded, mut across) = (vec![0.0; width + 2 * reach], vec![0.0; self.values.len()]);
        for (row, out) in self.values.chunks_exact(width).zip(across.chunks_exact_mut(width)) {
            for (place, pixel) in padded.chunks_exact_mut(channels).enumerate() {
                let x = (place as isize - radius).clamp(0, side as isize - 1) as usize;
                pixel.copy_from_slice(&row[x * channels..][..channels]);
            }
            add_weighted(
                weights.iter().enumerate().map(|(i, weight)| (*weight, &padded[i * channels..])),
                out,
            );
        }
        let mut values = vec![0.0; self.values.len()];
        for (y, out) in values.chunks_exact_mut(width).enumerate() {
            let row = |i: usize| (y as isize + i as isize - radius).clamp(0, side as isize - 1) as usize;
            add_weighted(
                weights.iter().enumerate().map(|(i, weight)| (*weight, &across[row(i) * width..])),
                out,
            );
        }
        Raster { values, ..*self }
    }

    /// Changes each pixel of an RGB picture.
    pub fn each_pixel(&mut self, change: impl Fn(&mut [f32; 3])) {
        debug_assert_eq!(self.channels, 3);
        self.values.as_chunks_mut::<3>().0.iter_mut().for_each(change);
    }
}

/// Adds to `out` rows times their weights, whole rows at a time.
fn add_weighted<'a>(rows: impl Iterator<Item = (f32, &'a [f32])>, out: &mut [f32]) {
    for (weight, row) in rows {
        out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
    }
}

/// A square picture of `from` pixels made `to` pixels wide.
pub fn resize(rgb: Vec<u8>, from: u32, to: u32) -> Vec<u8> {
    let frame = Frame::from_rgb(from, from, rgb);
    resize_square(&frame, &Crop::centre_square(&frame), to)
}

/// `rgb` with its hue turned by `turns` of the colour circle, its saturation and value multiplied; the colours'
/// order is kept by turning around the grey axis (the usual approximation of HSV without its case table).
pub fn shift_hsv(rgb: &mut [f32; 3], turns: f32, saturation: f32, value: f32) {
    let (sin, cos) = (turns * std::f32::consts::TAU).sin_cos();
    let third = (1.0 - cos) / 3.0;
    let skew = sin / 3f32.sqrt();
    let [r, g, b] = *rgb;
    let turned = [
        r * (cos + third) + g * (third - skew) + b * (third + skew),
        r * (third + skew) + g * (cos + third) + b * (third - skew),
        r * (third - skew) + g * (third + skew) + b * (cos + third),
    ];
    let grey = (turned[0] + turned[1] + turned[2]) / 3.0;
    *rgb = turned.map(|colour| ((grey + (colour - grey) * saturation) * value).clamp(0.0, 255.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(side: usize) -> Raster {
        let value = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8;
        Raster::from_rgb(&(0..(side * side * 3) as u32).map(value).collect::<Vec<_>>(), side)
    }

    #[test]
    fn no_move_is_no_change_and_a_whole_shift_is_exact() {
        let picture = noise(8);
        let still = Affine { degrees: 0.0, scale: 1.0, shift: [0.0, 0.0] };
        assert_eq!(picture.moved(&still), picture);
        let right = picture.moved(&Affine { shift: [0.25, 0.0], ..still });
        assert_eq!(right.values[2 * 3..8 * 3], picture.values[..6 * 3]);
        assert_eq!(right.values[..3], picture.values[..3], "the border repeats");
    }

    #[test]
    fn a_quarter_turn_puts_the_right_side_on_top() {
        let picture = Raster::mask(5, |x, _| if x > 0.8 { 1.0 } else { 0.0 });
        let turned = picture.moved(&Affine { degrees: 90.0, scale: 1.0, shift: [0.0, 0.0] });
        let near = |a: f32, b: f32| (a - b).abs() < 1e-4;
        assert!(turned.values[..5].iter().all(|&value| near(value, 1.0)), "{turned:?}");
        assert!(turned.values[5..].iter().all(|&value| near(value, 0.0)), "{turned:?}");
    }

    #[test]
    fn a_blur_is_the_gaussian() {
        let middle = 15.5 / 31.0;
        let point = Raster::mask(31, |x, y| if (x, y) == (middle, middle) { 1.0 } else { 0.0 });
        let blurred = point.blurred(2.0);
        assert!((blurred.values.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let at = |x: usize, y: usize| blurred.values[y * 31 + x];
        // exp(-(3^2 + 1^2) / (2 * 2^2)) of the peak.
        assert!((at(18, 16) / at(15, 15) - (-10f32 / 8.0).exp()).abs() < 1e-4);
    }

    #[test]
    fn a_whole_turn_of_the_hue_is_none_and_a_third_swaps_the_colours() {
        let mut rgb = [200.0, 50.0, 20.0];
        shift_hsv(&mut rgb, 1.0, 1.0, 1.0);
        assert!((rgb[0] - 200.0).abs() < 1e-2 && (rgb[2] - 20.0).abs() < 1e-2, "{rgb:?}");
        shift_hsv(&mut rgb, 1.0 / 3.0, 1.0, 1.0);
        assert!((rgb[1] - 200.0).abs() < 1e-2 && (rgb[2] - 50.0).abs() < 1e-2, "{rgb:?}");
        shift_hsv(&mut rgb, 0.0, 0.0, 0.5);
        assert!(rgb.iter().all(|value| (value - 45.0).abs() < 1e-2), "{rgb:?}");
    }
}
