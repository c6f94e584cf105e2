//! A program on a device, with everything made that can be made before a run.

use super::device::Gpu;
use super::error::GpuError;
use super::program::{Memory, Program, workgroups};
use super::shader::{Products, Shader};
use super::slots::Slots;
use super::stopwatch::Stopwatch;
use crate::runtime::error::ModelError;
use crate::runtime::onnx;
use crate::tensor::Tensor;
use futures_channel::oneshot;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use wgpu30::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindGroupLayoutDescriptor,
    BindGroupLayoutEntry, BindingResource, BindingType, Buffer, BufferBindingType, BufferDescriptor,
    BufferUsages, CommandEncoderDescriptor, ComputePass, ComputePassDescriptor, ComputePipeline,
    ComputePipelineDescriptor, MapMode, PipelineLayoutDescriptor, ShaderModuleDescriptor, ShaderSource,
    ShaderStages,
};

/// A model on a GPU, ready to run.
pub struct GpuSession {
    gpu: Rc<Gpu>,
    program: Program,
    dispatches: Vec<Dispatch>,
    uploads: Vec<Buffer>,
    /// Where each output lies, and where in `staging` it goes.
    outputs: Vec<(Buffer, u64)>,
    /// What the CPU reads.
    staging: Buffer,
    /// Bytes of an upload on their way.
    scratch: RefCell<Vec<u8>>,
    bytes: u64,
}

/// A launch with all that it needs.
struct Dispatch {
    pipeline: ComputePipeline,
    bindings: BindGroup,
    workgroups: [u32; 2],
}

impl Dispatch {
    fn encode(&self, pass: &mut ComputePass) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.dispatch_workgroups(self.workgroups[0], self.workgroups[1], 1);
    }
}

impl GpuSession {
    /// Loads an ONNX file onto `gpu`.
    ///
    /// # Errors
    /// Any [`GpuError`].
    pub async fn load(gpu: &Rc<Gpu>, onnx: &[u8], products: Products) -> Result<Self, GpuError> {
        let program = Program::new(&onnx::parse(onnx)?, products)?;
        let session = Self::of(gpu, program)?;
        gpu.check().await?;
        Ok(session)
    }

    /// Puts `program` onto `gpu`.
    pub(super) fn of(gpu: &Rc<Gpu>, program: Program) -> Result<Self, GpuError> {
        let launches = &program.launches;
        let params = Slots::new(launches.iter().map(|launch| &launch.params[..]));
        let floats = program.constants.iter().map(|floats| bytemuck::cast_slice(floats));
        let constants = Slots::new(launches.iter().map(|launch| &launch.constants[..]).chain(floats));
        check_limits(gpu, &program, &constants)?;

        let mut maker = Maker { gpu, bytes: 0 };
        let planned: Vec<Buffer> = program.buffers.iter().map(|&bytes| maker.map(bytes)).collect();
        let uploads: Vec<Buffer> = program.uploads.iter().map(|upload| maker.map(upload.bytes)).collect();
        let params_buffer = maker.filled(&params.words, BufferUsages::UNIFORM);
        let constants_buffer = maker.filled(&constants.words, BufferUsages::STORAGE);
        let nothing = maker.map(0);

        let layout = layout(gpu);
        let limit = gpu.device().limits().max_compute_workgroups_per_dimension;
        let mut pipelines: HashMap<Shader, ComputePipeline> = HashMap::new();
        let operand = |memory: Memory| match memory {
            Memory::Planned(buffer) => planned[buffer].as_entire_binding(),
            Memory::Upload(upload) => uploads[upload].as_entire_binding(),
            Memory::Constant(constant) => constants.binding(&constants_buffer, launches.len() + constant),
        };
        let mut dispatches = Vec::with_capacity(launches.len());
        for (index, launch) in launches.iter().enumerate() {
            let made = pipelines.entry(launch.shader);
            let pipeline = made.or_insert_with(|| pipeline(gpu, &layout, launch.shader)).clone();
            let resources = [
                params.binding(&params_buffer, index),
                constants.binding(&constants_buffer, index),
                operand(launch.x),
                launch.second.map_or_else(|| nothing.as_entire_binding(), operand),
                operand(launch.out),
            ];
            let bindings = bind(gpu, &layout, &launch.name, resources);
            dispatches.push(Dispatch { pipeline, bindings, workgroups: workgroups(launch.threads, limit) });
        }

        let mut end = 0;
        let mut outputs = Vec::with_capacity(program.outputs.len());
        for output in &program.outputs {
            let buffer = match output.memory {
                Memory::Planned(buffer) => planned[buffer].clone(),
                Memory::Upload(upload) => uploads[upload].clone(),
                Memory::Constant(_) => {
                    let detail = "an output that does not depend on the input".into();
                    return Err(GpuError::Step { step: "output".into(), detail });
                }
            };
            outputs.push((buffer, end));
            end += 4 * output.shape.iter().product::<usize>() as u64;
        }
        let staging = maker.buffer(end, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
        let bytes = maker.bytes;
        let scratch = RefCell::default();
        Ok(GpuSession { gpu: gpu.clone(), program, dispatches, uploads, outputs, staging, scratch, bytes })
    }

    /// What a run launches.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The device that it is on.
    pub fn gpu(&self) -> &Rc<Gpu> {
        &self.gpu
    }

    /// Bytes of the device's memory that it has.
    pub fn memory_bytes(&self) -> u64 {
        self.bytes
    }

    /// The first output for the only input.
    ///
    /// # Errors
    /// Those of [`GpuSession::run_all`].
    pub async fn run(&self, input: &Tensor) -> Result<Tensor, GpuError> {
        let no_output = || GpuError::Step { step: "output".into(), detail: "there is none".into() };
        self.run_all(&[input]).await?.into_iter().next().ok_or_else(no_output)
    }

    /// Every output for `inputs`, in the file's order: one pass, one submission, one read-back.
    ///
    /// # Errors
    /// [`ModelError::Input`] if an input is missing or has another shape than the model's; [`GpuError::Fault`] and
    /// [`GpuError::Lost`] if the device reported anything, even if the numbers look right.
    pub async fn run_all(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, GpuError> {
        self.send(inputs)?;
        let mut encoder = self.gpu.device().create_command_encoder(&CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
            self.dispatches.iter().for_each(|dispatch| dispatch.encode(&mut pass));
        }
        for ((buffer, at), output) in self.outputs.iter().zip(&self.program.outputs) {
            let bytes = 4 * output.shape.iter().product::<usize>() as u64;
            encoder.copy_buffer_to_buffer(buffer, 0, &self.staging, *at, bytes);
        }
        self.gpu.queue().submit([encoder.finish()]);
        let results = self.read().await;
        self.gpu.check().await?;
        results
    }

    /// Milliseconds of the device's own clock that each launch takes, in a run of them all with `inputs`; nothing where the
    /// device shows no clock.
    ///
    /// # Errors
    /// Those of [`GpuSession::run_all`].
    pub async fn profile(&self, inputs: &[&Tensor]) -> Result<Option<Vec<f64>>, GpuError> {
        let Some(stopwatch) = Stopwatch::new(&self.gpu, self.dispatches.len()) else { return Ok(None) };
        self.send(inputs)?;
        let mut encoder = self.gpu.device().create_command_encoder(&CommandEncoderDescriptor::default());
        for (index, dispatch) in self.dispatches.iter().enumerate() {
            let timestamp_writes = Some(stopwatch.around(index));
            let descriptor = ComputePassDescriptor { label: None, timestamp_writes };
            dispatch.encode(&mut encoder.begin_compute_pass(&descriptor));
        }
        stopwatch.stop(&mut encoder);
        self.gpu.queue().submit([encoder.finish()]);
        let times = stopwatch.read(&self.gpu).await;
        self.gpu.check().await?;
        times.map(Some)
    }

    /// Sends what becomes of the inputs.
    fn send(&self, inputs: &[&Tensor]) -> Result<(), GpuError> {
        for (index, shape) in self.program.inputs.iter().enumerate() {
            let given = inputs.get(index).filter(|_| inputs.len() == self.program.inputs.len());
            if given.is_none_or(|given| given.shape() != shape) {
                let actual = inputs.get(index).map_or_else(Vec::new, |given| given.shape().to_vec());
                return Err(ModelError::Input { expected: shape.clone(), actual }.into());
            }
        }
        let mut scratch = self.scratch.borrow_mut();
        for (upload, buffer) in self.program.uploads.iter().zip(&self.uploads) {
            upload.bytes_of(inputs[upload.input].values(), &mut scratch);
            self.gpu.queue().write_buffer(buffer, 0, &scratch);
        }
        Ok(())
    }

    /// What the last submission left in `staging`.
    async fn read(&self) -> Result<Vec<Tensor>, GpuError> {
        let bytes = read_back(&self.gpu, &self.staging).await?;
        let mut values = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let tensor = |shape: &Vec<usize>| {
            let count = shape.iter().product();
            Tensor::from_vec(shape.clone(), values.by_ref().take(count).collect())
        };
        Ok(self.program.outputs.iter().map(|output| &output.shape).map(tensor).collect())
    }
}

/// The bytes of `staging` once all submissions before are done.
pub(super) async fn read_back(gpu: &Gpu, staging: &Buffer) -> Result<Vec<u8>, GpuError> {
    let fault = |detail: String| GpuError::Fault { detail };
    let (sender, receiver) = oneshot::channel();
    staging.map_async(MapMode::Read, .., move |mapped| {
        // Nobody may be waiting any more.
        let _ = sender.send(mapped);
    });
    #[cfg(not(target_arch = "wasm32"))]
    gpu.device().poll(wgpu30::PollType::wait_indefinitely()).map_err(|error| fault(error.to_string()))?;
    #[cfg(target_arch = "wasm32")]
    let _ = gpu;
    let mapped = receiver.await.map_err(|_| fault("the result was not given back".into()))?;
    mapped.map_err(|error| fault(error.to_string()))?;
    let view = staging.get_mapped_range(..).map_err(|error| fault(error.to_string()))?;
    let bytes = view.to_vec();
    drop(view);
    staging.unmap();
    Ok(bytes)
}

/// Whether the device takes as much.
fn check_limits(gpu: &Gpu, program: &Program, constants: &Slots) -> Result<(), GpuError> {
    let limits = gpu.device().limits();
    let maps = program.buffers.iter().copied().chain(program.uploads.iter().map(|upload| upload.bytes));
    let largest = maps.chain(constants.sizes()).max().unwrap_or(0) as u64;
    let bound = limits.max_storage_buffer_binding_size;
    if largest > bound {
        return Err(GpuError::Limit { what: format!("a binding of {largest} bytes"), limit: bound });
    }
    let (all, size) = (4 * constants.words.len() as u64, limits.max_buffer_size);
    if all > size {
        return Err(GpuError::Limit { what: format!("{all} bytes of weights"), limit: size });
    }
    let (invocations, threads) = (limits.max_compute_invocations_per_workgroup, super::shader::WORKGROUP);
    if invocations < threads {
        return Err(GpuError::Limit { what: format!("{threads} threads"), limit: invocations.into() });
    }
    Ok(())
}

/// Makes buffers and counts their bytes.
struct Maker<'a> {
    gpu: &'a Gpu,
    bytes: u64,
}

impl Maker<'_> {
    fn buffer(&mut self, bytes: u64, usage: BufferUsages) -> Buffer {
        let size = bytes.max(16).next_multiple_of(16);
        self.bytes += size;
        let descriptor = BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        self.gpu.device().create_buffer(&descriptor)
    }

    fn map(&mut self, bytes: usize) -> Buffer {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        self.buffer(bytes as u64, usage)
    }

    fn filled(&mut self, words: &[u32], usage: BufferUsages) -> Buffer {
        let buffer = self.buffer(4 * words.len() as u64, usage | BufferUsages::COPY_DST);
        self.gpu.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        buffer
    }
}

/// Parameters, constants, two operands, result.
fn layout(gpu: &Gpu) -> BindGroupLayout {
    let read = BufferBindingType::Storage { read_only: true };
    let types =
        [BufferBindingType::Uniform, read, read, read, BufferBindingType::Storage { read_only: false }];
    let entry = |(binding, ty): (u32, BufferBindingType)| BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let entries: Vec<_> = (0..).zip(types).map(entry).collect();
    gpu.device().create_bind_group_layout(&BindGroupLayoutDescriptor { label: None, entries: &entries })
}

fn bind(gpu: &Gpu, layout: &BindGroupLayout, label: &str, resources: [BindingResource; 5]) -> BindGroup {
    let entries: Vec<_> =
        (0..).zip(resources).map(|(binding, resource)| BindGroupEntry { binding, resource }).collect();
    let descriptor = BindGroupDescriptor { label: Some(label), layout, entries: &entries };
    gpu.device().create_bind_group(&descriptor)
}

fn pipeline(gpu: &Gpu, layout: &BindGroupLayout, shader: Shader) -> ComputePipeline {
    let (device, label) = (gpu.device(), Some(shader.name()));
    let source = ShaderSource::Wgsl(shader.source().into());
    let module = device.create_shader_module(ShaderModuleDescriptor { label, source });
    let layouts = [Some(layout)];
    let layout = device.create_pipeline_layout(&PipelineLayoutDescriptor {
        label,
        bind_group_layouts: &layouts,
        immediate_size: 0,
    });
    device.create_compute_pipeline(&ComputePipelineDescriptor {
        label,
        layout: Some(&layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    })
}
