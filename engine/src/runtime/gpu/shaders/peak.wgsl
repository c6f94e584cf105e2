// Nothing but packed dot products, to see how many a device makes: sixteen sums a thread, so that none waits for another.

struct Params {
    threads: u32,
    rounds: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [4]
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [threads]
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    var s0 = Sums();
    var s1 = Sums();
    var s2 = Sums();
    var s3 = Sums();
    var w = vec4<u32>(x[0] + thread, x[1], x[2], x[3]);
    for (var round = 0u; round < p.rounds; round++) {
        s0 = multiply(s0, w, round);
        s1 = multiply(s1, w, round ^ 0x01010101u);
        s2 = multiply(s2, w, round ^ 0x02020202u);
        s3 = multiply(s3, w, round ^ 0x03030303u);
    }
    out[thread] = word_of(integers(s0) ^ integers(s1) ^ integers(s2) ^ integers(s3));
}
