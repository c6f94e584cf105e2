//! Maps cut into windows of tokens, one matrix a window and head, and back.

use super::{contiguous, dims4};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Which positions of a map form a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// All of them.
    Whole,
    /// Neighbours: squares of at most so many positions a side (Swin, arXiv 2103.14030).
    Adjacent(usize),
    /// Positions a stride apart, at most so many a side, so that each window spans the map (the grid of MaxViT,
    /// arXiv 2204.01697).
    Strided(usize),
}

impl Partition {
    /// Number of windows and of positions in one along an axis of `side` positions: as many positions as divide the
    /// side and are allowed.
    pub fn split(self, side: usize) -> (usize, usize) {
        match self {
            Partition::Whole => (1, side),
            Partition::Adjacent(limit) | Partition::Strided(limit) => {
                let extent = (1..=limit.min(side)).rev().find(|extent| side.is_multiple_of(*extent));
                let extent = extent.unwrap_or(1);
                (side / extent, extent)
            }
        }
    }

    /// The position on an axis of `windows` windows of `extent` positions.
    fn position(self, (windows, extent): (usize, usize), window: usize, index: usize) -> usize {
        match self {
            Partition::Whole | Partition::Adjacent(_) => window * extent + index,
            Partition::Strided(_) => index * windows + window,
        }
    }
}

/// `[B, heads, L, D]` of `x` `[heads * D, H, W, N]`: `B` windows of the batch's pictures, `L` positions in one, row by
/// row; the windows in rows, too, and the batch within them.
///
/// # Errors
/// If the channels are no multiple of `heads`, or `x` is not a rank-4 `f32` tensor.
pub fn to_tokens(x: &Tensor, heads: usize, partition: Partition) -> Result<Tensor> {
    let (channels, h, w, n) = x.dims4()?;
    if !channels.is_multiple_of(heads) {
        bail!("{channels} channels in {heads} heads");
    }
    let cut = Cut { shape: [channels, h, w, n], heads, partition };
    if x.device().is_cpu() { x.contiguous()?.apply_op1(ToTokens(cut)) } else { cut.permuted(x) }
}

/// `[heads * D, H, W, N]`, the `shape`, of `tokens` `[B, heads, L, D]`: the inverse of [`to_tokens`].
///
/// # Errors
/// If the number of values is another.
pub fn from_tokens(tokens: &Tensor, shape: [usize; 4], heads: usize, partition: Partition) -> Result<Tensor> {
    let cut = Cut { shape, heads, partition };
    if tokens.device().is_cpu() {
        tokens.contiguous()?.apply_op1(FromTokens(cut))
    } else {
        cut.permuted_back(tokens)
    }
}

/// A map and how it is cut.
#[derive(Clone, Copy)]
struct Cut {
    /// `[C, H, W, N]`
    shape: [usize; 4],
    heads: usize,
    partition: Partition,
}

impl Cut {
    /// `[B, heads, L, D]`
    fn tokens(&self) -> [usize; 4] {
        let [c, h, w, n] = self.shape;
        let ((rows, height), (columns, width)) = (self.partition.split(h), self.partition.split(w));
        [rows * columns * n, self.heads, height * width, c / self.heads]
    }

    /// Extents of the map with each side in two, and where rows and columns of windows, height and width stand in them.
    fn axes(&self) -> ([usize; 7], [usize; 4]) {
        let [c, h, w, n] = self.shape;
        let ((rows, height), (columns, width)) = (self.partition.split(h), self.partition.split(w));
        let [heads, depth] = [self.heads, c / self.heads];
        match self.partition {
            Partition::Whole | Partition::Adjacent(_) => {
                ([heads, depth, rows, height, columns, width, n], [2, 4, 3, 5])
            }
            Partition::Strided(_) => ([heads, depth, height, rows, width, columns, n], [3, 5, 2, 4]),
        }
    }

    /// [`to_tokens`] as a permutation of axes, for devices that have no kernel of ours.
    fn permuted(&self, x: &Tensor) -> Result<Tensor> {
        let (extents, [rows, columns, height, width]) = self.axes();
        let order = [rows, columns, 6, 0, height, width, 1];
        x.reshape(&extents[..])?.permute(&order[..])?.contiguous()?.reshape(&self.tokens()[..])
    }

    /// [`from_tokens`] as a permutation of axes.
    fn permuted_back(&self, tokens: &Tensor) -> Result<Tensor> {
        let (extents, [rows, columns, height, width]) = self.axes();
        let order = [rows, columns, 6, 0, height, width, 1];
        let mut back = [0; 7];
        for (now, axis) in order.into_iter().enumerate() {
            back[axis] = now;
        }
        let cut = order.map(|axis| extents[axis]);
        tokens.reshape(&cut[..])?.permute(&back[..])?.contiguous()?.reshape(&self.shape[..])
    }

    /// Pixel `y * W + x` of position `index` of window `window`.
    fn pixel(&self, window: usize, index: usize) -> usize {
        let [_, h, w, _] = self.shape;
        let (rows, columns) = (self.partition.split(h), self.partition.split(w));
        let y = self.partition.position(rows, window / columns.0, index / columns.1);
        let x = self.partition.position(columns, window % columns.0, index % columns.1);
        y * w + x
    }

    /// Pixels of all windows, one behind the other.
    fn pixels(&self) -> Vec<usize> {
        let [_, h, w, n] = self.shape;
        let [batch, _, length, _] = self.tokens();
        debug_assert_eq!(batch / n * length, h * w);
        (0..batch / n).flat_map(|window| (0..length).map(move |i| self.pixel(window, i))).collect()
    }
}

struct ToTokens(Cut);

impl CustomOp1 for ToTokens {
    fn name(&self) -> &'static str {
        "to-tokens"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let cut = self.0;
        let [channels, h, w, n] = dims4(layout)?;
        let x = contiguous(x, layout, "to-tokens")?;
        let [batch, heads, length, depth] = cut.tokens();
        let pixels = cut.pixels();
        let mut out = vec![0f32; x.len()];
        // [window][N][heads][L][D], a task a window
        out.par_chunks_mut(channels * length * n).zip(pixels.par_chunks(length)).for_each(|(out, pixels)| {
            for channel in 0..channels {
                for (index, pixel) in pixels.iter().enumerate() {
                    let target = (channel / depth * length + index) * depth + channel % depth;
                    let source = &x[(channel * h * w + pixel) * n..][..n];
                    for (picture, value) in source.iter().enumerate() {
                        out[picture * channels * length + target] = *value;
                    }
                }
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((batch, heads, length, depth))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        grad.contiguous()?.apply_op1_no_bwd(&FromTokens(self.0)).map(Some)
    }
}

struct FromTokens(Cut);

impl CustomOp1 for FromTokens {
    fn name(&self) -> &'static str {
        "from-tokens"
    }

    fn cpu_fwd(&self, tokens: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let cut = self.0;
        let [channels, h, w, n] = cut.shape;
        let tokens = contiguous(tokens, layout, "from-tokens")?;
        if tokens.len() != channels * h * w * n {
            bail!("from-tokens: {:?} is no map {:?}", layout.dims(), cut.shape);
        }
        let [_, _, length, depth] = cut.tokens();
        let mut place_of = vec![0; h * w];
        for (place, pixel) in cut.pixels().into_iter().enumerate() {
            place_of[pixel] = place;
        }
        let mut out = vec![0f32; tokens.len()];
        out.par_chunks_mut(h * w * n).enumerate().for_each(|(channel, out)| {
            for (place, out) in place_of.iter().zip(out.chunks_exact_mut(n)) {
                let (window, index) = (place / length, place % length);
                let source = (channel / depth * length + index) * depth + channel % depth;
                for (picture, value) in out.iter_mut().enumerate() {
                    *value = tokens[(window * n + picture) * channels * length + source];
                }
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((channels, h, w, n))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        grad.contiguous()?.apply_op1_no_bwd(&ToTokens(self.0)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{close, random};
    use candle_core::Device;

    #[test]
    fn sides_are_split_into_the_largest_windows_that_divide_them() {
        let cases = [(32, (4, 8)), (28, (4, 7)), (56, (7, 8)), (12, (2, 6)), (5, (1, 5)), (11, (11, 1))];
        for (side, expected) in cases {
            assert_eq!(Partition::Adjacent(8).split(side), expected, "{side}");
            assert_eq!(Partition::Strided(8).split(side), expected, "{side}");
            assert_eq!(Partition::Whole.split(side), (1, side));
        }
    }

    /// One channel, one picture: the numbers of the positions.
    #[test]
    fn windows_are_neighbours_or_a_stride_apart() -> Result<()> {
        let x = Tensor::arange(0f32, 16.0, &Device::Cpu)?.reshape((1, 4, 4, 1))?;
        let windows = |partition| to_tokens(&x, 1, partition)?.reshape((4, 4))?.to_vec2::<f32>();
        let adjacent = windows(Partition::Adjacent(2))?;
        assert_eq!(adjacent[0], [0.0, 1.0, 4.0, 5.0]);
        assert_eq!(adjacent[3], [10.0, 11.0, 14.0, 15.0]);
        let strided = windows(Partition::Strided(2))?;
        assert_eq!(strided[0], [0.0, 2.0, 8.0, 10.0]);
        assert_eq!(strided[3], [5.0, 7.0, 13.0, 15.0]);
        Ok(())
    }

    #[test]
    fn heads_and_pictures_are_apart_and_the_way_back_undoes_it() -> Result<()> {
        for partition in [Partition::Whole, Partition::Adjacent(3), Partition::Strided(3)] {
            let x = random(&Device::Cpu, &[6, 6, 3, 5], 1)?;
            let tokens = to_tokens(&x, 2, partition)?;
            let ((rows, height), (columns, width)) = (partition.split(6), partition.split(3));
            assert_eq!(tokens.dims(), [rows * columns * 5, 2, height * width, 3]);
            // Channel 4 is head 1's second; picture 3 of the first window begins at the origin.
            let ours = tokens.get(3)?.get(1)?.get(0)?.get(1)?.to_scalar::<f32>()?;
            let theirs = x.get(4)?.get(0)?.get(0)?.get(3)?.to_scalar::<f32>()?;
            assert_eq!(ours, theirs);
            close(&from_tokens(&tokens, [6, 6, 3, 5], 2, partition)?, &x, 0.0)?;
            let cut = Cut { shape: [6, 6, 3, 5], heads: 2, partition };
            close(&cut.permuted(&x)?, &tokens, 0.0)?;
            close(&cut.permuted_back(&tokens)?, &x, 0.0)?;
        }
        Ok(())
    }
}
