//! What a student computes while it learns is what the engine computes from its file, byte for byte.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use candle_core::{Device, Tensor};
use prost::Message;
use std::collections::BTreeMap;
use trainer::export::{ActivationBits, WeightBits};
use trainer::models::lock;
use trainer::quantisation::{Parity, Student, StudentConfig, SymmetryOfActivations, check_parity};
use trainer::train::Network;

const SIDE: usize = 64;

fn pictures(count: usize, seed: usize) -> Tensor {
    let value = |i: usize| ((i * (seed * 2 + 3) % 10_007) as f32 * 0.37).sin() * 2.0;
    let values: Vec<f32> = (0..count * 3 * SIDE * SIDE).map(value).collect();
    Tensor::from_vec(values, (count, 3, SIDE, SIDE), &Device::Cpu).unwrap()
}

fn config(activation_bits: ActivationBits) -> StudentConfig {
    StudentConfig { image_size: SIDE, activation_bits, symmetry: SymmetryOfActivations::Asymmetric }
}

fn student(preset: &str, config: StudentConfig, bits: &[(&str, WeightBits)]) -> Student {
    let network = Network::new(preset, 7, &Device::Cpu).unwrap();
    let observers = Student::observe(&network.model, config, [Ok(pictures(4, 1))].into_iter()).unwrap();
    let bits: BTreeMap<String, WeightBits> =
        bits.iter().map(|&(name, bits)| (name.to_owned(), bits)).collect();
    Student::new(&network.model, config, &bits, &observers).unwrap()
}

fn parity(student: &Student) -> Parity {
    let file = student.integer_file(student.config().activation_bits, Vec::new()).unwrap();
    check_parity(student, &file, &pictures(2, 5)).unwrap()
}

#[test]
fn a_convolutional_student_equals_the_engine_byte_for_byte() {
    for (preset, head, kept) in [
        ("mobilenetv4-conv-small-narrow", "conv_head", "blocks.0.0.conv"),
        ("efficientnetv2-lite", "conv_head", "blocks.3.0.conv_pw"),
    ] {
        for bits in [ActivationBits::Seven, ActivationBits::Eight] {
            let student = student(preset, config(bits), &[(head, WeightBits::Four)]);
            let parity = parity(&student);
            assert!(parity.points > 40 && parity.bytes > 10_000, "{preset}: {parity:?}");
            assert_eq!(
                (parity.different, parity.logit_difference),
                (0, 0.0),
                "{preset}, {bits:?}: {parity:?}"
            );
        }
        // A layer in floats breaks the chain of integers, and what comes behind it may be a step off.
        let mixed = student(preset, config(ActivationBits::Seven), &[(kept, WeightBits::Float)]);
        let parity = parity(&mixed);
        assert!(parity.largest_steps <= 1.0, "{preset}: {parity:?}");
    }
}

#[test]
fn symmetric_activations_equal_the_engine_too() {
    let config =
        StudentConfig { symmetry: SymmetryOfActivations::Symmetric, ..config(ActivationBits::Seven) };
    let student = student("mobilenetv4-conv-small-narrow", config, &[]);
    assert!(student.zero_points().values().all(|&zero| zero == 0 || zero == 64));
    let parity = parity(&student);
    assert_eq!((parity.different, parity.logit_difference), (0, 0.0), "{parity:?}");
}

#[test]
fn a_student_with_attention_stays_within_a_step_of_the_engine() {
    let student = student("genconvit-tiny", config(ActivationBits::Seven), &[]);
    let parity = parity(&student);
    println!("{parity:?}");
    // Softmax and transposed convolutions are floats, whose sums candle adds up in another order.
    assert!(parity.different * 200 < parity.bytes, "{parity:?}");
    assert!(parity.largest_steps <= 1.0, "{parity:?}");
}

#[test]
fn every_weight_bias_and_scale_gets_a_gradient() {
    for preset in ["mobilenetv4-conv-small-narrow", "efficientnetv2-lite", "genconvit-tiny"] {
        let student = student(preset, config(ActivationBits::Seven), &[]);
        let logits = student.forward(&pictures(2, 3)).unwrap();
        let grads = logits.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        for variables in [&student.weights, &student.scales] {
            for (name, variable) in lock(variables).iter() {
                let grad = grads.get(variable).unwrap_or_else(|| panic!("{preset}: {name} has no gradient"));
                let sum = grad.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(sum.is_finite(), "{preset}: {name}");
            }
        }
    }
}

#[test]
fn four_bits_take_half_the_bytes_and_other_runtimes_get_eight_bit_activations() {
    let preset = "mobilenetv4-conv-small-narrow";
    let eight = student(preset, config(ActivationBits::Seven), &[]);
    let four = student(preset, config(ActivationBits::Seven), &[("conv_head", WeightBits::Four)]);
    let size = |student: &Student, bits| student.integer_file(bits, Vec::new()).unwrap().encoded_len();
    let saved = size(&eight, ActivationBits::Seven) - size(&four, ActivationBits::Seven);
    let weights = four.weight_count("conv_head");
    assert!(saved.abs_diff(weights / 2) < 64, "{saved} bytes of {weights} weights");

    let other = four.integer_file(ActivationBits::Eight, Vec::new()).unwrap();
    let mut session = engine::Session::load(&other.encode_to_vec()).unwrap();
    let picture = engine::Tensor::from_vec(
        vec![1, 3, SIDE, SIDE],
        pictures(1, 5).flatten_all().unwrap().to_vec1().unwrap(),
    );
    let found = session.run(&picture).unwrap().values()[0];
    let wanted = four.forward(&pictures(1, 5)).unwrap().to_vec1::<f32>().unwrap()[0];
    assert!((found - wanted).abs() < 0.1 * wanted.abs().max(1.0), "{found}, in seven bits {wanted}");
}

#[test]
fn a_range_that_collapsed_is_named() {
    let network = Network::new("mobilenetv4-conv-small-narrow", 7, &Device::Cpu).unwrap();
    // A batch norm that gives nothing but 0, as a layer does that died.
    for name in ["blocks.0.1.bn1.weight", "blocks.0.1.bn1.bias"] {
        let variables = lock(&network.variables);
        variables[name].set(&variables[name].zeros_like().unwrap()).unwrap();
    }
    let config = config(ActivationBits::Seven);
    let observers = Student::observe(&network.model, config, [Ok(pictures(2, 1))].into_iter()).unwrap();
    let error = Student::new(&network.model, config, &BTreeMap::new(), &observers).err().unwrap();
    let text = format!("{error:#}");
    assert!(text.contains("blocks.0.1.conv.relu") && text.contains("collapsed"), "{text}");

    let none: Vec<anyhow::Result<Tensor>> = Vec::new();
    let error = Student::observe(&network.model, config, none.into_iter()).err().unwrap();
    assert!(format!("{error:#}").contains("no pictures"), "{error:#}");
}
