//! Random views of a picture, the same for one seed; both classes get the same treatment.

use engine::preprocess::resize_square;
use engine::{Crop, Frame};
use rand::{Rng, RngExt};

/// How strongly training pictures are varied; part of a run's configuration.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Smallest side of a random crop, as a share of the full crop's.
    pub min_crop: f64,
    /// Probability of re-encoding as JPEG.
    pub jpeg: f64,
    /// Lowest JPEG quality, 1 to 100.
    pub jpeg_quality: u8,
    /// Probability of a round trip through a smaller size.
    pub downscale: f64,
    /// Largest relative change of brightness, contrast and saturation.
    pub colour: f64,
}

impl Default for Augment {
    fn default() -> Self {
        Augment { min_crop: 0.8, jpeg: 0.3, jpeg_quality: 60, downscale: 0.1, colour: 0.2 }
    }
}

impl Augment {
    /// RGB bytes of a random `size` x `size` view of `crop` in `frame`.
    pub fn view(&self, frame: &Frame, crop: &Crop, size: u32, rng: &mut impl Rng) -> Vec<u8> {
        let mut rgb = resize_square(frame, &self.random_crop(crop, rng), size);
        if rng.random_bool(0.5) {
            flip(&mut rgb, size as usize);
        }
        self.vary_colour(&mut rgb, rng);
        if rng.random_bool(self.downscale) {
            let small = rng.random_range(size / 2..=size);
            rgb = resize(resize(rgb, size, small), small, size);
        }
        if rng.random_bool(self.jpeg) {
            rgb = recompress(rgb, size, rng.random_range(self.jpeg_quality..=95));
        }
        rgb
    }

    fn random_crop(&self, crop: &Crop, rng: &mut impl Rng) -> Crop {
        let side = (f64::from(crop.side) * rng.random_range(self.min_crop..=1.0)).round().max(1.0) as u32;
        let room = crop.side - side.min(crop.side);
        Crop {
            x: crop.x + rng.random_range(0..=room),
            y: crop.y + rng.random_range(0..=room),
            side: side.min(crop.side),
            ..*crop
        }
    }

    /// Contrast around the mean, saturation around grey, brightness.
    fn vary_colour(&self, rgb: &mut [u8], rng: &mut impl Rng) {
        let mut factor = || 1.0 + rng.random_range(-self.colour..=self.colour) as f32;
        let (brightness, contrast, saturation) = (factor(), factor(), factor());
        let mean = rgb.iter().map(|&v| f32::from(v)).sum::<f32>() / rgb.len() as f32;
        for pixel in rgb.chunks_exact_mut(3) {
            let grey =
                0.299 * f32::from(pixel[0]) + 0.587 * f32::from(pixel[1]) + 0.114 * f32::from(pixel[2]);
            for value in pixel {
                let saturated = grey + (f32::from(*value) - grey) * saturation;
                *value =
                    ((mean + (saturated - mean) * contrast) * brightness).round().clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// Mirrors packed RGB rows of `side` pixels.
pub fn flip(rgb: &mut [u8], side: usize) {
    for row in rgb.chunks_exact_mut(side * 3) {
        for x in 0..side / 2 {
            for channel in 0..3 {
                row.swap(x * 3 + channel, (side - 1 - x) * 3 + channel);
            }
        }
    }
}

fn resize(rgb: Vec<u8>, from: u32, to: u32) -> Vec<u8> {
    let frame = Frame::from_rgb(from, from, rgb);
    resize_square(&frame, &Crop::centre_square(&frame), to)
}

/// Encodes and decodes as JPEG of `quality`; on an encoder's error the pixels stay as they are.
fn recompress(rgb: Vec<u8>, side: u32, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    let side = side as u16;
    match encoder.encode(&rgb, side, side, jpeg_encoder::ColorType::Rgb) {
        Ok(()) => Frame::from_encoded(&bytes).map_or(rgb, |frame| frame.rgb().to_vec()),
        Err(_) => rgb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn frame(side: u32) -> Frame {
        let value = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8;
        Frame::from_rgb(side, side, (0..side * side * 3).map(value).collect())
    }

    #[test]
    fn one_seed_gives_one_view() {
        let frame = frame(40);
        let crop = Crop::centre_square(&frame);
        let strong = Augment { jpeg: 1.0, downscale: 1.0, ..Augment::default() };
        let view = |seed| strong.view(&frame, &crop, 32, &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(view(1), view(1));
        assert_ne!(view(1), view(2));
        assert_eq!(view(1).len(), 32 * 32 * 3);
    }

    #[test]
    fn two_flips_are_none() {
        let original = frame(5).rgb().to_vec();
        let mut flipped = original.clone();
        flip(&mut flipped, 5);
        assert_ne!(flipped, original);
        assert_eq!(flipped[..3], original[12..15]);
        flip(&mut flipped, 5);
        assert_eq!(flipped, original);
    }
}
