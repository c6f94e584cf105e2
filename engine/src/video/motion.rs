//! Motion between two frames: where the blocks of one are found in the other.
//!
//! Of each block of 8 pixels that has texture, the shift within ±7 pixels with the least sum of absolute differences; the
//! shorter one where two are as good, and none where it gains less than a grey level a pixel. The original meant to do this
//! with optical flow and could not.

use crate::grey::Grey;
use crate::order::ascending;
use serde::{Deserialize, Serialize};

const BLOCK: usize = 8;
const RADIUS: isize = 7;
/// A block whose values differ by less tells no shift from another.
const LEAST_RANGE: u8 = 16;

/// Motion from one frame to the next.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Motion {
    /// Mean length of the shifts over the longer side of the frame.
    pub mean: f64,
    /// How far the blocks that move go one way: 1 all the same, 0 none; 0 if none moves.
    pub coherence: f64,
    /// Circular deviation of the directions of the blocks that move, in radians.
    pub direction_std: f64,
}

/// Motion over a whole video.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MotionProfile {
    /// Mean of [`Motion::mean`].
    pub mean: f64,
    /// 1 / (1 + variance of [`Motion::mean`], in percent of the side).
    pub consistency: f64,
    /// Slope of [`Motion::mean`] over time, a second.
    pub trend: f64,
}

impl Motion {
    /// From `previous` to `current`; nothing if their sizes differ or no block has texture.
    pub fn between(previous: &Grey, current: &Grey) -> Option<Self> {
        let shifts = shifts(previous, current)?;
        let length = |shift: &[isize; 2]| ((shift[0] * shift[0] + shift[1] * shift[1]) as f64).sqrt();
        let longer = previous.width().max(previous.height()) as f64;
        let mean = shifts.iter().map(length).sum::<f64>() / shifts.len() as f64 / longer;
        let moving: Vec<_> = shifts.iter().filter(|shift| **shift != [0, 0]).collect();
        if moving.is_empty() {
            return Some(Motion { mean, coherence: 0.0, direction_std: 0.0 });
        }
        let sum = |axis: usize| moving.iter().map(|shift| shift[axis] as f64 / length(shift)).sum::<f64>();
        let (x, y) = (sum(0), sum(1));
        let coherence = ((x * x + y * y).sqrt() / moving.len() as f64).min(1.0);
        // No angle is needed, and none jumps from π to -π.
        let direction_std = (-2.0 * libm::log(coherence.max(1e-12))).max(0.0).sqrt();
        Some(Motion { mean, coherence, direction_std })
    }
}

impl MotionProfile {
    /// Of means at times in seconds; nothing if there are none.
    pub fn of(samples: &[(f64, f64)]) -> Option<Self> {
        if samples.is_empty() {
            return None;
        }
        let count = samples.len() as f64;
        let mean_of = |of: &dyn Fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
        let (time, mean) = (mean_of(&|sample| sample.0), mean_of(&|sample| sample.1));
        let variance = mean_of(&|sample| (sample.1 - mean) * (sample.1 - mean)) * 1e4;
        let spread = mean_of(&|sample| (sample.0 - time) * (sample.0 - time));
        let shared = mean_of(&|sample| (sample.0 - time) * (sample.1 - mean));
        let trend = if spread > 0.0 { shared / spread } else { 0.0 };
        Some(MotionProfile { mean, consistency: 1.0 / (1.0 + variance), trend })
    }
}

/// How each block of `previous` with texture moves, in pixels to the right and down.
fn shifts(previous: &Grey, current: &Grey) -> Option<Vec<[isize; 2]>> {
    let (width, height) = (previous.width(), previous.height());
    if (width, height) != (current.width(), current.height()) {
        return None;
    }
    let corners = (0..height / BLOCK).flat_map(|y| (0..width / BLOCK).map(move |x| (x * BLOCK, y * BLOCK)));
    let candidates = candidates();
    let shifts: Vec<_> =
        corners.filter_map(|corner| shift_of(previous, current, corner, &candidates)).collect();
    (!shifts.is_empty()).then_some(shifts)
}

/// All shifts, shorter ones first.
fn candidates() -> Vec<[isize; 2]> {
    let square = (-RADIUS..=RADIUS).flat_map(|dy| (-RADIUS..=RADIUS).map(move |dx| [dx, dy]));
    let square: Vec<_> = square.collect();
    let order = ascending(square.iter().map(|[dx, dy]| (dx * dx + dy * dy) as u64));
    order.into_iter().map(|at| square[at]).collect()
}

fn shift_of(
    previous: &Grey,
    current: &Grey,
    (x, y): (usize, usize),
    candidates: &[[isize; 2]],
) -> Option<[isize; 2]> {
    let row = |grey: &'_ Grey, x: usize, y: usize| -> [u8; BLOCK] {
        let start = y * grey.width() + x;
        std::array::from_fn(|i| grey.values()[start + i])
    };
    let block: [[u8; BLOCK]; BLOCK] = std::array::from_fn(|dy| row(previous, x, y + dy));
    let values = block.as_flattened();
    let range = values.iter().max()? - values.iter().min()?;
    if range < LEAST_RANGE {
        return None;
    }
    let inside = |at: usize, shift: isize, length: usize| {
        let at = at as isize + shift;
        (0..=length as isize - BLOCK as isize).contains(&at).then_some(at as usize)
    };
    // Of the whole block, or more than `limit` as soon as it is clear that it is more.
    let difference = |[dx, dy]: [isize; 2], limit: u32| -> Option<u32> {
        let (x, y) = (inside(x, dx, current.width())?, inside(y, dy, current.height())?);
        let mut sum = 0;
        for (dy, own) in block.iter().enumerate() {
            let other = row(current, x, y + dy);
            sum += own.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(b))).sum::<u32>();
            if sum >= limit {
                break;
            }
        }
        Some(sum)
    };
    let still = difference([0, 0], u32::MAX)?;
    let gain = (BLOCK * BLOCK) as u32;
    // A shift must be that much better than none.
    let (mut best, mut least) = ([0, 0], still.saturating_sub(gain));
    for shift in &candidates[1..] {
        if let Some(sum) = difference(*shift, least).filter(|sum| *sum < least) {
            (best, least) = (*shift, sum);
        }
    }
    Some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texture from a formula, moved by a shift.
    fn moved(dx: isize, dy: isize) -> Grey {
        let value = |x: isize, y: isize| {
            let mixed = (x as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
                ^ (y as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
            (mixed.wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 56) as u8
        };
        let pixels = (0..72_isize).flat_map(|y| (0..96_isize).map(move |x| value(x - dx, y - dy)));
        Grey::from_values(96, 72, pixels.collect())
    }

    #[test]
    fn a_shift_is_found_with_its_length_and_direction() {
        for [dx, dy] in [[0, 0], [3, 0], [0, -5], [-7, 7], [4, 3]] {
            let (before, after) = (moved(0, 0), moved(dx, dy));
            let inner: Vec<_> = (1..8).flat_map(|y| (1..11).map(move |x| (x * BLOCK, y * BLOCK))).collect();
            for corner in inner {
                assert_eq!(shift_of(&before, &after, corner, &candidates()), Some([dx, dy]), "{corner:?}");
            }
            let motion = Motion::between(&before, &after).unwrap();
            let length = ((dx * dx + dy * dy) as f64).sqrt() / 96.0;
            // Blocks at the edge lose sight of what they show.
            assert!((motion.mean - length).abs() < 0.35 * length + 1e-12, "{motion:?}");
            assert!(motion.coherence > 0.6 || dx == 0 && dy == 0, "{motion:?}");
        }
    }

    #[test]
    fn one_half_that_goes_the_other_way_is_not_coherent() {
        let (left, right, before) = (moved(-4, 0), moved(4, 0), moved(0, 0));
        let halves = (0..72).flat_map(|y| {
            let row = |of: &Grey, from: usize| of.values()[y * 96 + from..y * 96 + from + 48].to_vec();
            [row(&left, 0), row(&right, 48)].concat()
        });
        let motion = Motion::between(&before, &Grey::from_values(96, 72, halves.collect())).unwrap();
        assert!(motion.coherence < 0.3 && motion.direction_std > 1.2, "{motion:?}");
        assert!(motion.mean > 0.03, "{motion:?}");
    }

    #[test]
    fn what_is_flat_or_of_another_size_has_no_motion() {
        let flat = Grey::from_values(96, 72, vec![100; 96 * 72]);
        assert_eq!(Motion::between(&flat, &flat), None);
        let small = Grey::from_values(8, 8, (0..64).map(|i| i * 4).collect());
        assert_eq!(Motion::between(&small, &flat), None);
        let tiny = Grey::from_values(3, 2, vec![0, 255, 0, 255, 0, 255]);
        assert_eq!(Motion::between(&tiny, &tiny), None);
        assert_eq!(Motion::between(&small, &small).unwrap().mean, 0.0);
    }

    #[test]
    fn a_profile_has_mean_trend_and_consistency() {
        let profile = MotionProfile::of(&[(0.0, 0.01), (1.0, 0.02), (2.0, 0.03)]).unwrap();
        assert!((profile.mean - 0.02).abs() < 1e-12 && (profile.trend - 0.01).abs() < 1e-12);
        // Variance of 1, 2, 3 percent: 2/3.
        assert!((profile.consistency - 0.6).abs() < 1e-9, "{profile:?}");
        assert_eq!(MotionProfile::of(&[]), None);
        assert_eq!(MotionProfile::of(&[(1.0, 0.5)]).unwrap().trend, 0.0);
    }
}
