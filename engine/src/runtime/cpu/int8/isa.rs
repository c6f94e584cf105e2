//! What a kernel asks of a machine's vectors, and the choice of the machine.

/// Most vectors that hold the sums of one pixel.
pub const MAX_PARTS: usize = 4;
/// Most neighbouring taps that are multiplied at once.
pub const MAX_TAPS: usize = 4;

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
    /// Vectors that hold the sums of one pixel and `2 * LANES` outputs; at most [`MAX_PARTS`].
    const PARTS: usize;
    /// Bytes of the weights of a part for 4 inputs.
    const PART_BYTES: usize;
    /// Groups of four inputs in a loop without a branch. Unrolled loops of WebAssembly have all their loads first, more
    /// than a browser has registers for.
    const CHUNK: usize;
    /// [`Isa::step_short`] is quicker than two steps.
    const HAS_SHORT_STEP: bool = false;

    /// Sums that begin with `2 * LANES` numbers.
    unsafe fn start(bias: *const i32) -> [Self::Ints; MAX_PARTS];
    /// Adds the products of 4 inputs and the packed weights of a part.
    unsafe fn step(sums: Self::Ints, x: *const u8, weights: *const i8) -> Self::Ints;
    /// Adds the products of 8 inputs and the packed weights of a part of two groups, some of them by way of 16 bits, which
    /// a caller must not exceed; with [`Isa::HAS_SHORT_STEP`] only.
    #[inline(always)]
    unsafe fn step_short(
        sums: Self::Ints,
        x: *const u8,
        weights: *const i8,
        _ones: Self::Ints,
    ) -> Self::Ints {
        // SAFETY: the caller's.
        unsafe {
            let sums = Self::step(sums, x, weights);
            Self::step(sums, x.add(4), weights.add(Self::PARTS * Self::PART_BYTES))
        }
    }
    /// What [`Isa::step`] does once both sides are loaded.
    unsafe fn product(sums: Self::Ints, x: Self::Ints, weights: Self::Ints) -> Self::Ints;
    /// The same for two groups, by way of 16 bits with [`Isa::HAS_SHORT_STEP`].
    #[inline(always)]
    unsafe fn product_of_two(
        sums: Self::Ints,
        x: [Self::Ints; 2],
        weights: Self::Ints,
        _ones: Self::Ints,
    ) -> Self::Ints {
        // SAFETY: no pointers.
        unsafe { Self::product(Self::product(sums, x[0], weights), x[1], weights) }
    }
    /// The sums, whole.
    unsafe fn finish(sums: [Self::Ints; MAX_PARTS]) -> [Self::Ints; 2];
    /// `LANES` numbers.
    unsafe fn load_ints(from: *const i32) -> Self::Ints;
    /// Writes `LANES` numbers.
    unsafe fn store_ints(values: Self::Ints, to: *mut i32);
    /// `2 * LANES` sums of few products each.
    type Shorts: Copy;
    /// [`Isa::Shorts`] have 16 bits, which a caller must not exceed.
    const IS_SHORT: bool;
    /// No products yet.
    unsafe fn shorts() -> Self::Shorts;
    /// Neighbouring taps of a depthwise window that are multiplied at once: two or four.
    const TAPS: usize = 2;
    /// Bytes of a weight of a depthwise layer.
    const TAP_BYTES: usize;
    /// Writes `2 * LANES` bytes of each of the first [`Isa::TAPS`] places in turns.
    unsafe fn interleave(from: [*const u8; MAX_TAPS], to: *mut u8);
    /// Adds, for `2 * LANES` channels, the products of [`Isa::TAPS`] neighbouring bytes and weights each.
    unsafe fn taps(sums: Self::Shorts, x: *const u8, weights: *const i8) -> Self::Shorts;
    /// Adds the short sums.
    unsafe fn widen(sums: [Self::Ints; 2], shorts: Self::Shorts) -> [Self::Ints; 2];

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
    /// One number in all lanes.
    unsafe fn splat_ints(value: i32) -> Self::Ints;
    /// The bits of `a` as integers, plus `b`.
    unsafe fn add_bits(a: Self::Floats, b: Self::Ints) -> Self::Ints;
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
    /// NEON, 16-bit products.
    #[cfg(target_arch = "aarch64")]
    NeonWide,
    /// NEON with the dot product of seven-bit values.
    #[cfg(target_arch = "aarch64")]
    NeonDot,
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
        #[cfg(target_arch = "aarch64")]
        {
            levels.push(Level::NeonWide);
            if std::arch::is_aarch64_feature_detected!("dotprod") {
                levels.push(Level::NeonDot);
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
            #[cfg(target_arch = "aarch64")]
            Level::NeonDot => Level::NeonWide,
            level => level,
        }
    }

    /// Outputs, or channels of a depthwise layer, that are summed at once: two vectors of 32-bit sums.
    pub(super) fn panel(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::Avx2Wide => 16,
            #[cfg(target_arch = "x86_64")]
            Level::Vnni => 32,
            _ => 8,
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
            #[cfg(target_arch = "aarch64")]
            Level::NeonWide => "neon",
            #[cfg(target_arch = "aarch64")]
            Level::NeonDot => "neon dot",
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
            #[cfg(target_arch = "aarch64")]
            Level::NeonWide => unsafe { $function::<$crate::runtime::cpu::int8::neon::NeonWide>($($argument),*) },
            #[cfg(target_arch = "aarch64")]
            Level::NeonDot => {
                #[target_feature(enable = "neon,dotprod")]
                unsafe fn with($($argument: $type),*) {
                    unsafe { $function::<$crate::runtime::cpu::int8::neon::NeonDot>($($argument),*) }
                }
                unsafe { with($($argument),*) }
            }
        }
    }};
}
pub(super) use dispatch;
