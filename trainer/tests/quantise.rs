//! A network in integers says nearly what it says in floats, and the same at every level of the machine.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use candle_core::Device;
use engine::runtime::cpu::int8::Level;
use engine::{Session, Tensor};
use trainer::export::{ActivationBits, onnx_bytes, quantise};
use trainer::train::Network;

const SIDE: usize = 64;

fn picture(seed: usize) -> Tensor {
    let value = |i: usize| ((i * (seed + 3)) as f32 * 0.37).sin() * 2.0;
    Tensor::from_vec(vec![1, 3, SIDE, SIDE], (0..3 * SIDE * SIDE).map(value).collect())
}

/// Floats, and integers with so many bits, of a network with random weights.
fn files(preset: &str, bits: ActivationBits) -> (Vec<u8>, Vec<u8>) {
    let network = Network::new(preset, 7, &Device::Cpu).unwrap();
    let floats = onnx_bytes(&network.model, SIDE, Vec::new()).unwrap();
    let seen: Vec<Tensor> = (0..4).map(picture).collect();
    let integers = quantise(&floats, &seen, bits).unwrap();
    (floats, integers)
}

#[test]
fn integers_stay_near_floats_and_need_a_quarter_of_the_bytes() {
    let preset = "mobilenetv4-conv-small-narrow";
    for bits in [ActivationBits::Seven, ActivationBits::Eight] {
        let (floats, integers) = files(preset, bits);
        assert!(integers.len() * 10 < floats.len() * 3, "{preset}: {} of {}", integers.len(), floats.len());
        let (mut exact, mut session) = (Session::load(&floats).unwrap(), Session::load(&integers).unwrap());
        // A network with random weights answers alike to everything: its spread is what an error is measured by.
        let (mut errors, mut outputs) = (Vec::new(), Vec::new());
        for seed in 0..8 {
            let wanted = exact.run(&picture(seed)).unwrap().values()[0];
            let found = session.run(&picture(seed)).unwrap().values()[0];
            errors.push((found - wanted).abs());
            outputs.push(wanted);
        }
        let largest = outputs.iter().fold(0.0, |most: f32, output| most.max(output.abs()));
        let error = errors.iter().sum::<f32>() / errors.len() as f32;
        println!("{preset}, {bits:?}: mean error {error}, largest output {largest}");
        assert!(error < 0.05 * largest, "{preset}: errors {errors:?}, outputs {outputs:?}");
    }
}

#[test]
fn every_level_gives_the_same_bits() {
    for bits in [ActivationBits::Seven, ActivationBits::Eight] {
        let (_, integers) = files("mobilenetv4-conv-small-narrow", bits);
        let results: Vec<u32> = Level::available()
            .into_iter()
            .map(|level| {
                let mut session = Session::load_at(&integers, level).unwrap();
                session.run(&picture(1)).unwrap().values()[0].to_bits()
            })
            .collect();
        assert!(results.iter().all(|bits| *bits == results[0]), "{bits:?}: {results:x?}");
    }
}

#[test]
fn the_whole_network_runs_in_integers() {
    let (_, integers) = files("mobilenetv4-conv-small-narrow", ActivationBits::Seven);
    let session = Session::load(&integers).unwrap();
    for step in &session.plan().steps {
        let kernel = step.kernel.name();
        assert!(kernel == "quantise" || kernel.ends_with("int8"), "{}: {kernel}", step.name);
    }
}
