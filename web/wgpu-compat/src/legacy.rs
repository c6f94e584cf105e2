//! wgpu 0.16's types, where they differ from wgpu 30 in what wonnx calls.

use std::convert::Infallible;
use std::ops::Deref;
use std::path::Path;

use crate::{
    Backends, ComputePass, ComputePipeline, DeviceDescriptor, Label, PipelineLayout, Queue, ShaderModule,
};

/// Which backends an [`Instance`] may use: ignored, the browser's WebGPU is the only one.
pub struct InstanceDescriptor {
    /// Ignored.
    pub backends: Backends,
    /// Ignored.
    pub dx12_shader_compiler: Dx12Compiler,
}

/// Compiler of Direct3D 12 shaders: ignored.
pub enum Dx12Compiler {
    /// The old one.
    Fxc,
}

/// Stands for the browser's `navigator.gpu`; the engine's device has the real one.
pub struct Instance;

impl Instance {
    /// The instance.
    pub fn new(_descriptor: InstanceDescriptor) -> Self {
        Self
    }
}

/// An adapter that knows one device: the one that was lent.
pub struct Adapter {
    pub(crate) device: wgpu30::Device,
    pub(crate) queue: Queue,
}

impl Adapter {
    /// The lent device and its queue.
    ///
    /// # Errors
    /// None.
    pub async fn request_device(
        &self,
        _descriptor: &DeviceDescriptor<'_>,
        _trace_path: Option<&Path>,
    ) -> Result<(Device, Queue), Infallible> {
        Ok((Device(self.device.clone()), self.queue.clone()))
    }
}

/// A device with the old calls; the others are wgpu 30's.
#[derive(Clone, Debug)]
pub struct Device(wgpu30::Device);

impl Device {
    /// A compute pipeline.
    pub fn create_compute_pipeline(&self, descriptor: &ComputePipelineDescriptor<'_>) -> ComputePipeline {
        self.0.create_compute_pipeline(&wgpu30::ComputePipelineDescriptor {
            label: descriptor.label,
            layout: descriptor.layout,
            module: descriptor.module,
            entry_point: Some(descriptor.entry_point),
            compilation_options: Default::default(),
            cache: None,
        })
    }

    /// A command encoder with the old calls.
    pub fn create_command_encoder(&self, descriptor: &crate::CommandEncoderDescriptor<'_>) -> CommandEncoder {
        CommandEncoder(self.0.create_command_encoder(descriptor))
    }

    /// Waits for the work handed in. A browser cannot, and needs not.
    pub fn poll(&self, _maintain: Maintain) {
        // A failed wait shows in the read-back that follows.
        let _ = self.0.poll(wgpu30::PollType::wait_indefinitely());
    }
}

impl Deref for Device {
    type Target = wgpu30::Device;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// How long [`Device::poll`] blocks.
pub enum Maintain {
    /// Until all work is done.
    Wait,
}

/// What a compute pipeline is made of.
pub struct ComputePipelineDescriptor<'a> {
    /// Name in messages.
    pub label: Label<'a>,
    /// Layout of the bind groups; derived from the shader if missing.
    pub layout: Option<&'a PipelineLayout>,
    /// The shader.
    pub module: &'a ShaderModule,
    /// Its entry point.
    pub entry_point: &'a str,
}

/// What a compute pass is made of.
pub struct ComputePassDescriptor<'a> {
    /// Name in messages.
    pub label: Label<'a>,
}

/// Records commands.
pub struct CommandEncoder(wgpu30::CommandEncoder);

impl CommandEncoder {
    /// A pass that ends when it is dropped.
    pub fn begin_compute_pass(&mut self, descriptor: &ComputePassDescriptor<'_>) -> ComputePass<'_> {
        self.0.begin_compute_pass(&wgpu30::ComputePassDescriptor {
            label: descriptor.label,
            timestamp_writes: None,
        })
    }

    /// The recorded commands.
    pub fn finish(self) -> crate::CommandBuffer {
        self.0.finish()
    }
}
