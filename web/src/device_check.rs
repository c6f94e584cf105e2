//! Whether this device gives the numbers that the model's golden vectors ask for, in words.

use crate::message::Failure;
use crate::text::names::failure_text;
use crate::text::number::{figures, milliseconds};
use crate::text::text;
use crate::text::text_with;
use engine::golden::{GoldenOutcome, GoldenReport};

/// How far the check is.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum DeviceCheck {
    /// Nobody asked.
    #[default]
    Off,
    /// On its way.
    Running,
    /// The vectors ran; they may have failed.
    Done(GoldenReport),
    /// They did not run.
    Failed(Failure),
}

impl DeviceCheck {
    /// The state in a word, for style sheet and tests.
    pub fn name(&self) -> &'static str {
        match self {
            DeviceCheck::Off => "off",
            DeviceCheck::Running => "running",
            DeviceCheck::Done(report) if report.passed => "passed",
            DeviceCheck::Done(_) => "failed",
            DeviceCheck::Failed(_) => "error",
        }
    }

    /// What came out; empty if nobody asked.
    pub fn sentence(&self) -> String {
        match self {
            DeviceCheck::Off => String::new(),
            DeviceCheck::Running => text("device.running").into(),
            DeviceCheck::Done(report) => {
                let count = report.vectors.len().to_string();
                if report.passed {
                    let time = milliseconds(median_ms(&report.vectors));
                    return text_with("device.passed", &[("count", &count), ("time", &time)]);
                }
                let wrong = report.vectors.iter().filter(|vector| !vector.passed).count().to_string();
                text_with("device.failed", &[("wrong", &wrong), ("count", &count)])
            }
            DeviceCheck::Failed(failure) => text_with("device.error", &[("why", failure_text(failure))]),
        }
    }

    /// A line for each vector.
    pub fn lines(&self) -> Vec<String> {
        let DeviceCheck::Done(report) = self else { return Vec::new() };
        report.vectors.iter().map(line).collect()
    }
}

fn line(vector: &GoldenOutcome) -> String {
    let name = &vector.name;
    if let Some(problem) = &vector.problem {
        return format!("{name}: {problem}");
    }
    let time = milliseconds(vector.latency_ms);
    match vector.logit {
        Some(logit) => {
            let logit = figures(&logit.to_string());
            text_with("device.line", &[("name", name), ("logit", &logit), ("time", &time)])
        }
        None => text_with("device.line.no_logit", &[("name", name), ("time", &time)]),
    }
}

fn median_ms(vectors: &[GoldenOutcome]) -> f64 {
    let mut times: Vec<f64> = vectors.iter().map(|vector| vector.latency_ms).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(problem: Option<&str>, latency_ms: f64) -> GoldenOutcome {
        GoldenOutcome {
            name: "noise".into(),
            passed: problem.is_none(),
            expected: 0.5,
            logit: Some(0.5),
            difference: Some(0.0),
            latency_ms,
            problem: problem.map(str::to_owned),
        }
    }

    #[test]
    fn one_wrong_vector_fails_the_device() {
        let done = |vectors: Vec<GoldenOutcome>| {
            let passed = vectors.iter().all(|vector| vector.passed);
            DeviceCheck::Done(GoldenReport { passed, vectors })
        };
        let right = done(vec![outcome(None, 3.0), outcome(None, 1.0), outcome(None, 2.0)]);
        assert_eq!(right.name(), "passed");
        assert!(right.sentence().contains("all 3") && right.sentence().contains("2.0 ms"), "{right:?}");
        assert_eq!(right.lines()[0], "noise: logit 0.5, 3.0 ms");
        let wrong = done(vec![outcome(None, 3.0), outcome(Some("the logit is 1"), 1.0)]);
        assert_eq!(wrong.name(), "failed");
        assert!(wrong.sentence().contains("1 of 2"), "{wrong:?}");
        assert_eq!(wrong.lines()[1], "noise: the logit is 1");
        let failed = DeviceCheck::Failed(Failure::new("golden", "there are none"));
        assert_eq!((failed.name(), failed.lines().len()), ("error", 0));
    }
}
