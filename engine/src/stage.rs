//! One network of a cascade, as a manifest describes it.

use crate::error::Error;
use crate::preprocess::Preprocess;
use crate::verdict::Thresholds;
use serde::{Deserialize, Serialize};

/// One network of the cascade.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Name in reports.
    pub name: String,
    /// The ONNX file. A network takes one input `[1, 3, S, S]` and gives a logit first, then any values for the
    /// meta-model; a meta-model takes one row of features, see [`crate::meta`], and gives P(real) and P(fake).
    pub file: String,
    /// Divisor of the logit: P(fake) = sigmoid(logit / temperature). That of a meta-model is 1.
    pub temperature: f64,
    /// The numbers in the file, since schema 1.1; `aware validate` holds it to the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<NetworkFormat>,
    /// What the stage is there for, since schema 1.2.
    #[serde(default, skip_serializing_if = "Role::is_filter")]
    pub role: Role,
    /// How its input is made, since schema 1.2; the bundle's way where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<Preprocess>,
    /// P(fake) at which this stage's answer counts as sure, since schema 1.2; the bundle's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// Least side of the crop, in pixels, at which an expert is asked, since schema 1.3: below it there is nothing for it to see
    /// that the filter does not see. Any, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_side: Option<u32>,
    /// When the file is needed, since schema 1.2.
    #[serde(default, skip_serializing_if = "Loading::is_eager")]
    pub loading: Loading,
    /// Multiply-adds of a run, since schema 1.2; known once the network is loaded where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiply_adds: Option<u64>,
}

/// What a stage is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks at every picture, and answers alone where it is sure.
    #[default]
    Filter,
    /// Looks where the filter is not sure.
    Expert,
    /// Answers from what all the others gave.
    Meta,
}

/// When a stage's file is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loading {
    /// Before the first picture.
    #[default]
    Eager,
    /// When a picture first needs it.
    Lazy,
}

impl Role {
    fn is_filter(&self) -> bool {
        *self == Role::Filter
    }
}

impl Loading {
    fn is_eager(&self) -> bool {
        *self == Loading::Eager
    }
}

/// What numbers a network is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFormat {
    /// Of its layers' weights.
    pub weights: Precision,
    /// Of what its layers read.
    pub activations: Precision,
    /// Width and height of its input, in pixels.
    pub input_size: u32,
}

/// A kind of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats.
    Float32,
    /// Bytes with scales.
    Int8,
    /// Four bits with scales.
    Int4,
    /// More than one kind.
    Mixed,
    /// A kind that a newer schema names.
    #[serde(other)]
    Other,
}

impl Precision {
    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Float32 => "float32",
            Precision::Int8 => "int8",
            Precision::Int4 => "int4",
            Precision::Mixed => "mixed",
            Precision::Other => "other",
        }
    }
}

impl Stage {
    /// A filter called `name` in `file`, with nothing else said of it.
    pub fn filter(name: impl Into<String>, file: impl Into<String>, temperature: f64) -> Self {
        Stage {
            name: name.into(),
            file: file.into(),
            temperature,
            format: None,
            role: Role::Filter,
            preprocess: None,
            thresholds: None,
            min_side: None,
            loading: Loading::Eager,
            multiply_adds: None,
        }
    }

    /// Checks every field's range; `preprocess` is the bundle's.
    ///
    /// # Errors
    /// [`Error::Manifest`] naming stage and field.
    pub fn check(&self, preprocess: &Preprocess) -> Result<(), Error> {
        let refuse = |detail: String| Err(Error::Manifest { detail });
        let name = &self.name;
        let is_plain = !name.is_empty() && name.len() <= 64 && !name.chars().any(char::is_control);
        if !is_plain {
            return refuse(format!("{name:?} is no name of a stage"));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return refuse(format!("temperature of stage {name:?} is {}", self.temperature));
        }
        if let Some(thresholds) = self.thresholds {
            thresholds.check()?;
        }
        if let Some(own) = &self.preprocess {
            own.check()?;
        }
        if self.min_side.is_some() && self.role != Role::Expert {
            return refuse(format!("{name:?} is no expert, and has a min_side"));
        }
        if self.role == Role::Meta {
            if self.temperature != 1.0 || self.preprocess.is_some() {
                return refuse(format!("{name:?} is a meta-model: it has temperature 1 and no preprocess"));
            }
            return Ok(());
        }
        let size = self.preprocess.as_ref().unwrap_or(preprocess).size;
        if self.format.is_some_and(|format| format.input_size != size) {
            return refuse(format!("format.input_size of stage {name:?} is not preprocess.size, {size}"));
        }
        Ok(())
    }
}
