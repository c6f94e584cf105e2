// Layer norm of each stretch, twin of `layer_norm` in cpu/normalise.rs: a thread makes a stretch.

struct Params {
    threads: u32,
    extent: u32,
    inner: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [extent] factors, then [extent] summands.
@group(0) @binding(1) var<storage, read> constants: array<f32>;
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
    var sum = 0.0;
    for (var i = 0u; i < p.extent; i++) {
        sum += x[first + i * p.inner];
    }
    let mean = sum / f32(p.extent);
    var variance = 0.0;
    for (var i = 0u; i < p.extent; i++) {
        let from_mean = x[first + i * p.inner] - mean;
        variance += from_mean * from_mean;
    }
    let factor = 1.0 / sqrt(variance / f32(p.extent) + p.epsilon);
    for (var i = 0u; i < p.extent; i++) {
        let at = first + i * p.inner;
        out[at] = (x[at] - mean) * factor * constants[i] + constants[p.extent + i];
    }
}
