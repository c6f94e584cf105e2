//! How an optimisation is measured: the fields of the original's `benchmark_config.json`.

use crate::dataset::Sample;
use crate::files::read_text;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A device that files are timed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestDevice {
    /// The processor, by the engine on one thread.
    Cpu,
    /// A GPU, which the engine does not compute integers on.
    Cuda,
}

/// Every choice of the measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BenchmarkConfig {
    /// Pictures that are decoded at once; the engine judges one after the other.
    pub test_batch_size: usize,
    /// Most pictures of the test split, spread over it; the report says how many there were.
    pub num_test_samples: usize,
    /// Runs before the timed ones.
    pub warmup_iterations: usize,
    /// Timed runs of each file.
    pub benchmark_iterations: usize,
    /// Where files are timed; one that is not there is passed over and said.
    pub test_devices: Vec<TestDevice>,
    /// Whether the memory of a process that runs the file is measured.
    pub memory_profiling: bool,
    /// Whether the report has a page with plots.
    pub save_plots: bool,
    /// Sets of the manifest that are tested, all of them if empty; none of any other is.
    pub datasets_to_test: Vec<String>,
}

impl Default for BenchmarkConfig {
    fn default() -> Self {
        BenchmarkConfig {
            test_batch_size: 32,
            num_test_samples: 1000,
            warmup_iterations: 10,
            benchmark_iterations: 100,
            test_devices: vec![TestDevice::Cpu],
            memory_profiling: true,
            save_plots: true,
            datasets_to_test: Vec::new(),
        }
    }
}

impl BenchmarkConfig {
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
        for (name, value, range) in [
            ("test_batch_size", self.test_batch_size, 1..=4096),
            ("num_test_samples", self.num_test_samples, 2..=10_000_000),
            ("warmup_iterations", self.warmup_iterations, 0..=100_000),
            ("benchmark_iterations", self.benchmark_iterations, 1..=100_000),
        ] {
            ensure!(
                range.contains(&value),
                "{name} is {value}, expected {} to {}",
                range.start(),
                range.end()
            );
        }
        Ok(())
    }

    /// Those of `samples` that are tested.
    ///
    /// # Errors
    /// If a set is not among them.
    pub fn chosen(&self, samples: Vec<Sample>) -> Result<Vec<Sample>> {
        let chosen = crate::train::select(samples, &self.datasets_to_test).context("datasets_to_test")?;
        Ok(super::school::spread(&chosen, self.num_test_samples))
    }

    /// Whether files are timed on the processor.
    pub fn times_the_processor(&self) -> bool {
        self.test_devices.contains(&TestDevice::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_originals_configuration_is_read_but_for_sets_that_are_not_there() -> Result<()> {
        let config: BenchmarkConfig = serde_json::from_str(
            r#"{"test_batch_size": 32, "num_test_samples": 1000, "warmup_iterations": 10, "benchmark_iterations": 100,
                "test_devices": ["cuda", "cpu"], "memory_profiling": true, "save_plots": true,
                "datasets_to_test": ["CelebDF", "FF++", "DFDC"]}"#,
        )?;
        config.check()?;
        assert!(config.times_the_processor());
        let error = format!("{:#}", config.chosen(Vec::new()).unwrap_err());
        assert!(error.contains("datasets_to_test") && error.contains("CelebDF"), "{error}");
        Ok(())
    }

    #[test]
    fn the_shipped_configuration_is_sound() -> Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        BenchmarkConfig::read(&folder.join("benchmark.json"))?.check()
    }

    #[test]
    fn wrong_fields_are_named() {
        let none = BenchmarkConfig { benchmark_iterations: 0, ..BenchmarkConfig::default() };
        assert!(none.check().unwrap_err().to_string().contains("benchmark_iterations"));
        assert!(serde_json::from_str::<BenchmarkConfig>(r#"{"device": "cpu"}"#).is_err());
    }
}
