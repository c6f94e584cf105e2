//! Integer kernels on quantised maps `[H, W, C]`: one arithmetic, bit for bit, on every machine.
//!
//! Values are unsigned bytes `q` that stand for `(q - zero_point) * scale`, weights signed bytes with a scale for
//! each output. Sums are 32-bit integers and so exact in any order. A sum goes back to a byte by
//! `clamp(round_half_even(f32(sum) * multiplier)) + zero_point`, the only place with floats; docs/numerics.md has
//! the formulas.
//!
//! [`isa`] says what one vector can do, [`conv`] and [`depthwise`] are written once against it, and [`Level`]
//! chooses when a model is loaded. [`reference`] computes the same in plain loops.

pub mod add;
mod choice;
pub mod conv;
pub mod depthwise;
pub mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
mod parts;
mod peak;
pub mod pool;
pub mod quantise;
pub mod reference;
mod scalar;
mod tile;
#[cfg(target_arch = "wasm32")]
mod wasm;
mod write;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use add::Add;
pub use conv::{Conv, Finish};
pub use depthwise::Depthwise;
pub use isa::Level;
pub use parts::Parts;
pub use pool::GlobalAverage;
pub use quantise::{Dequantise, Quantise, look_up};

/// Largest value for which every machine's byte products are exact.
pub const SEVEN_BITS: u8 = 127;

/// What the bytes of a map stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// Difference between neighbours.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero_point: i32,
    /// Smallest byte.
    pub low: u8,
    /// Largest byte.
    pub high: u8,
}

impl Parameters {
    /// The byte nearest to `value`, ties to even: `saturate(round(value / scale) + zero_point)`.
    pub fn quantised(&self, value: f32) -> u8 {
        let limits = self.limits();
        // A NaN ends at the lower limit, as it does in the vectors.
        let scaled = (value / self.scale).max(limits[0]).min(limits[1]);
        (scaled.round_ties_even() as i32 + self.zero_point) as u8
    }

    /// What `byte` stands for.
    pub fn dequantised(&self, byte: u8) -> f32 {
        (i32::from(byte) - self.zero_point) as f32 * self.scale
    }

    /// The limits of a rounded value before the zero point is added.
    pub fn limits(&self) -> [f32; 2] {
        [self.low, self.high].map(|limit| (i32::from(limit) - self.zero_point) as f32)
    }

    /// The kernel that makes floats of such bytes.
    pub fn dequantise(self) -> Dequantise {
        Dequantise(self)
    }
}

/// How a sum becomes a byte.
#[derive(Debug, Clone, PartialEq)]
pub struct Requantise {
    /// Scale of the sum over scale of the result, for each output.
    pub multipliers: Vec<f32>,
    /// What the result's bytes stand for.
    pub parameters: Parameters,
}

impl Requantise {
    /// The byte for the sum of output `channel`.
    pub fn apply(&self, sum: i32, channel: usize) -> u8 {
        let [low, high] = self.parameters.limits();
        let scaled = (sum as f32 * self.multipliers[channel]).max(low).min(high);
        (scaled.round_ties_even() as i32 + self.parameters.zero_point) as u8
    }
}
