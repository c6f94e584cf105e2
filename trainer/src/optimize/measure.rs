//! What a file is worth: its logits in the engine, and its time there.

use crate::complementarity::compare;
use crate::dataset::Sample;
use crate::loader::{Loader, View};
use crate::metrics::Scored;
use crate::scores::ScoreRow;
use anyhow::{Context, Result, ensure};
use engine::{Session, Tensor};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Pictures that are decoded at once.
const BATCH: usize = 32;
/// Runs before the timed ones, and timed runs.
const WARM_UPS: usize = 10;
const RUNS: usize = 100;

/// The engine's logit of every sample of `loader` by the ONNX file `onnx`.
///
/// # Errors
/// If the engine refuses the file, a picture does not load, or a logit is no number.
pub fn engine_logits(onnx: &[u8], loader: &Loader) -> Result<Vec<Scored>> {
    let mut session = Session::load(onnx)?;
    let mut scored = Vec::new();
    for batch in loader.batches(View::Plain, BATCH, 0) {
        let pictures = batch?.pictures;
        let (count, shape) = (pictures.dim(0)?, [&[1], &pictures.dims()[1..]].concat());
        for n in 0..count {
            let values = pictures.get(n)?.flatten_all()?.to_vec1()?;
            let logit = session.run(&Tensor::from_vec(shape.clone(), values))?.values()[0];
            let sample = &loader.samples()[scored.len()];
            ensure!(logit.is_finite(), "the logit of {} is {logit}", sample.name());
            scored.push(Scored { score: f64::from(logit), fake: sample.is_fake() });
        }
    }
    Ok(scored)
}

/// How much AUC the second of two judges of the same pictures loses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AucLoss {
    /// AUC of the first.
    pub original: f64,
    /// AUC of the second.
    pub optimized: f64,
    /// First minus second, in points of a hundred.
    pub points: f64,
    /// 95 % bootstrap interval of the points, groups drawn whole and both judges on the same draw.
    pub interval: Option<[f64; 2]>,
    /// Share of the pictures that one calls fake and the other real.
    pub disagreement: f64,
}

/// The AUC that `optimized` loses against `original`, both on `samples`.
///
/// # Errors
/// If a class is missing.
pub fn auc_loss(samples: &[Sample], original: &[Scored], optimized: &[Scored]) -> Result<AucLoss> {
    let comparison = compare(&rows(samples, original), &rows(samples, optimized), None)?;
    let [first, second] = comparison.auc;
    let (original, optimized) = first.zip(second).context("an AUC needs real and fake pictures")?;
    let points = |value: f64| 100.0 * value;
    Ok(AucLoss {
        original,
        optimized,
        points: points(original - optimized),
        interval: comparison.difference_interval.map(|interval| interval.map(points)),
        disagreement: comparison.disagreement,
    })
}

/// The scores of `samples`, which are logits, as rows.
pub fn rows(samples: &[Sample], scored: &[Scored]) -> Vec<ScoreRow> {
    let row = |(sample, scored): (&Sample, &Scored)| ScoreRow {
        path: sample.name(),
        label: sample.label,
        dataset: sample.dataset.clone(),
        group: sample.group.clone(),
        logit: scored.score,
        trivial_cues: None,
    };
    samples.iter().zip(scored).map(row).collect()
}

/// Times of two files in turns, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Median of the first file.
    pub original_ms: f64,
    /// Median of the second file.
    pub optimized_ms: f64,
    /// Fastest run of each.
    pub fastest_ms: [f64; 2],
    /// The first median over the second.
    pub speedup: f64,
    /// Timed runs of each.
    pub runs: usize,
    /// Instructions of the integer kernels.
    pub level: String,
}

/// Times one picture through both ONNX files, one after the other in each round, in the engine and on one thread.
///
/// # Errors
/// If the engine refuses a file.
pub fn speed(original: &[u8], optimized: &[u8]) -> Result<Speed> {
    let mut sessions = [Session::load(original)?, Session::load(optimized)?];
    let shape = sessions[0].input_shape().to_vec();
    // Values that run through the range of normalised pictures.
    let values = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37).sin() * 2.0).collect();
    let picture = Tensor::from_vec(shape, values);
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..WARM_UPS + RUNS {
        for (session, times) in sessions.iter_mut().zip(&mut times) {
            let started = Instant::now();
            session.run(&picture)?;
            if round >= WARM_UPS {
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    let [original_ms, optimized_ms] = [times[0][RUNS / 2], times[1][RUNS / 2]];
    Ok(Speed {
        original_ms,
        optimized_ms,
        fastest_ms: [times[0][0], times[1][0]],
        speedup: original_ms / optimized_ms,
        runs: RUNS,
        level: engine::runtime::cpu::int8::Level::best().name().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Split;
    use engine::crop::CropKind;

    fn sample(index: usize) -> Sample {
        Sample {
            image_path: format!("{index}.png").into(),
            label: (index % 2) as u8,
            dataset: "toy".into(),
            split: Split::Test,
            group: (index / 2).to_string(),
            dhash: String::new(),
            face: None,
            crop: CropKind::Square,
        }
    }

    #[test]
    fn a_judge_loses_nothing_against_itself_and_something_against_noise() -> Result<()> {
        let samples: Vec<Sample> = (0..200).map(sample).collect();
        let of = |score: &dyn Fn(usize) -> f64| -> Vec<Scored> {
            (0..200).map(|i| Scored { score: score(i), fake: i % 2 == 1 }).collect()
        };
        let knows = of(&|i| (i % 2) as f64 + (i as f64 * 0.7).sin());
        let guesses = of(&|i| (i as f64 * 1.3).sin());
        let same = auc_loss(&samples, &knows, &knows)?;
        assert_eq!((same.points, same.interval), (0.0, Some([0.0, 0.0])));
        let loss = auc_loss(&samples, &knows, &guesses)?;
        let Some([low, high]) = loss.interval else { panic!("no interval") };
        assert!(low > 5.0 && low < loss.points && loss.points < high, "{loss:?}");
        Ok(())
    }
}
