// Largest byte of each window, twin of `run_quantised` in cpu/pool.rs: a thread makes a word.

struct Params {
    input: vec2<u32>,
    output: vec2<u32>,
    window: vec2<u32>,
    strides: vec2<u32>,
    pads: vec2<u32>,
    // Words of a pixel.
    words: u32,
    threads: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [N, H, W, 4 * words] bytes
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [N, OH, OW, 4 * words] bytes
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    let word = thread % p.words;
    let pixel = thread / p.words;
    let row = pixel / p.output.y;
    let image = row / p.output.x;
    let top = i32((row % p.output.x) * p.strides.x) - i32(p.pads.x);
    let left = i32(pixel % p.output.y * p.strides.y) - i32(p.pads.y);
    var largest = vec4<i32>(0);
    for (var ky = 0u; ky < p.window.x; ky++) {
        let y = top + i32(ky);
        for (var kx = 0u; kx < p.window.y; kx++) {
            let at = left + i32(kx);
            if (y >= 0 && y < i32(p.input.x) && at >= 0 && at < i32(p.input.y)) {
                let source = ((image * p.input.x + u32(y)) * p.input.y + u32(at)) * p.words + word;
                largest = max(largest, unsigned_bytes(x[source]));
            }
        }
    }
    out[thread] = word_of(largest);
}
