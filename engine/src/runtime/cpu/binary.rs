//! Functions of two elements over shapes that broadcast.

use super::copy::Strided;
use crate::runtime::graph::Binary;
use crate::runtime::shape::MAX_RANK;
use multiversion::multiversion;

/// An operation whose operands are walked along the axes of the result.
#[derive(Debug, Clone)]
pub struct Broadcast {
    function: Binary,
    /// Extents of all axes but the innermost, outermost first.
    outer: Vec<usize>,
    /// Elements of an innermost run.
    inner: usize,
    /// Strides of the outer axes, for each operand.
    strides: [Vec<usize>; 2],
    /// Stride of the innermost axis, 0 or other, for each operand.
    inner_strides: [usize; 2],
}

impl Broadcast {
    /// The operation on operands whose walks have the result's extents.
    pub fn new(function: Binary, [a, b]: [Strided; 2]) -> Self {
        // Axes that both operands go through in one go are one.
        let mut axes: Vec<(usize, [usize; 2])> = Vec::new();
        for (i, &extent) in a.extents.iter().enumerate().filter(|(_, extent)| **extent != 1) {
            let strides = [a.strides[i], b.strides[i]];
            match axes.last_mut() {
                Some((merged, outer)) if (0..2).all(|side| outer[side] == strides[side] * extent) => {
                    (*merged, *outer) = (*merged * extent, strides);
                }
                _ => axes.push((extent, strides)),
            }
        }
        let (inner, inner_strides) = axes.pop().unwrap_or((1, [1, 1]));
        Broadcast {
            function,
            outer: axes.iter().map(|axis| axis.0).collect(),
            inner,
            strides: [0, 1].map(|side| axes.iter().map(|axis| axis.1[side]).collect()),
            inner_strides,
        }
    }

    /// What is computed.
    pub fn function(&self) -> Binary {
        self.function
    }

    /// Extent, stride of the first operand and of the second one, of each axis, the innermost first.
    pub fn axes(&self) -> Vec<[usize; 3]> {
        let [a, b] = self.inner_strides;
        let outer = (0..self.outer.len()).rev();
        let outer = outer.map(|axis| [self.outer[axis], self.strides[0][axis], self.strides[1][axis]]);
        std::iter::once([self.inner, a, b]).chain(outer).collect()
    }

    /// `out`, dense, of the operands.
    pub fn run(&self, a: &[f32], b: &[f32], out: &mut [f32]) {
        let mut index = [0; MAX_RANK];
        let mut at = [0, 0];
        for run in out.chunks_exact_mut(self.inner) {
            self.run_inner(&a[at[0]..], &b[at[1]..], run);
            for axis in (0..self.outer.len()).rev() {
                index[axis] += 1;
                (0..2).for_each(|side| at[side] += self.strides[side][axis]);
                if index[axis] < self.outer[axis] {
                    break;
                }
                (0..2).for_each(|side| at[side] -= self.strides[side][axis] * self.outer[axis]);
                index[axis] = 0;
            }
        }
    }

    fn run_inner(&self, a: &[f32], b: &[f32], out: &mut [f32]) {
        match (self.function, self.inner_strides) {
            (Binary::Add, [1, 1]) => add(a, b, out),
            (Binary::Mul, [1, 1]) => multiply(a, b, out),
            (function, [1, 1]) => {
                out.iter_mut().zip(a).zip(b).for_each(|((out, a), b)| *out = function.apply(*a, *b));
            }
            (function, [1, 0]) => out.iter_mut().zip(a).for_each(|(out, a)| *out = function.apply(*a, b[0])),
            (function, [0, 1]) => out.iter_mut().zip(b).for_each(|(out, b)| *out = function.apply(a[0], *b)),
            (function, [x, y]) => {
                let value = |i: usize| function.apply(a[i * x], b[i * y]);
                out.iter_mut().enumerate().for_each(|(i, out)| *out = value(i));
            }
        }
    }
}

impl Binary {
    /// The function of two values.
    #[inline(always)]
    pub fn apply(self, a: f32, b: f32) -> f32 {
        match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
        }
    }
}

#[multiversion(targets("x86_64+avx2"))]
fn add(a: &[f32], b: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(a).zip(b).for_each(|((out, a), b)| *out = a + b);
}

#[multiversion(targets("x86_64+avx2"))]
fn multiply(a: &[f32], b: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(a).zip(b).for_each(|((out, a), b)| *out = a * b);
}
