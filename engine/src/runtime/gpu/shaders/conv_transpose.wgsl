// Transposed convolution in floats, twin of cpu/conv_transpose.rs: a thread makes a result out of all inputs that reach it.

struct Params {
    // Sizes of the map that is read and of the result.
    input: vec2<u32>,
    output: vec2<u32>,
    window: vec2<u32>,
    strides: vec2<u32>,
    dilations: vec2<u32>,
    pads: vec2<u32>,
    channels: u32,
    outputs: u32,
    threads: u32,
    unused: u32,
    limits: vec2<f32>,
}

@group(0) @binding(0) var<uniform> p: Params;
// [outputs] biases, then panels [ceil(KH * KW * outputs / 8)][channels][8] of weights, from a multiple of four on.
@group(0) @binding(1) var<storage, read> constants: array<f32>;
// [N, H, W, channels]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [N, OH, OW, outputs]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    let output = thread % p.outputs;
    let pixel = thread / p.outputs;
    let column = pixel % p.output.y;
    let row = (pixel / p.output.y) % p.output.x;
    let image = pixel / p.output.y / p.output.x;
    let weights = (p.outputs + 3u) / 4u * 4u;
    var value = constants[output];
    for (var y = 0u; y < p.input.x; y++) {
        // The tap of the window at `y` that lies on this result.
        let down = i32(row + p.pads.x) - i32(y * p.strides.x);
        if (down < 0 || down % i32(p.dilations.x) != 0 || down / i32(p.dilations.x) >= i32(p.window.x)) {
            continue;
        }
        for (var at = 0u; at < p.input.y; at++) {
            let right = i32(column + p.pads.y) - i32(at * p.strides.y);
            if (right < 0 || right % i32(p.dilations.y) != 0 || right / i32(p.dilations.y) >= i32(p.window.y)) {
                continue;
            }
            let tap = u32(down) / p.dilations.x * p.window.y + u32(right) / p.dilations.y;
            let wanted = tap * p.outputs + output;
            var weight = weights + wanted / 8u * p.channels * 8u + wanted % 8u;
            var source = ((image * p.input.x + y) * p.input.y + at) * p.channels;
            var sum = 0.0;
            for (var channel = 0u; channel < p.channels; channel++) {
                sum += x[source] * constants[weight];
                source += 1u;
                weight += 8u;
            }
            value += sum;
        }
    }
    out[thread] = limited(value, p.limits);
}
