// Softmax of each stretch, twin of `softmax` in cpu/normalise.rs: a thread makes a stretch.

struct Params {
    threads: u32,
    extent: u32,
    inner: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [outer, extent, inner]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [outer, extent, inner]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    let first = thread / p.inner * p.extent * p.inner + thread % p.inner;
    var largest = x[first];
    for (var i = 1u; i < p.extent; i++) {
        largest = max(largest, x[first + i * p.inner]);
    }
    var sum = 0.0;
    for (var i = 0u; i < p.extent; i++) {
        let value = exponential(x[first + i * p.inner] - largest);
        out[first + i * p.inner] = value;
        sum += value;
    }
    for (var i = 0u; i < p.extent; i++) {
        out[first + i * p.inner] /= sum;
    }
}
