//! What a kernel asks of a machine's vectors, and the choice of the machine.

/// A set of vector instructions. All pointers must be good for the bytes that a function names.
///
/// Implementations are inlined into functions that have the instructions switched on.
#[allow(clippy::missing_safety_doc, reason = "the trait's text says it for all")]
pub trait Isa {
    /// 32-bit integers in a vector.
    const LANES: usize;
    /// Pixels of a tile.
    const ROWS: usize;
    /// Weights are kept as 16-bit integers.
    const IS_WIDE: bool;
    /// 32-bit integers.
    type Ints: Copy;
    /// 32-bit floats.
    type Floats: Copy;
    /// Sums of one pixel and `2 * LANES` outputs, perhaps in parts.
    type Sums: Copy;

    /// Sums that begin with `2 * LANES` numbers.
    unsafe fn start(bias: *const i32) -> Self::Sums;
    /// Adds the products of 4 inputs and the packed weights of `2 * LANES` outputs.
    unsafe fn step(sums: Self::Sums, x: *const u8, weights: *const i8) -> Self::Sums;
    /// The sums, whole.
    unsafe fn finish(sums: Self::Sums) -> [Self::Ints; 2];
    /// `LANES` numbers.
    unsafe fn load_ints(from: *const i32) -> Self::Ints;
    /// Adds `x0[c] * w[2 c] + x1[c] * w[2 c + 1]` for `2 * LANES` channels.
    unsafe fn pair(sums: [Self::Ints; 2], x: [*const u8; 2], weights: *const i16) -> [Self::Ints; 2];

    /// `LANES` floats.
    unsafe fn load_floats(from: *const f32) -> Self::Floats;
    /// Writes `LANES` floats.
    unsafe fn store_floats(values: Self::Floats, to: *mut f32);
    /// One value in all lanes.
    unsafe fn splat(value: f32) -> Self::Floats;
    /// The nearest floats.
    unsafe fn to_floats(values: Self::Ints) -> Self::Floats;
    /// Products.
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Sums.
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Within `[low, high]`.
    unsafe fn clamp(values: Self::Floats, limits: [Self::Floats; 2]) -> Self::Floats;
    /// The nearest integers, ties to even, of values below 2^22, plus `offset`.
    unsafe fn round(values: Self::Floats, offset: i32) -> Self::Ints;
    /// `2 * LANES` bytes, widened.
    unsafe fn load_bytes(from: *const u8) -> [Self::Ints; 2];
    /// Writes `2 * LANES` values from 0 to 255 as bytes.
    unsafe fn store_bytes(values: [Self::Ints; 2], to: *mut u8);
}

/// Which instructions kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Whatever the compiler makes of plain loops.
    Scalar,
    /// WebAssembly SIMD, 16-bit products.
    #[cfg(target_arch = "wasm32")]
    Simd128,
    /// WebAssembly relaxed SIMD, 8-bit products of seven-bit values, added up by one instruction.
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    RelaxedDot,
    /// WebAssembly relaxed SIMD, 8-bit products of seven-bit values, added up by two instructions.
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    RelaxedPairs,
    /// AVX2, 8-bit products of seven-bit values.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX2, 16-bit products.
    #[cfg(target_arch = "x86_64")]
    Avx2Wide,
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Vnni,
}

impl Level {
    /// Every level that this machine runs, the best last.
    pub fn available() -> Vec<Level> {
        #[allow(unused_mut, reason = "some machines have one level")]
        let mut levels = vec![Level::Scalar];
        #[cfg(target_arch = "wasm32")]
        levels.push(Level::Simd128);
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        levels.extend([Level::RelaxedPairs, Level::RelaxedDot]);
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                levels.push(Level::Avx2);
            }
            let needed = [
                is_x86_feature_detected!("avx512f"),
                is_x86_feature_detected!("avx512bw"),
                is_x86_feature_detected!("avx512vl"),
                is_x86_feature_detected!("avx512vnni"),
            ];
            if levels.contains(&Level::Avx2) && !needed.contains(&false) {
                levels.push(Level::Vnni);
            }
        }
        levels
    }

    /// The best level that this machine runs.
    pub fn best() -> Level {
        Level::available().last().copied().unwrap_or(Level::Scalar)
    }

    /// The level that is right for values up to `high`, this one or one with wider products.
    pub fn exact_for(self, high: u8) -> Level {
        if high <= super::SEVEN_BITS {
            return self;
        }
        match self {
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Level::RelaxedDot | Level::RelaxedPairs => Level::Simd128,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Level::Avx2Wide,
            level => level,
        }
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            #[cfg(target_arch = "wasm32")]
            Level::Simd128 => "simd128",
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Level::RelaxedDot => "relaxed dot",
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Level::RelaxedPairs => "relaxed pairs",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2Wide => "avx2 wide",
            #[cfg(target_arch = "x86_64")]
            Level::Vnni => "avx512-vnni",
        }
    }
}

/// Calls `$function::<I>($arguments)` with the instructions of the level.
///
/// Each arm is a function with the instructions switched on, into which the kernel is inlined.
macro_rules! dispatch {
    ($level:expr, $function:ident($($argument:ident: $type:ty),*)) => {{
        use $crate::runtime::cpu::int8::isa::Level;
        match $level {
            // SAFETY: the caller vouches for the pointers; the level is one that this machine runs.
            Level::Scalar => unsafe { $function::<$crate::runtime::cpu::int8::scalar::Scalar>($($argument),*) },
            #[cfg(target_arch = "wasm32")]
            Level::Simd128 => unsafe { $function::<$crate::runtime::cpu::int8::wasm::Simd128>($($argument),*) },
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Level::RelaxedDot => unsafe { $function::<$crate::runtime::cpu::int8::wasm::RelaxedDot>($($argument),*) },
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Level::RelaxedPairs => unsafe {
                $function::<$crate::runtime::cpu::int8::wasm::RelaxedPairs>($($argument),*)
            },
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                #[target_feature(enable = "avx2")]
                unsafe fn with($($argument: $type),*) {
                    unsafe { $function::<$crate::runtime::cpu::int8::x86::Avx2>($($argument),*) }
                }
                unsafe { with($($argument),*) }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx2Wide => {
                #[target_feature(enable = "avx2")]
                unsafe fn with($($argument: $type),*) {
                    unsafe { $function::<$crate::runtime::cpu::int8::x86::Avx2Wide>($($argument),*) }
                }
                unsafe { with($($argument),*) }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Vnni => {
                #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
                unsafe fn with($($argument: $type),*) {
                    unsafe { $function::<$crate::runtime::cpu::int8::x86::Vnni>($($argument),*) }
                }
                unsafe { with($($argument),*) }
            }
        }
    }};
}
pub(super) use dispatch;
