//! Scenes -> what each cell of the network's maps should say.
//!
//! A face belongs to the levels that suit its size. There its middle cells are to say "face", each with the distances to
//! the face's edges; of sizes at the border of a level, and of boxes that may be faces, nothing is asked.

use super::portrait::Corners;
use super::scene::Scene;
use candle_core::{Device, Result, Tensor};
use engine::faces::boxes::{MAX_RAW, STRIDES};

/// Longer sides of faces that a level must find, in pixels of the input.
const SIZES: [[f32; 2]; STRIDES.len()] = [[0.0, 48.0], [36.0, 120.0], [90.0, f32::INFINITY]];
/// Sizes beyond those by this factor are neither asked for nor refused.
const MARGIN: f32 = 4.0 / 3.0;
/// Cells within so many strides of the middle of a face say "face".
const RADIUS: f32 = 1.5;

/// What the cells of a batch should say; cells lie level by level, in each as `[H, W, N]`.
pub struct Targets {
    /// `[A]`: 1 for a face.
    pub scores: Tensor,
    /// `[A]`: 0 where nothing is asked.
    pub weights: Tensor,
    /// `[4, A]`: distances to left, top, right and bottom, in strides times two; 1 where there is no face.
    pub distances: Tensor,
    /// Cells that say "face".
    pub count: usize,
}

/// What a cell should say.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    Nothing,
    Unasked,
    /// The face with these distances and this area.
    Face([f32; 4], f32),
}

impl Targets {
    /// For `scenes` of `side` pixels.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn of(scenes: &[Scene], side: usize, device: &Device) -> Result<Self> {
        let n = scenes.len();
        let (mut scores, mut weights, mut distances) = (Vec::new(), Vec::new(), [const { Vec::new() }; 4]);
        let mut count = 0;
        for (level, stride) in STRIDES.into_iter().enumerate() {
            let cells = (side / stride) * (side / stride);
            let maps: Vec<Vec<Cell>> = scenes.iter().map(|scene| map(scene, level, side / stride)).collect();
            for cell in 0..cells {
                for map in &maps {
                    let (score, weight, distance) = match map[cell] {
                        Cell::Nothing => (0f32, 1f32, [1f32; 4]),
                        Cell::Unasked => (0.0, 0.0, [1.0; 4]),
                        Cell::Face(distance, _) => (1.0, 1.0, distance),
                    };
                    count += usize::from(score > 0.0);
                    scores.push(score);
                    weights.push(weight);
                    distances.iter_mut().zip(distance).for_each(|(all, one)| all.push(one));
                }
            }
            debug_assert_eq!(scores.len() % n.max(1), 0);
        }
        let total = scores.len();
        Ok(Targets {
            scores: Tensor::from_vec(scores, total, device)?,
            weights: Tensor::from_vec(weights, total, device)?,
            distances: Tensor::from_vec(distances.concat(), (4, total), device)?,
            count,
        })
    }
}

/// The cells of `level`, `columns` x `columns`, for `scene`.
fn map(scene: &Scene, level: usize, columns: usize) -> Vec<Cell> {
    let stride = STRIDES[level] as f32;
    let mut cells = vec![Cell::Nothing; columns * columns];
    let middle = |index: usize| (index as f32 + 0.5) * stride;
    for corners in &scene.doubtful {
        for (cell, [x, y]) in inside(corners, columns, stride) {
            let [left, top, right, bottom] = *corners;
            if (left..=right).contains(&middle(x)) && (top..=bottom).contains(&middle(y)) {
                cells[cell] = Cell::Unasked;
            }
        }
    }
    for corners in &scene.faces {
        let [left, top, right, bottom] = *corners;
        let longer = (right - left).max(bottom - top);
        let area = (right - left) * (bottom - top);
        let [low, high] = SIZES[level];
        let belongs = (low..high).contains(&longer);
        if !belongs && !(low / MARGIN..high * MARGIN).contains(&longer) {
            continue;
        }
        let centre = [(left + right) / 2.0, (top + bottom) / 2.0];
        let home = centre.map(|at| ((at / stride).floor().max(0.0) as usize).min(columns - 1));
        for (cell, [x, y]) in inside(corners, columns, stride) {
            let at = [middle(x), middle(y)];
            let is_near = (0..2).all(|axis| (at[axis] - centre[axis]).abs() <= RADIUS * stride);
            let distances = [at[0] - left, at[1] - top, right - at[0], bottom - at[1]];
            let least = (-MAX_RAW).exp();
            // The cell that the middle is in always counts, however small the face.
            let is_within = distances.iter().all(|distance| *distance > 2.0 * stride * least);
            if !(is_near && is_within || [x, y] == home) {
                continue;
            }
            let scaled = distances.map(|distance| (distance / (2.0 * stride)).max(least));
            cells[cell] = match (belongs, cells[cell]) {
                // Of two faces the smaller one, which has fewer cells.
                (_, Cell::Face(_, other)) if other <= area => cells[cell],
                (true, _) => Cell::Face(scaled, area),
                (false, Cell::Nothing) => Cell::Unasked,
                (false, other) => other,
            };
        }
    }
    cells
}

/// Indices and places of the cells that a box touches.
fn inside(
    corners: &Corners,
    columns: usize,
    stride: f32,
) -> impl Iterator<Item = (usize, [usize; 2])> + use<> {
    let last = columns as f32 - 1.0;
    let [left, top, right, bottom] = corners.map(|at| (at / stride).floor().clamp(0.0, last) as usize);
    (top..=bottom).flat_map(move |y| (left..=right).map(move |x| (y * columns + x, [x, y])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::faces::boxes::{Levels, VALUES};

    fn scene(faces: &[Corners], doubtful: &[Corners]) -> Scene {
        Scene { rgb: Vec::new(), faces: faces.to_vec(), doubtful: doubtful.to_vec() }
    }

    /// Indices of the face cells of each level of 128 pixels.
    fn faces(scene: &Scene) -> Vec<Vec<usize>> {
        let is_face = |cell: &Cell| matches!(cell, Cell::Face(..));
        let level = |level: usize| {
            let cells = map(scene, level, 128 / STRIDES[level]);
            (0..cells.len()).filter(|&cell| is_face(&cells[cell])).collect()
        };
        (0..3).map(level).collect()
    }

    #[test]
    fn a_face_belongs_to_the_level_of_its_size() {
        // 24 pixels, about the middle of cell (4, 4) of 8 pixels.
        let found = faces(&scene(&[[24.0, 24.0, 48.0, 48.0]], &[]));
        let around: Vec<usize> = (3..6).flat_map(|y| (3..6).map(move |x| y * 16 + x)).collect();
        assert_eq!(found, [around, vec![], vec![]]);
        // 40 pixels: two levels.
        let found = faces(&scene(&[[20.0, 20.0, 60.0, 60.0]], &[]));
        assert!(!found[0].is_empty() && !found[1].is_empty() && found[2].is_empty());
        // One of 9 pixels between four cells has the one that its middle is in.
        let found = faces(&scene(&[[28.0, 28.0, 37.0, 37.0]], &[]));
        assert!(found[0].contains(&(4 * 16 + 4)), "{found:?}");
    }

    #[test]
    fn borders_of_levels_and_doubtful_boxes_are_not_asked() {
        let cells = map(&scene(&[[20.0, 20.0, 75.0, 75.0]], &[]), 0, 16);
        assert!(cells.contains(&Cell::Unasked) && !cells.iter().any(|cell| matches!(cell, Cell::Face(..))));
        let cells = map(&scene(&[], &[[16.0, 16.0, 32.0, 24.0]]), 0, 16);
        let unasked: Vec<usize> = (0..256).filter(|&cell| cells[cell] == Cell::Unasked).collect();
        assert_eq!(unasked, [34, 35]);
        // A face in a doubtful box is asked for all the same.
        let both = scene(&[[24.0, 24.0, 48.0, 48.0]], &[[0.0, 0.0, 100.0, 100.0]]);
        assert!(matches!(map(&both, 0, 16)[4 * 16 + 4], Cell::Face(..)));
    }

    #[test]
    fn of_two_faces_the_smaller_one_has_the_cell() {
        let small = [26.0, 26.0, 46.0, 46.0];
        for order in [[small, [16.0, 16.0, 56.0, 56.0]], [[16.0, 16.0, 56.0, 56.0], small]] {
            let Cell::Face(_, area) = map(&scene(&order, &[]), 0, 16)[4 * 16 + 4] else { panic!("no face") };
            assert_eq!(area, 400.0);
        }
    }

    /// What the cells should say, said to the engine, gives the boxes back.
    #[test]
    fn targets_are_what_the_engine_reads() -> Result<()> {
        let boxes = [[24.0, 20.0, 50.0, 52.0], [60.0, 10.0, 125.0, 120.0], [3.0, 70.0, 15.0, 84.0]];
        let scenes = [scene(&boxes, &[]), scene(&[], &[])];
        let targets = Targets::of(&scenes, 128, &Device::Cpu)?;
        let scores: Vec<f32> = targets.scores.to_vec1()?;
        let distances: Vec<Vec<f32>> = targets.distances.to_vec2()?;
        let mut first = 0;
        let mut outputs = Vec::new();
        for stride in STRIDES {
            let side = 128 / stride;
            // The first of two scenes.
            let pick = |values: &[f32]| -> Vec<f32> {
                (0..side * side).map(|cell| values[first + 2 * cell]).collect()
            };
            let mut values: Vec<f32> = pick(&scores).into_iter().map(|score| score * 20.0 - 10.0).collect();
            distances.iter().for_each(|all| values.extend(pick(all).into_iter().map(f32::ln)));
            outputs.push(engine::Tensor::from_vec(vec![1, VALUES, side, side], values));
            first += 2 * side * side;
        }
        assert_eq!(first, scores.len());
        let found = engine::faces::boxes::distinct(Levels::new(&outputs).unwrap().candidates(0.5), 0.5);
        assert_eq!(found.len(), boxes.len());
        for wanted in boxes {
            let near = |found: &&engine::faces::boxes::Found| {
                found.corners.iter().zip(wanted).all(|(corner, want)| (corner - want).abs() < 0.01)
            };
            assert_eq!(found.iter().filter(near).count(), 1, "{wanted:?}: {found:?}");
        }
        Ok(())
    }
}
