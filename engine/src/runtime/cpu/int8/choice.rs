//! Which of several right ways is the fastest on this machine.

use super::conv::{Conv, Finish, Layer};
use super::isa::Level;
use super::{Parameters, Requantise, SEVEN_BITS};
use crate::runtime::plan::{Geometry, SLACK};

/// Channels in and out of the layer that is timed, and its side: as the inner layers of the cascade have them.
const CHANNELS: usize = 64;
const SIDE: usize = 16;
/// A measured stretch takes so long at least, in milliseconds, unless the clock stands still.
const STRETCH_MS: f64 = 1.0;
/// Layers in a stretch at most.
const MAX_REPEATS: u32 = 64;
/// Stretches of each level; a browser runs the first ones before it has optimised the code.
const ROUNDS: u32 = 12;

impl Level {
    /// The fastest level for values of seven bits: the best one, or where only time can tell (relaxed SIMD, whose dot
    /// product is one instruction on one processor and five on another) the one that took less of `now_ms`, any clock
    /// in milliseconds. With a clock that stands still the best one wins.
    pub fn fastest(now_ms: &dyn Fn() -> f64) -> Level {
        let rivals = Level::rivals();
        let [first, second] = rivals[..] else { return Level::best() };
        let weight: Vec<i8> = (0..CHANNELS * CHANNELS).map(|i| ((i * 37) % 101) as i8 - 50).collect();
        let x = vec![SEVEN_BITS / 3; SIDE * SIDE * CHANNELS + SLACK];
        let mut out = vec![0; SIDE * SIDE * CHANNELS];
        let convs = [first, second].map(|level| sample(&weight, level));
        let (mut repeats, mut shortest) = (1, [f64::INFINITY; 2]);
        for _ in 0..ROUNDS {
            let mut longest: f64 = 0.0;
            for (conv, shortest) in convs.iter().zip(&mut shortest) {
                let started = now_ms();
                for _ in 0..repeats {
                    conv.run(&x, None, &mut out, &mut Vec::new());
                }
                let taken = now_ms() - started;
                longest = longest.max(taken);
                if taken >= STRETCH_MS {
                    *shortest = shortest.min(taken / f64::from(repeats));
                }
            }
            if longest < 2.0 * STRETCH_MS {
                repeats = MAX_REPEATS.min(repeats * 4);
            }
        }
        if shortest[0] < shortest[1] { first } else { second }
    }

    /// Levels of which only time can tell the better one, the more modern one last; or none.
    fn rivals() -> Vec<Level> {
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        return vec![Level::RelaxedPairs, Level::RelaxedDot];
        #[cfg(not(all(target_arch = "wasm32", target_feature = "relaxed-simd")))]
        Vec::new()
    }
}

/// A pointwise convolution.
fn sample(weight: &[i8], level: Level) -> Conv {
    let parameters = Parameters { scale: 1.0, zero_point: 0, low: 0, high: SEVEN_BITS };
    let geometry = Geometry::pointwise([SIDE, SIDE]);
    let layer = Layer { weight, bias: &[0; CHANNELS], channels: CHANNELS, geometry, x: parameters };
    Conv::new(&layer, Finish::Bytes(Requantise { multipliers: vec![0.001; CHANNELS], parameters }), level)
}
