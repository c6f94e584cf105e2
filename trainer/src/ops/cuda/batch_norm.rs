//! Batch norm with its activation: `batch_norm.cu`.

use super::{Argument, Module, allocate, blocks, elements, finished, values, values_of};
use crate::ops::batch_norm::{Activation, BatchNorm, BatchNormGrad};
use crate::ops::dims4;
use candle_core::cuda_backend::cudarc::driver::DeviceRepr;
use candle_core::{CudaStorage, Layout, Result, Shape};

static MODULE: Module = Module::new("batch_norm", include_str!("batch_norm.cu"));

/// Threads that sum one channel: there are few channels where maps are large.
const SUMMING: u32 = 1024;

/// As in `batch_norm.cu`: each of `channels` is a row of `row` values.
#[repr(C)]
#[derive(Clone, Copy)]
struct Row {
    channels: i32,
    activation: i32,
    from_batch: i32,
    epsilon: f32,
    row: i64,
}

// SAFETY: plain numbers in the order of C.
unsafe impl DeviceRepr for Row {}

impl Row {
    fn new(layout: &Layout) -> Result<Self> {
        let [c, h, w, n] = dims4(layout)?;
        Ok(Row { channels: c as i32, activation: 0, from_batch: 0, epsilon: 0.0, row: (h * w * n) as i64 })
    }

    fn of(op: &BatchNorm, layout: &Layout) -> Result<Self> {
        let activation = match op.activation {
            Activation::Identity => 0,
            Activation::Relu => 1,
            Activation::Relu6 => 2,
            Activation::Silu => 3,
        };
        let from_batch = i32::from(op.from_batch);
        Ok(Row { activation, from_batch, epsilon: op.epsilon, ..Self::new(layout)? })
    }
}

/// `[2, C]`: means and biased variances of `x` `[C, H, W, N]`.
pub fn moments(x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
    let c = layout.dims()[0];
    let mut out = allocate(&x.device, 2 * c)?;
    let kernel = ("moments", blocks::<f64>(c, SUMMING)?);
    let inputs = [values((x, layout))?];
    MODULE.run(&x.device, kernel, Row::new(layout)?, &inputs, &mut out.as_view_mut())?;
    finished(out, &x.device, (2, c))
}

/// `[C, H, W, N]`: `x` normalised and activated as `op` says.
pub fn forward(op: &BatchNorm, x: Argument, gamma: Argument, beta: Argument) -> Result<(CudaStorage, Shape)> {
    let (moments, layout) = op.moments.storage_and_layout();
    let (device, shape) = (&x.0.device, x.1.shape().clone());
    let mut out = allocate(device, shape.elem_count())?;
    let kernel = ("batch_norm", elements(shape.elem_count())?);
    let inputs = [values(x)?, values(gamma)?, values(beta)?, values_of(&moments, layout)?];
    MODULE.run(device, kernel, Row::of(op, x.1)?, &inputs, &mut out.as_view_mut())?;
    finished(out, device, shape)
}

/// The gradients of `x`, gamma and beta, one behind the other.
pub fn backward(op: &BatchNormGrad, x: Argument, grad: Argument) -> Result<(CudaStorage, Shape)> {
    let (device, count, c) = (&x.0.device, x.1.shape().elem_count(), x.1.dims()[0]);
    let (gamma, gamma_layout) = op.gamma.storage_and_layout();
    let (beta, beta_layout) = op.beta.storage_and_layout();
    let (moments, moments_layout) = op.forward.moments.storage_and_layout();
    let mut inputs = vec![
        values(x)?,
        values(grad)?,
        values_of(&gamma, gamma_layout)?,
        values_of(&beta, beta_layout)?,
        values_of(&moments, moments_layout)?,
    ];
    let row = Row::of(&op.forward, x.1)?;
    let mut out = allocate(device, count + 2 * c)?;
    let (mut grad_x, mut tail) = out.split_at_mut(count);
    MODULE.run(device, ("batch_norm_grad_affine", blocks::<f64>(c, SUMMING)?), row, &inputs, &mut tail)?;
    inputs.push(tail.as_view());
    MODULE.run(device, ("batch_norm_grad_input", elements(count)?), row, &inputs, &mut grad_x)?;
    drop(inputs);
    finished(out, device, count + 2 * c)
}
