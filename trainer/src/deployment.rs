//! One JSON file says how a bundle is made: what it is called, how it is checked, how large it may be.

use crate::files::read_text;
use anyhow::{Context, Result, ensure};
use engine::golden::MAX_VECTORS;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Choices of `aware bundle`; see `trainer/configs/deployment.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeploymentConfig {
    /// Name of the bundle, where the command line gives none.
    pub bundle_name: Option<String>,
    /// Version of the bundle, where the command line gives none.
    pub bundle_version: Option<String>,
    /// Terms of the weights, where the command line gives none.
    pub licence: Option<String>,
    /// Number of golden vectors.
    pub golden_vectors: usize,
    /// Largest difference of a float network's logit, as a share of the reference's or of 1, whichever is larger.
    pub logit_tolerance: f64,
    /// Largest mean difference of P(fake) of a network in integers over the golden pictures.
    pub int8_probability_tolerance: f64,
    /// Largest sum of all files, in megabytes (millions of bytes).
    pub max_bundle_megabytes: f64,
    /// Whether the examples are packed as well.
    pub include_examples: bool,
}

impl Default for DeploymentConfig {
    fn default() -> Self {
        DeploymentConfig {
            bundle_name: None,
            bundle_version: None,
            licence: None,
            golden_vectors: 8,
            logit_tolerance: 1e-4,
            int8_probability_tolerance: 0.1,
            max_bundle_megabytes: 256.0,
            include_examples: true,
        }
    }
}

impl DeploymentConfig {
    /// The configuration in the JSON file at `path`; absent keys take their defaults.
    ///
    /// # Errors
    /// If the file does not read, has an unknown key (named with its line) or a value out of range.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let context = || format!("in {}", path.display());
        let config: DeploymentConfig = serde_json::from_str(&text).with_context(context)?;
        config.check().with_context(context)?;
        Ok(config)
    }

    /// Checks every field's range.
    ///
    /// # Errors
    /// Naming the field and its range.
    pub fn check(&self) -> Result<()> {
        let texts = [
            ("bundle_name", &self.bundle_name),
            ("bundle_version", &self.bundle_version),
            ("licence", &self.licence),
        ];
        for (name, text) in texts {
            let is_line = |text: &String| !text.trim().is_empty() && !text.chars().any(char::is_control);
            ensure!(text.as_ref().is_none_or(is_line), "{name} is {text:?}, expected a line of text");
        }
        ensure!(
            (1..=MAX_VECTORS).contains(&self.golden_vectors),
            "golden_vectors is {}, expected 1 to {MAX_VECTORS}",
            self.golden_vectors
        );
        let numbers = [
            ("logit_tolerance", self.logit_tolerance, 0.01),
            ("int8_probability_tolerance", self.int8_probability_tolerance, 0.5),
            ("max_bundle_megabytes", self.max_bundle_megabytes, 1024.0),
        ];
        for (name, value, most) in numbers {
            // Written so that NaN fails.
            ensure!(value > 0.0 && value <= most, "{name} is {value}, expected above 0, at most {most}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_the_repository_is_sound_and_says_everything() -> Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/deployment.json");
        let config = DeploymentConfig::read(&path)?;
        let written: serde_json::Value = serde_json::from_str(&read_text(&path)?)?;
        let known = serde_json::to_value(&config)?;
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().into_iter().flat_map(|map| map.keys().cloned()).collect()
        };
        assert_eq!(keys(&written), keys(&known));
        Ok(())
    }

    #[test]
    fn values_out_of_range_are_named() {
        let refused = |json: &str, says: &str| {
            let config: Result<DeploymentConfig, _> = serde_json::from_str(json);
            let error = match config {
                Ok(config) => format!("{:#}", config.check().expect_err(json)),
                Err(error) => error.to_string(),
            };
            assert!(error.contains(says), "{json}: {error}");
        };
        refused(r#"{ "golden_vectors": 0 }"#, "golden_vectors is 0");
        refused(r#"{ "golden_vectors": 33 }"#, "golden_vectors is 33");
        refused(r#"{ "logit_tolerance": 0 }"#, "logit_tolerance");
        refused(r#"{ "logit_tolerance": 0.1 }"#, "logit_tolerance");
        refused(r#"{ "int8_probability_tolerance": 0.6 }"#, "int8_probability_tolerance");
        refused(r#"{ "max_bundle_megabytes": -1 }"#, "max_bundle_megabytes");
        refused(r#"{ "bundle_name": "" }"#, "bundle_name");
        refused(r#"{ "licence": "a\nb" }"#, "licence");
        refused("{\n \"goldenvectors\": 3 }", "unknown field `goldenvectors`");
        refused("{\n \"goldenvectors\": 3 }", "line 2");
        refused(r#"{ "include_examples": "yes" }"#, "expected a boolean");
    }
}
