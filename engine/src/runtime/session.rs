//! A loaded graph with its buffers.

use super::constant::Kind;
use super::cpu::int8::Level;
use super::error::ModelError;
use super::graph::{Graph, Op};
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
        Self::load_at(onnx, Level::best())
    }

    /// Loads an ONNX file for the integer kernels that are the fastest on this machine ([`Level::fastest`]); `now_ms` is
    /// any clock in milliseconds.
    ///
    /// # Errors
    /// Those of [`Session::load`].
    pub fn load_fastest(onnx: &[u8], now_ms: &dyn Fn() -> f64) -> Result<Self, ModelError> {
        let graph = onnx::parse(onnx)?;
        let is_quantised = graph.nodes.iter().any(|node| matches!(node.op, Op::Quantize(_)));
        Self::of(&graph, if is_quantised { Level::fastest(now_ms) } else { Level::best() })
    }

    /// Loads an ONNX file for integer kernels of `level`, one of [`Level::available`]; the results are the same.
    ///
    /// # Errors
    /// Those of [`Session::load`].
    pub fn load_at(onnx: &[u8], level: Level) -> Result<Self, ModelError> {
        Self::of(&onnx::parse(onnx)?, level)
    }

    fn of(graph: &Graph, level: Level) -> Result<Self, ModelError> {
        let plan = Plan::at(graph, level)?;
        let buffers = plan.buffers.iter().map(|&words| vec![0; words]).collect();
        let scratch = Scratch::new(plan.scratch);
        Ok(Session { plan, buffers, scratch })
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
        Ok(self.output(0, &[input]))
    }

    /// Every output for `inputs`, in the file's order.
    ///
    /// # Errors
    /// [`ModelError::Input`] if an input is missing or has another shape than the model's.
    pub fn run_all(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, ModelError> {
        self.run_watched(inputs, |_, compute| compute())
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
        Ok((0..self.plan.outputs.len()).map(|index| self.output(index, inputs)).collect())
    }

    fn compute(
        &mut self,
        inputs: &[&Tensor],
        mut around: impl FnMut(&Step, &mut dyn FnMut()),
    ) -> Result<(), ModelError> {
        let Session { plan, buffers, scratch } = self;
        for (index, end) in plan.inputs.iter().enumerate() {
            let given = inputs.get(index).filter(|_| inputs.len() == plan.inputs.len());
            if given.is_none_or(|given| given.shape() != end.shape) {
                let actual = inputs.get(index).map_or_else(Vec::new, |given| given.shape().to_vec());
                return Err(ModelError::Input { expected: end.shape.clone(), actual });
            }
        }
        for step in &plan.steps {
            // A step never reads the buffer it writes, so that buffer can be taken out meanwhile.
            let mut words = std::mem::take(&mut buffers[step.output.buffer]);
            let mut operands = [Operand::F32(&[]); MAX_INPUTS];
            for (operand, source) in operands.iter_mut().zip(&step.inputs) {
                *operand = read(*source, inputs, buffers, &plan.constants);
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

    /// What output `index` holds after a run of `inputs`.
    fn output(&self, index: usize, inputs: &[&Tensor]) -> Tensor {
        let end = &self.plan.outputs[index];
        let values = match read(end.place, inputs, &self.buffers, &self.plan.constants) {
            Operand::F32(values) => values.to_vec(),
            // Outputs are floats, as the plan has checked.
            Operand::U8(_) => Vec::new(),
        };
        Tensor::from_vec(end.shape.clone(), values)
    }
}

fn read<'a>(
    source: Source,
    inputs: &[&'a Tensor],
    buffers: &'a [Vec<u32>],
    constants: &'a [Vec<f32>],
) -> Operand<'a> {
    match source {
        Source::Constant(index) => Operand::F32(&constants[index]),
        Source::Buffer(place) if place.buffer < inputs.len() => {
            Operand::F32(&inputs[place.buffer].values()[..place.elements])
        }
        Source::Buffer(place) => match place.kind {
            Kind::F32 => Operand::F32(&bytemuck::cast_slice(&buffers[place.buffer])[..place.elements]),
            _ => Operand::U8(&bytemuck::cast_slice(&buffers[place.buffer])[..place.elements + SLACK]),
        },
    }
}
