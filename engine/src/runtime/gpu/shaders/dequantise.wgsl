// Bytes to floats, twin of cpu/int8/quantise.rs: a thread makes four.

struct Params {
    threads: u32,
    // Floats of the result.
    count: u32,
    zero_point: i32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [count] bytes
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [count]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    let values = vec4<f32>(unsigned_bytes(x[thread]) - vec4<i32>(p.zero_point)) * p.scale;
    for (var i = 0u; i < min(4u, p.count - 4u * thread); i++) {
        out[4u * thread + i] = values[i];
    }
}
