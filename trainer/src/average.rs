//! Exponential moving average of a network's weights, which judges better than the last step's.

use crate::models::lock;
use candle_core::{Result, Tensor};
use candle_nn::VarMap;
use std::collections::HashMap;

/// `average <- d * average + (1 - d) * weight` after every step (Polyak and Juditsky 1992), with the smaller decay
/// `d = (1 + step) / (10 + step)` at first, so that the random first weights are forgotten.
///
/// Running moments are averaged like weights: a batch norm fits only the weights it was estimated with.
pub struct Average {
    decay: f64,
    step: u64,
    values: HashMap<String, Tensor>,
}

impl Average {
    /// An average that begins at `variables`; `decay` is in `[0, 1)`, and 0 follows each step at once.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn new(variables: &VarMap, decay: f64) -> Result<Self> {
        let values = copies(variables)?;
        Ok(Average { decay, step: 0, values })
    }

    /// Takes in the weights after a step.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn update(&mut self, variables: &VarMap) -> Result<()> {
        let decay = self.decay.min((1 + self.step) as f64 / (10 + self.step) as f64);
        self.step += 1;
        for (name, variable) in lock(variables).iter() {
            if let Some(average) = self.values.get_mut(name) {
                *average = ((&*average * decay)? + (variable.as_tensor() * (1.0 - decay))?)?.detach();
            }
        }
        Ok(())
    }

    /// What `work` gives with the averages in place of the weights, which are put back after it.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn within<T>(
        &self,
        variables: &VarMap,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let weights = copies(variables)?;
        set(variables, &self.values)?;
        let result = work();
        set(variables, &weights)?;
        result
    }

    /// Averages and step count as named tensors, for a checkpoint.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn state(&self) -> Result<HashMap<String, Tensor>> {
        let mut state: HashMap<_, _> =
            self.values.iter().map(|(name, value)| (format!("value.{name}"), value.clone())).collect();
        state.insert("step".into(), Tensor::new(&[self.step as i64], &candle_core::Device::Cpu)?);
        Ok(state)
    }

    /// Takes over what [`Average::state`] gave.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn restore(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        for (name, value) in &mut self.values {
            match state.get(&format!("value.{name}")) {
                Some(saved) if saved.dims() == value.dims() => *value = saved.to_device(value.device())?,
                Some(saved) => candle_core::bail!("the average of {name} has shape {:?}", saved.dims()),
                None => candle_core::bail!("the averages lack {name}"),
            }
        }
        let Some(step) = state.get("step") else { candle_core::bail!("the averages lack their step") };
        self.step = step.to_vec1::<i64>()?.first().copied().unwrap_or(0) as u64;
        Ok(())
    }
}

fn copies(variables: &VarMap) -> Result<HashMap<String, Tensor>> {
    lock(variables).iter().map(|(name, variable)| Ok((name.clone(), variable.copy()?.detach()))).collect()
}

fn set(variables: &VarMap, values: &HashMap<String, Tensor>) -> Result<()> {
    for (name, variable) in lock(variables).iter() {
        if let Some(value) = values.get(name) {
            variable.set(value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use candle_nn::Init;

    fn variable(value: f64) -> Result<(VarMap, Tensor)> {
        let variables = VarMap::new();
        let x = variables.get(1, "x", Init::Const(value), DType::F32, &Device::Cpu)?;
        Ok((variables, x))
    }

    fn put(variables: &VarMap, value: f32) -> Result<()> {
        lock(variables)["x"].set(&Tensor::new(&[value], &Device::Cpu)?)
    }

    #[test]
    fn follows_the_weights_slower_and_slower() -> Result<()> {
        let (variables, _) = variable(0.0)?;
        let mut average = Average::new(&variables, 0.5)?;
        put(&variables, 1.0)?;
        let mut want = 0.0;
        // 1 / 10, 2 / 11, ... reach 1 / 2 at the ninth step.
        for decay in [0.1, 2.0 / 11.0, 0.25, 4.0 / 13.0, 5.0 / 14.0, 0.4, 7.0 / 16.0, 8.0 / 17.0, 0.5, 0.5] {
            average.update(&variables)?;
            want = want * decay + (1.0 - decay);
            let got = average.values["x"].to_vec1::<f32>()?[0];
            assert!((f64::from(got) - want).abs() < 1e-6, "{got}, expected {want}");
        }
        Ok(())
    }

    #[test]
    fn the_weights_come_back_after_a_failure_too() -> anyhow::Result<()> {
        let (variables, x) = variable(1.0)?;
        let average = Average::new(&variables, 0.9)?;
        put(&variables, 5.0)?;
        let seen = average.within(&variables, || Ok(x.to_vec1::<f32>()?))?;
        assert_eq!((seen, x.to_vec1::<f32>()?), (vec![1.0], vec![5.0]));
        assert!(average.within(&variables, || -> anyhow::Result<()> { anyhow::bail!("no") }).is_err());
        assert_eq!(x.to_vec1::<f32>()?, [5.0]);
        Ok(())
    }
}
