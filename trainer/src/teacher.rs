//! A finished network that a run learns from beside its labels.

use crate::checkpoint::Checkpoint;
use crate::config::RunConfig;
use crate::distill::{Distillation, DistillationForm};
use crate::models::{Lesson, Model};
use crate::train::Network;
use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which teacher, and how much it counts; a part of a run's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// Checkpoint of a run with the same size of pictures; its network may be any other.
    pub checkpoint: PathBuf,
    /// Weight of the labels.
    #[serde(default = "half")]
    pub hard: f64,
    /// Weight of what the teacher says.
    #[serde(default = "half")]
    pub soft: f64,
    /// Weight of the distance of the embeddings: what the last layers of both read, which must have one length. With the
    /// other weights 0 the student learns to see what its teacher sees, whatever that says of fakes.
    #[serde(default)]
    pub embedding: f64,
    /// Divisor of the logits of both: at 1 the teacher is as sure as it is, above that its doubts show.
    #[serde(default = "two")]
    pub temperature: f64,
}

fn half() -> f64 {
    0.5
}

fn two() -> f64 {
    2.0
}

impl TeacherConfig {
    /// Checks every field's range.
    ///
    /// # Errors
    /// Naming the field and its range.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [("hard", self.hard), ("soft", self.soft), ("embedding", self.embedding)] {
            ensure!((0.0..=1.0).contains(&value), "teacher.{name} is {value}, expected 0 to 1");
        }
        ensure!(
            (0.1..=100.0).contains(&self.temperature),
            "teacher.temperature is {}, expected 0.1 to 100",
            self.temperature
        );
        Ok(())
    }
}

/// The teacher of a run.
pub struct Teacher {
    model: Model,
    distillation: Distillation,
    embedding: f64,
}

impl Teacher {
    /// The teacher that `config` names, on `device`; none if it names none.
    ///
    /// # Errors
    /// If its checkpoint does not read, or is of pictures of another size.
    pub fn of(config: &RunConfig, device: &Device) -> Result<Option<Self>> {
        let Some(teacher) = &config.teacher else { return Ok(None) };
        let context = || format!("the run cannot learn from teacher.checkpoint = {:?}", teacher.checkpoint);
        let checkpoint = Checkpoint::read(&teacher.checkpoint).with_context(context)?;
        let size = checkpoint.progress.config.image_size;
        ensure!(
            size == config.image_size,
            "the teacher {:?} looks at pictures of {size} pixels, the run at {}: both must see the same",
            teacher.checkpoint,
            config.image_size
        );
        let network = Network::from_checkpoint(&checkpoint, device).with_context(context)?;
        let distillation = Distillation {
            hard: teacher.hard,
            soft: teacher.soft,
            temperature: teacher.temperature,
            form: DistillationForm::Corrected,
        };
        Ok(Some(Teacher { model: network.model, distillation, embedding: teacher.embedding }))
    }

    /// `error` of the labels in `lesson`, which the student gave of `pictures` `[N, 3, S, S]`, weighed against how far the
    /// lesson is from what the teacher says of the same pictures: a scalar.
    ///
    /// # Errors
    /// If the embeddings count and are not of one length.
    pub fn correct(&self, error: &Tensor, lesson: &Lesson, pictures: &Tensor) -> candle_core::Result<Tensor> {
        let told = self.model.tell(pictures)?;
        let divergence = self.distillation.divergence(&lesson.logits, &told.logits)?;
        let error = self.distillation.weigh(error, &divergence)?;
        if self.embedding == 0.0 {
            return Ok(error);
        }
        error + (angle(&lesson.embedding, &told.embedding.detach())? * self.embedding)?
    }
}

/// `1 - cosine` of each column of `a` and `b` `[D, N]`, their mean; which lengths they have does not matter.
fn angle(a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor> {
    if a.dims() != b.dims() {
        candle_core::bail!(
            "embeddings of {:?} and {:?} cannot be compared: teacher.embedding must be 0",
            a.dims(),
            b.dims()
        );
    }
    let norm = |x: &Tensor| (x.sqr()?.sum(0)? + 1e-12)?.sqrt();
    let cosine = ((a * b)?.sum(0)? / (norm(a)? * norm(b)?)?)?;
    cosine.mean_all()?.affine(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_angle_is_that_of_directions_and_its_gradient_turns_towards_the_teacher() -> candle_core::Result<()>
    {
        let columns = |values: [[f32; 3]; 2]| Tensor::new(&values, &Device::Cpu);
        // Alike, at a right angle, and at 60 degrees: 0, 1 and a half.
        let teacher = columns([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]])?;
        let student =
            candle_core::Var::from_tensor(&columns([[5.0, 1.0, 0.5], [0.0, 0.0, 0.75f32.sqrt()]])?)?;
        let loss = angle(&student, &teacher)?;
        assert!((loss.to_scalar::<f32>()? - 0.5).abs() < 1e-6);
        let grads = loss.backward()?;
        let Some(grad) = grads.get(&student) else { candle_core::bail!("no gradient") };
        let grad = grad.to_vec2::<f32>()?;
        assert!(
            grad[0][0].abs() < 1e-6 && grad[1][0].abs() < 1e-6,
            "a right direction is left alone: {grad:?}"
        );
        assert!(grad[1][1] < 0.0 && grad[0][2] < 0.0 && grad[1][2] > 0.0, "{grad:?}");
        assert!(angle(&student, &Tensor::ones((4, 3), candle_core::DType::F32, &Device::Cpu)?).is_err());
        Ok(())
    }
}
