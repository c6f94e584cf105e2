//! What a benchmark measures of one bundle, and of one beside another.

use crate::metrics::Metrics;
use crate::optimize::AucLoss;
use engine::bundle::Role;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The original's figures of one bundle.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Performance {
    /// Of all pictures together, as the next ones.
    pub auc: Option<f64>,
    /// At P(fake) 0.5.
    pub f1_score: Option<f64>,
    /// At P(fake) 0.5.
    pub accuracy: Option<f64>,
    /// At P(fake) 0.5.
    pub precision: Option<f64>,
    /// At P(fake) 0.5.
    pub recall: Option<f64>,
    /// Mean from bytes to verdict, one thread.
    pub avg_inference_time_ms: Option<f64>,
    /// Median.
    pub median_inference_time_ms: Option<f64>,
    /// 95th percentile.
    pub p95_inference_time_ms: Option<f64>,
    /// Pictures a second, by the mean.
    pub throughput_fps: Option<f64>,
    /// Most megabytes of a process that loads and runs all networks.
    pub peak_memory_mb: Option<f64>,
    /// Percent that the filter answered alone.
    pub stage1_filtration_rate: Option<f64>,
    /// Percent that went further.
    pub stage2_usage_rate: Option<f64>,
    /// Percent of the fakes that the filter alone called real.
    pub leakage_rate: Option<f64>,
    /// Megabytes (10^6) of all networks.
    pub model_size_mb: f64,
    /// Whether any weights are integers.
    pub quantized: bool,
}

/// A network of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageFigures {
    /// Name of the stage.
    pub name: String,
    /// What it is there for.
    pub role: Role,
    /// SHA-256 of its file.
    pub sha256: String,
    /// Size of its file.
    pub bytes: u64,
    /// Numbers of its weights.
    pub weights: String,
    /// Numbers that its layers read.
    pub activations: String,
    /// Of one run; 0 where it is not known.
    pub multiply_adds: u64,
    /// Of one run, if it was timed.
    pub times: Option<Times>,
}

/// Times of a run, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Timed runs.
    pub runs: usize,
    /// Fastest.
    pub min_ms: f64,
    /// Median.
    pub median_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// Mean.
    pub mean_ms: f64,
}

/// What verdicts are worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// By data set, and "all".
    pub sets: BTreeMap<String, SetFigures>,
    /// The routing.
    pub cascade: CascadeFigures,
}

/// Verdicts on one set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetFigures {
    /// AUC and what 0.5 gives.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Mean squared distance of P(fake) from the label.
    pub brier: f64,
    /// Where both error rates are equal; absent if a class is.
    pub equal_error_rate: Option<f64>,
    /// AUC of cues that know nothing of faces; absent if nothing could be learned of them.
    pub trivial_cues_auc: Option<f64>,
    /// 95 % bootstrap interval of that.
    pub trivial_cues_auc_interval: Option<[f64; 2]>,
}

/// What the cascade did; shares are of the pictures that were judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CascadeFigures {
    /// Pictures with a verdict.
    pub judged: u64,
    /// Pictures that cannot show a face; their P(fake) counts as 0.5.
    pub refused: u64,
    /// Share of verdicts that are sure of nothing.
    pub uncertain: Option<f64>,
    /// Share that the filter answered alone and surely.
    pub filtration: Option<f64>,
    /// Share for which a second stage was asked.
    pub escalation: Option<f64>,
    /// Share of the fakes that the filter alone called real.
    pub leakage: Option<f64>,
    /// Mean multiply-adds of a picture, views included.
    pub multiply_adds_spent: Option<f64>,
    /// Those of all stages once.
    pub multiply_adds_all_stages: Option<f64>,
    /// Share of the latter that was not spent; below 0 where views cost more.
    pub multiply_adds_saved: Option<f64>,
    /// Mean runs of the filter on mild variants of a picture.
    pub views_a_picture: Option<f64>,
    /// Mean time in networks, views included, over the split, in milliseconds.
    pub measured_ms: Option<f64>,
    /// L1 + escalation * (the other stages), by medians.
    pub predicted_ms: Option<f64>,
    /// The same with L1 for each view.
    pub predicted_with_views_ms: Option<f64>,
}

/// AUC over the strength of a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Name of the change.
    pub change: String,
    /// What its strength is.
    pub unit: String,
    /// On the same squares, unchanged.
    pub unchanged: CurvePoint,
    /// One for each strength.
    pub points: Vec<CurvePoint>,
}

/// One point of a curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// In the curve's unit.
    pub strength: f64,
    /// Of all pictures.
    pub auc: Option<f64>,
    /// 95 % bootstrap interval.
    pub auc_interval: Option<[f64; 2]>,
}

/// The bundle that would be shipped against the one in floats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What the networks' files of the second save of the first.
    pub size_reduction_percent: Option<f64>,
    /// By stage, of files of the same name of a stage.
    pub size_reduction_percent_by_stage: BTreeMap<String, f64>,
    /// Median over median, by stage; absent where it was not timed.
    pub speedup_by_stage: BTreeMap<String, f64>,
    /// The same from bytes to verdict.
    pub inference_speedup: Option<f64>,
    /// Loss of AUC, relative; none where there was no AUC to lose.
    pub accuracy_degradation_percent: Option<f64>,
    /// Loss of AUC, with its interval.
    pub auc: AucLoss,
}

/// Figures with a name, of which a baseline keeps some.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// What they are of.
    pub name: String,
    /// The figures.
    #[serde(flatten)]
    pub figures: BTreeMap<String, f64>,
}

impl Times {
    /// Of runs that took `ms`; nothing without any.
    pub fn of(mut ms: Vec<f64>) -> Option<Self> {
        ms.sort_by(f64::total_cmp);
        let last = ms.len().checked_sub(1)?;
        let at = |share: f64| ms[(last as f64 * share).round() as usize];
        let mean_ms = ms.iter().sum::<f64>() / ms.len() as f64;
        let (median_ms, p90_ms, p95_ms) = (at(0.5), at(0.9), at(0.95));
        Some(Times { runs: ms.len(), min_ms: ms[0], median_ms, p90_ms, p95_ms, mean_ms })
    }
}

impl Comparison {
    pub(super) fn of(auc: AucLoss) -> Self {
        Comparison {
            size_reduction_percent: None,
            size_reduction_percent_by_stage: BTreeMap::new(),
            speedup_by_stage: BTreeMap::new(),
            inference_speedup: None,
            accuracy_degradation_percent: (auc.original > 0.0)
                .then(|| 100.0 * (auc.original - auc.optimized) / auc.original),
            auc,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_sorted_runs() {
        assert_eq!(Times::of(Vec::new()), None);
        let times = Times::of((1..=101).rev().map(f64::from).collect()).unwrap();
        assert_eq!((times.min_ms, times.median_ms, times.p90_ms, times.p95_ms), (1.0, 51.0, 91.0, 96.0));
        assert_eq!((times.mean_ms, times.runs), (51.0, 101));
    }

    /// A network that calls every real face a fake has an AUC of 0; the report on it must be read again.
    #[test]
    fn where_there_is_no_auc_nothing_is_lost() {
        let of = |original, optimized| {
            let points = 100.0 * (original - optimized);
            Comparison::of(AucLoss { original, optimized, points, interval: None, disagreement: 0.0 })
        };
        let nothing = of(0.0, 0.1);
        assert_eq!(nothing.accuracy_degradation_percent, None);
        let json = serde_json::to_string(&nothing).unwrap();
        assert_eq!(serde_json::from_str::<Comparison>(&json).unwrap(), nothing);
        assert_eq!(of(0.8, 0.6).accuracy_degradation_percent.map(f64::round), Some(25.0));
    }
}
