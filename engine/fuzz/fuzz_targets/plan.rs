//! Any bytes are a plan or an error, and a small plan runs: the same bits with every set of instructions.
#![no_main]

use engine::runtime::cpu::int8::Level;
use engine::{Session, Tensor};
use libfuzzer_sys::fuzz_target;

/// Most multiplications and elements of a plan that is also run.
const SMALL: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Some(wanted) = outputs(bytes, Level::Scalar) else { return };
    for level in Level::available() {
        assert_eq!(outputs(bytes, level).as_ref(), Some(&wanted), "{}", level.name());
    }
});

/// The bits of every output for inputs between -2 and 2.
fn outputs(bytes: &[u8], level: Level) -> Option<Vec<Vec<u32>>> {
    let mut session = Session::load_at(bytes, level).ok()?;
    let plan = session.plan();
    let work: u64 = plan.steps.iter().map(|step| step.multiply_adds).sum();
    let ends = plan.inputs.iter().chain(&plan.outputs);
    let elements = ends.map(|end| end.shape.iter().product::<usize>()).chain(plan.buffers.iter().copied());
    if work > SMALL || elements.sum::<usize>() as u64 > SMALL {
        return None;
    }
    let inputs: Vec<Tensor> = plan.inputs.iter().map(|input| pattern(&input.shape)).collect();
    let outputs = session.run_all(&inputs.iter().collect::<Vec<_>>()).ok()?;
    Some(outputs.iter().map(|output| output.values().iter().map(|value| bits(*value)).collect()).collect())
}

/// All NaNs are one: which one comes out is the machine's choice.
fn bits(value: f32) -> u32 {
    if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() }
}

fn pattern(shape: &[usize]) -> Tensor {
    let values = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37).sin() * 2.0).collect();
    Tensor::from_vec(shape.to_vec(), values)
}
