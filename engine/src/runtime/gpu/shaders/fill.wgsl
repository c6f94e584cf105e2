// The same word everywhere, as `Pad` begins with.

struct Params {
    threads: u32,
    value: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [threads]
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    out[thread] = p.value;
}
