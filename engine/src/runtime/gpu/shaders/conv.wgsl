// Dense convolution in floats, twin of cpu/conv.rs; a fully connected layer is one on a map of one pixel a row.
//
// A thread makes four neighbouring results of four outputs.

struct Params {
    input: vec2<u32>,
    output: vec2<u32>,
    window: vec2<u32>,
    strides: vec2<u32>,
    dilations: vec2<u32>,
    pads: vec2<u32>,
    // Channels that are read, and of a pixel of the map; the first one.
    channels: u32,
    pixel: u32,
    first_channel: u32,
    // Outputs that are made, and of a pixel of the result; the first one.
    outputs: u32,
    pixel_out: u32,
    first_output: u32,
    threads: u32,
    has_added: u32,
    limits: vec2<f32>,
}

@group(0) @binding(0) var<uniform> p: Params;
// [quads] biases, then panels [ceil(outputs / 8)][KH * KW * channels][8] of weights.
@group(0) @binding(1) var<storage, read> constants: array<vec4<f32>>;
// [N, H, W, pixel]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [N, OH, OW, pixel_out]
@group(0) @binding(3) var<storage, read> added: array<f32>;
// [N, OH, OW, pixel_out]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    let quads = (p.outputs + 3u) / 4u;
    let quad = thread % quads;
    let tiles = (p.output.y + 3u) / 4u;
    let tile = thread / quads;
    let row = tile / tiles;
    let first = (tile % tiles) * 4u;
    let image = row / p.output.x;
    let top = i32((row % p.output.x) * p.strides.x) - i32(p.pads.x);
    let columns = vec4<u32>(first, first + 1u, first + 2u, first + 3u);
    let lefts = vec4<i32>(columns * p.strides.y) - vec4<i32>(i32(p.pads.y));
    let is_result = columns < vec4<u32>(p.output.y);

    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    var weight = quads + (quad / 2u) * p.window.x * p.window.y * p.channels * 2u + quad % 2u;
    for (var ky = 0u; ky < p.window.x; ky++) {
        let y = top + i32(ky * p.dilations.x);
        let is_row = y >= 0 && y < i32(p.input.x);
        let line = (image * p.input.x + u32(max(y, 0))) * p.input.y;
        for (var kx = 0u; kx < p.window.y; kx++) {
            let places = lefts + vec4<i32>(i32(kx * p.dilations.y));
            let is_inside = (places >= vec4<i32>(0)) & (places < vec4<i32>(i32(p.input.y)))
                & vec4<bool>(is_row) & is_result;
            let pixels = select(vec4<u32>(0u), vec4<u32>(line) + vec4<u32>(places), is_inside);
            let source = pixels * p.pixel + vec4<u32>(p.first_channel);
            let is_there = select(vec4<f32>(0.0), vec4<f32>(1.0), is_inside);
            for (var channel = 0u; channel < p.channels; channel++) {
                let w = constants[weight];
                weight += 2u;
                s0 += x[source.x + channel] * is_there.x * w;
                s1 += x[source.y + channel] * is_there.y * w;
                s2 += x[source.z + channel] * is_there.z * w;
                s3 += x[source.w + channel] * is_there.w * w;
            }
        }
    }
    let result = row * p.output.y + first;
    finish(result, quad, s0);
    if (is_result.y) { finish(result + 1u, quad, s1); }
    if (is_result.z) { finish(result + 2u, quad, s2); }
    if (is_result.w) { finish(result + 3u, quad, s3); }
}

fn finish(pixel: u32, quad: u32, sums: vec4<f32>) {
    let values = sums + constants[quad];
    let count = min(4u, p.outputs - 4u * quad);
    for (var i = 0u; i < count; i++) {
        let place = pixel * p.pixel_out + p.first_output + 4u * quad + i;
        var value = values[i];
        if (p.has_added == 1u) {
            value += added[place];
        }
        out[place] = limited(value, p.limits);
    }
}
