//! Our networks compute what timm's do: same names, same parameters, same logits.
//!
//! `tools/golden_networks.py` filled timm's networks by a formula and wrote their logits; here ours
//! are filled by the same formula.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{VarBuilder, VarMap};
use engine::Session;
use serde::Deserialize;
use trainer::export::onnx_bytes;
use trainer::models::{Model, parameter_count};

const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    preset: String,
    size: usize,
    parameters: usize,
    tensors: usize,
    logits: Vec<f32>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/networks.json")).unwrap()
}

/// Values in `[0, 1)`: FNV-1a of the name, then splitmix64 of hash and index.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (1..=count as u64).map(move |index| {
        let mut z = hash.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
    })
}

/// The formula's values of the tensor called `name`.
fn value(name: &str, shape: &[usize]) -> Result<Tensor> {
    let (scale, offset) = if shape.len() > 1 {
        let fan_in: usize = shape[1..].iter().product();
        let bound = (5.0 / fan_in as f64).sqrt();
        (2.0 * bound, -bound)
    } else if name.ends_with("running_var") || name.ends_with(".weight") {
        (0.5, 0.75)
    } else if name.ends_with("conv_expand.bias") {
        (0.2, 1.9)
    } else {
        (0.2, -0.1)
    };
    let values: Vec<f32> =
        uniform(name, shape.iter().product()).map(|u| (u * scale + offset) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// The case's network and pictures, filled by the formula.
fn filled(case: &Case) -> Result<(VarMap, Model, Tensor)> {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let network = Model::from_name(&vb, &case.preset)?.unwrap();
    for (name, variable) in variables.data().lock().unwrap().iter() {
        variable.set(&value(name, variable.dims())?)?;
    }
    let count = 2 * 3 * case.size * case.size;
    let pictures: Vec<f32> = uniform("picture", count).map(|u| (2.0 * u - 1.0) as f32).collect();
    let pictures = Tensor::from_vec(pictures, (2, 3, case.size, case.size), &Device::Cpu)?;
    Ok((variables, network, pictures))
}

fn assert_close(preset: &str, ours: f32, theirs: f32) {
    println!("{preset}: {ours}, expected {theirs}");
    assert!(
        (ours - theirs).abs() <= TOLERANCE * theirs.abs().max(1.0),
        "{preset}: {ours}, expected {theirs}"
    );
}

#[test]
fn networks_equal_timms() -> Result<()> {
    for case in golden().cases {
        let (variables, network, pictures) = filled(&case)?;
        assert_eq!(parameter_count(&variables), case.parameters, "parameters of {}", case.preset);
        assert_eq!(variables.data().lock().unwrap().len(), case.tensors, "tensors of {}", case.preset);
        let logits: Vec<f32> = network.forward_t(&pictures, false)?.to_vec1()?;
        assert_eq!(logits.len(), case.logits.len());
        for (ours, theirs) in logits.into_iter().zip(case.logits) {
            assert_close(&case.preset, ours, theirs);
        }
    }
    Ok(())
}

#[test]
fn what_is_exported_computes_the_same_in_the_engine() -> Result<()> {
    for case in golden().cases {
        let (_, network, pictures) = filled(&case)?;
        let onnx = onnx_bytes(&network, case.size, Vec::new())?;
        let mut session = Session::load(&onnx).unwrap();
        let picture = pictures.get(0)?.flatten_all()?.to_vec1::<f32>()?;
        let input = engine::Tensor::from_vec(vec![1, 3, case.size, case.size], picture);
        let trained = network.forward_t(&pictures, false)?.to_vec1::<f32>()?[0];
        assert_close(&case.preset, session.run(&input).unwrap().values()[0], trained);
    }
    Ok(())
}

#[test]
fn every_preset_has_a_golden() {
    let cases = golden().cases;
    for preset in Model::presets() {
        assert!(cases.iter().any(|case| case.preset == preset), "no golden for {preset}");
    }
}
