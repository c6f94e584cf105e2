// Largest or mean value of each window, twin of cpu/pool.rs: a thread makes a result.

struct Params {
    input: vec2<u32>,
    output: vec2<u32>,
    window: vec2<u32>,
    strides: vec2<u32>,
    pads: vec2<u32>,
    channels: u32,
    threads: u32,
    // 0: largest, 1: mean of what is inside, 2: mean of all.
    kind: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [N, H, W, channels]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [N, OH, OW, channels]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    let channel = thread % p.channels;
    let pixel = thread / p.channels;
    let row = pixel / p.output.y;
    let image = row / p.output.x;
    let top = i32((row % p.output.x) * p.strides.x) - i32(p.pads.x);
    let left = i32(pixel % p.output.y * p.strides.y) - i32(p.pads.y);
    var sum = 0.0;
    var largest = -3.4028235e38;
    var inside = 0.0;
    for (var ky = 0u; ky < p.window.x; ky++) {
        let y = top + i32(ky);
        for (var kx = 0u; kx < p.window.y; kx++) {
            let at = left + i32(kx);
            if (y < 0 || y >= i32(p.input.x) || at < 0 || at >= i32(p.input.y)) {
                continue;
            }
            let value = x[((image * p.input.x + u32(y)) * p.input.y + u32(at)) * p.channels + channel];
            sum += value;
            largest = max(largest, value);
            inside += 1.0;
        }
    }
    switch (p.kind) {
        case 0u: { out[thread] = largest; }
        case 1u: { out[thread] = sum / inside; }
        default: { out[thread] = sum / f32(p.window.x * p.window.y); }
    }
}
