//! Maps of the face network -> boxes on its input, one a face.
//!
//! At each of three strides every cell says the logit of being the middle of a face of that stride's sizes, and how far
//! the edges of the face are from the cell's middle: `2 stride exp(raw)` pixels to the left, top, right and bottom. The
//! form is that of FCOS (Tian et al., arXiv 1904.01355) without its centre-ness.

use crate::order::{descending, of_number};
use crate::tensor::Tensor;

/// Pixels of the input a cell, level by level.
pub const STRIDES: [usize; 3] = [8, 16, 32];
/// Values a cell: the logit, then the raw distances to left, top, right and bottom.
pub const VALUES: usize = 5;
/// Raw distances are cut off at this magnitude: 109 strides are more than any input has.
pub const MAX_RAW: f32 = 4.0;
/// Surer boxes than this many are not looked at.
const MAX_CANDIDATES: usize = 1000;

/// A box on the network's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Left, top, right, bottom, in pixels.
    pub corners: [f32; 4],
    /// How sure the network is, 0 to 1.
    pub score: f32,
}

/// What the network gave for one picture.
pub struct Levels<'a> {
    outputs: &'a [Tensor],
}

impl<'a> Levels<'a> {
    /// Over `outputs`, one `[1, 5, H, W]` a stride of [`STRIDES`]; nothing if there is another number of them, another
    /// shape, or a value that is no finite number.
    pub fn new(outputs: &'a [Tensor]) -> Option<Self> {
        let is_level = |output: &Tensor| {
            matches!(output.shape(), [1, VALUES, _, _]) && output.values().iter().all(|v| v.is_finite())
        };
        (outputs.len() == STRIDES.len() && outputs.iter().all(is_level)).then_some(Levels { outputs })
    }

    /// The boxes with a score of at least `threshold`, in the order of the cells.
    pub fn candidates(&self, threshold: f32) -> Vec<Found> {
        let mut found = Vec::new();
        for (output, stride) in self.outputs.iter().zip(STRIDES) {
            let [_, _, height, width] = *output.shape() else { continue };
            let cells = height * width;
            let (stride, values) = (stride as f32, output.values());
            for cell in 0..cells {
                let score = sigmoid(values[cell]);
                if score < threshold {
                    continue;
                }
                let middle = |index: usize| (index as f32 + 0.5) * stride;
                let [x, y] = [middle(cell % width), middle(cell / width)];
                let distance = |side: usize| distance(values[(side + 1) * cells + cell], stride);
                let corners = [x - distance(0), y - distance(1), x + distance(2), y + distance(3)];
                found.push(Found { corners, score });
            }
        }
        found
    }
}

/// `1 / (1 + exp(-logit))`
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-logit))
}

/// Pixels that the raw value `raw` of a level stands for.
fn distance(raw: f32, stride: f32) -> f32 {
    2.0 * stride * libm::expf(raw.clamp(-MAX_RAW, MAX_RAW))
}

/// A box of which a larger share lies in a surer one is of the same face: an eye, or the head around it.
const MAX_NESTED: f32 = 0.55;

/// Of boxes that overlap by more than `max_overlap` of what they cover together, or lie in each other, the surest one; surest
/// first, and of equally sure ones the first.
pub fn distinct(found: Vec<Found>, max_overlap: f32) -> Vec<Found> {
    let order = descending(found.iter().map(|one| of_number(one.score.into())));
    let mut kept: Vec<Found> = Vec::new();
    for one in order.into_iter().take(MAX_CANDIDATES).map(|at| found[at]) {
        let is_same = |other: &Found| {
            let [shared, smaller, together] = areas(&one.corners, &other.corners);
            shared > max_overlap * together || shared > MAX_NESTED * smaller
        };
        if !kept.iter().any(is_same) {
            kept.push(one);
        }
    }
    kept
}

/// Shared area of two boxes (left, top, right, bottom) over the area that both cover; 0 if they cover none.
pub fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let [shared, _, together] = areas(a, b);
    if together > 0.0 { shared / together } else { 0.0 }
}

/// Area that two boxes share, that of the smaller one, and that which both cover.
fn areas(a: &[f32; 4], b: &[f32; 4]) -> [f32; 3] {
    let area = |[left, top, right, bottom]: [f32; 4]| (right - left).max(0.0) * (bottom - top).max(0.0);
    let shared = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let [a, b] = [area(*a), area(*b)];
    [shared, a.min(b), a + b - shared]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Maps of an input of 64 pixels on which every cell says no.
    fn silent() -> Vec<Vec<f32>> {
        STRIDES.map(|stride| vec![-9.0; (64 / stride) * (64 / stride) * VALUES]).to_vec()
    }

    fn tensors(values: Vec<Vec<f32>>) -> Vec<Tensor> {
        let tensor = |(values, stride): (Vec<f32>, usize)| {
            Tensor::from_vec(vec![1, VALUES, 64 / stride, 64 / stride], values)
        };
        values.into_iter().zip(STRIDES).map(tensor).collect()
    }

    #[test]
    fn a_cell_says_where_its_face_is() {
        let mut values = silent();
        // Stride 16, second row, third column of four: the middle is at (40, 24).
        let cell = 4 + 2;
        values[1][cell] = 0.0;
        let half = 0.5f32.ln();
        for (side, raw) in [0.0, half, 0.0, half].into_iter().enumerate() {
            values[1][(side + 1) * 16 + cell] = raw;
        }
        let outputs = tensors(values);
        let found = Levels::new(&outputs).unwrap().candidates(0.4);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].score, 0.5);
        for (corner, want) in found[0].corners.into_iter().zip([8.0, 8.0, 72.0, 40.0]) {
            assert!((corner - want).abs() < 1e-4, "{found:?}");
        }
        assert!(Levels::new(&outputs).unwrap().candidates(0.51).is_empty());
    }

    #[test]
    fn endless_distances_are_cut_off_and_no_number_is_refused() {
        let mut values = silent();
        values[2][0] = 9.0;
        values[2][4] = 1e30;
        let corners = Levels::new(&tensors(values.clone())).unwrap().candidates(0.5)[0].corners;
        assert!(corners.iter().all(|corner| corner.abs() < 5000.0), "{corners:?}");
        for wrong in [f32::NAN, f32::INFINITY] {
            let mut values = values.clone();
            values[0][7] = wrong;
            assert!(Levels::new(&tensors(values)).is_none());
        }
        assert!(Levels::new(&tensors(values)[..2]).is_none());
    }

    #[test]
    fn of_boxes_on_one_face_the_surest_stays() {
        let found = |left: f32, score| Found { corners: [left, 0.0, left + 10.0, 10.0], score };
        // Shares of 10: 1 apart 9 / 11, 5 apart 5 / 15, 20 apart none.
        let all = vec![found(0.0, 0.6), found(1.0, 0.9), found(6.0, 0.8), found(21.0, 0.6), found(20.5, 0.6)];
        assert_eq!(distinct(all.clone(), 0.4), [found(1.0, 0.9), found(6.0, 0.8), found(21.0, 0.6)]);
        assert_eq!(distinct(all, 0.3).len(), 2);
        // A tenth of the area, but all of it inside.
        let part = Found { corners: [4.0, 4.0, 7.0, 7.0], score: 0.5 };
        assert_eq!(distinct(vec![found(0.0, 0.9), part], 0.4), [found(0.0, 0.9)]);
        let beside = Found { corners: [9.0, 0.0, 12.0, 3.0], score: 0.5 };
        assert_eq!(distinct(vec![found(0.0, 0.9), beside], 0.4).len(), 2);
    }

    #[test]
    fn overlap_is_the_shared_share() {
        let square = [0.0, 0.0, 10.0, 10.0];
        assert_eq!(overlap(&square, &square), 1.0);
        assert_eq!(overlap(&square, &[5.0, 0.0, 15.0, 10.0]), 50.0 / 150.0);
        assert_eq!(overlap(&square, &[10.0, 0.0, 20.0, 10.0]), 0.0);
        assert_eq!(overlap(&[3.0; 4], &[3.0; 4]), 0.0, "no area");
    }
}
