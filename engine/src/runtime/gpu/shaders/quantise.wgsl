// Floats to bytes, twin of cpu/int8/quantise.rs; a map may change from [C, H, W] to [H, W, C]. A thread makes a word.
//
// A device may divide less exactly than the CPU: only floats that the device made itself come here.

struct Params {
    threads: u32,
    // Bytes of the result.
    count: u32,
    channels: u32,
    pixels: u32,
    scale: f32,
    @align(16) rounding: Rounding,
}

@group(0) @binding(0) var<uniform> p: Params;
// [N, channels, pixels]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [N, pixels, channels] bytes
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

fn value(byte: u32) -> f32 {
    let place = min(byte, p.count - 1u);
    let channel = place % p.channels;
    let pixel = place / p.channels % p.pixels;
    let image = place / p.channels / p.pixels;
    return x[(image * p.channels + channel) * p.pixels + pixel];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    let first = 4u * thread;
    let values = vec4<f32>(value(first), value(first + 1u), value(first + 2u), value(first + 3u));
    out[thread] = word_of(bytes_of(values / p.scale, p.rounding));
}
