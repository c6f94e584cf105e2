//! First values of a network's variables, the same for one seed on every machine.

use candle_core::{Result, Tensor, Var};
use candle_nn::VarMap;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

/// First value of layer scales (timm's for MobileNetV4).
const LAYER_SCALE: f64 = 1e-5;

/// Sets every variable: convolutions to normal values of deviation `sqrt(2 / fan_out)` (He et al.,
/// arXiv 1502.01852, as timm does), linear layers and position biases to
/// deviation 0.01, layer scales to 1e-5, batch norms to the identity.
///
/// # Errors
/// None but candle's own.
pub fn initialise(variables: &VarMap, seed: u64) -> Result<()> {
    let variables = lock(variables);
    let mut names: Vec<&String> = variables.keys().collect();
    names.sort();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for name in names {
        let variable = &variables[name];
        let deviation = match *variable.dims() {
            // A depthwise convolution has one output a group.
            [_, 1, k, _] => (2.0 / (k * k) as f32).sqrt(),
            [cout, _, k, _] => (2.0 / (cout * k * k) as f32).sqrt(),
            [_, _] => 0.01,
            _ => {
                if name.ends_with("layer_scale.gamma") {
                    variable.set(&(variable.ones_like()? * LAYER_SCALE)?)?;
                    continue;
                }
                let one = name.ends_with("running_var") || name.ends_with(".weight");
                variable.set(&if one { variable.ones_like()? } else { variable.zeros_like()? })?;
                continue;
            }
        };
        let normal = Normal::new(0.0, deviation).map_err(candle_core::Error::wrap)?;
        let values: Vec<f32> = (0..variable.elem_count()).map(|_| normal.sample(&mut rng)).collect();
        variable.set(&Tensor::from_vec(values, variable.shape(), variable.device())?)?;
    }
    Ok(())
}

/// Number of learned values; running moments do not count.
pub fn parameter_count(variables: &VarMap) -> usize {
    let variables = lock(variables);
    variables.iter().filter(|(name, _)| !name.contains("running_")).map(|(_, v)| v.elem_count()).sum()
}

/// The variables of a network by name; a panic elsewhere leaves the map itself whole.
pub fn lock(variables: &VarMap) -> MutexGuard<'_, HashMap<String, Var>> {
    variables.data().lock().unwrap_or_else(PoisonError::into_inner)
}
