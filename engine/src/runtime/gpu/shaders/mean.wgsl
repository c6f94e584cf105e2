// Mean of each stretch, twin of `mean` in cpu/normalise.rs and `global_average` in cpu/pool.rs.

struct Params {
    threads: u32,
    // Elements of a stretch, and between two of them.
    extent: u32,
    inner: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [outer, extent, inner]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [outer, inner]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    var at = thread / p.inner * p.extent * p.inner + thread % p.inner;
    var sum = 0.0;
    for (var i = 0u; i < p.extent; i++) {
        sum += x[at];
        at += p.inner;
    }
    out[thread] = sum / f32(p.extent);
}
