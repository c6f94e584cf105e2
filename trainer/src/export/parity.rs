//! A network that was written, beside the one that it must be, on the golden pictures.

use crate::deployment::DeploymentConfig;
use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};
use engine::bundle::{NetworkFormat, Precision};
use engine::verdict::probability_fake;
use serde::Serialize;

/// How far two networks are apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parity {
    /// What the network is compared with: "candle", or the network of another bundle.
    pub reference: String,
    /// Number of pictures.
    pub pictures: usize,
    /// Largest difference of a logit, as a share of the reference's or of 1, whichever is larger.
    pub largest_logit_difference: f64,
    /// Mean difference of P(fake).
    pub mean_probability_difference: f64,
}

/// What a network must give on the golden pictures.
pub struct Reference {
    /// Name for messages.
    pub name: String,
    /// One logit a picture.
    pub logits: Vec<f32>,
}

impl Parity {
    /// How far `logits` are from those of `reference`, with P(fake) at `temperature`.
    ///
    /// # Errors
    /// If their numbers differ, or there are none.
    pub fn of(logits: &[f32], reference: &Reference, temperature: f64) -> Result<Self> {
        let count = logits.len();
        let wanted = &reference.logits;
        ensure!(count > 0 && count == wanted.len(), "{count} logits beside {}", wanted.len());
        let pairs = || logits.iter().zip(wanted).map(|(found, wanted)| (*found, *wanted));
        let logit = |(found, wanted): (f32, f32)| f64::from((found - wanted).abs() / wanted.abs().max(1.0));
        let probability = |(found, wanted)| {
            (probability_fake(found, temperature) - probability_fake(wanted, temperature)).abs()
        };
        Ok(Parity {
            reference: reference.name.clone(),
            pictures: count,
            largest_logit_difference: pairs().map(logit).fold(0.0, larger),
            mean_probability_difference: pairs().map(probability).sum::<f64>() / count as f64,
        })
    }

    /// Checks the network `file` of this format against the limits of `config`.
    ///
    /// # Errors
    /// With the difference and the limit.
    pub fn check(&self, file: &str, format: NetworkFormat, config: &DeploymentConfig) -> Result<()> {
        let is_float = [format.weights, format.activations] == [Precision::Float32; 2];
        let (what, found, limit, field) = if is_float {
            ("a logit", self.largest_logit_difference, config.logit_tolerance, "logit_tolerance")
        } else {
            let limit = config.int8_probability_tolerance;
            ("P(fake) on average", self.mean_probability_difference, limit, "int8_probability_tolerance")
        };
        // Written so that NaN fails.
        ensure!(
            found <= limit,
            "{file} is not the network of {}: {what} differs by {found:.2e}, {field} is {limit:.2e}",
            self.reference
        );
        Ok(())
    }
}

/// The larger of two numbers; NaN if one is, which `max` passes over.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// candle's logits of `network` for `inputs`, each `[1, 3, S, S]`.
///
/// # Errors
/// None but candle's own.
pub fn candle_logits(network: &crate::train::Network, inputs: &[engine::Tensor]) -> Result<Vec<f32>> {
    let logit = |input: &engine::Tensor| -> Result<f32> {
        let pictures = Tensor::from_vec(input.values().to_vec(), input.shape(), &Device::Cpu)?;
        Ok(network.model.forward_t(&pictures, false)?.to_vec1::<f32>()?[0])
    };
    inputs.iter().map(logit).collect()
}

/// The engine's logits of the ONNX file `onnx` for `inputs`, each `[1, 3, S, S]`.
///
/// # Errors
/// If the engine refuses the file or an input.
pub fn engine_logits(onnx: &[u8], inputs: &[engine::Tensor]) -> Result<Vec<f32>> {
    let mut session = engine::Session::load(onnx)?;
    let outputs = session.output_shape().iter().product::<usize>();
    ensure!(outputs == 1, "it gives {outputs} values, expected one logit");
    inputs.iter().map(|input| Ok(session.run(input)?.values()[0])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parity(found: &[f32], wanted: &[f32]) -> Parity {
        let reference = Reference { name: "candle".into(), logits: wanted.to_vec() };
        Parity::of(found, &reference, 1.0).expect("as many of each")
    }

    #[test]
    fn each_format_has_its_own_limit() {
        let config = DeploymentConfig::default();
        let float =
            NetworkFormat { weights: Precision::Float32, activations: Precision::Float32, input_size: 32 };
        let integer = NetworkFormat { weights: Precision::Int8, ..float };
        let checks =
            |parity: &Parity| [float, integer].map(|format| parity.check("x", format, &config).is_ok());
        assert_eq!(checks(&parity(&[10.0, -2.0], &[10.0, -2.0])), [true, true]);
        // A share of large logits, the whole of small ones.
        assert_eq!(checks(&parity(&[10.0009], &[10.0])), [true, true]);
        assert_eq!(checks(&parity(&[0.0009], &[0.0])), [false, true]);
        assert_eq!(checks(&parity(&[2.0, 2.0], &[0.0, 0.0])), [false, false]);
        assert_eq!(checks(&parity(&[f32::NAN, 0.0], &[0.0, 0.0])), [false, false]);
        let mean = parity(&[2.0, 0.0], &[0.0, 0.0]).mean_probability_difference;
        assert!((mean - 0.190_398_538_988_941_2).abs() < 1e-12, "{mean}");
        assert!(Parity::of(&[], &Reference { name: String::new(), logits: vec![] }, 1.0).is_err());
    }
}
