//! The gradients of our candle operations equal central differences of their values.
//!
//! The operations' own tests compare with candle's formulas; this one trusts no formula at all.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use candle_core::{Device, Result, Tensor, Var};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trainer::device::DeviceKind;
use trainer::ops::{
    Activation, Window, batch_norm_eval, batch_norm_train, depthwise_conv, gate, im2col, mean_of_map,
};

/// The processor, and a GPU where there is one that this build can use.
fn devices() -> Vec<Device> {
    let gpu = DeviceKind::Cuda.open().ok();
    [Device::Cpu].into_iter().chain(gpu).collect()
}

fn random(device: &Device, shape: &[usize], seed: u64) -> Result<Var> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, device)?)
}

/// Sum over `operation`'s values, each with a weight of its own, in double precision.
fn weighted_sum(operation: &dyn Fn() -> Result<Tensor>) -> Result<f64> {
    let values = operation()?.flatten_all()?.to_vec1::<f32>()?;
    let weights = random(&Device::Cpu, &[values.len()], 99)?.to_vec1::<f32>()?;
    Ok(values.iter().zip(&weights).map(|(value, weight)| f64::from(*value) * f64::from(*weight)).sum())
}

/// Compares each element of each variable's gradient with `(f(x + h) - f(x - h)) / 2h`.
fn gradients_equal_differences(
    variables: &[&Var],
    h: f32,
    tolerance: f64,
    operation: &dyn Fn() -> Result<Tensor>,
) -> Result<()> {
    let values = operation()?;
    let weights = random(values.device(), &[values.elem_count()], 99)?.reshape(values.shape())?;
    let grads = (values * weights)?.sum_all()?.backward()?;
    for (number, variable) in variables.iter().enumerate() {
        let shape = variable.dims().to_vec();
        let original = variable.flatten_all()?.to_vec1::<f32>()?;
        let gradient = grads.get(variable).unwrap().flatten_all()?.to_vec1::<f32>()?;
        let mut largest = 0f64;
        for (index, &value) in original.iter().enumerate() {
            let at = |value: f32| -> Result<f64> {
                let mut moved = original.clone();
                moved[index] = value;
                variable.set(&Tensor::from_vec(moved, &shape[..], variable.device())?)?;
                weighted_sum(operation)
            };
            let (above, below) = (value + h, value - h);
            let difference = (at(above)? - at(below)?) / f64::from(above - below);
            largest = largest.max((difference - f64::from(gradient[index])).abs());
        }
        variable.set(&Tensor::from_vec(original, &shape[..], variable.device())?)?;
        assert!(largest <= tolerance, "variable {number}: differences of up to {largest}");
    }
    Ok(())
}

/// Windows of these kernels and strides under both paddings.
fn windows(sizes: &[(usize, usize)]) -> Vec<Window> {
    let both =
        |&(kernel, stride): &_| [Window::same(kernel, stride), Window::tensorflow_same(kernel, stride)];
    sizes.iter().flat_map(both).collect()
}

#[test]
fn of_the_depthwise_convolution() -> Result<()> {
    for device in devices() {
        for window in windows(&[(3, 1), (3, 2), (5, 1), (5, 2), (7, 1)]) {
            let (x, w) = (
                random(&device, &[2, 5, 6, 3], 1)?,
                random(&device, &[2, 1, window.kernel, window.kernel], 2)?,
            );
            // It is linear in each element, so that a large step costs no accuracy.
            gradients_equal_differences(&[&x, &w], 0.5, 1e-4, &|| depthwise_conv(&x, &w, window))?;
        }
    }
    Ok(())
}

#[test]
fn of_the_convolution_through_columns() -> Result<()> {
    for device in devices() {
        for window in windows(&[(1, 1), (1, 2), (3, 1), (3, 2), (5, 2)]) {
            let (x, w) = (
                random(&device, &[2, 5, 6, 3], 1)?,
                random(&device, &[3, 2 * window.kernel * window.kernel], 2)?,
            );
            gradients_equal_differences(&[&x, &w], 0.5, 1e-4, &|| w.matmul(&im2col(&x, window)?))?;
        }
    }
    Ok(())
}

#[test]
fn of_the_batch_norm_in_training() -> Result<()> {
    for device in devices() {
        let (x, gamma, beta) =
            (random(&device, &[2, 3, 3, 4], 1)?, random(&device, &[2], 2)?, random(&device, &[2], 3)?);
        let identity = || Ok(batch_norm_train(&x, &gamma, &beta, 1e-5, Activation::Identity)?.0);
        gradients_equal_differences(&[&x, &gamma, &beta], 1e-2, 2e-3, &identity)?;
    }
    Ok(())
}

/// Away from the kinks a ReLU only chooses whose gradients pass: here a shift keeps all, then none.
#[test]
fn of_the_batch_norm_with_relu() -> Result<()> {
    for device in devices() {
        for (shift, passes) in [(9f32, true), (-9.0, false)] {
            let (x, gamma) = (random(&device, &[2, 3, 3, 4], 1)?, random(&device, &[2], 2)?);
            let beta = Var::from_tensor(&Tensor::new(&[shift, shift], &device)?)?;
            let relu = || Ok(batch_norm_train(&x, &gamma, &beta, 1e-5, Activation::Relu)?.0);
            gradients_equal_differences(&[&x, &gamma, &beta], 1e-2, 5e-3, &relu)?;
            let beta_gradient = relu()?.sum_all()?.backward()?.get(&beta).unwrap().to_vec1::<f32>()?;
            assert_eq!(beta_gradient.iter().all(|&gradient| gradient != 0.0), passes);
        }
    }
    Ok(())
}

#[test]
fn of_the_batch_norm_in_evaluation() -> Result<()> {
    for device in devices() {
        let (x, gamma, beta) =
            (random(&device, &[2, 3, 3, 4], 1)?, random(&device, &[2], 2)?, random(&device, &[2], 3)?);
        let moments = [Tensor::new(&[0.1f32, -0.3], &device)?, Tensor::new(&[0.5f32, 2.0], &device)?];
        let operation =
            || batch_norm_eval(&x, [&gamma, &beta, &moments[0], &moments[1]], 1e-5, Activation::Identity);
        gradients_equal_differences(&[&x, &gamma, &beta], 0.25, 1e-3, &operation)?;
    }
    Ok(())
}

/// The slope of SiLU depends on the value, so that the batch norm must find that again.
#[test]
fn of_the_batch_norm_with_silu() -> Result<()> {
    for device in devices() {
        let (x, gamma, beta) =
            (random(&device, &[2, 3, 3, 4], 1)?, random(&device, &[2], 2)?, random(&device, &[2], 3)?);
        let train = || Ok(batch_norm_train(&x, &gamma, &beta, 1e-3, Activation::Silu)?.0);
        gradients_equal_differences(&[&x, &gamma, &beta], 1e-2, 2e-3, &train)?;
        let moments = [Tensor::new(&[0.1f32, -0.3], &device)?, Tensor::new(&[0.5f32, 2.0], &device)?];
        let evaluate =
            || batch_norm_eval(&x, [&gamma, &beta, &moments[0], &moments[1]], 1e-3, Activation::Silu);
        gradients_equal_differences(&[&x, &gamma, &beta], 1e-2, 2e-3, &evaluate)?;
    }
    Ok(())
}

#[test]
fn of_gates_and_means() -> Result<()> {
    for device in devices() {
        let (x, factor) = (random(&device, &[2, 3, 3, 4], 1)?, random(&device, &[2, 1, 1, 4], 2)?);
        gradients_equal_differences(&[&x, &factor], 0.5, 1e-4, &|| gate(&x, &factor))?;
        gradients_equal_differences(&[&x], 0.5, 1e-4, &|| mean_of_map(&x))?;
    }
    Ok(())
}
