// A map of another size, twin of cpu/resize.rs: a thread makes a result.

struct Params {
    // Sizes of the map and of the result.
    input: vec2<u32>,
    output: vec2<u32>,
    channels: u32,
    threads: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// For each row, then for each column of the result: two of the map, and the share of the second as a float.
@group(0) @binding(1) var<storage, read> taps: array<u32>;
// [N, H, W, channels]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [N, OH, OW, channels]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

fn between(a: f32, b: f32, share: f32) -> f32 {
    return a * (1.0 - share) + b * share;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    let channel = thread % p.channels;
    let pixel = thread / p.channels;
    let row = 3u * (pixel / p.output.y % p.output.x);
    let column = 3u * (p.output.x + pixel % p.output.y);
    let map = pixel / p.output.y / p.output.x * p.input.x * p.input.y;
    let rows = (vec2<u32>(taps[row], taps[row + 1u])) * p.input.y + vec2<u32>(map);
    let columns = vec2<u32>(taps[column], taps[column + 1u]);
    let upper = (vec2<u32>(rows.x) + columns) * p.channels + vec2<u32>(channel);
    let lower = (vec2<u32>(rows.y) + columns) * p.channels + vec2<u32>(channel);
    let right = bitcast<f32>(taps[column + 2u]);
    let down = bitcast<f32>(taps[row + 2u]);
    out[thread] = between(between(x[upper.x], x[upper.y], right), between(x[lower.x], x[lower.y], right), down);
}
