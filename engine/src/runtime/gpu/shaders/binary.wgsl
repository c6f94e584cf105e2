// A function of two elements, shapes broadcast, twin of cpu/binary.rs.

struct Params {
    threads: u32,
    rank: u32,
    // 0: sum, 1: difference, 2: product, 3: quotient.
    function: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// For each axis, the innermost first: extent, stride of the first operand, of the second one.
@group(0) @binding(1) var<storage, read> axes: array<u32>;
// Read on its walk.
@group(0) @binding(2) var<storage, read> x: array<f32>;
// Read on its walk.
@group(0) @binding(3) var<storage, read> second: array<f32>;
// [threads]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    var rest = thread;
    var a = 0u;
    var b = 0u;
    for (var axis = 0u; axis < p.rank; axis++) {
        let index = rest % axes[3u * axis];
        rest /= axes[3u * axis];
        a += index * axes[3u * axis + 1u];
        b += index * axes[3u * axis + 2u];
    }
    switch (p.function) {
        case 0u: { out[thread] = x[a] + second[b]; }
        case 1u: { out[thread] = x[a] - second[b]; }
        case 2u: { out[thread] = x[a] * second[b]; }
        default: { out[thread] = x[a] / second[b]; }
    }
}
