//! What training minimises.

use crate::models::Auxiliary;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// Weights of the terms that a network brings along; the error of the logit has weight 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossWeights {
    /// Of the mean squared error of copies of the normalised picture.
    pub reconstruction: f64,
    /// Of the divergence of a variational latent.
    pub kl: f64,
}

impl Default for LossWeights {
    fn default() -> Self {
        LossWeights { reconstruction: 0.1, kl: 0.01 }
    }
}

/// `error + reconstruction * w_r + kl * w_k`, a scalar; terms that the network lacks are left out.
///
/// # Errors
/// None but candle's own.
pub fn total_loss(error: Tensor, auxiliary: &Auxiliary, weights: LossWeights) -> Result<Tensor> {
    let mut total = error;
    for (term, weight) in [(&auxiliary.reconstruction, weights.reconstruction), (&auxiliary.kl, weights.kl)] {
        if let Some(term) = term {
            total = (total + (term * weight)?)?;
        }
    }
    Ok(total)
}

/// Binary cross entropy `[N]` of `logits` `[N]` against `targets` `[N]` in `[0, 1]`.
///
/// `max(z, 0) - z t + ln(1 + exp(-|z|))`: sigmoid and logarithm apart would give NaN at a logit of 17.
///
/// # Errors
/// If the shapes differ.
pub fn binary_cross_entropy_with_logits(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let tail = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    (logits.relu()? - (logits * targets)?)? + tail
}

/// Factors of the loss of a real and of a fake picture, with which both classes weigh alike and the mean over the
/// split stays 1: `n / 2 n_class`.
pub fn class_weights(real: usize, fake: usize) -> [f64; 2] {
    let total = (real + fake) as f64;
    [real, fake].map(|count| total / (2.0 * count.max(1) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn class_weights_even_out() {
        assert_eq!(class_weights(10, 10), [1.0, 1.0]);
        assert_eq!(class_weights(10, 30), [2.0, 2.0 / 3.0]);
    }

    #[test]
    fn terms_of_the_network_count_by_their_weights() -> Result<()> {
        let scalar = |value: f32| Tensor::new(value, &Device::Cpu);
        let auxiliary = Auxiliary { reconstruction: Some(scalar(2.0)?), kl: Some(scalar(3.0)?) };
        let total = |auxiliary: &Auxiliary, weights| -> Result<f32> {
            total_loss(scalar(0.5)?, auxiliary, weights)?.to_scalar()
        };
        let default = LossWeights::default();
        assert!((total(&auxiliary, default)? - (0.5 + 0.1 * 2.0 + 0.01 * 3.0)).abs() < 1e-6);
        assert_eq!(total(&auxiliary, LossWeights { kl: 0.0, ..default })?, 0.7);
        assert_eq!(total(&Auxiliary::default(), default)?, 0.5);
        Ok(())
    }

    #[test]
    fn values_equal_pytorchs_and_stay_finite() -> Result<()> {
        // torch.nn.functional.binary_cross_entropy_with_logits(
        //     torch.tensor([0.0, 2.0, -3.0, 0.5]), torch.tensor([1.0, 1.0, 0.0, 0.25]))
        let logits = Tensor::new(&[0f32, 2.0, -3.0, 0.5], &Device::Cpu)?;
        let targets = Tensor::new(&[1f32, 1.0, 0.0, 0.25], &Device::Cpu)?;
        let loss = binary_cross_entropy_with_logits(&logits, &targets)?.mean_all()?.to_scalar::<f32>()?;
        let terms = [std::f32::consts::LN_2, 0.126_928, 0.048_587, 0.849_077];
        assert!((loss - terms.iter().sum::<f32>() / 4.0).abs() < 1e-5, "{loss}");

        let logits = Var::from_tensor(&Tensor::new(&[120f32, -120.0, 120.0], &Device::Cpu)?)?;
        let targets = Tensor::new(&[1f32, 0.0, 0.0], &Device::Cpu)?;
        let loss = binary_cross_entropy_with_logits(&logits, &targets)?.mean_all()?;
        assert_eq!(loss.to_scalar::<f32>()?, 40.0);
        let grads = loss.backward()?;
        let grad: Vec<f32> = grads.get(&logits).unwrap().to_vec1()?;
        assert!(
            grad[0].abs() < 1e-6 && grad[1].abs() < 1e-6 && (grad[2] - 1.0 / 3.0).abs() < 1e-6,
            "{grad:?}"
        );
        Ok(())
    }
}
