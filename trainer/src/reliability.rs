//! The reliability diagram: what is said of pictures against what they are.

use crate::metrics::Scored;
use serde::{Deserialize, Serialize};

/// Bins of a reliability diagram.
const BINS: usize = 10;

/// One bar of a reliability diagram: scores in `[lower, lower + 0.1)`, the last with 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Smallest score of the bin.
    pub lower: f64,
    /// Pictures in it.
    pub count: usize,
    /// Their mean P(fake); absent in an empty bin.
    pub mean_score: Option<f64>,
    /// Share of fakes among them; absent in an empty bin.
    pub fakes: Option<f64>,
}

/// Ten equal bins over `[0, 1]`: 0 falls into the first, 1 into the last.
pub fn reliability(scored: &[Scored]) -> Vec<Bin> {
    let mut sums = [(0usize, 0.0, 0usize); BINS];
    for s in scored {
        let sum = &mut sums[((s.score * BINS as f64) as usize).min(BINS - 1)];
        sum.0 += 1;
        sum.1 += s.score;
        sum.2 += usize::from(s.fake);
    }
    let bin = |(index, (count, scores, fakes)): (usize, (usize, f64, usize))| Bin {
        lower: index as f64 / BINS as f64,
        count,
        mean_score: (count > 0).then(|| scores / count as f64),
        fakes: (count > 0).then(|| fakes as f64 / count as f64),
    };
    sums.into_iter().enumerate().map(bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_answers_fall_into_the_outer_bins() {
        let scored = [(0.0, false), (0.0, true), (1.0, true), (0.1, false)]
            .map(|(score, fake)| Scored { score, fake });
        let bins = reliability(&scored);
        assert_eq!((bins[0].count, bins[0].fakes), (2, Some(0.5)));
        assert_eq!((bins[9].count, bins[9].mean_score), (1, Some(1.0)));
        assert_eq!((bins[1].count, bins[5].count, bins[5].fakes), (1, 0, None));
    }
}
