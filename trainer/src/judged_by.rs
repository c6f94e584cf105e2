//! What a validation split of several sets is read by.

use crate::metrics::{Scored, auc};
use crate::temperature::fit_thresholds;
use engine::Thresholds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What counts on the validation split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
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
    /// AUC of `scored`, each of the set named in its place in `names`: of all, or the mean over the sets; absent where nothing
    /// that is looked at has both classes.
    pub fn auc(self, names: &[&str], scored: &[Scored]) -> Option<f64> {
        match self {
            JudgedBy::Pictures => auc(scored),
            JudgedBy::Sets => {
                let aucs: Vec<f64> = sets(names, scored).iter().filter_map(|set| auc(set)).collect();
                (!aucs.is_empty()).then(|| aucs.iter().sum::<f64>() / aucs.len() as f64)
            }
        }
    }

    /// [`fit_thresholds`] of all pictures, or the most careful ones of the sets: an answer that is called sure is right a share
    /// `wanted` of the time in each. `scored` are P(fake).
    pub fn thresholds(self, names: &[&str], scored: &[Scored], wanted: f64) -> Thresholds {
        let all = || fit_thresholds(scored, wanted);
        match self {
            JudgedBy::Pictures => all(),
            JudgedBy::Sets => {
                let with_both = sets(names, scored).into_iter().filter(|set| auc(set).is_some());
                with_both
                    .map(|set| fit_thresholds(&set, wanted))
                    .reduce(|a, b| Thresholds { lower: a.lower.min(b.lower), upper: a.upper.max(b.upper) })
                    .unwrap_or_else(all)
            }
        }
    }
}

/// `scored` by the set of each.
fn sets(names: &[&str], scored: &[Scored]) -> Vec<Vec<Scored>> {
    let mut sets: BTreeMap<&str, Vec<Scored>> = BTreeMap::new();
    for (name, scored) in names.iter().zip(scored) {
        sets.entry(name).or_default().push(*scored);
    }
    sets.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows<'a>(rows: &[(&'a str, u8, f64)]) -> (Vec<&'a str>, Vec<Scored>) {
        rows.iter().map(|&(name, label, score)| (name, Scored { score, fake: label == 1 })).unzip()
    }

    #[test]
    fn an_epoch_is_judged_by_all_pictures_or_by_the_sets_with_both_classes() {
        // One set in order, one the wrong way round, one of fakes alone that all look most real.
        let (names, scored) =
            rows(&[("a", 0, 0.3), ("a", 1, 0.9), ("b", 0, 0.8), ("b", 1, 0.4), ("c", 1, 0.1), ("c", 1, 0.2)]);
        // Of eight pairs of a real and a fake picture three are in order.
        assert_eq!(JudgedBy::Pictures.auc(&names, &scored), Some(0.375));
        assert_eq!(JudgedBy::Sets.auc(&names, &scored), Some(0.5));
        assert_eq!(JudgedBy::Sets.auc(&names[4..], &scored[4..]), None);
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
        let (names, scored) = rows(&all);
        let pooled = JudgedBy::Pictures.thresholds(&names, &scored, 0.9);
        let careful = JudgedBy::Sets.thresholds(&names, &scored, 0.9);
        assert!(pooled.upper < 0.6, "{pooled:?}");
        assert!((0.7..0.85).contains(&careful.upper), "{careful:?}");
        assert!((0.15..0.3).contains(&careful.lower), "{careful:?}");
        // Nothing but fakes: as all pictures say.
        let fakes = rows(&all.iter().filter(|row| row.0 == "fakes").copied().collect::<Vec<_>>());
        let [a, b] = [JudgedBy::Pictures, JudgedBy::Sets].map(|by| by.thresholds(&fakes.0, &fakes.1, 0.9));
        assert_eq!(a, b);
    }
}
