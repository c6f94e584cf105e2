// Depthwise convolution in floats, twin of cpu/depthwise.rs: a thread makes a result.

struct Params {
    input: vec2<u32>,
    output: vec2<u32>,
    window: vec2<u32>,
    strides: vec2<u32>,
    dilations: vec2<u32>,
    pads: vec2<u32>,
    channels: u32,
    threads: u32,
    has_added: u32,
    unused: u32,
    limits: vec2<f32>,
}

@group(0) @binding(0) var<uniform> p: Params;
// [channels] biases, then weights [KH, KW, channels].
@group(0) @binding(1) var<storage, read> constants: array<f32>;
// [N, H, W, channels]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [N, OH, OW, channels]
@group(0) @binding(3) var<storage, read> added: array<f32>;
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
    let column = pixel % p.output.y;
    let row = pixel / p.output.y;
    let image = row / p.output.x;
    let top = i32((row % p.output.x) * p.strides.x) - i32(p.pads.x);
    let left = i32(column * p.strides.y) - i32(p.pads.y);
    var sum = 0.0;
    for (var ky = 0u; ky < p.window.x; ky++) {
        let y = top + i32(ky * p.dilations.x);
        if (y < 0 || y >= i32(p.input.x)) {
            continue;
        }
        for (var kx = 0u; kx < p.window.y; kx++) {
            let at = left + i32(kx * p.dilations.y);
            if (at < 0 || at >= i32(p.input.y)) {
                continue;
            }
            let source = ((image * p.input.x + u32(y)) * p.input.y + u32(at)) * p.channels + channel;
            sum += x[source] * constants[(1u + ky * p.window.y + kx) * p.channels + channel];
        }
    }
    sum += constants[channel];
    if (p.has_added == 1u) {
        sum += added[thread];
    }
    out[thread] = limited(sum, p.limits);
}
