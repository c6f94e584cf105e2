//! The most that a level can do: its product instructions over and over, with all they need in registers.

use super::isa::{Isa, Level, dispatch};
use std::hint::black_box;

/// Sums that do not wait for each other: as many as hide how long an instruction takes.
const CHAINS: usize = 12;

impl Level {
    /// Runs `turns` turns of nothing but products; how many multiply-adds that were. A clock around it gives the level's
    /// peak.
    pub fn run_products(self, turns: usize) -> u64 {
        let mut done = 0;
        let result = &mut done;
        dispatch!(self, run(turns: usize, result: &mut u64));
        done
    }
}

/// # Safety
/// The instructions of `I` are there.
#[inline(always)]
unsafe fn run<I: Isa>(turns: usize, result: &mut u64) {
    // SAFETY: no pointers but to a local array of a vector's length.
    unsafe {
        let weights = I::splat_ints(black_box(0x0102_0301));
        let ones = I::splat_ints(black_box(0x1_0001));
        let mut sums = [I::splat_ints(black_box(0x0101_0101)); CHAINS];
        for _ in 0..turns {
            // What a chain multiplies is what its neighbours hold, so that no product is known before its turn.
            for i in 0..CHAINS {
                let x = [sums[(i + 1) % CHAINS], sums[(i + 2) % CHAINS]];
                sums[i] = I::product_of_two(sums[i], x, weights, ones);
            }
        }
        let mut lanes = [0; 16];
        for sums in sums {
            I::store_ints(sums, lanes.as_mut_ptr());
            black_box(&lanes);
        }
    }
    // Four inputs of each of a panel's outputs, in so many parts.
    let products = 2 * I::LANES * 4 / I::PARTS;
    *result = (turns * CHAINS * 2 * products) as u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_counts_its_products() {
        for level in Level::available() {
            // Two groups of four inputs, by each output of a vector, in twelve chains.
            let of_a_turn = level.run_products(1);
            assert!(of_a_turn >= 2 * 12 * 8, "{}: {of_a_turn}", level.name());
            assert_eq!(level.run_products(1000), 1000 * of_a_turn, "{}", level.name());
        }
    }
}
