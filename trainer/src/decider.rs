//! Who has the last word in a cascade.

use crate::boosting::Ensemble;
use crate::metrics::{Scored, sigmoid};
use crate::stacking::{Row, Table, plain};
use engine::verdict::probability_fake;

/// What decides where the filter is not sure.
#[derive(Debug, Clone, PartialEq)]
pub struct Decider {
    /// Whose word it is.
    pub word: Word,
    /// Least side of a crop that goes further than the filter.
    pub min_side: u32,
    /// Divisor of the filter's logit, which is the table's first column.
    pub filter_temperature: f64,
}

/// Whose word is the last.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// The meta-model's, its temperature in its leaves.
    Meta(Ensemble),
    /// That of the only expert, where no meta-model knows more than it.
    Expert {
        /// Column of its logit in the table.
        column: usize,
        /// Divisor of its logit.
        temperature: f64,
    },
}

impl Decider {
    /// P(fake) of each row.
    pub fn scored(&self, table: &Table) -> Vec<Scored> {
        let one = |row: &Row| Scored { score: self.probability(row), fake: row.is_fake() };
        table.rows.iter().map(one).collect()
    }

    /// Whether it is a meta-model.
    pub fn is_meta(&self) -> bool {
        matches!(self.word, Word::Meta(_))
    }

    /// Whether `row` can go further than the filter.
    pub fn is_asked(&self, row: &Row) -> bool {
        row.side >= self.min_side
    }

    fn probability(&self, row: &Row) -> f64 {
        if !self.is_asked(row) {
            return probability_fake(row.values[0], self.filter_temperature);
        }
        match &self.word {
            Word::Meta(ensemble) => sigmoid(f64::from(ensemble.logit(&plain(row)))),
            Word::Expert { column, temperature } => probability_fake(row.values[*column], *temperature),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_small_for_the_expert_stays_with_the_filter() {
        let row = |side, label| Row {
            path: String::new(),
            label,
            dataset: String::new(),
            source: String::new(),
            values: vec![1.0, 7.0, -3.0],
            uncertainty: 0.0,
            side,
        };
        let word = Word::Expert { column: 2, temperature: 1.5 };
        let decider = Decider { word, min_side: 100, filter_temperature: 2.0 };
        let table = Table { columns: Vec::new(), rows: vec![row(99, 0), row(100, 1)] };
        let scored = decider.scored(&table);
        assert_eq!(scored[0].score, probability_fake(1.0, 2.0));
        assert_eq!((scored[1].score, scored[1].fake), (probability_fake(-3.0, 1.5), true));
        assert!(!decider.is_meta());
    }
}
