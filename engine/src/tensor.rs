//! A dense `f32` array with its shape.

/// Dense row-major `f32` values; `values.len()` is the product of `shape`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Tensor {
    /// A tensor of `shape` over `values`.
    ///
    /// # Panics
    /// If `values.len()` is not the product of `shape`.
    pub fn from_vec(shape: Vec<usize>, values: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "values of a tensor of shape {shape:?}");
        Tensor { shape, values }
    }

    /// The extent of each axis, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All values, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values without the shape.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }
}
