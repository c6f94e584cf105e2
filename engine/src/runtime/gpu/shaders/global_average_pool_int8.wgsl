// Mean of each channel of quantised maps, twin of cpu/int8/pool.rs: a thread makes four channels of an image.

struct Params {
    threads: u32,
    // Words of a pixel.
    words: u32,
    pixels: u32,
    // What the sum of as many zero points adds, taken off.
    start: i32,
    factor: f32,
    @align(16) rounding: Rounding,
}

@group(0) @binding(0) var<uniform> p: Params;
// [N, pixels, 4 * words] bytes
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [N, 4 * words] bytes
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    var at = (thread / p.words) * p.pixels * p.words + thread % p.words;
    var sums = vec4<i32>(p.start);
    for (var pixel = 0u; pixel < p.pixels; pixel++) {
        sums += unsigned_bytes(x[at]);
        at += p.words;
    }
    out[thread] = word_of(bytes_of(vec4<f32>(sums) * p.factor, p.rounding));
}
