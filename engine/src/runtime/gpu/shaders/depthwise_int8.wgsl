// Quantised depthwise convolution, twin of cpu/int8/depthwise.rs.
//
// A thread makes four neighbouring results of four channels.

struct Params {
    input: vec2<u32>,
    output: vec2<u32>,
    window: vec2<u32>,
    strides: vec2<u32>,
    pads: vec2<u32>,
    // Words of a pixel.
    words: u32,
    threads: u32,
    // Zero points.
    padding: u32,
    // 0: bytes, 1: bytes to which `added` is added.
    finish: u32,
    added_zero_point: i32,
    sum_factors: vec2<f32>,
    @align(16) first: Rounding,
    @align(16) second: Rounding,
}

@group(0) @binding(0) var<uniform> p: Params;
// [4 * words] biases, [4 * words] factors, then weights [KH, KW, words], bytes of four channels.
@group(0) @binding(1) var<storage, read> constants: array<u32>;
// [N, H, W, 4 * words] bytes
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [N, OH, OW, 4 * words] bytes
@group(0) @binding(3) var<storage, read> added: array<u32>;
// [N, OH, OW, 4 * words] bytes
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    let word = thread % p.words;
    let tiles = (p.output.y + 3u) / 4u;
    let tile = thread / p.words;
    let row = tile / tiles;
    let first = (tile % tiles) * 4u;
    let image = row / p.output.x;
    let top = i32((row % p.output.x) * p.strides.x) - i32(p.pads.x);
    let columns = vec4<u32>(first, first + 1u, first + 2u, first + 3u);
    let lefts = vec4<i32>(columns * p.strides.y) - vec4<i32>(i32(p.pads.y));
    let is_result = columns < vec4<u32>(p.output.y);

    var s0 = vec4<i32>();
    var s1 = vec4<i32>();
    var s2 = vec4<i32>();
    var s3 = vec4<i32>();
    var weight = 8u * p.words + word;
    for (var ky = 0u; ky < p.window.x; ky++) {
        let y = top + i32(ky);
        let is_row = y >= 0 && y < i32(p.input.x);
        let line = (image * p.input.x + u32(max(y, 0))) * p.input.y;
        for (var kx = 0u; kx < p.window.y; kx++) {
            let places = lefts + vec4<i32>(i32(kx));
            let is_inside = (places >= vec4<i32>(0)) & (places < vec4<i32>(i32(p.input.y)))
                & vec4<bool>(is_row) & is_result;
            let pixels = vec4<u32>(line) + vec4<u32>(places);
            let source = select(vec4<u32>(0u), pixels * p.words, is_inside) + vec4<u32>(word);
            let w = signed_bytes(constants[weight]);
            weight += p.words;
            s0 += w * unsigned_bytes(select(p.padding, x[source.x], is_inside.x));
            s1 += w * unsigned_bytes(select(p.padding, x[source.y], is_inside.y));
            s2 += w * unsigned_bytes(select(p.padding, x[source.z], is_inside.z));
            s3 += w * unsigned_bytes(select(p.padding, x[source.w], is_inside.w));
        }
    }
    let result = row * p.output.y + first;
    finish(result, word, s0);
    if (is_result.y) { finish(result + 1u, word, s1); }
    if (is_result.z) { finish(result + 2u, word, s2); }
    if (is_result.w) { finish(result + 3u, word, s3); }
}

// Writes the results of the four channels of `word`, of pixel `pixel` of all maps.
fn finish(pixel: u32, word: u32, sums: vec4<i32>) {
    let bias = bitcast<vec4<i32>>(four(4u * word));
    let factors = bitcast<vec4<f32>>(four(4u * (p.words + word)));
    let scaled = vec4<f32>(sums + bias) * factors;
    let place = pixel * p.words + word;
    if (p.finish == 0u) {
        out[place] = word_of(bytes_of(scaled, p.first));
        return;
    }
    let other = vec4<f32>(unsigned_bytes(added[place]) - vec4<i32>(p.added_zero_point));
    let own = rounded(scaled, p.first);
    let sum = sum_of_products(own, p.sum_factors.x, other, p.sum_factors.y, p.second.infinity);
    out[place] = word_of(bytes_of(sum, p.second));
}

fn four(at: u32) -> vec4<u32> {
    return vec4<u32>(constants[at], constants[at + 1u], constants[at + 2u], constants[at + 3u]);
}
