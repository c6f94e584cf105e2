//! What is said of many times, as in the page's benchmark.

/// Figures of the times of one column.
pub struct Figures {
    /// Half of all runs took no longer.
    pub median_ms: f64,
    /// The shortest run.
    pub min_ms: f64,
    /// Nine of ten runs took no longer.
    pub p90_ms: f64,
    /// Half of all runs lie within this share of the median.
    pub spread: f64,
}

impl Figures {
    /// Figures of `times_ms`, if there are any.
    pub fn of(times_ms: &[f64]) -> Option<Self> {
        let mut sorted = times_ms.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied()
        };
        let median_ms = at(50)?;
        Some(Figures { median_ms, min_ms: at(0)?, p90_ms: at(90)?, spread: (at(75)? - at(25)?) / median_ms })
    }
}
