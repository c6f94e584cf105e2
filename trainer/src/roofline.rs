//! What this machine can do at most: multiply-adds and bytes a second, measured on the spot.
//!
//! Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore architectures",
//! 2009.

use engine::runtime::cpu::{int8::Level, peak};
use engine::runtime::plan::Arithmetic;
use serde::Serialize;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A measured stretch takes so long at least.
const STRETCH: Duration = Duration::from_millis(4);
/// Stretches of each measurement, of which the fastest counts.
const STRETCHES: usize = 25;
/// Bytes that are read at least, since less would be read out of registers.
const LEAST_BYTES: usize = 16 << 10;

/// Limits of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Roofline {
    /// Multiply-adds of integers a second, in billions: a loop of the level's product instructions.
    pub integer_gmacs: f64,
    /// Multiply-adds of floats a second, in billions: products and sums of eight lanes, not fused.
    pub float_gmacs: f64,
    /// Bytes read a second, in billions, over and over from as much memory as the model has.
    pub gigabytes: f64,
    /// So much memory.
    pub measured_bytes: usize,
}

impl Roofline {
    /// Measures a thread of this machine that runs integer kernels of `level` and a model with so many bytes of weights
    /// and maps.
    pub fn measured(level: Level, model_bytes: usize) -> Self {
        let measured_bytes = model_bytes.max(LEAST_BYTES);
        let words: Vec<u64> = (0..measured_bytes as u64 / 8).collect();
        let read = |turns: usize| {
            (0..turns).for_each(|_| {
                black_box(sum(black_box(&words)));
            });
            (turns * words.len() * 8) as u64
        };
        Roofline {
            integer_gmacs: billions_a_second(|turns| level.run_products(turns)),
            float_gmacs: billions_a_second(peak::run_products),
            gigabytes: billions_a_second(read),
            measured_bytes,
        }
    }

    /// Shortest time, in milliseconds, in which `multiply_adds` and `bytes` could be done: whichever takes longer.
    pub fn least_ms(&self, multiply_adds: u64, bytes: usize, arithmetic: Arithmetic) -> f64 {
        let peak = match arithmetic {
            Arithmetic::Integers => self.integer_gmacs,
            Arithmetic::Floats => self.float_gmacs,
        };
        (multiply_adds as f64 / peak).max(bytes as f64 / self.gigabytes) / 1e6
    }
}

/// The best rate of `work`, which takes a number of turns and says how much it did.
fn billions_a_second(work: impl Fn(usize) -> u64) -> f64 {
    let (mut turns, mut best) = (1, 0f64);
    let mut stretches = 0;
    while stretches < STRETCHES {
        let started = Instant::now();
        let done = work(turns);
        let taken = started.elapsed();
        if taken < STRETCH {
            turns *= 2;
            continue;
        }
        stretches += 1;
        best = best.max(done as f64 / taken.as_secs_f64() / 1e9);
    }
    best
}

/// The sum of all words, in vectors.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    for words in words.as_chunks::<32>().0 {
        sums.iter_mut().zip(words).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Roofline =
        Roofline { integer_gmacs: 100.0, float_gmacs: 10.0, gigabytes: 20.0, measured_bytes: 1 };

    #[test]
    fn the_nearer_roof_limits() {
        // A million multiply-adds of integers take 0.01 ms, of floats 0.1 ms; a million bytes 0.05 ms.
        use Arithmetic::{Floats, Integers};
        for (bytes, arithmetic, wanted) in
            [(0, Integers, 0.01), (0, Floats, 0.1), (1_000_000, Integers, 0.05), (1_000_000, Floats, 0.1)]
        {
            let least = LIMITS.least_ms(1_000_000, bytes, arithmetic);
            assert!((least - wanted).abs() < 1e-12, "{least} of {bytes} bytes and {arithmetic:?}");
        }
    }

    #[test]
    fn this_machine_has_limits() {
        let limits = Roofline::measured(Level::best(), 100_000);
        for rate in [limits.integer_gmacs, limits.float_gmacs, limits.gigabytes] {
            assert!(rate > 0.01 && rate < 1e5, "{limits:?}");
        }
    }
}
