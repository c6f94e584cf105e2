//! A loaded graph with its buffers.

use super::constant::Kind;
use super::error::ModelError;
use super::onnx;
use super::plan::{MAX_INPUTS, Operand, Plan, SLACK, Scratch, Source, Step, Written};
use crate::tensor::Tensor;

/// A model that runs.
pub struct Session {
    plan: Plan,
    /// In 32-bit words: floats, or four bytes each.
    buffers: Vec<Vec<u32>>,
    scratch: Scratch,
}

impl Session {
    /// Loads an ONNX file.
    ///
    /// # Errors
    /// Any [`ModelError`] but [`ModelError::Input`].
    pub fn load(onnx: &[u8]) -> Result<Self, ModelError> {
        let plan = Plan::new(&onnx::parse(onnx)?)?;
        let buffers = plan.buffers.iter().map(|&words| vec![0; words]).collect();
        Ok(Session { plan, buffers, scratch: Scratch::default() })
    }

    /// What the model does, step by step.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Shape of the first input.
    pub fn input_shape(&self) -> &[usize] {
        &self.plan.inputs[0].shape
    }

    /// Shape of the first output.
    pub fn output_shape(&self) -> &[usize] {
        &self.plan.outputs[0].shape
    }

    /// The first output for the only input; buffers are reused from run to run.
    ///
    /// # Errors
    /// Those of [`Session::run_all`].
    pub fn run(&mut self, input: &Tensor) -> Result<Tensor, ModelError> {
        self.compute(&[input], |_, compute| compute())?;
        Ok(self.output(0))
    }

    /// Every output for `inputs`, in the file's order.
    ///
    /// # Errors
    /// [`ModelError::Input`] if an input is missing or has another shape than the model's.
    pub fn run_all(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, ModelError> {
        self.compute(inputs, |_, compute| compute())?;
        Ok((0..self.plan.outputs.len()).map(|index| self.output(index)).collect())
    }

    /// As [`Session::run_all`]; each step is run by `around`, which may look at a clock before and behind it.
    ///
    /// # Errors
    /// Those of [`Session::run_all`].
    pub fn run_watched(
        &mut self,
        inputs: &[&Tensor],
        around: impl FnMut(&Step, &mut dyn FnMut()),
    ) -> Result<Vec<Tensor>, ModelError> {
        self.compute(inputs, around)?;
        Ok((0..self.plan.outputs.len()).map(|index| self.output(index)).collect())
    }

    fn compute(
        &mut self,
        inputs: &[&Tensor],
        mut around: impl FnMut(&Step, &mut dyn FnMut()),
    ) -> Result<(), ModelError> {
        let Session { plan, buffers, scratch } = self;
        for (index, end) in plan.inputs.iter().enumerate() {
            let given = inputs.get(index).filter(|_| inputs.len() == plan.inputs.len());
            let Some(given) = given.filter(|given| given.shape() == end.shape) else {
                let actual = inputs.get(index).map_or_else(Vec::new, |given| given.shape().to_vec());
                return Err(ModelError::Input { expected: end.shape.clone(), actual });
            };
            if let Source::Buffer(place) = end.place {
                let buffer: &mut [f32] = bytemuck::cast_slice_mut(&mut buffers[place.buffer]);
                buffer[..place.elements].copy_from_slice(given.values());
            }
        }
        for step in &plan.steps {
            // A step never reads the buffer it writes, so that buffer can be taken out meanwhile.
            let mut words = std::mem::take(&mut buffers[step.output.buffer]);
            let mut operands = [Operand::F32(&[]); MAX_INPUTS];
            for (operand, source) in operands.iter_mut().zip(&step.inputs) {
                *operand = read(*source, buffers, &plan.constants);
            }
            let operands = &operands[..step.inputs.len()];
            let mut written = match step.output.kind {
                Kind::F32 => Written::F32(&mut bytemuck::cast_slice_mut(&mut words)[..step.output.elements]),
                _ => Written::U8(&mut bytemuck::cast_slice_mut(&mut words)[..step.output.elements]),
            };
            around(step, &mut || step.kernel.run(operands, &mut written, scratch));
            buffers[step.output.buffer] = words;
        }
        Ok(())
    }

    /// What output `index` holds after a run.
    fn output(&self, index: usize) -> Tensor {
        let end = &self.plan.outputs[index];
        let values = match read(end.place, &self.buffers, &self.plan.constants) {
            Operand::F32(values) => values.to_vec(),
            // Outputs are floats, as the plan has checked.
            Operand::U8(_) => Vec::new(),
        };
        Tensor::from_vec(end.shape.clone(), values)
    }
}

fn read<'a>(source: Source, buffers: &'a [Vec<u32>], constants: &'a [Vec<f32>]) -> Operand<'a> {
    match source {
        Source::Constant(index) => Operand::F32(&constants[index]),
        Source::Buffer(place) => match place.kind {
            Kind::F32 => Operand::F32(&bytemuck::cast_slice(&buffers[place.buffer])[..place.elements]),
            _ => Operand::U8(&bytemuck::cast_slice(&buffers[place.buffer])[..place.elements + SLACK]),
        },
    }
}
