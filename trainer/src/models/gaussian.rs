//! The latent of a variational autoencoder (Kingma and Welling, arXiv 1312.6114).

use super::point_conv::PointConv;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Mean and log-variance of a normal distribution for each value of a latent map.
#[derive(Debug, Clone)]
pub struct Gaussian {
    /// Gives the mean, which is the latent wherever nothing is learned.
    pub mean: PointConv,
    /// Gives the logarithm of the variance.
    pub log_variance: PointConv,
}

impl Gaussian {
    /// A latent of `latent` channels over a map of `channels`; the layers are called `mean` and `log_variance`.
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn new(vb: &VarBuilder, [channels, latent]: [usize; 2]) -> Result<Self> {
        Ok(Gaussian {
            mean: PointConv::new(vb, "mean", [channels, latent])?,
            log_variance: PointConv::new(vb, "log_variance", [channels, latent])?,
        })
    }
}

/// Names the noise of one training step: the same step of a resumed run draws the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoiseSeed {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the pass.
    pub epoch: u64,
    /// Number of the step in it.
    pub step: u64,
}

/// Standard normal values by a [`NoiseSeed`].
#[derive(Debug, Clone)]
pub struct Noise(ChaCha8Rng);

impl Noise {
    /// The noise of the step that `seed` names.
    pub fn new(seed: NoiseSeed) -> Self {
        // The loader's streams begin at another constant, so that noise and augmentation share nothing.
        let mut rng = ChaCha8Rng::seed_from_u64(seed.seed.wrapping_mul(0xd134_2543_de82_ef95) ^ seed.epoch);
        rng.set_stream(seed.step);
        Noise(rng)
    }

    /// The next values in the shape of `like`.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn like(&mut self, like: &Tensor) -> Result<Tensor> {
        let values: Vec<f32> = (0..like.elem_count()).map(|_| StandardNormal.sample(&mut self.0)).collect();
        Tensor::from_vec(values, like.shape(), like.device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn each_step_draws_its_own_noise_and_the_same_again() -> Result<()> {
        let like = Tensor::zeros(4096, candle_core::DType::F32, &Device::Cpu)?;
        let draw = |seed, epoch, step| -> Result<Vec<f32>> {
            Noise::new(NoiseSeed { seed, epoch, step }).like(&like)?.to_vec1()
        };
        let first = draw(1, 2, 3)?;
        assert_eq!(first, draw(1, 2, 3)?);
        for (seed, epoch, step) in [(2, 2, 3), (1, 3, 3), (1, 2, 4)] {
            assert_ne!(first, draw(seed, epoch, step)?);
        }
        let mean = first.iter().sum::<f32>() / 4096.0;
        let variance = first.iter().map(|x| x * x).sum::<f32>() / 4096.0;
        assert!(mean.abs() < 0.06 && (variance - 1.0).abs() < 0.1, "{mean}, {variance}");
        Ok(())
    }
}
