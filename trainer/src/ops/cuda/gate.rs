//! Maps and their factors: `gate.cu`.

use super::{Argument, Module, allocate, elements, finished, values};
use crate::ops::dims4;
use candle_core::cuda_backend::cudarc::driver::DeviceRepr;
use candle_core::{CudaStorage, Result, Shape, bail};

static MODULE: Module = Module::new("gate", include_str!("gate.cu"));

/// As in `gate.cu`: maps of `pixels` times `n` values, of which a kernel writes `count`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Maps {
    count: i64,
    pixels: i64,
    n: i64,
}

// SAFETY: plain integers in the order of C.
unsafe impl DeviceRepr for Maps {}

fn run(kernel: &str, arguments: &[Argument], shape: Shape) -> Result<(CudaStorage, Shape)> {
    let (x, layout) = arguments[0];
    let [_, h, w, n] = dims4(layout)?;
    let count = shape.elem_count();
    let maps = Maps { count: count as i64, pixels: (h * w) as i64, n: n as i64 };
    let inputs = arguments.iter().map(|&argument| values(argument)).collect::<Result<Vec<_>>>()?;
    let mut out = allocate(&x.device, count)?;
    MODULE.run(&x.device, (kernel, elements(count)?), maps, &inputs, &mut out.as_view_mut())?;
    finished(out, &x.device, shape)
}

/// `[C, 1, 1, N]`: means of `x` `[C, H, W, N]`.
pub fn mean_of_map(x: Argument) -> Result<(CudaStorage, Shape)> {
    let [c, _, _, n] = dims4(x.1)?;
    run("mean_of_map", &[x], Shape::from((c, 1, 1, n)))
}

/// `[C, 1, 1, N]`: dot products of `a` and `b`, both `[C, H, W, N]`.
pub fn dot_of_map(a: Argument, b: Argument) -> Result<(CudaStorage, Shape)> {
    let [c, _, _, n] = dims4(a.1)?;
    run("dot_of_map", &[a, b], Shape::from((c, 1, 1, n)))
}

/// `[C, H, W, N]`: `x` of that shape times `factor` `[C, 1, 1, N]`.
pub fn gate(x: Argument, factor: Argument) -> Result<(CudaStorage, Shape)> {
    let [c, _, _, n] = dims4(x.1)?;
    if factor.1.dims() != [c, 1, 1, n] {
        bail!("gate: factors {:?} for maps {:?}", factor.1.dims(), x.1.dims());
    }
    run("gate", &[x, factor], x.1.shape().clone())
}
