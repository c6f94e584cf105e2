//! Plan of the CPU -> launches of kernels over buffers; still no GPU in sight.
//!
//! What a graph input's floats become as bytes is computed on the CPU: the division there is exact, the GPU's need not
//! be, and bytes are a quarter of the upload.

use super::error::GpuError;
use super::layers;
use super::shader::{Products, Shader, WORKGROUP};
use crate::runtime::constant::Kind;
use crate::runtime::cpu::int8::{Level, Quantise};
use crate::runtime::graph::Graph;
use crate::runtime::plan::{Kernel, Place, Plan, Source, Step};

/// Channels of a picture.
pub const CHANNELS: usize = 3;
/// Bytes of a pixel of a picture, the fourth one of which is worth nothing.
pub const PIXEL: usize = 4;

/// Where an operand lies on the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// A buffer of the plan.
    Planned(usize),
    /// What was made of an input.
    Upload(usize),
    /// Floats that were known at load.
    Constant(usize),
}

/// What a run sends to the GPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Upload {
    /// Number of the input.
    pub input: usize,
    /// How its floats become bytes; they stay floats without.
    pub quantise: Option<Quantise>,
    /// Pixels of three channels get a fourth byte.
    pub widened: Option<u8>,
    /// Bytes on the GPU.
    pub bytes: usize,
}

impl Upload {
    /// `bytes`: what is sent for the floats of the input.
    pub fn bytes_of(&self, values: &[f32], bytes: &mut Vec<u8>) {
        bytes.clear();
        let Some(quantise) = &self.quantise else {
            bytes.extend_from_slice(bytemuck::cast_slice(values));
            return;
        };
        bytes.resize(values.len().next_multiple_of(4), 0);
        quantise.run(values, &mut bytes[..values.len()]);
        if let Some(fourth) = self.widened {
            // From the end, so that no pixel is overwritten before it is moved.
            let pixels = values.len() / CHANNELS;
            bytes.resize(pixels * PIXEL, fourth);
            for pixel in (0..pixels).rev() {
                let first = CHANNELS * pixel;
                bytes.copy_within(first..first + CHANNELS, PIXEL * pixel);
                bytes[PIXEL * pixel + CHANNELS] = fourth;
            }
        }
    }
}

/// One kernel, once.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Name of the node whose result this makes.
    pub name: String,
    /// What runs.
    pub shader: Shader,
    /// Its `Params`.
    pub params: Vec<u32>,
    /// Weights, biases, factors, tables.
    pub constants: Vec<u32>,
    /// The first operand.
    pub x: Memory,
    /// The second operand.
    pub second: Option<Memory>,
    /// What it writes.
    pub out: Memory,
    /// How many threads have something to do.
    pub threads: u32,
    /// Multiplications.
    pub multiply_adds: u64,
    /// Bytes that it reads and writes at least.
    pub bytes: usize,
}

/// A result that is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where it lies.
    pub memory: Memory,
    /// Its shape, of floats.
    pub shape: Vec<usize>,
}

/// Everything that a run launches, in order.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// What is sent first.
    pub uploads: Vec<Upload>,
    /// The kernels.
    pub launches: Vec<Launch>,
    /// Bytes of each buffer of the plan; 0 where nothing uses it.
    pub buffers: Vec<usize>,
    /// Floats that were known at load.
    pub constants: Vec<Vec<f32>>,
    /// What is read back.
    pub outputs: Vec<Output>,
    /// Shape of each input.
    pub inputs: Vec<Vec<usize>>,
}

impl Program {
    /// The program of `graph`, whose integer layers multiply by `products` where that is exact.
    ///
    /// # Errors
    /// Those of [`Plan::new`], and [`GpuError::Step`] for what has no kernel.
    pub fn new(graph: &Graph, products: Products) -> Result<Self, GpuError> {
        // Plainly packed weights can be read one by one.
        let plan = Plan::at(graph, Level::Scalar)?;
        let mut builder = Builder {
            plan: &plan,
            products,
            program: Program::default(),
            current: (0..plan.buffers.len()).map(Memory::Planned).collect(),
            widened: vec![false; plan.buffers.len()],
        };
        builder.program.buffers = vec![0; plan.buffers.len()];
        builder.program.inputs = plan.inputs.iter().map(|end| end.shape.clone()).collect();
        for (index, step) in plan.steps.iter().enumerate() {
            builder.add(index, step)?;
        }
        for end in &plan.outputs {
            let memory = builder.memory(&end.name, end.place)?;
            builder.program.outputs.push(Output { memory, shape: end.shape.clone() });
        }
        let Builder { mut program, .. } = builder;
        program.constants = plan.constants;
        Ok(program)
    }
}

/// A program on its way.
pub struct Builder<'a> {
    /// What it is made of.
    pub plan: &'a Plan,
    /// How integer layers multiply.
    pub products: Products,
    /// So far.
    pub program: Program,
    /// Where the content of each buffer of the plan lies now.
    current: Vec<Memory>,
    /// Buffers of the plan whose pixels have a fourth byte now.
    widened: Vec<bool>,
}

impl Builder<'_> {
    fn add(&mut self, index: usize, step: &Step) -> Result<(), GpuError> {
        if let (Kernel::Quantise(quantise), Source::Buffer(place)) = (&step.kernel, step.inputs[0])
            && place.buffer < self.plan.inputs.len()
        {
            let bytes = step.output.words() * 4;
            let quantise = Some(*quantise);
            self.current[step.output.buffer] =
                self.upload(Upload { input: place.buffer, quantise, widened: None, bytes });
            return Ok(());
        }
        let operands = step.inputs.iter().map(|&source| self.memory(&step.name, source));
        let operands = operands.collect::<Result<Vec<_>, _>>()?;
        let output = step.output.buffer;
        let is_widened = matches!(step.kernel, Kernel::Quantise(_)) && self.is_picture(index);
        self.widened[output] = is_widened;
        let launches = layers::launches(self, step, &operands)?;
        let widened = if is_widened { step.output.elements / CHANNELS * PIXEL } else { 0 };
        let bytes = (self.plan.buffers[output] * 4).max(widened);
        self.program.buffers[output] = self.program.buffers[output].max(bytes);
        self.current[output] = Memory::Planned(output);
        self.program.launches.extend(launches);
        Ok(())
    }

    /// Whether the step that reads the result of step `index` next is a dense layer of three channels.
    fn is_picture(&self, index: usize) -> bool {
        let output = self.plan.steps[index].output.buffer;
        let reads = |step: &&Step| {
            step.inputs.iter().any(|input| matches!(input, Source::Buffer(place) if place.buffer == output))
        };
        let reader = self.plan.steps[index + 1..].iter().find(reads);
        matches!(reader.map(|step| &step.kernel), Some(Kernel::ConvInt8(conv)) if conv.parts().channels == CHANNELS)
    }

    /// Where the operand `source` of step `name` lies.
    fn memory(&mut self, name: &str, source: Source) -> Result<Memory, GpuError> {
        match source {
            Source::Constant(index) => Ok(Memory::Constant(index)),
            Source::Buffer(place) if place.buffer >= self.plan.inputs.len() => Ok(self.current[place.buffer]),
            Source::Buffer(Place { buffer, elements, kind: Kind::F32 }) => {
                let upload = Upload { input: buffer, quantise: None, widened: None, bytes: 4 * elements };
                Ok(self.upload(upload))
            }
            Source::Buffer(_) => Err(refused(name, "its input is of bytes")),
        }
    }

    fn upload(&mut self, upload: Upload) -> Memory {
        let uploads = &mut self.program.uploads;
        let known = uploads.iter().position(|known| *known == upload);
        Memory::Upload(known.unwrap_or_else(|| {
            uploads.push(upload);
            uploads.len() - 1
        }))
    }

    /// Gives each pixel of three bytes in `x` a fourth one, `padding`, if it is what an input became.
    pub fn widen(&mut self, x: Memory, padding: u8) -> bool {
        let Memory::Upload(index) = x else { return self.is_widened(x) };
        let upload = &mut self.program.uploads[index];
        let Some(quantise) = upload.quantise.filter(|quantise| quantise.channels == CHANNELS) else {
            return false;
        };
        if upload.widened.is_none() {
            upload.widened = Some(padding);
            upload.bytes = quantise.pixels * PIXEL;
        }
        true
    }

    /// Pixels in the buffer that `step` writes have a fourth byte.
    pub fn writes_widened(&self, step: &Step) -> bool {
        self.widened[step.output.buffer]
    }

    /// Pixels of `x` have a fourth byte.
    pub fn is_widened(&self, x: Memory) -> bool {
        match x {
            Memory::Upload(index) => self.program.uploads[index].widened.is_some(),
            Memory::Planned(buffer) => self.widened[buffer],
            Memory::Constant(_) => false,
        }
    }
}

/// Why step `name` is not taken.
pub fn refused(name: &str, detail: impl Into<String>) -> GpuError {
    GpuError::Step { step: name.into(), detail: detail.into() }
}

/// Workgroups for so many threads, in two dimensions of at most `limit`.
pub fn workgroups(threads: u32, limit: u32) -> [u32; 2] {
    let groups = threads.div_ceil(WORKGROUP).max(1);
    let width = groups.min(limit);
    [width, groups.div_ceil(width)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_has_a_workgroup() {
        for (threads, limit, wanted) in [
            (0, 9, [1, 1]),
            (1, 9, [1, 1]),
            (65, 9, [2, 1]),
            (640, 9, [9, 2]),
            (u32::MAX, 65_535, [65_535, 1025]),
        ] {
            let [x, y] = workgroups(threads, limit);
            assert_eq!([x, y], wanted, "{threads}");
            assert!(u64::from(x) * u64::from(y) * u64::from(WORKGROUP) >= u64::from(threads));
        }
    }
}
