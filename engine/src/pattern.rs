//! Pictures made by a formula: the same pixels on every machine, and nothing to ship.
//!
//! Every value comes from whole numbers alone, wrapped at 2^32, so that a second implementation can give the same bytes
//! (`tools/patterns.py` does). With `x` and `y` from the upper left corner, `c` = 0, 1, 2 for red, green and blue, `s` the
//! seed, and `tri(n) = |n mod 510 - 255|`, a wave that runs from 255 to 0 and back:
//!
//! | kind | value |
//! |---|---|
//! | `flat` | `s mod 256` |
//! | `ramp` | `(x + 2 y + 85 c + s) mod 256` |
//! | `checkerboard` | `s mod 256` where `x + y + c` is even, else `(s + 128) mod 256` |
//! | `waves` | half of `tri((2 + s mod 5) x + 170 c) + tri((3 + s mod 7) y + 97 s)` |
//! | `noise` | the upper eight bits of `hash(((y width + x) 3 + c) + 2654435769 s)` |
//!
//! `hash` is the integer hash "lowbias32" of Chris Wellons (<https://nullprogram.com/blog/2018/07/31/>).

use crate::error::Error;
use crate::frame::Frame;
use serde::{Deserialize, Serialize};

/// A picture made by a formula.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Which formula.
    pub kind: PatternKind,
    /// Width in pixels, at most [`Pattern::MAX_SIDE`].
    pub width: u32,
    /// Height in pixels, at most [`Pattern::MAX_SIDE`].
    pub height: u32,
    /// Number that varies it.
    pub seed: u32,
}

/// A formula; see the module's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatternKind {
    /// One grey.
    Flat,
    /// Slopes that start again at 256.
    Ramp,
    /// The finest pattern that a picture holds.
    Checkerboard,
    /// Smooth hills.
    Waves,
    /// No two neighbours alike.
    Noise,
}

impl Pattern {
    /// Longest side, in pixels.
    pub const MAX_SIDE: u32 = 1024;

    /// The picture.
    ///
    /// # Errors
    /// [`Error::Golden`] if a side is 0 or longer than [`Pattern::MAX_SIDE`].
    pub fn frame(&self) -> Result<Frame, Error> {
        let sides = 1..=Self::MAX_SIDE;
        if !sides.contains(&self.width) || !sides.contains(&self.height) {
            let detail =
                format!("a picture of {} x {} pixels, expected sides in {sides:?}", self.width, self.height);
            return Err(Error::Golden { detail });
        }
        let mut rgb = Vec::with_capacity((self.width * self.height * 3) as usize);
        for y in 0..self.height {
            for x in 0..self.width {
                rgb.extend((0..3).map(|channel| self.value(x, y, channel)));
            }
        }
        Ok(Frame::from_rgb(self.width, self.height, rgb))
    }

    fn value(&self, x: u32, y: u32, channel: u32) -> u8 {
        let seed = self.seed;
        let low_bits = |value: u32| (value & 255) as u8;
        match self.kind {
            PatternKind::Flat => low_bits(seed),
            PatternKind::Ramp => low_bits((x + 2 * y + 85 * channel).wrapping_add(seed)),
            PatternKind::Checkerboard if (x + y + channel).is_multiple_of(2) => low_bits(seed),
            PatternKind::Checkerboard => low_bits(seed) ^ 128,
            PatternKind::Waves => {
                let across = triangle((2 + seed % 5) * x + 170 * channel);
                let down = triangle(((3 + seed % 7) * y).wrapping_add(seed.wrapping_mul(97)));
                low_bits((across + down) / 2)
            }
            PatternKind::Noise => {
                let index = (y * self.width + x) * 3 + channel;
                (hash(index.wrapping_add(seed.wrapping_mul(2_654_435_769))) >> 24) as u8
            }
        }
    }
}

/// 255 at 0, 0 at 255, 255 at 510.
fn triangle(n: u32) -> u32 {
    (n % 510).abs_diff(255)
}

/// "lowbias32".
fn hash(mut value: u32) -> u32 {
    value ^= value >> 16;
    value = value.wrapping_mul(0x7feb_352d);
    value ^= value >> 15;
    value = value.wrapping_mul(0x846c_a68b);
    value ^ value >> 16
}
