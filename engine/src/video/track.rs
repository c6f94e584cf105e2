//! Faces of one frame after another -> people.
//!
//! A face belongs to the person whose last box overlaps it most (intersection over union), else to one whose box was near
//! and of about its size, as a face that moves fast or is sampled seldom is. A person who is gone for a second, or a new scene, ends
//! a track; whoever comes later is somebody new.

use crate::crop::FaceBox;
use crate::order::{descending, of_number};

/// Most faces of a frame that are followed; the largest ones.
pub const MAX_FACES: usize = 20;
/// Most people of a video.
pub const MAX_TRACKS: usize = 500;
/// Least overlap of two boxes of one face.
const MIN_OVERLAP: f64 = 0.3;
/// Farthest that a face without overlap has moved, in mean sides of both boxes.
const MAX_DISTANCE: f64 = 0.8;
/// Largest ratio of the sides of two boxes of one face.
const MAX_SCALE: f64 = 1.6;
/// Longest time without a face of a person, in seconds.
const MAX_GAP_S: f64 = 1.0;

/// Number of a person, from 1 in the order in which they appear.
pub type TrackId = u32;

/// Follows faces.
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    /// Whoever may come again.
    alive: Vec<Alive>,
    count: u32,
}

#[derive(Debug, Clone)]
struct Alive {
    id: TrackId,
    region: FaceBox,
    last_s: f64,
}

impl Tracker {
    /// The person of each of `faces` at `time_s`; none for a face beyond [`MAX_TRACKS`] people.
    pub fn step(&mut self, time_s: f64, faces: &[FaceBox]) -> Vec<Option<TrackId>> {
        self.alive.retain(|track| time_s - track.last_s <= MAX_GAP_S);
        let mut pairs = Vec::new();
        for (of_track, track) in self.alive.iter().enumerate() {
            for (of_face, face) in faces.iter().enumerate() {
                pairs.extend(affinity(&track.region, face).map(|affinity| (affinity, of_track, of_face)));
            }
        }
        // Of equal ones the earlier person, then the earlier face.
        let order = descending(pairs.iter().map(|(affinity, ..)| of_number(*affinity)));
        let mut ids = vec![None; faces.len()];
        let mut is_taken = vec![false; self.alive.len()];
        for (_, of_track, of_face) in order.into_iter().map(|at| pairs[at]) {
            if !is_taken[of_track] && ids[of_face].is_none() {
                is_taken[of_track] = true;
                let track = &mut self.alive[of_track];
                (track.region, track.last_s) = (faces[of_face], time_s);
                ids[of_face] = Some(track.id);
            }
        }
        for (id, region) in ids.iter_mut().zip(faces) {
            if id.is_none() && (self.count as usize) < MAX_TRACKS {
                self.count += 1;
                self.alive.push(Alive { id: self.count, region: *region, last_s: time_s });
                *id = Some(self.count);
            }
        }
        ids
    }

    /// Ends all tracks: a new scene begins.
    pub fn cut(&mut self) {
        self.alive.clear();
    }
}

/// How likely two boxes hold one face: above 1 where they overlap, else below; nothing if they do not go together.
fn affinity(a: &FaceBox, b: &FaceBox) -> Option<f64> {
    let overlap = overlap(a, b);
    if overlap >= MIN_OVERLAP {
        return Some(1.0 + overlap);
    }
    let side = |face: &FaceBox| f64::from(face.width.max(face.height));
    let centre = |face: &FaceBox| {
        [f64::from(face.x) + f64::from(face.width) / 2.0, f64::from(face.y) + f64::from(face.height) / 2.0]
    };
    let (small, large) = (side(a).min(side(b)), side(a).max(side(b)));
    let [dx, dy] = [0, 1].map(|axis| centre(a)[axis] - centre(b)[axis]);
    let distance = (dx * dx + dy * dy).sqrt() / ((small + large) / 2.0).max(1.0);
    (large <= small * MAX_SCALE && distance <= MAX_DISTANCE).then_some(1.0 - distance)
}

/// Shared area over the area that both cover.
pub fn overlap(a: &FaceBox, b: &FaceBox) -> f64 {
    let shared = |a_start: i32, a_length: u32, b_start: i32, b_length: u32| {
        let (a, b) = (i64::from(a_start), i64::from(b_start));
        (a + i64::from(a_length)).min(b + i64::from(b_length)).saturating_sub(a.max(b)).max(0) as f64
    };
    let shared = shared(a.x, a.width, b.x, b.width) * shared(a.y, a.height, b.y, b.height);
    let covered = a.area() as f64 + b.area() as f64 - shared;
    if covered > 0.0 { shared / covered } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: i32, y: i32, side: u32) -> FaceBox {
        FaceBox { x, y, width: side, height: side }
    }

    #[test]
    fn overlap_is_a_share_of_what_both_cover() {
        assert_eq!(overlap(&face(0, 0, 10), &face(0, 0, 10)), 1.0);
        assert_eq!(overlap(&face(0, 0, 10), &face(5, 0, 10)), 50.0 / 150.0);
        assert_eq!(overlap(&face(0, 0, 10), &face(10, 0, 10)), 0.0);
        assert_eq!(overlap(&face(0, 0, 0), &face(0, 0, 0)), 0.0);
    }

    #[test]
    fn two_people_who_pass_each_other_stay_two() {
        let mut tracker = Tracker::default();
        for step in 0..20 {
            let (left, right) = (face(20 + step * 10, 30, 60), face(300 - step * 10, 150, 60));
            // A detector gives them in any order.
            let faces = if step % 2 == 0 { [left, right] } else { [right, left] };
            let ids = tracker.step(f64::from(step) / 5.0, &faces);
            let want = if step % 2 == 0 { [Some(1), Some(2)] } else { [Some(2), Some(1)] };
            assert_eq!(ids, want, "step {step}");
        }
    }

    #[test]
    fn a_short_gap_is_survived_and_a_long_one_is_not() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.step(0.0, &[face(0, 0, 50)]), [Some(1)]);
        assert!(tracker.step(0.4, &[]).is_empty());
        assert_eq!(tracker.step(0.9, &[face(10, 5, 52)]), [Some(1)]);
        assert_eq!(tracker.step(2.0, &[face(10, 5, 52)]), [Some(2)]);
    }

    #[test]
    fn a_cut_ends_everybody() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.step(0.0, &[face(0, 0, 50)]), [Some(1)]);
        tracker.cut();
        assert_eq!(tracker.step(0.1, &[face(0, 0, 50)]), [Some(2)]);
    }

    #[test]
    fn a_fast_face_is_followed_and_one_of_another_size_is_somebody_else() {
        let mut tracker = Tracker::default();
        tracker.step(0.0, &[face(0, 0, 50)]);
        // No overlap worth the name, but near.
        assert_eq!(tracker.step(0.2, &[face(35, 5, 50)]), [Some(1)]);
        assert_eq!(tracker.step(0.4, &[face(35, 5, 200)]), [Some(2)]);
        assert_eq!(tracker.step(0.6, &[face(300, 5, 50)]), [Some(3)]);
    }

    #[test]
    fn hostile_boxes_and_crowds_end_in_bounds() {
        let mut tracker = Tracker::default();
        let extremes = [i32::MIN, 0, i32::MAX];
        let sides = [0, 1, u32::MAX];
        let boxes: Vec<_> = extremes
            .into_iter()
            .flat_map(|x| sides.map(|width| FaceBox { x, y: x, width, height: width }))
            .collect();
        for step in 0..100 {
            assert_eq!(tracker.step(f64::from(step) * 10.0, &boxes).len(), boxes.len());
        }
        assert!(tracker.count as usize <= MAX_TRACKS);
        assert!(tracker.step(1e9, &boxes).iter().any(Option::is_none));
    }
}
