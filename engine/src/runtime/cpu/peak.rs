//! The most that float kernels can do: multiply, then add, over and over, with all they need in registers.

use multiversion::multiversion;
use std::hint::black_box;

/// Sums that do not wait for each other.
const CHAINS: usize = 12;
/// Lanes of a sum.
const LANES: usize = 8;

/// Runs `turns` turns of nothing but products of floats and sums, not fused; how many multiply-adds that were.
#[multiversion(targets("x86_64+avx2"))]
pub fn run_products(turns: usize) -> u64 {
    let weight = black_box(1.0e-3);
    let mut sums = [[black_box(1.0f32); LANES]; CHAINS];
    for _ in 0..turns {
        // As for integers: no product is known before its turn.
        for i in 0..CHAINS {
            let x = sums[(i + 1) % CHAINS];
            for lane in 0..LANES {
                sums[i][lane] += x[lane] * weight;
            }
        }
    }
    black_box(&sums);
    (turns * CHAINS * LANES) as u64
}
