//! Constants of the ONNX graph, decoded.

use anyhow::{Context, Result, bail, ensure};
use engine::runtime::proto::{FLOAT, INT4, INT8, INT32, INT64, TensorProto, UINT8};

/// A constant of floats, or of integers with a scale for each index along an axis.
#[derive(Debug, Clone)]
pub(super) struct Weight {
    pub(super) dims: Vec<usize>,
    pub(super) values: Values,
}

#[derive(Debug, Clone)]
pub(super) enum Values {
    Floats(Vec<f32>),
    Scaled { integers: Vec<i32>, scales: Vec<f32>, axis: usize },
}

impl Weight {
    /// The values in floats.
    pub(super) fn floats(&self) -> Vec<f32> {
        match &self.values {
            Values::Floats(floats) => floats.clone(),
            Values::Scaled { integers, scales, axis } => {
                let inner: usize = self.dims.iter().skip(axis + 1).product();
                let scale = |index: usize| scales[index / inner.max(1) % scales.len()];
                integers.iter().enumerate().map(|(index, &value)| value as f32 * scale(index)).collect()
            }
        }
    }
}

/// Shape and values of a tensor of floats.
pub(super) fn floats_of(tensor: &TensorProto) -> Result<(Vec<usize>, Vec<f32>)> {
    let name = &tensor.name;
    ensure!(tensor.data_type == FLOAT, "{name:?} has element type {}, expected floats", tensor.data_type);
    let values: Vec<f32> = if tensor.raw_data.is_empty() {
        tensor.float_data.clone()
    } else {
        tensor.raw_data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let dims = dims(tensor)?;
    check_length(tensor, &dims, values.len())?;
    Ok((dims, values))
}

/// Extents of the axes of `tensor`.
pub(super) fn dims(tensor: &TensorProto) -> Result<Vec<usize>> {
    let dims = tensor.dims.iter().map(|&extent| usize::try_from(extent)).collect::<Result<_, _>>();
    dims.with_context(|| format!("{:?} has shape {:?}", tensor.name, tensor.dims))
}

/// The integers of `tensor`, four-bit ones widened.
pub(super) fn integers_of(tensor: &TensorProto) -> Result<Vec<i64>> {
    let raw = &tensor.raw_data;
    let dims = dims(tensor)?;
    let count = dims.iter().product();
    let signed = |byte: u8| i64::from(byte as i8);
    let values: Vec<i64> = match tensor.data_type {
        // Two in a byte, the lower half first; the shifts keep the sign.
        INT4 => {
            raw.iter().flat_map(|&byte| [signed(byte << 4) >> 4, signed(byte) >> 4]).take(count).collect()
        }
        INT8 => raw.iter().map(|&byte| signed(byte)).collect(),
        UINT8 => raw.iter().map(|&byte| i64::from(byte)).collect(),
        INT32 => raw.as_chunks::<4>().0.iter().map(|bytes| i64::from(i32::from_le_bytes(*bytes))).collect(),
        INT64 => raw.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
        other => bail!("{:?} has element type {other}, expected integers", tensor.name),
    };
    check_length(tensor, &dims, values.len())?;
    Ok(values)
}

fn check_length(tensor: &TensorProto, dims: &[usize], found: usize) -> Result<()> {
    let expected = dims.iter().product::<usize>();
    ensure!(found == expected, "{:?} holds {found} values, its shape {dims:?} says {expected}", tensor.name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_bytes_are_widened_with_their_sign() {
        // 1 and -1, 7 and -7, -8 and nothing.
        let tensor = TensorProto {
            dims: vec![5],
            data_type: INT4,
            raw_data: vec![0xf1, 0x97, 0x08],
            ..TensorProto::default()
        };
        assert_eq!(integers_of(&tensor).unwrap(), [1, -1, 7, -7, -8]);
        assert!(integers_of(&TensorProto { dims: vec![7], ..tensor }).is_err());
    }

    #[test]
    fn scaled_weights_are_floats_by_their_axis() {
        let values = |axis| Values::Scaled { integers: vec![1, 2, 3, 4], scales: vec![1.0, 10.0], axis };
        assert_eq!(Weight { dims: vec![2, 2], values: values(0) }.floats(), [1.0, 2.0, 30.0, 40.0]);
        assert_eq!(Weight { dims: vec![2, 2], values: values(1) }.floats(), [1.0, 20.0, 3.0, 40.0]);
    }
}
