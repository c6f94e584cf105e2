//! Attention between the positions of maps (Vaswani et al., arXiv 1706.03762).

use super::softmax::softmax;
use super::tokens::{Partition, from_tokens, to_tokens};
use candle_core::{Result, Tensor, bail};

/// How channels and positions of the maps are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grouping {
    /// Groups of the queries' channels.
    pub heads: usize,
    /// Groups of the keys' and values' channels; each serves `heads / kv_heads` heads (arXiv 1911.02150, 2305.13245).
    pub kv_heads: usize,
    /// Which positions see each other.
    pub partition: Partition,
}

impl Grouping {
    /// Factor of the products of queries and keys, given the queries' channels: `1 / sqrt(D)`.
    pub fn scale(&self, channels: usize) -> f64 {
        1.0 / ((channels / self.heads) as f64).sqrt()
    }
}

/// `softmax(Q K^T / sqrt(D) + bias) V` in each window and head, `[heads * D, H, W, N]`.
///
/// `q` is `[heads * D, H, W, N]`, `k` and `v` are `[kv_heads * D, H', W', N]` with as many windows; `bias` is
/// `[heads, L, L']` for the `L` and `L'` positions of their windows.
///
/// # Errors
/// If the shapes do not fit.
pub fn attention([q, k, v]: [&Tensor; 3], grouping: Grouping, bias: Option<&Tensor>) -> Result<Tensor> {
    let Grouping { heads, kv_heads, partition } = grouping;
    let (channels, h, w, n) = q.dims4()?;
    let scale = grouping.scale(channels);
    let q = to_tokens(&(q * scale)?, heads, partition)?;
    let (k, v) = (to_tokens(k, kv_heads, partition)?, to_tokens(v, kv_heads, partition)?);
    let [(batch, _, rows, depth), (kv_batch, _, columns, kv_depth)] = [q.dims4()?, k.dims4()?];
    if batch != kv_batch || depth != kv_depth || !heads.is_multiple_of(kv_heads) || k.dims() != v.dims() {
        bail!("attention: {:?} over {:?} and {:?} in {grouping:?}", q.dims(), k.dims(), v.dims());
    }
    // The heads that share keys are more rows of one product.
    let shared = (batch * kv_heads, heads / kv_heads * rows, depth);
    let (k, v) = (k.reshape((shared.0, columns, depth))?, v.reshape((shared.0, columns, depth))?);
    let scores = q.reshape(shared)?.matmul(&k.t()?)?.reshape((batch, heads, rows, columns))?;
    let scores = match bias {
        Some(bias) => scores.broadcast_add(bias)?,
        None => scores,
    };
    let weights = softmax(&scores)?.reshape((shared.0, shared.1, columns))?;
    let out = weights.matmul(&v)?.reshape((batch, heads, rows, depth))?;
    from_tokens(&out, [channels, h, w, n], heads, partition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{close, random};
    use candle_core::Device;

    /// Windows of one position see themselves only, and so give back the values.
    #[test]
    fn a_position_alone_gets_its_own_value() -> Result<()> {
        let [q, k, v] = [1, 2, 3].map(|seed| random(&Device::Cpu, &[4, 3, 3, 2], seed));
        let (q, k, v) = (q?, k?, v?);
        let grouping = Grouping { heads: 2, kv_heads: 2, partition: Partition::Adjacent(1) };
        close(&attention([&q, &k, &v], grouping, None)?, &v, 1e-6)
    }

    /// Keys and values shared by two heads are the same as two copies of them.
    #[test]
    fn shared_keys_equal_copies_of_them() -> Result<()> {
        let (q, bias) = (random(&Device::Cpu, &[4, 4, 4, 3], 1)?, random(&Device::Cpu, &[2, 16, 4], 4)?);
        let (k, v) = (random(&Device::Cpu, &[2, 2, 2, 3], 2)?, random(&Device::Cpu, &[2, 2, 2, 3], 3)?);
        let grouping = |kv_heads| Grouping { heads: 2, kv_heads, partition: Partition::Whole };
        let shared = attention([&q, &k, &v], grouping(1), Some(&bias))?;
        let (k, v) = (Tensor::cat(&[&*k, &*k], 0)?, Tensor::cat(&[&*v, &*v], 0)?);
        close(&shared, &attention([&q, &k, &v], grouping(2), Some(&bias))?, 1e-6)
    }

    #[test]
    fn maps_that_do_not_fit_are_refused() -> Result<()> {
        let (q, k) = (random(&Device::Cpu, &[4, 4, 4, 1], 1)?, random(&Device::Cpu, &[6, 4, 4, 1], 2)?);
        let grouping = Grouping { heads: 2, kv_heads: 1, partition: Partition::Whole };
        assert!(attention([&q, &k, &k], grouping, None).is_err());
        Ok(())
    }
}
