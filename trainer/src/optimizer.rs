//! AdamW (Loshchilov and Hutter, arXiv 1711.05101) whose state can be saved.
//!
//! Weight decay skips vectors (batch norm, biases): shrinking them only moves the function. The
//! gradient's global norm is clipped.

use crate::models::lock;
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use candle_nn::VarMap;
use std::collections::HashMap;

/// Decay rates of the moments, and the divisor's floor (the paper's defaults).
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// AdamW over the learned variables of a network.
pub struct AdamW {
    parameters: Vec<Parameter>,
    weight_decay: f64,
    clip_norm: f64,
    step: u64,
}

struct Parameter {
    name: String,
    variable: Var,
    first: Tensor,
    second: Tensor,
}

impl AdamW {
    /// An optimiser of every variable but running moments, in the order of their names.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn new(variables: &VarMap, weight_decay: f64, clip_norm: f64) -> Result<Self> {
        let mut parameters = Vec::new();
        for (name, variable) in lock(variables).iter().filter(|(name, _)| !name.contains("running_")) {
            parameters.push(Parameter {
                name: name.clone(),
                variable: variable.clone(),
                first: variable.zeros_like()?.detach(),
                second: variable.zeros_like()?.detach(),
            });
        }
        parameters.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(AdamW { parameters, weight_decay, clip_norm, step: 0 })
    }

    /// One step against `grads`; returns the gradient's norm before clipping.
    ///
    /// # Errors
    /// If a variable has no gradient: then the network is cut somewhere.
    pub fn step(&mut self, grads: &GradStore, learning_rate: f64) -> Result<f64> {
        // Fetched in one go: on a GPU each fetch waits for all work before it.
        let squares = |parameter: &Parameter| parameter.grad(grads)?.sqr()?.sum_all();
        let squares = self.parameters.iter().map(squares).collect::<Result<Vec<_>>>()?;
        let squares: Vec<f32> = Tensor::stack(&squares, 0)?.to_vec1()?;
        let norm = squares.into_iter().map(f64::from).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Ok(norm); // the caller decides; no variable was touched
        }
        let clip = (self.clip_norm / norm).min(1.0);
        self.step += 1;
        let rate = Rate {
            learning_rate,
            weight_decay: self.weight_decay,
            correction1: 1.0 - BETA1.powi(self.step as i32),
            correction2: 1.0 - BETA2.powi(self.step as i32),
        };
        for parameter in &mut self.parameters {
            let grad = (parameter.grad(grads)? * clip)?;
            parameter.update(&grad, &rate)?;
        }
        Ok(norm)
    }

    /// Moments and step count as named tensors, for a checkpoint.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn state(&self) -> Result<HashMap<String, Tensor>> {
        let mut state = HashMap::new();
        for parameter in &self.parameters {
            state.insert(format!("first.{}", parameter.name), parameter.first.clone());
            state.insert(format!("second.{}", parameter.name), parameter.second.clone());
        }
        state.insert("step".into(), Tensor::new(&[self.step as i64], &candle_core::Device::Cpu)?);
        Ok(state)
    }

    /// Takes over what [`AdamW::state`] gave.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn restore(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        let find = |name: String, like: Option<&Tensor>| {
            let tensor = state
                .get(&name)
                .ok_or_else(|| candle_core::Error::Msg(format!("optimiser state lacks {name}")))?;
            if like.is_some_and(|like| like.dims() != tensor.dims()) {
                candle_core::bail!("optimiser state {name} has shape {:?}", tensor.dims());
            }
            like.map_or_else(|| Ok(tensor.clone()), |like| tensor.to_device(like.device()))
        };
        for parameter in &mut self.parameters {
            parameter.first = find(format!("first.{}", parameter.name), Some(&parameter.first))?;
            parameter.second = find(format!("second.{}", parameter.name), Some(&parameter.second))?;
        }
        self.step = find("step".into(), None)?.to_vec1::<i64>()?.first().copied().unwrap_or(0) as u64;
        Ok(())
    }
}

struct Rate {
    learning_rate: f64,
    weight_decay: f64,
    correction1: f64,
    correction2: f64,
}

impl Parameter {
    fn grad<'a>(&self, grads: &'a GradStore) -> Result<&'a Tensor> {
        grads
            .get(&self.variable)
            .ok_or_else(|| candle_core::Error::Msg(format!("{} has no gradient", self.name)))
    }

    fn update(&mut self, grad: &Tensor, rate: &Rate) -> Result<()> {
        // Without `detach` each step's graph would hang on the next one.
        self.first = ((&self.first * BETA1)? + (grad * (1.0 - BETA1))?)?.detach();
        self.second = ((&self.second * BETA2)? + (grad.sqr()? * (1.0 - BETA2))?)?.detach();
        let divisor = ((&self.second / rate.correction2)?.sqrt()? + EPSILON)?;
        let direction = ((&self.first / rate.correction1)? / divisor)?;
        let decays = self.variable.rank() > 1;
        let kept = if decays { 1.0 - rate.learning_rate * rate.weight_decay } else { 1.0 };
        let next = ((self.variable.as_tensor() * kept)? - (direction * rate.learning_rate)?)?;
        self.variable.set(&next.detach())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use candle_nn::Init;

    #[test]
    fn two_steps_equal_pytorchs() -> Result<()> {
        let variables = VarMap::new();
        let x = variables.get((1, 2), "x", Init::Const(1.0), DType::F32, &Device::Cpu)?;
        let weights = Tensor::new(&[[0.5f32, -2.0]], &Device::Cpu)?;
        let mut optimizer = AdamW::new(&variables, 0.1, 1e9)?;
        for _ in 0..2 {
            let grads = (&x * &weights)?.sqr()?.sum_all()?.backward()?;
            optimizer.step(&grads, 0.01)?;
        }
        // x = torch.ones(1, 2, requires_grad=True); w = torch.tensor([[0.5, -2.0]])
        // o = torch.optim.AdamW([x], lr=0.01, weight_decay=0.1)
        // for _ in range(2): o.zero_grad(); ((x * w) ** 2).sum().backward(); o.step()
        let got: Vec<f32> = x.flatten_all()?.to_vec1()?;
        for value in got {
            assert!((value - 0.978_01).abs() < 5e-5, "{value}");
        }
        Ok(())
    }
}
