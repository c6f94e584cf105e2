//! The gradients of our candle operations equal central differences of their values.
//!
//! The operations' own tests compare with candle's formulas; this one trusts no formula at all.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use candle_core::{Device, Result, Tensor, Var};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trainer::ops::{
    Activation, Grouping, Partition, Window, attention, batch_norm_eval, batch_norm_train, depthwise_conv,
    im2col, softmax, transposed_conv,
};

fn random(shape: &[usize], seed: u64) -> Result<Var> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// Sum over `operation`'s values, each with a weight of its own, in double precision.
fn weighted_sum(operation: &dyn Fn() -> Result<Tensor>) -> Result<f64> {
    let values = operation()?.flatten_all()?.to_vec1::<f32>()?;
    let weights = random(&[values.len()], 99)?.to_vec1::<f32>()?;
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
    let weights = random(&[values.elem_count()], 99)?.reshape(values.shape())?;
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
                variable.set(&Tensor::from_vec(moved, &shape[..], &Device::Cpu)?)?;
                weighted_sum(operation)
            };
            let (above, below) = (value + h, value - h);
            let difference = (at(above)? - at(below)?) / f64::from(above - below);
            largest = largest.max((difference - f64::from(gradient[index])).abs());
        }
        variable.set(&Tensor::from_vec(original, &shape[..], &Device::Cpu)?)?;
        assert!(largest <= tolerance, "variable {number}: differences of up to {largest}");
    }
    Ok(())
}

#[test]
fn of_the_depthwise_convolution() -> Result<()> {
    for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1)] {
        let (x, w) = (random(&[2, 5, 6, 3], 1)?, random(&[2, 1, kernel, kernel], 2)?);
        let window = Window::same(kernel, stride);
        // It is linear in each element, so that a large step costs no accuracy.
        gradients_equal_differences(&[&x, &w], 0.5, 1e-4, &|| depthwise_conv(&x, &w, window))?;
    }
    Ok(())
}

#[test]
fn of_the_convolution_through_columns() -> Result<()> {
    for (kernel, stride) in [(1, 1), (1, 2), (3, 1), (3, 2), (5, 2)] {
        let (x, w) = (random(&[2, 5, 6, 3], 1)?, random(&[3, 2 * kernel * kernel], 2)?);
        let window = Window::same(kernel, stride);
        gradients_equal_differences(&[&x, &w], 0.5, 1e-4, &|| w.matmul(&im2col(&x, window)?))?;
    }
    Ok(())
}

#[test]
fn of_the_batch_norm_in_training() -> Result<()> {
    let (x, gamma, beta) = (random(&[2, 3, 3, 4], 1)?, random(&[2], 2)?, random(&[2], 3)?);
    let identity = || Ok(batch_norm_train(&x, &gamma, &beta, 1e-5, Activation::Identity)?.0);
    gradients_equal_differences(&[&x, &gamma, &beta], 1e-2, 2e-3, &identity)
}

/// Away from the kinks a ReLU only chooses whose gradients pass: here a shift keeps all, then none.
#[test]
fn of_the_batch_norm_with_relu() -> Result<()> {
    for (shift, passes) in [(9f32, true), (-9.0, false)] {
        let (x, gamma) = (random(&[2, 3, 3, 4], 1)?, random(&[2], 2)?);
        let beta = Var::from_tensor(&Tensor::new(&[shift, shift], &Device::Cpu)?)?;
        let relu = || Ok(batch_norm_train(&x, &gamma, &beta, 1e-5, Activation::Relu)?.0);
        gradients_equal_differences(&[&x, &gamma, &beta], 1e-2, 5e-3, &relu)?;
        let beta_gradient = relu()?.sum_all()?.backward()?.get(&beta).unwrap().to_vec1::<f32>()?;
        assert_eq!(beta_gradient.iter().all(|&gradient| gradient != 0.0), passes);
    }
    Ok(())
}

#[test]
fn of_the_batch_norm_in_evaluation() -> Result<()> {
    let (x, gamma, beta) = (random(&[2, 3, 3, 4], 1)?, random(&[2], 2)?, random(&[2], 3)?);
    let moments = [Tensor::new(&[0.1f32, -0.3], &Device::Cpu)?, Tensor::new(&[0.5f32, 2.0], &Device::Cpu)?];
    let operation =
        || batch_norm_eval(&x, [&gamma, &beta, &moments[0], &moments[1]], 1e-5, Activation::Identity);
    gradients_equal_differences(&[&x, &gamma, &beta], 0.25, 1e-3, &operation)
}

#[test]
fn of_the_softmax() -> Result<()> {
    let x = random(&[2, 3, 5], 1)?;
    gradients_equal_differences(&[&x], 1e-2, 1e-4, &|| softmax(&x))
}

#[test]
fn of_the_transposed_convolution() -> Result<()> {
    let (x, w) = (random(&[3, 2, 3, 2], 1)?, random(&[3, 2, 2, 2], 2)?);
    gradients_equal_differences(&[&x, &w], 0.5, 1e-4, &|| transposed_conv(&x, &w))
}

/// Queries, keys, values and bias, with heads of their own in windows, and with shared keys on a smaller map.
#[test]
fn of_the_attention() -> Result<()> {
    for partition in [Partition::Adjacent(2), Partition::Strided(2)] {
        let [q, k, v] = [1, 2, 3].map(|seed| random(&[4, 4, 2, 3], seed).unwrap());
        let bias = random(&[2, 4, 4], 4)?;
        let grouping = Grouping { heads: 2, kv_heads: 2, partition };
        let operation = || attention([&q, &k, &v], grouping, Some(&bias));
        gradients_equal_differences(&[&q, &k, &v, &bias], 1e-2, 3e-4, &operation)?;
    }
    let q = random(&[4, 4, 4, 2], 1)?;
    let [k, v] = [2, 3].map(|seed| random(&[2, 2, 2, 2], seed).unwrap());
    let grouping = Grouping { heads: 2, kv_heads: 1, partition: Partition::Whole };
    gradients_equal_differences(&[&q, &k, &v], 1e-2, 3e-4, &|| attention([&q, &k, &v], grouping, None))
}
