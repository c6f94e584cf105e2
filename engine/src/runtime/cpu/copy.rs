//! Elements in another order: transpositions, slices, paddings, concatenations.

use crate::runtime::shape::MAX_RANK;

/// A walk over some elements of an array: the `i`-th axis has `extents[i]` indices, `strides[i]` apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strided {
    /// Indices of each axis, outermost first.
    pub extents: Vec<usize>,
    /// Elements between two indices of each axis; 0 repeats.
    pub strides: Vec<usize>,
    /// The first element.
    pub offset: usize,
}

impl Strided {
    /// The walk over a dense row-major array.
    pub fn dense(extents: &[usize]) -> Self {
        Strided { extents: extents.to_vec(), strides: dense_strides(extents), offset: 0 }
    }

    /// The same elements with axis `order[i]` at place `i`.
    pub fn permuted(&self, order: &[usize]) -> Self {
        let pick = |values: &[usize]| order.iter().map(|&axis| values[axis]).collect();
        Strided { extents: pick(&self.extents), strides: pick(&self.strides), offset: self.offset }
    }

    /// Indices `first`, `first + step`, ... of one axis, `count` of them.
    pub fn part(mut self, axis: usize, first: usize, count: usize, step: usize) -> Self {
        self.offset += first * self.strides[axis];
        // A step beyond the axis leads nowhere, and its product may be beyond all numbers.
        self.strides[axis] = if count > 1 { self.strides[axis] * step } else { 0 };
        self.extents[axis] = count;
        self
    }

    /// The walk meets every element in the order of memory.
    pub fn is_dense(&self) -> bool {
        let dense = dense_strides(&self.extents);
        let same = |i: usize| self.extents[i] == 1 || self.strides[i] == dense[i];
        self.offset == 0 && (0..self.extents.len()).all(same)
    }

    /// Fewer axes with the same walk: neighbours that follow each other in memory become one.
    fn merged(&self) -> ([usize; MAX_RANK], [usize; MAX_RANK], usize) {
        let (mut extents, mut strides, mut rank) = ([1; MAX_RANK], [0; MAX_RANK], 0);
        for (&extent, &stride) in self.extents.iter().zip(&self.strides).filter(|(extent, _)| **extent != 1) {
            if rank > 0 && strides[rank - 1] == stride * extent {
                extents[rank - 1] *= extent;
                strides[rank - 1] = stride;
            } else {
                (extents[rank], strides[rank]) = (extent, stride);
                rank += 1;
            }
        }
        (extents, strides, rank.max(1))
    }

    /// Calls `run` with place in `x`, number of elements and stride of each innermost run, in order.
    fn for_each_run(&self, mut run: impl FnMut(usize, usize, usize)) {
        let (extents, strides, rank) = self.merged();
        let mut index = [0; MAX_RANK];
        let mut at = self.offset;
        loop {
            run(at, extents[rank - 1], strides[rank - 1]);
            let mut axis = rank - 1;
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                index[axis] += 1;
                at += strides[axis];
                if index[axis] < extents[axis] {
                    break;
                }
                at -= strides[axis] * extents[axis];
                index[axis] = 0;
            }
        }
    }

    /// `out`, dense: the elements of `x` on the walk.
    pub fn gather<T: Copy>(&self, x: &[T], out: &mut [T]) {
        let mut rest = out;
        self.for_each_run(|at, count, stride| {
            let (run, behind) = std::mem::take(&mut rest).split_at_mut(count);
            match stride {
                1 => run.copy_from_slice(&x[at..at + count]),
                _ => run.iter_mut().enumerate().for_each(|(i, out)| *out = x[at + i * stride]),
            }
            rest = behind;
        });
    }

    /// Puts dense `x` onto the walk over `out`.
    pub fn scatter<T: Copy>(&self, x: &[T], out: &mut [T]) {
        let mut rest = x;
        self.for_each_run(|at, count, stride| {
            let (run, behind) = rest.split_at(count);
            match stride {
                1 => out[at..at + count].copy_from_slice(run),
                _ => run.iter().enumerate().for_each(|(i, x)| out[at + i * stride] = *x),
            }
            rest = behind;
        });
    }
}

/// Elements between two indices of each axis of a dense row-major array.
pub fn dense_strides(extents: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; extents.len()];
    for axis in (1..extents.len()).rev() {
        strides[axis - 1] = strides[axis] * extents[axis];
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_meet_what_indices_say() {
        let x: Vec<u32> = (0..2 * 3 * 4 * 5).collect();
        let whole = Strided::dense(&[2, 3, 4, 5]);
        assert!(whole.is_dense());
        let walk = whole.permuted(&[0, 2, 3, 1]).part(1, 1, 2, 2).part(3, 1, 2, 1);
        assert!(!walk.is_dense());
        let mut wanted = Vec::new();
        for n in 0..2 {
            for h in [1, 3] {
                for w in 0..5 {
                    wanted.extend([1, 2].map(|c| x[((n * 3 + c) * 4 + h) * 5 + w]));
                }
            }
        }
        let mut out = vec![0; wanted.len()];
        walk.gather(&x, &mut out);
        assert_eq!(out, wanted);
        let mut back = vec![u32::MAX; x.len()];
        walk.scatter(&out, &mut back);
        assert!(back.iter().zip(&x).all(|(back, x)| *back == u32::MAX || back == x));
        assert_eq!(back.iter().filter(|&&value| value != u32::MAX).count(), wanted.len());
    }
}
