//! Attention as a layer: how the maps are grouped, and what relative positions add.

use crate::ops::{Grouping, Partition};
use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};

/// `softmax(Q K^T / sqrt(D) + bias) V`; queries, keys and values are made by other layers.
#[derive(Debug, Clone)]
pub struct Attention {
    /// Name for the nodes of a graph.
    pub name: String,
    /// Heads and windows.
    pub grouping: Grouping,
    bias: Option<PositionBias>,
}

/// One value for each head and relative position (Swin, arXiv 2103.14030).
#[derive(Debug, Clone)]
struct PositionBias {
    /// `[heads, (2 limit - 1)^2]`, row by row from the upper left; smaller windows use the middle.
    table: Tensor,
    /// Most positions along a side of a window.
    limit: usize,
}

impl Attention {
    /// Attention over whole maps without a bias; all heads share `kv_heads` keys and values.
    pub fn whole(name: String, heads: usize, kv_heads: usize) -> Self {
        let grouping = Grouping { heads, kv_heads, partition: Partition::Whole };
        Attention { name, grouping, bias: None }
    }

    /// Attention in windows with a bias by relative position, the tensor `name.position_bias` under `vb`.
    ///
    /// # Errors
    /// If `vb` has no such tensor.
    pub fn in_windows(vb: &VarBuilder, name: &str, heads: usize, partition: Partition) -> Result<Self> {
        let vb = vb.pp(name);
        let bias = match partition {
            Partition::Whole => None,
            Partition::Adjacent(limit) | Partition::Strided(limit) => {
                let positions = (2 * limit - 1) * (2 * limit - 1);
                let table = vb.get_with_hints((heads, positions), "position_bias", Init::Const(0.0))?;
                Some(PositionBias { table, limit })
            }
        };
        let grouping = Grouping { heads, kv_heads: heads, partition };
        Ok(Attention { name: vb.prefix(), grouping, bias })
    }

    /// The bias `[heads, L, L]` in the windows of a map of `height` x `width`, if there is one.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn bias(&self, [height, width]: [usize; 2]) -> Result<Option<Tensor>> {
        let Some(PositionBias { table, limit }) = &self.bias else { return Ok(None) };
        let split = |side| self.grouping.partition.split(side).1;
        let (rows, columns) = (split(height), split(width));
        let length = rows * columns;
        let mut indices = Vec::with_capacity(length * length);
        for query in 0..length {
            for key in 0..length {
                let down = query / columns + limit - 1 - key / columns;
                let right = query % columns + limit - 1 - key % columns;
                indices.push((down * (2 * limit - 1) + right) as u32);
            }
        }
        let indices = Tensor::new(indices, table.device())?;
        table.index_select(&indices, 1)?.reshape((table.dim(0)?, length, length)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use candle_nn::VarMap;

    #[test]
    fn the_bias_depends_on_the_relative_position_alone() -> Result<()> {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        let attention = Attention::in_windows(&vb, "attn", 1, Partition::Adjacent(3))?;
        let table = Tensor::arange(0f32, 25.0, &Device::Cpu)?.reshape((1, 25))?;
        variables.data().lock().unwrap()["attn.position_bias"].set(&table)?;

        let Some(bias) = attention.bias([6, 6])? else { panic!("no bias") };
        let bias: Vec<Vec<f32>> = bias.get(0)?.to_vec2()?;
        assert_eq!(bias.len(), 9);
        assert!((0..9).all(|i| bias[i][i] == 12.0), "the middle is no distance");
        assert_eq!((bias[0][8], bias[8][0]), (0.0, 24.0), "the corners are the largest distances");
        assert_eq!(bias[1][0], bias[5][4], "one to the right of it");

        // A map of 2 x 2 is one window of 2 x 2: the distances stay the same.
        let Some(small) = attention.bias([2, 2])? else { panic!("no bias") };
        assert_eq!(small.get(0)?.to_vec2::<f32>()?[1][0], bias[1][0]);
        Ok(())
    }
}
