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
    size: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    preset: String,
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
    } else if name.ends_with("layer_scale.gamma") {
        (0.2, 0.4)
    } else if name.ends_with("running_var") || name.ends_with(".weight") {
        (0.5, 0.75)
    } else {
        (0.2, -0.1)
    };
    let values: Vec<f32> =
        uniform(name, shape.iter().product()).map(|u| (u * scale + offset) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

#[test]
fn networks_equal_timms() -> Result<()> {
    let Golden { size, cases } = golden();
    for case in cases {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        let network = Model::from_name(&vb, &case.preset)?.unwrap();
        assert_eq!(parameter_count(&variables), case.parameters, "parameters of {}", case.preset);
        {
            let variables = variables.data().lock().unwrap();
            assert_eq!(variables.len(), case.tensors, "tensors of {}", case.preset);
            for (name, variable) in variables.iter() {
                variable.set(&value(name, variable.dims())?)?;
            }
        }
        let shape = (2, 3, size, size);
        let pictures: Vec<f32> =
            uniform("picture", 2 * 3 * size * size).map(|u| (2.0 * u - 1.0) as f32).collect();
        let pictures = Tensor::from_vec(pictures, shape, &Device::Cpu)?;
        let logits: Vec<f32> = network.forward_t(&pictures, false)?.to_vec1()?;
        for (ours, theirs) in logits.iter().zip(&case.logits) {
            println!("{}: {ours} here, {theirs} in timm", case.preset);
            let bound = TOLERANCE * theirs.abs().max(1.0);
            assert!((ours - theirs).abs() <= bound, "{}: {ours} here, {theirs} in timm", case.preset);
        }
        assert_eq!(logits.len(), case.logits.len());

        // What is exported computes the same in the engine.
        let onnx = onnx_bytes(&network, size, Vec::new())?;
        let mut session = Session::load(&onnx).unwrap();
        let picture = pictures.get(0)?.flatten_all()?.to_vec1::<f32>()?;
        let input = engine::Tensor::from_vec(vec![1, 3, size, size], picture);
        let judged = session.run(&input).unwrap().values()[0];
        let bound = TOLERANCE * logits[0].abs().max(1.0);
        assert!(
            (judged - logits[0]).abs() <= bound,
            "{}: {judged} in the engine, {} here",
            case.preset,
            logits[0]
        );
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
