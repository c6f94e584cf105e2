//! Who has the last word in a cascade.

use crate::boosting::Ensemble;
use crate::metrics::{Scored, sigmoid};
use crate::stacking::{Row, Table, plain};
use engine::verdict::probability_fake;

/// What decides where the filter is not sure.
#[derive(Debug, Clone, PartialEq)]
pub enum Decider {
    /// The meta-model, its temperature in its leaves.
    Meta(Ensemble),
    /// The only expert, where no meta-model knows more than it.
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
        matches!(self, Decider::Meta(_))
    }

    fn probability(&self, row: &Row) -> f64 {
        match self {
            Decider::Meta(ensemble) => sigmoid(f64::from(ensemble.logit(&plain(row)))),
            Decider::Expert { column, temperature } => probability_fake(row.values[*column], *temperature),
        }
    }
}
