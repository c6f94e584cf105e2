//! What is done to a whole scene: colours, blur, noise, JPEG.

use super::config::SceneConfig;
use crate::raster::{Raster, shift_hsv};
use engine::Frame;
use rand::{Rng, RngExt};

/// `rgb`, a square of `side` pixels, varied as `config` says; places stay.
pub fn vary(rgb: Vec<u8>, side: usize, config: &SceneConfig, rng: &mut impl Rng) -> Vec<u8> {
    let mut raster = Raster::from_rgb(&rgb, side);
    colours(&mut raster, config, rng);
    if rng.random_bool(config.blur) {
        raster = raster.blurred(rng.random_range(0.3..1.6));
    }
    if rng.random_bool(config.noise) {
        let amplitude = rng.random_range(2.0..25f32);
        // The sum of two uniform numbers is near enough to a bell.
        raster.values.iter_mut().for_each(|value| {
            *value += amplitude * (rng.random_range(-0.5..0.5f32) + rng.random_range(-0.5..0.5f32));
        });
    }
    let rgb = raster.to_rgb();
    match rng.random_bool(config.jpeg) {
        true => recompressed(rgb, side, rng.random_range(config.jpeg_quality..=95)),
        false => rgb,
    }
}

fn colours(raster: &mut Raster, config: &SceneConfig, rng: &mut impl Rng) {
    let mut factor = |range: f64| 1.0 + rng.random_range(-range..=range) as f32;
    let [brightness, contrast] = [factor(config.colour), factor(config.colour)];
    let saturation = factor(config.colour);
    // The light's own colour.
    let gains: [f32; 3] = std::array::from_fn(|_| factor(config.colour / 4.0));
    let is_grey = rng.random_bool(config.grey);
    let turns = rng.random_range(-0.03..0.03f32);
    let mean = raster.values.iter().sum::<f32>() / raster.values.len() as f32;
    let saturation = if is_grey { 0.0 } else { saturation };
    raster.each_pixel(|pixel| {
        shift_hsv(pixel, turns, saturation, 1.0);
        for (value, gain) in pixel.iter_mut().zip(if is_grey { [1.0; 3] } else { gains }) {
            *value = ((mean + (*value - mean) * contrast) * brightness * gain).clamp(0.0, 255.0);
        }
    });
}

/// Encoded and decoded; on an encoder's error the pixels stay as they are.
fn recompressed(rgb: Vec<u8>, side: usize, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    match encoder.encode(&rgb, side as u16, side as u16, jpeg_encoder::ColorType::Rgb) {
        Ok(()) => Frame::from_encoded(&bytes).map_or(rgb, |frame| frame.rgb().to_vec()),
        Err(_) => rgb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn each_choice_has_an_effect() {
        let none = SceneConfig {
            colour: 0.0,
            grey: 0.0,
            blur: 0.0,
            noise: 0.0,
            jpeg: 0.0,
            ..SceneConfig::default()
        };
        let rgb: Vec<u8> = (0..32 * 32 * 3u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let varied = |config: &SceneConfig| vary(rgb.clone(), 32, config, &mut ChaCha8Rng::seed_from_u64(5));
        let plain = varied(&none);
        for (name, config) in [
            ("colour", SceneConfig { colour: 0.4, ..none.clone() }),
            ("grey", SceneConfig { grey: 1.0, ..none.clone() }),
            ("blur", SceneConfig { blur: 1.0, ..none.clone() }),
            ("noise", SceneConfig { noise: 1.0, ..none.clone() }),
            ("jpeg", SceneConfig { jpeg: 1.0, ..none.clone() }),
        ] {
            assert_ne!(varied(&config), plain, "{name}");
        }
        let grey = varied(&SceneConfig { grey: 1.0, ..none });
        assert!(
            grey.chunks(3).all(|pixel| pixel[0].abs_diff(pixel[1]) <= 1 && pixel[0].abs_diff(pixel[2]) <= 1)
        );
    }
}
