// Floats to bytes, twin of cpu/int8/quantise.rs; a map may change from [C, H, W] to [H, W, C] on the way. A thread makes a word.
//
// A device may divide less exactly than the CPU: only floats that the device made itself come here.

struct Params {
    threads: u32,
    // Bytes of the result.
    count: u32,
    channels: u32,
    // Bytes of a pixel of the result: pictures have a fourth one, which is worth nothing.
    width: u32,
    // Pixels of an image, and floats between two channels and between two pixels.
    pixels: u32,
    channel_stride: u32,
    pixel_stride: u32,
    scale: f32,
    @align(16) rounding: Rounding,
}

@group(0) @binding(0) var<uniform> p: Params;
// [N, channels, pixels] or [N, pixels, channels]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [N, pixels, width] bytes
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

fn value(byte: u32) -> f32 {
    let place = min(byte, p.count - 1u);
    let channel = min(place % p.width, p.channels - 1u);
    let pixel = place / p.width % p.pixels;
    let image = place / p.width / p.pixels;
    return x[image * p.channels * p.pixels + channel * p.channel_stride + pixel * p.pixel_stride];
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
