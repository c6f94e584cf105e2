//! Running moments of batch norms, estimated anew for the weights as they are.
//!
//! The moving average of training lags behind the weights and saw augmented pictures. Means over whole batches of plain
//! ones are nearer to what the network meets in use (Wu and Johnson, arXiv 2105.07576, section 3).

use crate::models::{MOMENTUM, Model, lock};
use candle_core::{Result, Tensor};
use candle_nn::VarMap;
use std::collections::HashMap;

/// Sets the running moments of `model`, whose variables are `variables`, to the means of those of `batches`, each
/// `[N, 3, H, W]`. Without batches nothing changes.
///
/// # Errors
/// Those of the batches and of a forward pass.
pub fn reestimate<E: From<candle_core::Error>>(
    model: &Model,
    variables: &VarMap,
    batches: impl Iterator<Item = std::result::Result<Tensor, E>>,
) -> std::result::Result<usize, E> {
    let names: Vec<String> =
        lock(variables).keys().filter(|name| name.contains("running_")).cloned().collect();
    let mut sums: HashMap<String, Tensor> = HashMap::new();
    let mut count = 0;
    for batch in batches {
        // From zero, a step in training leaves a share of the batch's own moments.
        set_all(variables, &names, |variable| variable.zeros_like())?;
        model.forward_t(&batch?, true)?;
        for name in &names {
            let moment = (lock(variables)[name].as_tensor() / MOMENTUM)?.detach();
            let sum = match sums.remove(name) {
                Some(sum) => (sum + moment)?,
                None => moment,
            };
            sums.insert(name.clone(), sum);
        }
        count += 1;
    }
    for name in &names {
        if let Some(sum) = sums.get(name) {
            lock(variables)[name].set(&(sum / f64::from(count))?)?;
        }
    }
    Ok(count as usize)
}

fn set_all(variables: &VarMap, names: &[String], value: impl Fn(&Tensor) -> Result<Tensor>) -> Result<()> {
    let variables = lock(variables);
    names.iter().try_for_each(|name| variables[name].set(&value(variables[name].as_tensor())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Network;
    use candle_core::Device;

    #[test]
    fn moments_are_the_means_of_the_batches_and_weights_stay() -> Result<()> {
        let network = Network::new("mobilenetv4-conv-small-narrow", 1, &Device::Cpu)
            .map_err(candle_core::Error::wrap)?;
        let batch = |seed: f64| {
            Tensor::randn(seed, 1.0, (4, 3, 32, 32), &Device::Cpu)?.to_dtype(candle_core::DType::F32)
        };
        let batches = [batch(0.0)?, batch(1.0)?];
        let moment = |name: &str| lock(&network.variables)[name].to_vec1::<f32>();
        let weight = lock(&network.variables)["conv_stem.weight"].copy()?;

        // The first layer's moments of one batch do not depend on any other moment.
        let mut alone = Vec::new();
        for batch in &batches {
            reestimate::<candle_core::Error>(
                &network.model,
                &network.variables,
                [Ok(batch.clone())].into_iter(),
            )?;
            alone.push(moment("bn1.running_mean")?);
        }
        let count = reestimate::<candle_core::Error>(
            &network.model,
            &network.variables,
            batches.into_iter().map(Ok),
        )?;
        assert_eq!(count, 2);
        for (channel, both) in moment("bn1.running_mean")?.into_iter().enumerate() {
            let wanted = (alone[0][channel] + alone[1][channel]) / 2.0;
            assert!((both - wanted).abs() < 1e-5, "{both}, expected {wanted}");
        }
        let change = (lock(&network.variables)["conv_stem.weight"].as_tensor() - weight)?.abs()?.max_all()?;
        assert_eq!(change.to_scalar::<f32>()?, 0.0);
        Ok(())
    }
}
