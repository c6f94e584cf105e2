//! Windows over maps: `convolution.cu`.

use super::{Argument, Module, allocate, blocks, elements, finished, values};
use crate::ops::{Window, dims4};
use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::{CudaView, DeviceRepr, LaunchConfig};
use candle_core::{CudaStorage, Result, Shape, bail};

static MODULE: Module = Module::new("convolution", include_str!("convolution.cu"));

/// Threads that sum one tap of a weight's gradient.
const SUMMING: u32 = 256;

/// As in `convolution.cu`: maps `[c, h, w, n]`, windows `[oh, ow]` on each.
#[repr(C)]
#[derive(Clone, Copy)]
struct Geometry {
    c: i32,
    h: i32,
    w: i32,
    n: i32,
    oh: i32,
    ow: i32,
    kernel: i32,
    stride: i32,
    top: i32,
    left: i32,
}

// SAFETY: plain integers in the order of C.
unsafe impl DeviceRepr for Geometry {}

impl Geometry {
    fn new(window: Window, [c, h, w, n]: [usize; 4]) -> Result<Self> {
        let (vertical, horizontal) = (window.axis(h), window.axis(w));
        let values = [
            c,
            h,
            w,
            n,
            vertical.output,
            horizontal.output,
            window.kernel,
            window.stride,
            vertical.before,
            horizontal.before,
        ];
        if values.iter().any(|&value| i32::try_from(value).is_err()) {
            bail!("maps {:?} are too large for the kernels", [c, h, w, n]);
        }
        let [c, h, w, n, oh, ow, kernel, stride, top, left] = values.map(|value| value as i32);
        Ok(Geometry { c, h, w, n, oh, ow, kernel, stride, top, left })
    }

    fn launch(
        self,
        device: &CudaDevice,
        kernel: (&str, LaunchConfig),
        inputs: &[CudaView<f32>],
        shape: Shape,
    ) -> Result<(CudaStorage, Shape)> {
        let mut out = allocate(device, shape.elem_count())?;
        MODULE.run(device, kernel, self, inputs, &mut out.as_view_mut())?;
        finished(out, device, shape)
    }
}

/// `[C, OH, OW, N]` of `x` `[C, H, W, N]` and `weight` `[C, 1, K, K]`.
pub fn depthwise(window: Window, x: Argument, weight: Argument) -> Result<(CudaStorage, Shape)> {
    let [c, h, w, n] = dims4(x.1)?;
    if weight.1.dims() != [c, 1, window.kernel, window.kernel] {
        bail!("depthwise-conv: weight {:?} for {c} channels and {window:?}", weight.1.dims());
    }
    let shape = Shape::from((c, window.output(h), window.output(w), n));
    let kernel = ("depthwise", elements(shape.elem_count())?);
    let inputs = [values(x)?, values(weight)?];
    Geometry::new(window, [c, h, w, n])?.launch(&x.0.device, kernel, &inputs, shape)
}

/// `[C, H, W, N]`: the gradient of the input, of height and width `[h, w]`.
pub fn depthwise_grad_input(
    window: Window,
    [h, w]: [usize; 2],
    grad: Argument,
    weight: Argument,
) -> Result<(CudaStorage, Shape)> {
    let [c, _, _, n] = dims4(grad.1)?;
    let shape = Shape::from((c, h, w, n));
    let kernel = ("depthwise_grad_input", elements(shape.elem_count())?);
    let inputs = [values(grad)?, values(weight)?];
    Geometry::new(window, [c, h, w, n])?.launch(&grad.0.device, kernel, &inputs, shape)
}

/// `[C, 1, K, K]`: the gradient of the weight.
pub fn depthwise_grad_weight(window: Window, x: Argument, grad: Argument) -> Result<(CudaStorage, Shape)> {
    let dims = dims4(x.1)?;
    let shape = Shape::from((dims[0], 1, window.kernel, window.kernel));
    let kernel = ("depthwise_grad_weight", blocks::<f32>(shape.elem_count(), SUMMING)?);
    Geometry::new(window, dims)?.launch(&x.0.device, kernel, &[values(x)?, values(grad)?], shape)
}

/// `[C * K * K, OH * OW * N]` of `x` `[C, H, W, N]`.
pub fn im2col(window: Window, x: Argument) -> Result<(CudaStorage, Shape)> {
    let [c, h, w, n] = dims4(x.1)?;
    let rows = c * window.kernel * window.kernel;
    let shape = Shape::from((rows, window.output(h) * window.output(w) * n));
    let kernel = ("im2col", elements(shape.elem_count())?);
    Geometry::new(window, [c, h, w, n])?.launch(&x.0.device, kernel, &[values(x)?], shape)
}

/// The map of `dims` `[C, H, W, N]` that columns are added back to.
pub fn col2im(window: Window, dims: [usize; 4], columns: Argument) -> Result<(CudaStorage, Shape)> {
    let shape = Shape::from(dims.to_vec());
    let kernel = ("col2im", elements(shape.elem_count())?);
    Geometry::new(window, dims)?.launch(&columns.0.device, kernel, &[values(columns)?], shape)
}
