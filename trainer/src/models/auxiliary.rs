//! What training makes small beside the error of the logit: terms of a network's own.

use candle_core::{Result, Tensor};

/// Terms of the loss that some networks bring along; none from the others.
#[derive(Debug, Clone, Default)]
pub struct Auxiliary {
    /// Mean squared error over pixels of the normalised picture and its copy, a scalar; the sum over all copies.
    pub reconstruction: Option<Tensor>,
    /// Divergence of the latent from the standard normal distribution, a mean over its values, a scalar.
    pub kl: Option<Tensor>,
}

impl Auxiliary {
    /// Adds `mean((picture - copy)^2)`.
    pub(super) fn add_reconstruction(&mut self, picture: &Tensor, copy: &Tensor) -> Result<()> {
        let error = (picture - copy)?.sqr()?.mean_all()?;
        self.reconstruction = Some(added(self.reconstruction.take(), error)?);
        Ok(())
    }

    /// Adds `-mean(1 + log_variance - mean^2 - exp(log_variance)) / 2` (arXiv 1312.6114, appendix B).
    ///
    /// A mean over the latent's values as the other term is one over pixels: the balance of the two then is the same
    /// at every size.
    pub(super) fn add_divergence(&mut self, mean: &Tensor, log_variance: &Tensor) -> Result<()> {
        let inner = (((log_variance + 1.0)? - mean.sqr()?)? - log_variance.exp()?)?;
        let kl = (inner.mean_all()? * -0.5)?;
        self.kl = Some(added(self.kl.take(), kl)?);
        Ok(())
    }
}

fn added(sum: Option<Tensor>, term: Tensor) -> Result<Tensor> {
    match sum {
        Some(sum) => sum + term,
        None => Ok(term),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Numbers of PyTorch:
    ///
    /// ```python
    /// a, b = torch.tensor([0.5, -1.0, 2.0, 0.25]), torch.tensor([0.0, -1.5, 1.0, 0.5])
    /// m, v = torch.tensor([0.3, -1.2, 0.0, 2.0]), torch.tensor([0.1, -0.7, 0.0, 0.5])
    /// F.mse_loss(a, b); -0.5 * torch.mean(1 + v - m**2 - v.exp())
    /// ```
    #[test]
    fn terms_equal_pytorchs_and_add_up() -> Result<()> {
        let tensor = |values: [f32; 4]| Tensor::new(&values, &Device::Cpu);
        let mut auxiliary = Auxiliary::default();
        let (a, b) = (tensor([0.5, -1.0, 2.0, 0.25])?, tensor([0.0, -1.5, 1.0, 0.5])?);
        let (m, v) = (tensor([0.3, -1.2, 0.0, 2.0])?, tensor([0.1, -0.7, 0.0, 0.5])?);
        for count in 1..=2 {
            auxiliary.add_reconstruction(&a, &b)?;
            auxiliary.add_divergence(&m, &v)?;
            let value = |term: &Option<Tensor>| match term {
                Some(term) => term.to_scalar::<f32>(),
                None => candle_core::bail!("a term is missing"),
            };
            let (reconstruction, kl) = (value(&auxiliary.reconstruction)?, value(&auxiliary.kl)?);
            assert!((reconstruction - 0.390_625 * count as f32).abs() < 1e-6, "{reconstruction}");
            assert!((kl - 0.735_059_7 * count as f32).abs() < 1e-6, "{kl}");
        }
        Ok(())
    }
}
