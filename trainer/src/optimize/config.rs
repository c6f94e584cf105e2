//! One JSON file is one optimisation: the fields of the original's `qat_config.json`, and ours.

use crate::distill::{Distillation, DistillationForm};
use crate::export::ActivationBits;
use crate::files::read_text;
use crate::quantisation::{StrategyConfig, SymmetryOfActivations};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Which network of the cascade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The filter, a MobileNetV4.
    Stage1,
    /// The expert EfficientNet, of the second generation or Lite.
    #[value(alias = "stage2_effnet")]
    Efficientnet,
    /// The expert GenConViT.
    #[value(alias = "stage2_genconvit")]
    Genconvit,
}

impl Target {
    /// All of them, in the order of the cascade.
    pub const ALL: [Target; 3] = [Target::Stage1, Target::Efficientnet, Target::Genconvit];

    /// The name in reports and of folders.
    pub fn name(self) -> &'static str {
        match self {
            Target::Stage1 => "stage1",
            Target::Efficientnet => "efficientnet",
            Target::Genconvit => "genconvit",
        }
    }

    /// How the names of its presets begin.
    pub fn family(self) -> &'static str {
        match self {
            Target::Stage1 => "mobilenetv4",
            Target::Efficientnet => "efficientnet",
            Target::Genconvit => "genconvit",
        }
    }
}

/// Which integer runtimes the activations are learned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// Activations of seven bits, as fbgemm's default has them, and as our kernels are fastest.
    Fbgemm,
    /// Activations of eight bits.
    Qnnpack,
}

impl Backend {
    /// Bits of an activation.
    pub fn activation_bits(self) -> ActivationBits {
        match self {
            Backend::Fbgemm => ActivationBits::Seven,
            Backend::Qnnpack => ActivationBits::Eight,
        }
    }
}

/// Every choice of an optimisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QatConfig {
    /// Passes over the training split; 0 leaves it at post-training quantisation.
    pub epochs: u64,
    /// Pictures a step.
    pub batch_size: usize,
    /// Peak learning rate of weights and biases.
    pub learning_rate: f64,
    /// Decay of matrices, times the learning rate.
    pub weight_decay: f64,
    /// Divisor of both logits in the soft term.
    pub distillation_temperature: f64,
    /// Weight of the labels.
    pub alpha_hard_loss: f64,
    /// Weight of the teacher.
    pub alpha_soft_loss: f64,
    /// Whose activations are learned.
    pub quantization_backend: Backend,
    /// Where zeros lie.
    pub quantization_scheme: SymmetryOfActivations,
    /// Most pictures of the training split that ranges are observed on.
    pub calibration_dataset_size: usize,
    /// Checkpoint of the FP32 filter.
    pub stage1_model_path: PathBuf,
    /// `metrics.json` of its run, whose temperature the teacher's calibration is reported with; fitted on the validation
    /// split if absent.
    pub stage1_temp_path: Option<PathBuf>,
    /// Checkpoint of the FP32 EfficientNetV2.
    pub stage2_effnet_path: PathBuf,
    /// Checkpoint of the FP32 GenConViT.
    pub stage2_genconvit_path: PathBuf,
    /// Folder of everything that is written; each network has a folder of its own in it.
    pub output_dir: PathBuf,
    /// Where the report on all networks goes; `optimization_comparison.json` in the folder if absent.
    pub comparison_output: Option<PathBuf>,

    /// What two logits stand for one in the soft term.
    pub distillation_form: DistillationForm,
    /// Peak learning rate of the logarithms of scales.
    pub scale_learning_rate: f64,
    /// Share of the epochs after which scales stay as they are.
    pub scale_freeze: f64,
    /// Batches of plain training pictures that batch norms are estimated on anew; 0 leaves them.
    pub reestimation_batches: usize,
    /// Calibration pictures that the sensitivity of each layer is measured on; 0 gives every layer eight bits.
    pub sensitivity_pictures: usize,
    /// Limits of the strategy that follows from it.
    pub strategy: StrategyConfig,
    /// Largest norm of the gradient of weights, and of that of scales.
    pub clip_norm: f64,
    /// Width and height of the pictures; the teacher's, and refused if that is another.
    pub image_size: Option<u32>,
    /// Seed of order and augmentation.
    pub seed: u64,
}

impl Default for QatConfig {
    fn default() -> Self {
        QatConfig {
            epochs: 10,
            batch_size: 32,
            learning_rate: 1e-5,
            weight_decay: 1e-5,
            distillation_temperature: 4.0,
            alpha_hard_loss: 0.3,
            alpha_soft_loss: 0.7,
            quantization_backend: Backend::Fbgemm,
            quantization_scheme: SymmetryOfActivations::Asymmetric,
            calibration_dataset_size: 1000,
            stage1_model_path: "runs/stage1/best.safetensors".into(),
            stage1_temp_path: None,
            stage2_effnet_path: "runs/efficientnet/best.safetensors".into(),
            stage2_genconvit_path: "runs/genconvit/best.safetensors".into(),
            output_dir: "runs/optimized".into(),
            comparison_output: None,
            distillation_form: DistillationForm::Corrected,
            scale_learning_rate: 1e-3,
            scale_freeze: 0.5,
            reestimation_batches: 32,
            sensitivity_pictures: 64,
            strategy: StrategyConfig::default(),
            clip_norm: 5.0,
            image_size: None,
            seed: 1,
        }
    }
}

impl QatConfig {
    /// The configuration in the JSON file at `path`; absent keys take their defaults.
    ///
    /// # Errors
    /// If the file does not read, has an unknown key, or a value of the wrong type; with its line.
    pub fn read(path: &Path) -> Result<Self> {
        serde_json::from_str(&read_text(path)?).with_context(|| format!("in {}", path.display()))
    }

    /// Checks every field's range.
    ///
    /// # Errors
    /// Naming the field and its range.
    pub fn check(&self) -> Result<()> {
        ensure!(
            (2..=4096).contains(&self.batch_size),
            "batch_size is {}, expected 2 to 4096",
            self.batch_size
        );
        for (name, value) in [
            ("learning_rate", self.learning_rate),
            ("scale_learning_rate", self.scale_learning_rate),
            ("distillation_temperature", self.distillation_temperature),
            ("clip_norm", self.clip_norm),
        ] {
            ensure!(value.is_finite() && value > 0.0, "{name} is {value}, expected a positive number");
        }
        ensure!(
            self.weight_decay.is_finite() && self.weight_decay >= 0.0,
            "weight_decay is {}, expected 0 or more",
            self.weight_decay
        );
        for (name, value) in [
            ("alpha_hard_loss", self.alpha_hard_loss),
            ("alpha_soft_loss", self.alpha_soft_loss),
            ("scale_freeze", self.scale_freeze),
            ("strategy.size_reduction", self.strategy.size_reduction),
        ] {
            ensure!((0.0..=1.0).contains(&value), "{name} is {value}, expected 0 to 1");
        }
        let sum = self.alpha_hard_loss + self.alpha_soft_loss;
        ensure!((sum - 1.0).abs() < 1e-9, "alpha_hard_loss and alpha_soft_loss add up to {sum}, expected 1");
        for (name, value) in [
            ("strategy.max_error_in_eight_bits", self.strategy.max_error_in_eight_bits),
            ("strategy.max_error_in_four_bits", self.strategy.max_error_in_four_bits),
        ] {
            ensure!(value >= 0.0, "{name} is {value}, expected 0 or more");
        }
        ensure!(
            (1..=100_000).contains(&self.calibration_dataset_size),
            "calibration_dataset_size is {}, expected 1 to 100000",
            self.calibration_dataset_size
        );
        ensure!(
            self.sensitivity_pictures != 1 && self.sensitivity_pictures <= 4096,
            "sensitivity_pictures is {}, expected 0, or 2 to 4096",
            self.sensitivity_pictures
        );
        Ok(())
    }

    /// Where the FP32 network of `target` is.
    pub fn teacher(&self, target: Target) -> &Path {
        match target {
            Target::Stage1 => &self.stage1_model_path,
            Target::Efficientnet => &self.stage2_effnet_path,
            Target::Genconvit => &self.stage2_genconvit_path,
        }
    }

    /// Where the report on all networks goes.
    pub fn comparison(&self) -> PathBuf {
        let default = || self.output_dir.join("optimization_comparison.json");
        self.comparison_output.clone().unwrap_or_else(default)
    }

    /// The loss.
    pub fn distillation(&self) -> Distillation {
        Distillation {
            hard: self.alpha_hard_loss,
            soft: self.alpha_soft_loss,
            temperature: self.distillation_temperature,
            form: self.distillation_form,
        }
    }

    /// Epochs in which scales are learned.
    pub fn scale_epochs(&self) -> u64 {
        (self.epochs as f64 * self.scale_freeze).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<QatConfig> {
        Ok(serde_json::from_str(json)?)
    }

    #[test]
    fn the_originals_configuration_is_read() -> Result<()> {
        let config = parse(
            r#"{"epochs": 10, "batch_size": 32, "learning_rate": 1e-5, "weight_decay": 1e-5,
                "distillation_temperature": 4.0, "alpha_hard_loss": 0.3, "alpha_soft_loss": 0.7,
                "quantization_backend": "fbgemm", "quantization_scheme": "asymmetric",
                "calibration_dataset_size": 1000}"#,
        )?;
        assert_eq!(config, QatConfig::default());
        config.check()
    }

    #[test]
    fn the_shipped_configuration_is_sound() -> Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        QatConfig::read(&folder.join("qat.json"))?.check()
    }

    #[test]
    fn wrong_fields_are_named() {
        for (json, part) in [
            (r#"{"epoch": 3}"#, "epoch"),
            ("{\n\"epochs\": \"many\"}", "line 2"),
            (r#"{"quantization_backend": "x86"}"#, "x86"),
        ] {
            let error = parse(json).unwrap_err().to_string();
            assert!(error.contains(part), "{json}: {error}");
        }
        type Spoil = fn(&mut QatConfig);
        let wrong: [(Spoil, &str); 7] = [
            (|c| c.batch_size = 1, "batch_size"),
            (|c| c.learning_rate = f64::NAN, "learning_rate"),
            (|c| c.distillation_temperature = 0.0, "distillation_temperature"),
            (|c| c.alpha_hard_loss = 0.5, "alpha_hard_loss"),
            (|c| c.calibration_dataset_size = 0, "calibration_dataset_size"),
            (|c| c.sensitivity_pictures = 1, "sensitivity_pictures"),
            (|c| c.strategy.size_reduction = 1.5, "size_reduction"),
        ];
        for (spoil, name) in wrong {
            let mut config = QatConfig::default();
            spoil(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
    }
}
