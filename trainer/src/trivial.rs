//! The control: how far cues get that know nothing of faces.
//!
//! A logistic regression on a picture's size, compression, colours and sharpness. Where a network is
//! hardly better than this, it may have learned how the sets were collected and nothing else.

use crate::dataset::Sample;
use crate::loader::Loader;
use crate::metrics::{Scored, sigmoid};
use crate::regression::{Regression, Scale};
use anyhow::{Context, Result};
use engine::Frame;
use nalgebra::DMatrix;
use rayon::prelude::*;

/// Numbers that describe a picture.
const CUES: usize = 10;
/// Pull of the weights towards zero.
const RIDGE: f64 = 1e-3;

/// A regression on the trivial cues of one set of samples.
pub struct Control {
    scale: Scale,
    regression: Regression,
}

impl Control {
    /// The control that is fitted on `learned`'s samples.
    ///
    /// # Errors
    /// If a picture does not load.
    pub fn fit(learned: &Loader) -> Result<Self> {
        let cues = all_cues(learned)?;
        let fakes: Vec<bool> = learned.samples().iter().map(Sample::is_fake).collect();
        Ok(Control::of(&cues, &fakes))
    }

    fn of(cues: &DMatrix<f64>, fakes: &[bool]) -> Self {
        let scale = Scale::of(cues);
        let regression = Regression::fit(&scale.apply(cues), fakes, RIDGE);
        Control { scale, regression }
    }

    /// P(fake) of each of `judged`'s samples.
    ///
    /// # Errors
    /// If a picture does not load.
    pub fn scores(&self, judged: &Loader) -> Result<Vec<Scored>> {
        let probabilities = self.probabilities(&all_cues(judged)?);
        let scored = |(score, sample): (f64, &Sample)| Scored { score, fake: sample.is_fake() };
        Ok(probabilities.into_iter().zip(judged.samples()).map(scored).collect())
    }

    fn probabilities(&self, cues: &DMatrix<f64>) -> Vec<f64> {
        self.regression.logits(&self.scale.apply(cues)).into_iter().map(sigmoid).collect()
    }
}

/// `[N, CUES]`
fn all_cues(loader: &Loader) -> Result<DMatrix<f64>> {
    let rows = (0..loader.samples().len()).into_par_iter().map(|index| cues(loader, index));
    let rows: Vec<[f64; CUES]> = rows.collect::<Result<_>>()?;
    Ok(DMatrix::from_fn(rows.len(), CUES, |row, cue| rows[row][cue]))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::auc;

    #[test]
    fn a_separating_cue_is_found() {
        let fakes: Vec<bool> = (0..100).map(|i| i % 2 == 0).collect();
        let cues = DMatrix::from_fn(100, CUES, |i, cue| match cue {
            4 => i as f64 + if fakes[i] { 40.0 } else { 0.0 },
            7 => (i * 7919 % 101) as f64,
            _ => 0.0,
        });
        let control = Control::of(&cues, &fakes);
        let scored = |(score, &fake): (f64, &bool)| Scored { score, fake };
        let scored: Vec<Scored> = control.probabilities(&cues).into_iter().zip(&fakes).map(scored).collect();
        assert!(auc(&scored).unwrap() > 0.75);
    }
}
