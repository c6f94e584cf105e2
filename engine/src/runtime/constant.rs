//! Values that a file carries: weights, scales, shapes.

use super::error::ModelError;

/// Elements of a constant; four-bit integers are widened to eight when they are read.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floats, all finite.
    F32(Vec<f32>),
    /// Signed bytes.
    I8(Vec<i8>),
    /// Unsigned bytes.
    U8(Vec<u8>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// 64-bit integers: shapes, axes, indices.
    I64(Vec<i64>),
}

/// Element type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 32-bit float.
    F32,
    /// Signed byte.
    I8,
    /// Unsigned byte.
    U8,
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
}

/// A row-major array; the number of its elements is the product of `shape`.
#[derive(Debug, Clone, PartialEq)]
pub struct Constant {
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// The elements.
    pub values: Values,
}

impl Constant {
    /// A float constant.
    pub fn of_floats(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Constant { shape, values: Values::F32(values) }
    }

    /// Its element type.
    pub fn kind(&self) -> Kind {
        match self.values {
            Values::F32(_) => Kind::F32,
            Values::I8(_) => Kind::I8,
            Values::U8(_) => Kind::U8,
            Values::I32(_) => Kind::I32,
            Values::I64(_) => Kind::I64,
        }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        match &self.values {
            Values::F32(values) => values.len(),
            Values::I8(values) => values.len(),
            Values::U8(values) => values.len(),
            Values::I32(values) => values.len(),
            Values::I64(values) => values.len(),
        }
    }

    /// The elements, if they are floats.
    pub fn floats(&self) -> Option<&[f32]> {
        if let Values::F32(values) = &self.values { Some(values) } else { None }
    }

    /// The elements, if they are 64-bit integers.
    pub fn indices(&self) -> Option<&[i64]> {
        if let Values::I64(values) = &self.values { Some(values) } else { None }
    }

    /// The elements of an integer constant; `None` for floats.
    pub fn integers(&self) -> Option<Vec<i64>> {
        Some(match &self.values {
            Values::F32(_) => return None,
            Values::I8(values) => values.iter().map(|&value| i64::from(value)).collect(),
            Values::U8(values) => values.iter().map(|&value| i64::from(value)).collect(),
            Values::I32(values) => values.iter().map(|&value| i64::from(value)).collect(),
            Values::I64(values) => values.clone(),
        })
    }
}

/// Scales and zero points of a quantised value: one for all, or one an index of `axis`.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantisation {
    /// Positive and finite.
    pub scales: Vec<f32>,
    /// As many as scales.
    pub zero_points: Vec<i32>,
    /// Axis of the indices, where there are several.
    pub axis: usize,
}

impl Quantisation {
    /// Checks the constants of a `QuantizeLinear` or `DequantizeLinear`, with `axis` into `shape`.
    ///
    /// # Errors
    /// A text that says what does not fit.
    pub fn new(
        scale: &Constant,
        zero_point: Option<&Constant>,
        axis: usize,
        shape: &[usize],
    ) -> Result<Self, String> {
        let scales = scale.floats().ok_or("its scale is not a float")?;
        if scales.iter().any(|&scale| !(scale.is_finite() && scale > 0.0)) {
            return Err("a scale is not a positive finite number".into());
        }
        let zero_points = match zero_point {
            None => vec![0; scales.len()],
            Some(constant) => {
                constant.integers().ok_or("its zero point is a float")?.iter().map(|&z| z as i32).collect()
            }
        };
        if zero_points.len() != scales.len() {
            return Err(format!("{} scales but {} zero points", scales.len(), zero_points.len()));
        }
        let is_for_all = scales.len() == 1 && scale.shape.iter().all(|&extent| extent == 1);
        if !is_for_all && (scale.shape.len() != 1 || shape.get(axis) != Some(&scales.len())) {
            let count = scales.len();
            return Err(format!("{count} scales do not fit axis {axis} of {shape:?}"));
        }
        Ok(Quantisation { scales: scales.to_vec(), zero_points, axis })
    }

    /// Scale and zero point, if they are the same for all elements.
    pub fn of_all(&self) -> Option<(f32, i32)> {
        if let ([scale], [zero]) = (&self.scales[..], &self.zero_points[..]) {
            Some((*scale, *zero))
        } else {
            None
        }
    }
}

/// What `DequantizeLinear` makes of `constant`: `(q - zero_point) * scale`.
///
/// # Errors
/// [`ModelError::Constant`] for floats.
pub fn dequantised(constant: &Constant, quantisation: &Quantisation) -> Result<Constant, ModelError> {
    let integers = constant.integers().ok_or_else(|| ModelError::Constant {
        tensor: "of DequantizeLinear".into(),
        detail: "it holds floats already".into(),
    })?;
    let inner: usize = constant.shape.iter().skip(quantisation.axis + 1).product();
    let count = quantisation.scales.len();
    let value = |(index, &q): (usize, &i64)| {
        let at = if count == 1 { 0 } else { index / inner.max(1) % count };
        (q as i32).wrapping_sub(quantisation.zero_points[at]) as f32 * quantisation.scales[at]
    };
    let values = integers.iter().enumerate().map(value).collect();
    Ok(Constant::of_floats(constant.shape.clone(), values))
}
