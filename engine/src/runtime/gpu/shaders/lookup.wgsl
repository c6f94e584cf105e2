// Any function of a byte, twin of `look_up` in cpu/int8/quantise.rs: a thread makes a word.

struct Params {
    threads: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [64] words: the 256 results.
@group(0) @binding(1) var<storage, read> table: array<u32>;
// [threads] words of bytes
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [threads] words of bytes
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    let bytes = vec4<u32>(unsigned_bytes(x[thread]));
    let words = vec4<u32>(table[bytes.x / 4u], table[bytes.y / 4u], table[bytes.z / 4u], table[bytes.w / 4u]);
    let results = (words >> (bytes % vec4<u32>(4u) * vec4<u32>(8u))) & vec4<u32>(255u);
    out[thread] = word_of(vec4<i32>(results));
}
