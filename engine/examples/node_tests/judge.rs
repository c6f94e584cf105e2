//! What the engine makes of one test.

use crate::case::{Case, DataSet, floats};
use engine::runtime::proto::{ModelProto, TensorProto};
use engine::{ModelError, Session, Tensor};
use prost::Message;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The tolerance of ONNX's own runner beside its 1e-3 of the value; it has 1e-7 here, in double precision.
const ABSOLUTE: f32 = 1e-5;
const RELATIVE: f32 = 1e-3;
/// Nothing but the order of a sum, beside and of the value.
const TIGHT: f32 = 1e-5;

/// What became of a test.
pub enum Outcome {
    /// Every output is right.
    Passed(Pass),
    /// The test says nothing of this runtime, for this reason.
    NotApplicable(String),
    /// The engine says that it cannot.
    Refused(ModelError),
    /// Another result, or a panic.
    Wrong(String),
}

/// How a test passed.
#[derive(Clone, Copy)]
pub struct Pass {
    /// What had to be changed.
    pub way: Way,
    /// Within [`TIGHT`].
    pub is_tight: bool,
}

/// How a test is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As it is.
    Plain,
    /// With all inputs but the first as constants.
    WithConstants,
    /// So, and with the first output alone.
    FirstOutput,
}

/// Runs `case` in the first way that the engine does not refuse.
pub fn judge(case: &Case) -> Outcome {
    if let Some(reason) = case.not_applicable() {
        return Outcome::NotApplicable(reason.into());
    }
    let mut pass = Pass { way: Way::Plain, is_tight: true };
    for data in &case.data {
        let mut outcome = attempt(case, data, Way::Plain);
        for way in [Way::WithConstants, Way::FirstOutput] {
            if matches!(outcome, Outcome::Refused(_)) && case.is_changed_by(way) {
                outcome = attempt(case, data, way);
            }
        }
        match outcome {
            Outcome::Passed(Pass { way, is_tight }) => {
                pass = Pass { way, is_tight: pass.is_tight && is_tight };
            }
            other => return other,
        }
    }
    Outcome::Passed(pass)
}

fn attempt(case: &Case, data: &DataSet, way: Way) -> Outcome {
    let (model, inputs) = case.in_way(data, way);
    match caught(|| run(&model, inputs)) {
        Err(panic) => Outcome::Wrong(format!("panic: {panic}")),
        Ok(Err(refused)) => Outcome::Refused(refused),
        Ok(Ok(outputs)) => {
            let wanted = if way == Way::FirstOutput { &data.outputs[..1] } else { &data.outputs[..] };
            match compare(&outputs, wanted) {
                Err(difference) => Outcome::Wrong(difference),
                Ok(is_tight) => Outcome::Passed(Pass { way, is_tight }),
            }
        }
    }
}

/// What `work` gives, or what it panicked with.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
    })
}

fn run(model: &ModelProto, inputs: &[TensorProto]) -> Result<Vec<Tensor>, ModelError> {
    let mut session = Session::load(&model.encode_to_vec())?;
    // What is no float is left out here and missed by the session; a model that asks for it does not load.
    let inputs: Vec<Tensor> = inputs.iter().filter_map(floats).collect();
    session.run_all(&inputs.iter().collect::<Vec<_>>())
}

/// Whether `outputs` are those `wanted` within [`TIGHT`].
///
/// # Errors
/// A text that says where they are beyond tolerance.
fn compare(outputs: &[Tensor], wanted: &[TensorProto]) -> Result<bool, String> {
    if outputs.len() != wanted.len() {
        return Err(format!("{} outputs, expected {}", outputs.len(), wanted.len()));
    }
    let mut is_tight = true;
    for (ours, theirs) in outputs.iter().zip(wanted) {
        let wanted = floats(theirs).ok_or_else(|| format!("{:?} holds no floats", theirs.name))?;
        if ours.shape() != wanted.shape() {
            return Err(format!("shape {:?}, expected {:?}", ours.shape(), wanted.shape()));
        }
        for (index, (&a, &b)) in ours.values().iter().zip(wanted.values()).enumerate() {
            if !is_near(a, b, ABSOLUTE, RELATIVE) {
                return Err(format!("value {index} of {:?} is {a}, expected {b}", theirs.name));
            }
            is_tight &= is_near(a, b, TIGHT, TIGHT);
        }
    }
    Ok(is_tight)
}

fn is_near(a: f32, b: f32, absolute: f32, relative: f32) -> bool {
    // Infinite values are near none but themselves: their difference is NaN.
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= absolute + relative * b.abs()
}
