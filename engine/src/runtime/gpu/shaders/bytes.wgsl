// What the integer kernels share. Maps are [N, H, W, C] in bytes, four channels a word, the first one lowest.

// How a sum becomes a byte: see docs/numerics.md.
struct Rounding {
    low: f32,
    high: f32,
    zero_point: i32,
    // Larger than any value, and not known to the compiler: what goes through `min` with it is not fused into a
    // multiply-add.
    infinity: f32,
}

fn signed_bytes(word: u32) -> vec4<i32> {
    return bitcast<vec4<i32>>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u);
}

fn unsigned_bytes(word: u32) -> vec4<i32> {
    return bitcast<vec4<i32>>((vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}

fn word_of(bytes: vec4<i32>) -> u32 {
    let parts = bitcast<vec4<u32>>(bytes) << vec4<u32>(0u, 8u, 16u, 24u);
    return parts.x | parts.y | parts.z | parts.w;
}

// clamp(round_half_even(values)), the zero point not yet added: `round` of WGSL takes ties to the even side.
fn rounded(values: vec4<f32>, rounding: Rounding) -> vec4<f32> {
    return round(clamp(values, vec4<f32>(rounding.low), vec4<f32>(rounding.high)));
}

fn bytes_of(values: vec4<f32>, rounding: Rounding) -> vec4<i32> {
    return vec4<i32>(rounded(values, rounding)) + vec4<i32>(rounding.zero_point);
}

// a * fa + b * fb, each product rounded by itself.
fn sum_of_products(a: vec4<f32>, fa: f32, b: vec4<f32>, fb: f32, infinity: f32) -> vec4<f32> {
    return min(a * fa, vec4<f32>(infinity)) + min(b * fb, vec4<f32>(infinity));
}
