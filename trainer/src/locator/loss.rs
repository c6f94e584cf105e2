//! What training a face locator minimises: focal loss of the scores, generalised overlap of the boxes.
//!
//! With `p = sigmoid(z)`, label `t` in {0, 1}, `q = p` for faces and `1 - p` elsewhere, `a = 0.25` for faces and 0.75
//! elsewhere: `focal = -a (1 - q)^2 ln q` (Lin et al., arXiv 1708.02002). With boxes `A` and `B` in the smallest box `C`
//! around both: `1 - |A n B| / |A u B| + (|C| - |A u B|) / |C|` (Rezatofighi et al., arXiv 1902.09630). Both are sums over
//! the cells divided by the number of cells that show a face.

use super::targets::Targets;
use crate::loss::binary_cross_entropy_with_logits;
use candle_core::{Result, Tensor};
use engine::faces::boxes::MAX_RAW;

/// Weight of cells with a face; the others have 1 less this.
const ALPHA: f64 = 0.25;

/// The terms of the loss, scalars.
pub struct LocatorLoss {
    /// Focal loss of the scores.
    pub scores: Tensor,
    /// Loss of the boxes.
    pub boxes: Tensor,
}

impl LocatorLoss {
    /// Of the network's `maps`, one `[5, H, W, N]` a level, against `targets` of the same batch.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn of(maps: &[Tensor], targets: &Targets) -> Result<Self> {
        let flat = maps.iter().map(|map| map.flatten_from(1)).collect::<Result<Vec<_>>>()?;
        let all = Tensor::cat(&flat, 1)?; // [5, A]
        let logits = all.narrow(0, 0, 1)?.squeeze(0)?;
        let distances = all.narrow(0, 1, 4)?.clamp(-MAX_RAW, MAX_RAW)?.exp()?;
        let count = targets.count.max(1) as f64;
        let focal = (focal_loss(&logits, &targets.scores)? * &targets.weights)?;
        let overlap = (overlap_loss(&distances, &targets.distances)? * &targets.scores)?;
        Ok(LocatorLoss { scores: (focal.sum_all()? / count)?, boxes: (overlap.sum_all()? / count)? })
    }
}

/// `[A]` of `logits` `[A]` against `labels` `[A]` of 0 and 1.
///
/// # Errors
/// If the shapes differ.
pub fn focal_loss(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let p = candle_nn::ops::sigmoid(logits)?;
    // 1 - q = t + p - 2 t p
    let missed = ((labels + &p)? - ((labels * &p)? * 2.0)?)?;
    let alpha = ((labels * (2.0 * ALPHA - 1.0))? + (1.0 - ALPHA))?;
    binary_cross_entropy_with_logits(logits, labels)? * missed.sqr()? * alpha
}

/// `[A]` of positive `distances` `[4, A]` to left, top, right and bottom of one point against those of `wanted`.
///
/// # Errors
/// If the shapes differ.
pub fn overlap_loss(distances: &Tensor, wanted: &Tensor) -> Result<Tensor> {
    let sides = |of: &Tensor| -> Result<[Tensor; 2]> {
        // right + left, bottom + top
        let sum = (of.narrow(0, 0, 2)? + of.narrow(0, 2, 2)?)?;
        Ok([sum.get(0)?, sum.get(1)?])
    };
    let area = |of: &Tensor| -> Result<Tensor> {
        let [width, height] = sides(of)?;
        width * height
    };
    let shared = area(&distances.minimum(wanted)?)?;
    let around = area(&distances.maximum(wanted)?)?;
    let covered = ((area(distances)? + area(wanted)?)? - &shared)?;
    let overlap = (shared / &covered)?;
    // (|C| - |A u B|) / |C| = 1 - |A u B| / |C|
    2.0 - (overlap + (covered / around)?)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use serde::Deserialize;

    /// Written by tools/golden_locator.py, which computes values and gradients in numpy.
    const GOLDEN: &str = include_str!("../../tests/golden/locator.json");

    #[derive(Deserialize)]
    struct Golden {
        focal: Focal,
        overlap: Overlap,
    }

    #[derive(Deserialize)]
    struct Focal {
        logits: Vec<f32>,
        labels: Vec<f32>,
        values: Vec<f32>,
        gradients: Vec<f32>,
    }

    #[derive(Deserialize)]
    struct Overlap {
        distances: Vec<Vec<f32>>,
        wanted: Vec<Vec<f32>>,
        values: Vec<f32>,
        gradients: Vec<Vec<f32>>,
    }

    fn close(found: &[f32], wanted: &[f32]) {
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() <= 1e-5 * wanted.abs().max(1.0), "{found}, numpy {wanted}");
        }
    }

    #[test]
    fn focal_loss_equals_numpys_with_its_gradient() -> Result<()> {
        let Focal { logits, labels, values, gradients } =
            serde_json::from_str::<Golden>(GOLDEN).unwrap().focal;
        let device = &Device::Cpu;
        let logits = Var::from_tensor(&Tensor::new(&logits[..], device)?)?;
        let loss = focal_loss(&logits, &Tensor::new(&labels[..], device)?)?;
        close(&loss.to_vec1()?, &values);
        let grads = loss.sum_all()?.backward()?;
        close(&grads.get(&logits).unwrap().to_vec1()?, &gradients);
        Ok(())
    }

    #[test]
    fn overlap_loss_equals_numpys_with_its_gradient() -> Result<()> {
        let golden = serde_json::from_str::<Golden>(GOLDEN).unwrap().overlap;
        let device = &Device::Cpu;
        let tensor = |rows: &[Vec<f32>]| Tensor::from_vec(rows.concat(), (4, rows[0].len()), device);
        let distances = Var::from_tensor(&tensor(&golden.distances)?)?;
        let loss = overlap_loss(&distances, &tensor(&golden.wanted)?)?;
        close(&loss.to_vec1()?, &golden.values);
        let grads = loss.sum_all()?.backward()?;
        close(&grads.get(&distances).unwrap().flatten_all()?.to_vec1()?, &golden.gradients.concat());
        Ok(())
    }

    #[test]
    fn unasked_cells_and_endless_values_teach_nothing_wrong() -> Result<()> {
        let device = &Device::Cpu;
        let targets = Targets {
            scores: Tensor::new(&[1f32, 0.0, 0.0], device)?,
            weights: Tensor::new(&[1f32, 1.0, 0.0], device)?,
            distances: Tensor::ones((4, 3), candle_core::DType::F32, device)?,
            count: 1,
        };
        // The third cell is sure of a face of which nothing is known.
        let mut values = vec![0f32; 15];
        (values[2], values[5], values[8]) = (60.0, 0.5, 1e9);
        let maps = Var::from_tensor(&Tensor::from_vec(values, (5, 1, 1, 3), device)?)?;
        let loss = LocatorLoss::of(&[maps.as_tensor().clone()], &targets)?;
        let grads = (loss.scores + loss.boxes)?.backward()?;
        let grads: Vec<f32> = grads.get(&maps).unwrap().flatten_all()?.to_vec1()?;
        assert!(grads.iter().all(|grad| grad.is_finite()), "{grads:?}");
        assert_eq!(grads[2], 0.0);
        assert!(
            grads[0] < 0.0 && grads[1] > 0.0 && (4..15).all(|i| i % 3 == 0 || grads[i] == 0.0),
            "{grads:?}"
        );
        Ok(())
    }
}
