//! The exported file in the engine beside the student it was made of, value by value.

use super::student::Student;
use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use engine::Session;
use engine::runtime::proto::{FLOAT, ModelProto, TensorTypeProto, TypeProto, ValueInfoProto};
use prost::Message;
use serde::{Deserialize, Serialize};

/// Most values that are compared in one pass: a session has only so many outputs.
const MAX_OUTPUTS: usize = 60;

/// How far engine and student are from each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parity {
    /// Values on the way that were compared.
    pub points: usize,
    /// Bytes that were compared.
    pub bytes: usize,
    /// Bytes that differ.
    pub different: usize,
    /// The largest difference, in steps of the value's scale.
    pub largest_steps: f32,
    /// The first value that differs, in the order of the walk; none if all are equal.
    pub first_difference: Option<String>,
    /// The largest difference of a logit.
    pub logit_difference: f32,
}

/// Runs `file`, the integer file of `student`, in the engine on each of `pictures` `[N, 3, S, S]` and compares every
/// value that is bytes, and the logits.
///
/// # Errors
/// If the engine refuses the file, or a value of the student is not in it.
pub fn check_parity(student: &Student, file: &ModelProto, pictures: &Tensor) -> Result<Parity> {
    let (watched, logits) = student.forward_watched(pictures)?;
    let scheme = student.scheme()?;
    let logits: Vec<f32> = logits.to_vec1()?;
    let inputs = (0..pictures.dim(0)?).map(|n| picture(pictures, n)).collect::<Result<Vec<_>>>()?;
    let mut parity = Parity {
        points: watched.len(),
        bytes: 0,
        different: 0,
        largest_steps: 0.0,
        first_difference: None,
        logit_difference: 0.0,
    };
    for part in watched.chunks(MAX_OUTPUTS) {
        let names: Vec<String> = part.iter().map(|(name, _)| format!("{name}/dequantised")).collect();
        let mut session = session_with_outputs(file, &names)?;
        for (n, input) in inputs.iter().enumerate() {
            let outputs = session.run_all(&[input])?;
            ensure!(outputs.len() == part.len(), "the engine gives {} values", outputs.len());
            for ((name, steps), output) in part.iter().zip(outputs) {
                let scale = scheme.points.get(name).with_context(|| format!("{name:?} has no scale"))?.scale;
                let steps: Vec<f32> = steps.narrow(3, n, 1)?.contiguous()?.flatten_all()?.to_vec1()?;
                ensure!(steps.len() == output.values().len(), "{name:?} has another size in the engine");
                parity.compare(name, scale, &steps, output.values());
            }
        }
    }
    let mut session = Session::load(&file.encode_to_vec())?;
    for (input, logit) in inputs.iter().zip(logits) {
        let found = session.run(input)?.values()[0];
        parity.logit_difference = parity.logit_difference.max((found - logit).abs());
    }
    Ok(parity)
}

impl Parity {
    /// Takes in one value: `steps` of the student, `floats` of the engine.
    fn compare(&mut self, name: &str, scale: f32, steps: &[f32], floats: &[f32]) {
        self.bytes += steps.len();
        for (step, float) in steps.iter().zip(floats) {
            let difference = (float / scale - step).abs();
            // A float is its steps times the scale, rounded once.
            if difference > 0.01 {
                self.different += 1;
                self.first_difference.get_or_insert_with(|| name.to_owned());
            }
            self.largest_steps = self.largest_steps.max(difference.round());
        }
    }

    /// Fails if bytes differ by more than `steps`, naming the first value that differs at all.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self, steps: f32) -> Result<()> {
        let first = self.first_difference.as_deref().unwrap_or("none");
        ensure!(
            self.largest_steps <= steps,
            "the engine's integers are not the student's: {} of {} bytes differ, by up to {} steps; the first value that \
             differs is {first:?}",
            self.different,
            self.bytes,
            self.largest_steps
        );
        Ok(())
    }
}

/// Picture `n` of `[N, 3, S, S]` as the engine takes it.
pub(crate) fn picture(pictures: &Tensor, n: usize) -> Result<engine::Tensor> {
    let picture = pictures.narrow(0, n, 1)?.to_device(&Device::Cpu)?;
    Ok(engine::Tensor::from_vec(picture.dims().to_vec(), picture.flatten_all()?.to_vec1()?))
}

fn session_with_outputs(file: &ModelProto, names: &[String]) -> Result<Session> {
    let mut watched = file.clone();
    let graph = watched.graph.as_mut().context("the file holds no graph")?;
    let output = |name: &String| {
        let tensor_type = TensorTypeProto { elem_type: FLOAT, shape: None };
        ValueInfoProto { name: name.clone(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
    };
    graph.output = names.iter().map(output).collect();
    Session::load(&watched.encode_to_vec()).context("the engine on the INT8 file")
}
