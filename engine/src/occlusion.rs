//! What moved the score: the first stage's answer while one part of the region after another is covered.
//!
//! Occlusion as in arXiv 1311.2901, section 4.2: each cell of a grid, with half a cell around it, takes the region's mean
//! colour, and the filter looks again. Where its log-odds fall, that part spoke for a fake; where they rise, for a real
//! face. It says where the network looked, not that anything there is forged.

use crate::cascade::FILTER;
use crate::crop::Crop;
use crate::detector::Detector;
use crate::error::Error;
use crate::frame::Frame;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Cells along each side.
pub const CELLS: usize = 8;

/// What each part of a region says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeatMap {
    /// Name of the stage that looked.
    pub stage: String,
    /// The region.
    pub crop: Crop,
    /// Cells along each side.
    pub cells: usize,
    /// Log-odds of fake, after temperature, with nothing covered.
    pub log_odds: f64,
    /// Row by row: log-odds with nothing covered less those with this cell covered. Above 0 it spoke for a fake, below for
    /// a real face.
    pub shifts: Vec<f64>,
}

impl HeatMap {
    /// The largest distance from 0, which sets the scale.
    pub fn largest(&self) -> f64 {
        self.shifts.iter().fold(0.0, |largest, shift| shift.abs().max(largest))
    }

    /// Column and row of the cell that moved the score most.
    pub fn strongest(&self) -> [usize; 2] {
        let mut best = 0;
        for (at, shift) in self.shifts.iter().enumerate() {
            if shift.abs() > self.shifts[best].abs() {
                best = at;
            }
        }
        [best % self.cells, best / self.cells]
    }
}

impl Detector {
    /// Asks the filter about `crop` of `frame` once whole and once for each cell.
    ///
    /// # Errors
    /// [`Error::NotApplicable`] if the region cannot show a face, [`Error::Numeric`] if an answer is no number.
    pub fn heat_map(&mut self, frame: &Frame, crop: Crop) -> Result<HeatMap, Error> {
        crate::applicability::check(frame, &crop)?;
        let cascade = self.cascade();
        let stage = &cascade.manifest().stages[FILTER];
        let whole = cascade.input(stage, frame, &crop);
        let mut log_odds =
            |input: &Tensor| -> Result<f64, Error> { Ok(f64::from(self.logit(input)?) / stage.temperature) };
        let before = log_odds(&whole)?;
        let shifts: Result<Vec<f64>, Error> = (0..CELLS * CELLS)
            .map(|cell| Ok(before - log_odds(&covered(&whole, [cell % CELLS, cell / CELLS]))?))
            .collect();
        Ok(HeatMap { stage: stage.name.clone(), crop, cells: CELLS, log_odds: before, shifts: shifts? })
    }
}

/// `input` `[1, 3, S, S]` with the cell in this column and row under the mean of each channel.
fn covered(input: &Tensor, [column, row]: [usize; 2]) -> Tensor {
    let side = input.shape()[3];
    // Half a cell more on each side, so that an edge between two cells is covered once as a whole.
    let span = |at: usize| {
        let start = (2 * at * side).saturating_sub(side) / (2 * CELLS);
        start..((2 * at + 3) * side / (2 * CELLS)).min(side)
    };
    let mut values = input.values().to_vec();
    for channel in values.chunks_mut(side * side) {
        let mean = channel.iter().map(|value| f64::from(*value)).sum::<f64>() / channel.len() as f64;
        for y in span(row) {
            channel[y * side..][span(column)].fill(mean as f32);
        }
    }
    Tensor::from_vec(input.shape().to_vec(), values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_covered_with_half_a_cell_around_it() {
        let side = 32;
        let values: Vec<f32> = (0..3 * side * side).map(|at| (at % 7) as f32 + 10.0).collect();
        let input = Tensor::from_vec(vec![1, 3, side, side], values);
        for (cell, columns, rows) in
            [([0, 0], 0..6, 0..6), ([3, 5], 10..18, 18..26), ([7, 7], 26..32, 26..32)]
        {
            let output = covered(&input, cell);
            for (at, (before, after)) in input.values().iter().zip(output.values()).enumerate() {
                let (x, y) = (at % side, at / side % side);
                if !(columns.contains(&x) && rows.contains(&y)) {
                    assert_eq!(before, after, "{cell:?}, {x}, {y}");
                } else {
                    assert!((12.0..14.0).contains(after), "{cell:?}, {x}, {y}: {after}");
                }
            }
        }
    }

    #[test]
    fn the_strongest_cell_is_the_one_farthest_from_nothing() {
        let mut shifts = vec![0.1; CELLS * CELLS];
        shifts[19] = -2.0;
        let crop = Crop::centre_square(&Frame::from_rgb(8, 8, vec![0; 192]));
        let map = HeatMap { stage: "a".into(), crop, cells: CELLS, log_odds: 0.0, shifts };
        assert_eq!((map.strongest(), map.largest()), ([3, 2], 2.0));
    }
}
