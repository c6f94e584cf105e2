// Elements on a walk, twin of `gather` in cpu/copy.rs: a thread moves one.

struct Params {
    threads: u32,
    rank: u32,
    offset: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// For each axis, the innermost first: extent, stride.
@group(0) @binding(1) var<storage, read> axes: array<vec2<u32>>;
// Read on the walk.
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [threads]
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    var rest = thread;
    var at = p.offset;
    for (var axis = 0u; axis < p.rank; axis++) {
        at += rest % axes[axis].x * axes[axis].y;
        rest /= axes[axis].x;
    }
    out[thread] = x[at];
}
