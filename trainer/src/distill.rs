//! What a student learns from: labels, and what its teacher says.
//!
//! Hinton et al., arXiv 1503.02531: `hard * BCE(z_s, y) + soft * T^2 * KL(teacher || student)`, both distributions
//! softened by the temperature `T`.

use crate::loss::binary_cross_entropy_with_logits;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// Which two logits a network of one logit `z` is taken to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum DistillationForm {
    /// `[z, 0]`, whose softmax is P(fake).
    #[default]
    Corrected,
    /// `[z, -z]`, as the original AWARE-NET has it: the same at half the temperature.
    Legacy,
}

/// Weights and temperature of the two terms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distillation {
    /// Weight of the cross entropy with the labels.
    pub hard: f64,
    /// Weight of the divergence from the teacher.
    pub soft: f64,
    /// Divisor of the logits of both.
    pub temperature: f64,
    /// What two logits stand for one.
    pub form: DistillationForm,
}

/// The loss of a batch and its two terms, all scalars.
#[derive(Debug, Clone)]
pub struct DistillationLoss {
    /// Mean cross entropy with the labels.
    pub hard: Tensor,
    /// Mean divergence from the teacher, times the square of the temperature.
    pub soft: Tensor,
    /// Both, weighted.
    pub total: Tensor,
}

impl Distillation {
    /// The loss of the student's logits `[N]` against the teacher's `[N]` and labels `[N]` in `[0, 1]`.
    ///
    /// The divergence of two distributions over two classes is the cross entropy of one with the other minus its own
    /// entropy, so that both come from the stable form of the cross entropy.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn loss(&self, student: &Tensor, teacher: &Tensor, labels: &Tensor) -> Result<DistillationLoss> {
        let soft = self.divergence(student, teacher)?;
        let hard = binary_cross_entropy_with_logits(student, labels)?.mean_all()?;
        let total = self.weigh(&hard, &soft)?;
        Ok(DistillationLoss { hard, soft, total })
    }

    /// `T^2 * KL(teacher || student)`, its mean over the logits `[N]` of both; no gradient flows to the teacher.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn divergence(&self, student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
        let divisor = match self.form {
            DistillationForm::Corrected => self.temperature,
            DistillationForm::Legacy => self.temperature / 2.0,
        };
        let (student, teacher) = ((student / divisor)?, (teacher.detach() / divisor)?);
        let targets = candle_nn::ops::sigmoid(&teacher)?;
        let crossed = binary_cross_entropy_with_logits(&student, &targets)?;
        let entropy = binary_cross_entropy_with_logits(&teacher, &targets)?;
        (crossed - entropy)?.mean_all()? * self.temperature.powi(2)
    }

    /// Both terms, weighted: a scalar.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn weigh(&self, hard: &Tensor, soft: &Tensor) -> Result<Tensor> {
        (hard * self.hard)? + (soft * self.soft)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn vector(values: &[f32]) -> Result<Tensor> {
        Tensor::new(values, &Device::Cpu)
    }

    const STUDENT: [f32; 4] = [0.7, -2.0, 4.0, -0.1];
    const TEACHER: [f32; 4] = [1.5, -3.0, 2.0, 0.4];
    const LABELS: [f32; 4] = [1.0, 0.0, 1.0, 0.0];

    /// Python's, in double precision, with `k = 1` for the corrected form and 2 for the other:
    ///
    /// ```python
    /// p = lambda z: 1 / (1 + math.exp(-z))
    /// hard = sum(-y * math.log(p(z)) - (1 - y) * math.log(1 - p(z)) for z, y in zip(student, labels)) / 4
    /// kl = lambda a, b: a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b))
    /// soft = 16 * sum(kl(p(k * t / 4), p(k * z / 4)) for z, t in zip(student, teacher)) / 4
    /// ```
    #[test]
    fn both_forms_equal_the_textbook() -> Result<()> {
        let hard = 0.298_165_16;
        for (form, soft) in
            [(DistillationForm::Corrected, 0.167_148_88), (DistillationForm::Legacy, 0.516_821_2)]
        {
            let loss = Distillation { hard: 0.3, soft: 0.7, temperature: 4.0, form }.loss(
                &vector(&STUDENT)?,
                &vector(&TEACHER)?,
                &vector(&LABELS)?,
            )?;
            let value = |tensor: &Tensor| tensor.to_scalar::<f32>();
            assert!((value(&loss.hard)? - hard).abs() < 1e-5, "{form:?}: {}", value(&loss.hard)?);
            assert!((value(&loss.soft)? - soft).abs() < 2e-5, "{form:?}: {}", value(&loss.soft)?);
            assert!((value(&loss.total)? - (0.3 * hard + 0.7 * soft)).abs() < 2e-5);
        }
        Ok(())
    }

    #[test]
    fn a_student_that_says_what_its_teacher_says_is_not_corrected() -> Result<()> {
        let distillation =
            Distillation { hard: 0.0, soft: 1.0, temperature: 4.0, form: DistillationForm::Corrected };
        let loss = distillation.loss(&vector(&TEACHER)?, &vector(&TEACHER)?, &vector(&LABELS)?)?;
        assert!(loss.total.to_scalar::<f32>()?.abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn the_gradient_is_that_of_the_formula_and_the_teacher_gets_none() -> Result<()> {
        let distillation =
            Distillation { hard: 0.3, soft: 0.7, temperature: 4.0, form: DistillationForm::Corrected };
        let (student, teacher) =
            (Var::from_tensor(&vector(&STUDENT)?)?, Var::from_tensor(&vector(&TEACHER)?)?);
        let grads = distillation.loss(&student, &teacher, &vector(&LABELS)?)?.total.backward()?;
        assert!(grads.get(&teacher).is_none());
        let Some(grad) = grads.get(&student) else { candle_core::bail!("no gradient") };
        let p = |z: f64| 1.0 / (1.0 + (-z).exp());
        for (i, grad) in grad.to_vec1::<f32>()?.into_iter().enumerate() {
            let (s, t, y) = (f64::from(STUDENT[i]), f64::from(TEACHER[i]), f64::from(LABELS[i]));
            let wanted = (0.3 * (p(s) - y) + 0.7 * 4.0 * (p(s / 4.0) - p(t / 4.0))) / 4.0;
            assert!((f64::from(grad) - wanted).abs() < 1e-6, "{grad}, expected {wanted}");
        }
        Ok(())
    }
}
