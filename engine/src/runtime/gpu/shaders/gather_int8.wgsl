// Bytes on a walk, twin of `gather` in cpu/copy.rs: a thread makes a word of four.

struct Params {
    threads: u32,
    rank: u32,
    offset: u32,
    // Bytes of the result.
    count: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// For each axis, the innermost first: extent, stride.
@group(0) @binding(1) var<storage, read> axes: array<vec2<u32>>;
// Bytes, read on the walk.
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [count] bytes
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    var word = 0u;
    for (var i = 0u; i < 4u; i++) {
        var rest = min(4u * thread + i, p.count - 1u);
        var at = p.offset;
        for (var axis = 0u; axis < p.rank; axis++) {
            at += rest % axes[axis].x * axes[axis].y;
            rest /= axes[axis].x;
        }
        word |= (x[at / 4u] >> (at % 4u * 8u) & 255u) << (i * 8u);
    }
    out[thread] = word;
}
