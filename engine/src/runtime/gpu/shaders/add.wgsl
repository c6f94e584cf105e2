// Sum of two arrays, clamped, twin of `add` in cpu/clamp.rs.

struct Params {
    limits: vec2<f32>,
    threads: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [threads]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [threads]
@group(0) @binding(3) var<storage, read> second: array<f32>;
// [threads]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    out[thread] = limited(x[thread] + second[thread], p.limits);
}
