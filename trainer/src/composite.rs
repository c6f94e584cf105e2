//! Composites: a fake made of two real pictures, as people make them by hand.
//!
//! Eyes, nose, mouth or the whole face of one picture are laid over another one's, in its colours and under a soft mask: Face
//! X-ray (Li et al., arXiv 1912.13458) with parts of faces besides, fitted by five [`Points`] instead of 68.

use crate::points::Points;
use crate::raster::{Affine, Raster, resize};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

/// A part of a face: an ellipse around the mean of some of its points.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Which points; see [`Points`].
    points: &'static [usize],
    /// Half axes along and across the line of the eyes, in units of the face: [`Points::unit`].
    radii: [f32; 2],
}

const LEFT_EYE: Part = Part { points: &[0], radii: [0.14, 0.08] };
const RIGHT_EYE: Part = Part { points: &[1], radii: [0.14, 0.08] };
const EYES: Part = Part { points: &[0, 1], radii: [0.36, 0.12] };
const NOSE: Part = Part { points: &[2], radii: [0.12, 0.15] };
const MOUTH: Part = Part { points: &[3, 4], radii: [0.2, 0.1] };
const FACE: Part = Part { points: &[0, 1, 3, 4], radii: [0.34, 0.38] };

/// What is laid over, each as likely as the others.
const CHOICES: [&[Part]; 10] = [
    &[LEFT_EYE, RIGHT_EYE],
    &[LEFT_EYE],
    &[RIGHT_EYE],
    &[EYES],
    &[NOSE],
    &[MOUTH],
    &[EYES, NOSE],
    &[NOSE, MOUTH],
    &[EYES, NOSE, MOUTH],
    &[FACE],
];

/// `target` with parts of `donor`'s face, both packed bytes of square pictures `side` pixels wide with their faces' points in
/// shares of the side.
pub fn composite(
    target: (&[u8], &Points),
    donor: (&[u8], &Points),
    side: usize,
    rng: &mut impl Rng,
) -> Vec<u8> {
    let ((target, at), (donor, from)) = (target, donor);
    let parts = *CHOICES.choose(rng).unwrap_or(&CHOICES[0]);
    let mut blended = Raster::from_rgb(target, side);
    let slack = if rng.random_bool(0.5) { CAREFUL } else { CARELESS };
    let mut source = Raster::from_rgb(donor, side).moved(&fit(from, at, parts, slack, rng));
    let mask = mask(parts, at, side, rng);
    if rng.random_bool(0.3) {
        take_light(&mut source, &blended);
    } else {
        let contrast = if rng.random_bool(0.5) { TAKEN } else { KEPT };
        take_colours(&mut source, &blended, &mask, contrast);
    }
    if rng.random_bool(0.3) {
        // Pictures of two cameras are rarely equally sharp.
        source = source.blurred(rng.random_range(0.3..=1.0));
    }
    let ratio = rng.random_range(0.8..=1.0);
    for (pixel, value) in blended.values.iter_mut().enumerate() {
        *value += mask.values[pixel / 3] * ratio * (source.values[pixel] - *value);
    }
    blended.to_rgb()
}

/// How far parts may lie from where they belong, in units of the face; they may be larger or smaller by twice that.
const CAREFUL: f32 = 0.015;
/// Of a hand that takes no care.
const CARELESS: f32 = 0.07;

/// The move that brings the face at `from` to `to`, so that `parts` lie on each other up to `slack`.
fn fit(from: &Points, to: &Points, parts: &[Part], slack: f32, rng: &mut impl Rng) -> Affine {
    let (scale, degrees) = from.similarity(to);
    let scale = scale * (1.0 + 2.0 * slack * rng.random_range(-1.0f32..=1.0));
    let degrees = degrees + 100.0 * slack * rng.random_range(-1.0f32..=1.0);
    let (sin, cos) = degrees.to_radians().sin_cos();
    let of = |points: &Points, axis: usize| {
        parts.iter().map(|part| points.mean(part.points)[axis]).sum::<f32>() / parts.len() as f32
    };
    // Where the move, without a shift, puts the parts' middle.
    let [x, y] = [of(from, 0) - 0.5, of(from, 1) - 0.5];
    let put = [(cos * x + sin * y) * scale + 0.5, (cos * y - sin * x) * scale + 0.5];
    let slack = slack * to.unit();
    let shift = [0, 1].map(|axis| of(to, axis) - put[axis] + rng.random_range(-slack..=slack));
    Affine { degrees, scale, shift }
}

/// 1 where a part lies, 0 elsewhere, with soft borders.
fn mask(parts: &[Part], points: &Points, side: usize, rng: &mut impl Rng) -> Raster {
    let (unit, [across, down]) = (points.unit(), points.eye_line());
    let mut vary = |part: &Part| {
        let middle = points.mean(part.points).map(|share| share + unit * rng.random_range(-0.02..=0.02));
        (middle, part.radii.map(|share| unit * share * rng.random_range(0.8..=1.25)))
    };
    let ellipses: Vec<([f32; 2], [f32; 2])> = parts.iter().map(&mut vary).collect();
    let inside = |x: f32, y: f32| {
        ellipses.iter().any(|([left, top], [wide, high])| {
            let (dx, dy) = (x - left, y - top);
            ((dx * across + dy * down) / wide).hypot((dy * across - dx * down) / high) <= 1.0
        })
    };
    let softness = side as f32 / 256.0 * rng.random_range(1.0..=7.0);
    Raster::mask(side, |x, y| f32::from(u8::from(inside(x, y)))).blurred(softness)
}

/// Least and largest factor of the contrast where it is taken over.
const TAKEN: [f32; 2] = [0.5, 2.0];
/// The same where a donor keeps its own.
const KEPT: [f32; 2] = [1.0, 1.0];

/// Moves `source`'s mean colour under `mask` to `target`'s, and its contrast as far as the factors `[least, largest]` let it.
fn take_colours(source: &mut Raster, target: &Raster, mask: &Raster, [least, largest]: [f32; 2]) {
    let weight = mask.values.iter().sum::<f32>().max(f32::MIN_POSITIVE);
    for channel in 0..3 {
        let moments = |picture: &Raster| {
            let values = || picture.values.iter().skip(channel).step_by(3).zip(&mask.values);
            let mean = values().map(|(value, mask)| value * mask).sum::<f32>() / weight;
            let variance = values().map(|(value, mask)| (value - mean).powi(2) * mask).sum::<f32>() / weight;
            (mean, variance.sqrt())
        };
        let ((mean, deviation), (wanted, other)) = (moments(source), moments(target));
        let factor = (other / deviation.max(1.0)).clamp(least, largest);
        for value in source.values.iter_mut().skip(channel).step_by(3) {
            *value = ((*value - mean) * factor + wanted).clamp(0.0, 255.0);
        }
    }
}

/// Gives `source` the light and shade of `target`, as healing brushes do: what a picture of a tenth of the side still shows.
fn take_light(source: &mut Raster, target: &Raster) {
    let side = source.side as u32;
    let light = |picture: &Raster| {
        let small = resize(picture.to_rgb(), side, (side / 10).max(2));
        resize(small, (side / 10).max(2), side)
    };
    let (own, wanted) = (light(source), light(target));
    for ((value, own), wanted) in source.values.iter_mut().zip(own).zip(wanted) {
        *value = (*value + f32::from(wanted) - f32::from(own)).clamp(0.0, 255.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const SIDE: usize = 64;

    fn picture(seed: u32) -> Vec<u8> {
        let value = |i: u32| 64 + (i.wrapping_mul(2_654_435_761).wrapping_add(seed << 20) >> 25) as u8;
        (0..(SIDE * SIDE * 3) as u32).map(value).collect()
    }

    fn made(seed: u64) -> Vec<u8> {
        let (mut rng, points) = (ChaCha8Rng::seed_from_u64(seed), Points::MIDDLE);
        composite((&picture(1), &points), (&picture(2), &points), SIDE, &mut rng)
    }

    #[test]
    fn the_face_changes_and_the_rim_does_not() {
        let target = picture(1);
        for seed in 0..40 {
            let made = made(seed);
            let change = |x: usize, y: usize| made[(y * SIDE + x) * 3].abs_diff(target[(y * SIDE + x) * 3]);
            let rim = (0..SIDE).flat_map(|i| [change(i, 0), change(i, SIDE - 1), change(0, i)]).max();
            assert_eq!(rim, Some(0), "seed {seed}");
            let changed = made.iter().zip(&target).filter(|(a, b)| a != b).count();
            assert!(changed > SIDE * SIDE * 3 / 100, "seed {seed}: {changed} bytes");
        }
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }

    /// A face elsewhere, of another size and tilted lands on the target's, part on part.
    #[test]
    fn parts_are_moved_onto_parts() {
        let tilted = |[x, y]: [f32; 2]| {
            [0.35 + 0.5 * (x - 0.5) - 0.2 * (y - 0.5), 0.4 + 0.2 * (x - 0.5) + 0.5 * (y - 0.5)]
        };
        let (to, from) = (Points::MIDDLE, Points(Points::MIDDLE.0.map(tilted)));
        for (seed, part) in (0..).zip([NOSE, MOUTH, LEFT_EYE, FACE]) {
            let [x, y] = from.mean(part.points);
            let spot = Raster::mask(SIDE, |a, b| f32::from(u8::from((a - x).hypot(b - y) < 0.06)));
            let moved = spot.moved(&fit(&from, &to, &[part], CAREFUL, &mut ChaCha8Rng::seed_from_u64(seed)));
            let weight: f32 = moved.values.iter().sum();
            let middle = |axis: usize| {
                let at = |i: usize| [(i % SIDE) as f32 + 0.5, (i / SIDE) as f32 + 0.5][axis] / SIDE as f32;
                moved.values.iter().enumerate().map(|(i, value)| value * at(i)).sum::<f32>() / weight
            };
            let wanted = to.mean(part.points);
            let off = (middle(0) - wanted[0]).hypot(middle(1) - wanted[1]);
            assert!(off < 0.03, "{part:?}: {off}");
        }
    }

    #[test]
    fn a_donor_takes_the_targets_colours_or_light() {
        let mask = Raster::mask(SIDE, |_, _| 1.0);
        let target = Raster::from_rgb(&[200; SIDE * SIDE * 3], SIDE);
        let source = Raster::from_rgb(&[90; SIDE * SIDE * 3], SIDE);
        let (mut coloured, mut lit) = (source.clone(), source);
        take_colours(&mut coloured, &target, &mask, TAKEN);
        take_light(&mut lit, &target);
        assert_eq!(coloured.to_rgb(), target.to_rgb());
        assert_eq!(lit.to_rgb(), target.to_rgb());
    }
}
