//! A loaded graph with its buffers.

use super::error::ModelError;
use super::onnx;
use super::plan::Plan;
use crate::tensor::Tensor;

/// A model that runs: one float input `[1, C, H, W]`, one float output.
pub struct Session {
    plan: Plan,
    buffers: Vec<Vec<f32>>,
    scratch: Vec<f32>,
}

impl Session {
    /// Loads an ONNX file.
    ///
    /// # Errors
    /// Any [`ModelError`] but [`ModelError::Input`].
    pub fn load(onnx: &[u8]) -> Result<Self, ModelError> {
        let plan = Plan::new(&onnx::parse(onnx)?)?;
        let buffers = plan.buffers.iter().map(|&elements| vec![0.0; elements]).collect();
        Ok(Session { plan, buffers, scratch: Vec::new() })
    }

    /// Shape of the input.
    pub fn input_shape(&self) -> &[usize] {
        &self.plan.input_shape
    }

    /// Shape of the output.
    pub fn output_shape(&self) -> &[usize] {
        &self.plan.output_shape
    }

    /// The output for `input`; buffers are reused from run to run.
    ///
    /// # Errors
    /// [`ModelError::Input`] if the input has another shape than the model's.
    pub fn run(&mut self, input: &Tensor) -> Result<Tensor, ModelError> {
        if input.shape() != self.plan.input_shape {
            return Err(ModelError::Input {
                expected: self.plan.input_shape.clone(),
                actual: input.shape().to_vec(),
            });
        }
        self.buffers[self.plan.input.buffer][..self.plan.input.elements].copy_from_slice(input.values());
        for step in &self.plan.steps {
            // A step never reads the buffer it writes, so that buffer can be taken out meanwhile.
            let mut output = std::mem::take(&mut self.buffers[step.output.buffer]);
            let inputs: [&[f32]; 2] = std::array::from_fn(|i| {
                step.inputs.get(i).map_or(&[][..], |place| &self.buffers[place.buffer][..place.elements])
            });
            step.kernel.run(
                &inputs[..step.inputs.len()],
                &mut output[..step.output.elements],
                &mut self.scratch,
            );
            self.buffers[step.output.buffer] = output;
        }
        let output = self.plan.output;
        let values = self.buffers[output.buffer][..output.elements].to_vec();
        Ok(Tensor::from_vec(self.plan.output_shape.clone(), values))
    }
}
