//! Self-blended images (Shiohara and Yamasaki, arXiv 2204.08376): a fake made of one real picture.
//!
//! The picture is blended with a slightly changed copy of itself under a soft mask of the face, so that nothing but the
//! blending gives it away. The paper takes the mask from 81 landmarks; here it is a blob in the box where the crop
//! recipe puts the face.

use crate::raster::{Affine, Raster, shift_hsv};
use rand::{Rng, RngExt};

/// Shares of the source in the blend; full strength as often as all others (section 3.2 of the paper).
const RATIOS: [f32; 6] = [0.25, 0.5, 0.75, 1.0, 1.0, 1.0];

/// A fake of the real `rgb`, packed bytes of a face crop `side` pixels wide.
pub fn self_blended(rgb: &[u8], side: usize, rng: &mut impl Rng) -> Vec<u8> {
    let picture = Raster::from_rgb(rgb, side);
    let changed = changed(&picture, rng);
    let (source, target) = if rng.random_bool(0.5) { (changed, picture) } else { (picture, changed) };
    let source = source.moved(&Affine {
        degrees: 0.0,
        scale: rng.random_range(0.95..=1.0 / 0.95),
        shift: [rng.random_range(-0.03..=0.03), rng.random_range(-0.015..=0.015)],
    });
    let mask = mask(side, rng);
    let ratio = RATIOS[rng.random_range(0..RATIOS.len())];
    let mut blended = target;
    for (pixel, value) in blended.values.iter_mut().enumerate() {
        *value += mask.values[pixel / 3] * ratio * (source.values[pixel] - *value);
    }
    blended.to_rgb()
}

/// The copy: other colours, and either coarser or sharper.
fn changed(picture: &Raster, rng: &mut impl Rng) -> Raster {
    let mut copy = picture.clone();
    let offsets: [f32; 3] = match rng.random_bool(0.3) {
        true => std::array::from_fn(|_| rng.random_range(-20.0..=20.0)),
        false => [0.0; 3],
    };
    let mut factor = |range: f32| 1.0 + rng.random_range(-range..=range);
    let (saturation, value, brightness, contrast) = (factor(0.3), factor(0.3), factor(0.1), factor(0.1));
    let turns = rng.random_range(-0.03..=0.03);
    copy.each_pixel(|rgb| {
        *rgb = std::array::from_fn(|i| rgb[i] + offsets[i]);
        shift_hsv(rgb, turns, saturation, value);
        *rgb = rgb.map(|colour| ((colour - 128.0) * contrast + 128.0) * brightness);
    });
    if rng.random_bool(0.5) {
        // What a smaller copy loses, without its grid.
        let factor = if rng.random_bool(0.5) { 2.0 } else { 4.0 };
        return copy.blurred(0.5 * factor);
    }
    let strength = rng.random_range(0.2..=0.5);
    let soft = copy.blurred(1.0);
    for (value, soft) in copy.values.iter_mut().zip(soft.values) {
        *value += strength * (*value - soft);
    }
    copy
}

/// A blob with a soft border where the face is: 1 in the middle of it, 0 far outside.
fn mask(side: usize, rng: &mut impl Rng) -> Raster {
    const WAVES: usize = 5;
    let centre = [rng.random_range(0.45..=0.55), rng.random_range(0.47..=0.6)];
    let radii = [rng.random_range(0.2..=0.38), rng.random_range(0.25..=0.42)];
    // The elastic deformation of the paper, as waves of the radius.
    let waves: [(f32, f32); WAVES] = std::array::from_fn(|i| {
        let size = 0.12 / (i + 1) as f32;
        (rng.random_range(-size..=size), rng.random_range(0.0..std::f32::consts::TAU))
    });
    let blob = Raster::mask(side, |x, y| {
        let (dx, dy) = ((x - centre[0]) / radii[0], (y - centre[1]) / radii[1]);
        let angle = dy.atan2(dx);
        let radius: f32 =
            (1..).zip(waves).map(|(i, (size, phase))| size * (i as f32 * angle + phase).cos()).sum();
        f32::from(u8::from(dx.hypot(dy) <= 1.0 + radius))
    });
    // Blurred, eroded to what is still whole, blurred again: the border lies inside the blob.
    let unit = side as f32 / 256.0;
    let mut eroded = blob.blurred(unit * rng.random_range(1.0..=4.0));
    for value in &mut eroded.values {
        *value = f32::from(u8::from(*value > 0.999));
    }
    let mut soft = eroded.blurred(unit * rng.random_range(2.0..=12.0));
    let largest = soft.values.iter().fold(f32::MIN_POSITIVE, |a, &b| a.max(b));
    soft.values.iter_mut().for_each(|value| *value /= largest);
    soft
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const SIDE: usize = 64;

    fn picture() -> Vec<u8> {
        (0..SIDE * SIDE * 3).map(|i| (96 + (i * 37 % 64) + i / (SIDE * 6)) as u8).collect()
    }

    #[test]
    fn one_seed_makes_one_fake_and_another_seed_another() {
        let fake = |seed| self_blended(&picture(), SIDE, &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(fake(1), fake(1));
        assert_ne!(fake(1), fake(2));
        assert_eq!(fake(1).len(), picture().len());
    }

    #[test]
    fn the_face_changes_beside_a_background_that_does_not_depend_on_the_mask() {
        for seed in 0..20 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mask = mask(SIDE, &mut rng);
            let at = |x: usize, y: usize| mask.values[y * SIDE + x];
            assert!(at(SIDE / 2, SIDE / 2) > 0.5, "seed {seed}");
            for corner in [at(0, 0), at(SIDE - 1, 0), at(0, SIDE - 1), at(SIDE - 1, SIDE - 1)] {
                assert!(corner < 1e-3, "seed {seed}: {corner}");
            }
            let largest = mask.values.iter().fold(0f32, |a, &b| a.max(b));
            assert_eq!(largest, 1.0);
        }
    }

    #[test]
    fn a_fake_stays_near_its_picture() {
        let original = picture();
        for seed in 0..20 {
            let fake = self_blended(&original, SIDE, &mut ChaCha8Rng::seed_from_u64(seed));
            assert_ne!(fake, original, "seed {seed}");
            let mean = fake.iter().zip(&original).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>()
                / original.len() as f64;
            assert!(mean < 70.0, "seed {seed}: mean difference {mean}");
        }
    }
}
