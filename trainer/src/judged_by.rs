//! What a validation split of several sets is read by.

use crate::dataset::Sample;
use crate::metrics::{Scored, auc};
use crate::temperature::fit_thresholds;
use engine::Thresholds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What counts on the validation split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JudgedBy {
    /// All pictures together.
    #[default]
    Pictures,
    /// Each set that has both classes: sets of one class are told from others by what is no sign of a fake, such as their
    /// size, and count only by what is learned from them.
    Sets,
}

impl JudgedBy {
    /// AUC of `scored`, one a sample: of all, or the mean over the sets; absent where nothing that is looked at has both classes.
    pub fn auc(self, samples: &[Sample], scored: &[Scored]) -> Option<f64> {
        match self {
            JudgedBy::Pictures => auc(scored),
            JudgedBy::Sets => {
                let aucs: Vec<f64> = sets(samples, scored).iter().filter_map(|set| auc(set)).collect();
                (!aucs.is_empty()).then(|| aucs.iter().sum::<f64>() / aucs.len() as f64)
            }
        }
    }

    /// [`fit_thresholds`] of all pictures, or the most careful ones of the sets: an answer that is called sure is right a share
    /// `wanted` of the time in each. `scored` are P(fake).
    pub fn thresholds(self, samples: &[Sample], scored: &[Scored], wanted: f64) -> Thresholds {
        let all = || fit_thresholds(scored, wanted);
        match self {
            JudgedBy::Pictures => all(),
            JudgedBy::Sets => {
                let with_both = sets(samples, scored).into_iter().filter(|set| auc(set).is_some());
                with_both
                    .map(|set| fit_thresholds(&set, wanted))
                    .reduce(|a, b| Thresholds { lower: a.lower.min(b.lower), upper: a.upper.max(b.upper) })
                    .unwrap_or_else(all)
            }
        }
    }
}

/// `scored`, one a sample, by the set of each.
fn sets(samples: &[Sample], scored: &[Scored]) -> Vec<Vec<Scored>> {
    let mut sets: BTreeMap<&str, Vec<Scored>> = BTreeMap::new();
    for (sample, scored) in samples.iter().zip(scored) {
        sets.entry(&sample.dataset).or_default().push(*scored);
    }
    sets.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Split;
    use engine::crop::CropKind;

    fn rows(rows: &[(&str, u8, f64)]) -> (Vec<Sample>, Vec<Scored>) {
        let row = |&(dataset, label, score): &(&str, u8, f64)| {
            let sample = Sample {
                image_path: "face.png".into(),
                label,
                dataset: dataset.into(),
                split: Split::Val,
                group: String::new(),
                dhash: String::new(),
                face: None,
                crop: CropKind::Square,
            };
            (sample, Scored { score, fake: label == 1 })
        };
        rows.iter().map(row).unzip()
    }

    #[test]
    fn an_epoch_is_judged_by_all_pictures_or_by_the_sets_with_both_classes() {
        // One set in order, one the wrong way round, one of fakes alone that all look most real.
        let (samples, scored) =
            rows(&[("a", 0, 0.3), ("a", 1, 0.9), ("b", 0, 0.8), ("b", 1, 0.4), ("c", 1, 0.1), ("c", 1, 0.2)]);
        // Of eight pairs of a real and a fake picture three are in order.
        assert_eq!(JudgedBy::Pictures.auc(&samples, &scored), Some(0.375));
        assert_eq!(JudgedBy::Sets.auc(&samples, &scored), Some(0.5));
        assert_eq!(JudgedBy::Sets.auc(&samples[4..], &scored[4..]), None);
    }

    /// Many fakes of a set without real pictures make an answer look sure that is wrong half the time elsewhere.
    #[test]
    fn sure_answers_are_sure_in_each_set() {
        let mut all = Vec::new();
        for i in 0..100 {
            let score = f64::from(i) / 100.0;
            all.push(("easy", u8::from(score > 0.5), score));
            // Nobody knows between 0.2 and 0.8.
            all.push(("hard", u8::from(score > 0.8 || (score > 0.2 && i % 2 == 0)), score));
            all.extend([("fakes", 1, 0.5 + score / 2.0); 5]);
        }
        let (samples, scored) = rows(&all);
        let pooled = JudgedBy::Pictures.thresholds(&samples, &scored, 0.9);
        let careful = JudgedBy::Sets.thresholds(&samples, &scored, 0.9);
        assert!(pooled.upper < 0.6, "{pooled:?}");
        assert!((0.7..0.85).contains(&careful.upper), "{careful:?}");
        assert!((0.15..0.3).contains(&careful.lower), "{careful:?}");
        // Nothing but fakes: as all pictures say.
        let fakes = rows(&all.iter().filter(|row| row.0 == "fakes").copied().collect::<Vec<_>>());
        let [a, b] = [JudgedBy::Pictures, JudgedBy::Sets].map(|by| by.thresholds(&fakes.0, &fakes.1, 0.9));
        assert_eq!(a, b);
    }
}
