// Sum of two quantised maps, twin of cpu/int8/add.rs: a thread makes a word.

struct Params {
    zero_points: vec2<i32>,
    factors: vec2<f32>,
    threads: u32,
    @align(16) rounding: Rounding,
}

@group(0) @binding(0) var<uniform> p: Params;
// [threads] words of bytes
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [threads] words of bytes
@group(0) @binding(3) var<storage, read> added: array<u32>;
// [threads] words of bytes
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    let a = vec4<f32>(unsigned_bytes(x[thread]) - vec4<i32>(p.zero_points.x));
    let b = vec4<f32>(unsigned_bytes(added[thread]) - vec4<i32>(p.zero_points.y));
    let sum = sum_of_products(a, p.factors.x, b, p.factors.y, p.rounding.infinity);
    out[thread] = word_of(bytes_of(sum, p.rounding));
}
