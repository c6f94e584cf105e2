//! The control: how far cues get that know nothing of faces.
//!
//! A logistic regression on a picture's size, compression, colours and sharpness. Where a network is
//! hardly better than this, it may have learned how the sets were collected and nothing else.

use crate::dataset::Sample;
use crate::loader::Loader;
use crate::metrics::Scored;
use anyhow::{Context, Result};
use engine::Frame;
use rayon::prelude::*;

/// Numbers that describe a picture.
const CUES: usize = 10;
/// Steps of plain gradient descent, enough for ten standardised numbers.
const STEPS: usize = 2000;
const LEARNING_RATE: f64 = 0.5;
/// Pull of the weights towards zero.
const RIDGE: f64 = 1e-3;

/// Scores of `judged`'s samples by a regression fitted on `learned`'s.
///
/// # Errors
/// If a picture does not load.
pub fn trivial_scores(learned: &Loader, judged: &Loader) -> Result<Vec<Scored>> {
    let (train, test) = (all_cues(learned)?, all_cues(judged)?);
    let scale = Scale::of(&train);
    let train: Vec<_> = train.iter().map(|cues| scale.apply(cues)).collect();
    let labels: Vec<f64> = learned.samples().iter().map(|s| f64::from(s.label)).collect();
    let regression = Regression::fit(&train, &labels);
    let scored = |(cues, sample): (&[f64; CUES], &Sample)| Scored {
        score: regression.probability(&scale.apply(cues)),
        fake: sample.is_fake(),
    };
    Ok(test.iter().zip(judged.samples()).map(scored).collect())
}

fn all_cues(loader: &Loader) -> Result<Vec<[f64; CUES]>> {
    (0..loader.samples().len()).into_par_iter().map(|index| cues(loader, index)).collect()
}

fn cues(loader: &Loader, index: usize) -> Result<[f64; CUES]> {
    let path = &loader.samples()[index].image_path;
    let bytes = std::fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?.len();
    let frame = loader.frame(index)?;
    let pixels = f64::from(frame.width()) * f64::from(frame.height());
    let mut cues = [0.0; CUES];
    cues[0] = bytes as f64 / pixels;
    cues[1] = f64::from(frame.width()).ln();
    cues[2] = f64::from(frame.height()).ln();
    for channel in 0..3 {
        let values = || frame.rgb()[channel..].iter().step_by(3).map(|&v| f64::from(v));
        let mean = values().sum::<f64>() / pixels;
        cues[3 + channel] = mean;
        cues[6 + channel] = (values().map(|v| (v - mean).powi(2)).sum::<f64>() / pixels).sqrt();
    }
    cues[9] = sharpness(&frame);
    Ok(cues)
}

/// Mean absolute difference of the green values of neighbours.
fn sharpness(frame: &Frame) -> f64 {
    let row = frame.width() as usize * 3;
    let green = |line: &[u8]| -> u64 {
        let values = line[1..].iter().step_by(3);
        values.clone().zip(values.skip(1)).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
    };
    frame.rgb().chunks_exact(row).map(green).sum::<u64>() as f64 / (frame.rgb().len() / 3) as f64
}

/// Mean and deviation of each cue.
struct Scale {
    mean: [f64; CUES],
    deviation: [f64; CUES],
}

impl Scale {
    fn of(cues: &[[f64; CUES]]) -> Self {
        let count = cues.len().max(1) as f64;
        let mean = std::array::from_fn(|i| cues.iter().map(|c| c[i]).sum::<f64>() / count);
        let variance = |i: usize| cues.iter().map(|c| (c[i] - mean[i]).powi(2)).sum::<f64>() / count;
        // A cue that never changes says nothing.
        let deviation = std::array::from_fn(|i| variance(i).sqrt().max(1e-9));
        Scale { mean, deviation }
    }

    fn apply(&self, cues: &[f64; CUES]) -> [f64; CUES] {
        std::array::from_fn(|i| (cues[i] - self.mean[i]) / self.deviation[i])
    }
}

struct Regression {
    weights: [f64; CUES],
    bias: f64,
}

impl Regression {
    fn fit(cues: &[[f64; CUES]], labels: &[f64]) -> Self {
        let mut model = Regression { weights: [0.0; CUES], bias: 0.0 };
        let count = cues.len().max(1) as f64;
        for _ in 0..STEPS {
            let mut slope = model.weights.map(|weight| weight * RIDGE);
            let mut bias_slope = 0.0;
            for (cues, label) in cues.iter().zip(labels) {
                let error = (model.probability(cues) - label) / count;
                slope.iter_mut().zip(cues).for_each(|(slope, cue)| *slope += error * cue);
                bias_slope += error;
            }
            model.weights.iter_mut().zip(slope).for_each(|(weight, slope)| *weight -= LEARNING_RATE * slope);
            model.bias -= LEARNING_RATE * bias_slope;
        }
        model
    }

    fn probability(&self, cues: &[f64; CUES]) -> f64 {
        let z = self.bias + self.weights.iter().zip(cues).map(|(w, c)| w * c).sum::<f64>();
        1.0 / (1.0 + (-z).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::auc;

    #[test]
    fn a_separating_cue_is_found() {
        let cues = |i: usize| {
            let mut cues = [0.0; CUES];
            cues[4] = i as f64 + if i.is_multiple_of(2) { 40.0 } else { 0.0 };
            cues[7] = (i * 7919 % 101) as f64;
            cues
        };
        let all: Vec<_> = (0..100).map(cues).collect();
        let scale = Scale::of(&all);
        let scaled: Vec<_> = all.iter().map(|c| scale.apply(c)).collect();
        let labels: Vec<f64> = (0..100).map(|i| if i % 2 == 0 { 1.0 } else { 0.0 }).collect();
        let model = Regression::fit(&scaled, &labels);
        let scored: Vec<Scored> = scaled
            .iter()
            .zip(&labels)
            .map(|(c, l)| Scored { score: model.probability(c), fake: *l == 1.0 })
            .collect();
        assert!(auc(&scored).unwrap() > 0.75);
    }
}
