//! A finished network that a run learns from beside its labels.

use crate::checkpoint::Checkpoint;
use crate::config::RunConfig;
use crate::distill::{Distillation, DistillationForm};
use crate::models::Model;
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
        for (name, value) in [("hard", self.hard), ("soft", self.soft)] {
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
        Ok(Some(Teacher { model: network.model, distillation }))
    }

    /// `error` of the student's `logits` `[N]` on `pictures` `[N, 3, S, S]`, weighed against how far they are from what
    /// the teacher says of the same pictures: a scalar.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn correct(&self, error: &Tensor, logits: &Tensor, pictures: &Tensor) -> candle_core::Result<Tensor> {
        let said = self.model.forward_t(pictures, false)?;
        self.distillation.weigh(error, &self.distillation.divergence(logits, &said)?)
    }
}
