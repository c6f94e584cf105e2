//! What the meta-model looks at: one row of numbers in a fixed order.
//!
//! For each stage before it, in the order of the manifest: the logit as the network gives it, then the values of every
//! further output of its file in the file's order. What those are is written into the file by `aware fit-cascade`:
//! the main directions of the embedding and, of a network that copies the picture, the copies' mean squared errors. The
//! meta-model is a tree ensemble (`ai.onnx.ml`, [`crate::runtime::trees`]) from `[1, F]` to P(real) and P(fake).

use crate::error::Error;
use crate::tensor::Tensor;
use crate::verdict::ProbabilityFake;

/// What a stage gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// The network's answer; of a meta-model the log-odds of its P(fake).
    pub logit: f32,
    /// Further values for the meta-model.
    pub values: Vec<f32>,
}

impl Given {
    /// What the outputs of the network `stage` say.
    ///
    /// # Errors
    /// [`Error::Stage`] if there is not one logit first, [`Error::Numeric`] if a number is not finite.
    pub fn of_network(stage: &str, outputs: &[Tensor]) -> Result<Self, Error> {
        let Some(([logit], others)) = outputs.split_first().map(|(first, rest)| (first.values(), rest))
        else {
            let detail = format!("{} outputs without one logit first", outputs.len());
            return Err(Error::Stage { stage: stage.into(), detail });
        };
        let given = Given {
            logit: *logit,
            values: others.iter().flat_map(|output| output.values()).copied().collect(),
        };
        let is_finite = given.logit.is_finite() && given.values.iter().all(|value| value.is_finite());
        if is_finite { Ok(given) } else { Err(Error::Numeric { stage: stage.into() }) }
    }

    /// What the meta-model `stage` says, and its P(fake).
    ///
    /// # Errors
    /// [`Error::Stage`] if there are no two scores, [`Error::Numeric`] if P(fake) is none.
    pub fn of_meta(stage: &str, outputs: &[Tensor]) -> Result<(Self, ProbabilityFake), Error> {
        let Some([_, fake]) = outputs.first().map(Tensor::values) else {
            let detail = format!("{} outputs without P(real) and P(fake) first", outputs.len());
            return Err(Error::Stage { stage: stage.into(), detail });
        };
        let probability =
            ProbabilityFake::new(f64::from(*fake)).ok_or(Error::Numeric { stage: stage.into() })?;
        Ok((Given { logit: probability.log_odds() as f32, values: Vec::new() }, probability))
    }
}

/// The meta-model's input `[1, F]` of what the stages before it `gave`, in their order.
pub fn features<'a>(gave: impl Iterator<Item = &'a Given>) -> Tensor {
    let row: Vec<f32> =
        gave.flat_map(|given| std::iter::once(given.logit).chain(given.values.iter().copied())).collect();
    Tensor::from_vec(vec![1, row.len()], row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32]) -> Tensor {
        Tensor::from_vec(vec![1, values.len()], values.to_vec())
    }

    #[test]
    fn the_order_is_stage_by_stage_logit_first() {
        let filter = Given::of_network("filter", &[row(&[1.0])]).unwrap();
        let expert = Given::of_network("expert", &[row(&[2.0]), row(&[3.0, 4.0]), row(&[5.0])]).unwrap();
        let features = features([&filter, &expert].into_iter());
        assert_eq!((features.shape(), features.values()), (&[1, 5][..], &[1.0, 2.0, 3.0, 4.0, 5.0][..]));
    }

    #[test]
    fn outputs_of_another_form_are_refused_by_the_stage() {
        for outputs in [vec![], vec![row(&[1.0, 2.0])]] {
            assert!(matches!(Given::of_network("a", &outputs), Err(Error::Stage { .. })), "{outputs:?}");
        }
        for outputs in [vec![], vec![row(&[1.0])], vec![row(&[0.1, 0.2, 0.7])]] {
            assert!(matches!(Given::of_meta("a", &outputs), Err(Error::Stage { .. })), "{outputs:?}");
        }
        for outputs in [vec![row(&[f32::NAN])], vec![row(&[1.0]), row(&[0.0, f32::INFINITY])]] {
            assert!(matches!(Given::of_network("a", &outputs), Err(Error::Numeric { .. })), "{outputs:?}");
        }
        for fake in [f32::NAN, 1.5, -0.1] {
            assert!(
                matches!(Given::of_meta("a", &[row(&[0.5, fake])]), Err(Error::Numeric { .. })),
                "{fake}"
            );
        }
        let (given, probability) = Given::of_meta("a", &[row(&[0.25, 0.75])]).unwrap();
        assert_eq!(probability.value(), 0.75);
        assert!((given.logit - 3f32.ln()).abs() < 1e-6);
    }
}
