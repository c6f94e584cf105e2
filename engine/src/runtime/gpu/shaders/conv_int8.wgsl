// Quantised dense convolution, twin of cpu/int8/conv.rs: a product of windows and weights without a matrix of windows.
//
// A thread makes four neighbouring results of four outputs. Threads that are neighbours differ in the outputs, so they
// read neighbouring weights and the same bytes of the map.

struct Params {
    input: vec2<u32>,
    output: vec2<u32>,
    window: vec2<u32>,
    strides: vec2<u32>,
    pads: vec2<u32>,
    // Words of a pixel of the map, and outputs by four.
    words: u32,
    quads: u32,
    outputs: u32,
    threads: u32,
    // What makes signed bytes of the map's, and a word of zero points made so.
    flip: u32,
    padding: u32,
    // 0: bytes, 1: bytes to which `added` is added, 2: floats.
    finish: u32,
    added_zero_point: i32,
    sum_factors: vec2<f32>,
    @align(16) first: Rounding,
    @align(16) second: Rounding,
}

@group(0) @binding(0) var<uniform> p: Params;
// [quads] biases, [quads] factors, then weights [KH, KW, words, quads], four inputs of four outputs each.
@group(0) @binding(1) var<storage, read> constants: array<vec4<u32>>;
// [N, H, W, 4 * words] bytes
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [N, OH, OW, 4 * quads] bytes
@group(0) @binding(3) var<storage, read> added: array<u32>;
// [N, OH, OW, 4 * quads] bytes, or [N, OH, OW, outputs] floats
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    let quad = thread % p.quads;
    let tiles = (p.output.y + 3u) / 4u;
    let tile = thread / p.quads;
    let row = tile / tiles;
    let first = (tile % tiles) * 4u;
    let image = row / p.output.x;
    let top = i32((row % p.output.x) * p.strides.x) - i32(p.pads.x);
    let columns = vec4<u32>(first, first + 1u, first + 2u, first + 3u);
    let lefts = vec4<i32>(columns * p.strides.y) - vec4<i32>(i32(p.pads.y));
    let is_result = columns < vec4<u32>(p.output.y);

    var s0 = Sums();
    var s1 = Sums();
    var s2 = Sums();
    var s3 = Sums();
    var weight = 2u * p.quads + quad;
    for (var ky = 0u; ky < p.window.x; ky++) {
        let y = top + i32(ky);
        let is_row = y >= 0 && y < i32(p.input.x);
        let line = (image * p.input.x + u32(max(y, 0))) * p.input.y;
        for (var kx = 0u; kx < p.window.y; kx++) {
            let places = lefts + vec4<i32>(i32(kx));
            let is_inside = (places >= vec4<i32>(0)) & (places < vec4<i32>(i32(p.input.y)))
                & vec4<bool>(is_row) & is_result;
            let source = select(vec4<u32>(0u), (vec4<u32>(line) + vec4<u32>(places)) * p.words, is_inside);
            if (all(is_inside)) {
                for (var word = 0u; word < p.words; word++) {
                    let w = constants[weight];
                    weight += p.quads;
                    s0 = multiply(s0, w, x[source.x + word] ^ p.flip);
                    s1 = multiply(s1, w, x[source.y + word] ^ p.flip);
                    s2 = multiply(s2, w, x[source.z + word] ^ p.flip);
                    s3 = multiply(s3, w, x[source.w + word] ^ p.flip);
                }
            } else {
                for (var word = 0u; word < p.words; word++) {
                    let w = constants[weight];
                    weight += p.quads;
                    s0 = multiply(s0, w, select(p.padding, x[source.x + word] ^ p.flip, is_inside.x));
                    s1 = multiply(s1, w, select(p.padding, x[source.y + word] ^ p.flip, is_inside.y));
                    s2 = multiply(s2, w, select(p.padding, x[source.z + word] ^ p.flip, is_inside.z));
                    s3 = multiply(s3, w, select(p.padding, x[source.w + word] ^ p.flip, is_inside.w));
                }
            }
        }
    }
    let result = row * p.output.y + first;
    finish(result, quad, integers(s0));
    if (is_result.y) { finish(result + 1u, quad, integers(s1)); }
    if (is_result.z) { finish(result + 2u, quad, integers(s2)); }
    if (is_result.w) { finish(result + 3u, quad, integers(s3)); }
}

// Writes the results of outputs 4 * quad and following, of pixel `pixel` of all maps.
fn finish(pixel: u32, quad: u32, sums: vec4<i32>) {
    let bias = bitcast<vec4<i32>>(constants[quad]);
    let factors = bitcast<vec4<f32>>(constants[p.quads + quad]);
    let scaled = vec4<f32>(sums + bias) * factors;
    if (p.finish == 2u) {
        let count = min(4u, p.outputs - 4u * quad);
        for (var i = 0u; i < count; i++) {
            out[pixel * p.outputs + 4u * quad + i] = bitcast<u32>(scaled[i]);
        }
        return;
    }
    let place = pixel * p.quads + quad;
    if (p.finish == 0u) {
        out[place] = word_of(bytes_of(scaled, p.first));
        return;
    }
    let other = vec4<f32>(unsigned_bytes(added[place]) - vec4<i32>(p.added_zero_point));
    let own = rounded(scaled, p.first);
    let sum = sum_of_products(own, p.sum_factors.x, other, p.sum_factors.y, p.second.infinity);
    out[place] = word_of(bytes_of(sum, p.second));
}
