// Products of variable matrices, twin of cpu/matmul.rs: a thread makes a result.

struct Params {
    rows: u32,
    inner: u32,
    columns: u32,
    threads: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// For each product the numbers of the two matrices.
@group(0) @binding(1) var<storage, read> pairs: array<vec2<u32>>;
// [.., rows, inner]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [.., inner, columns]
@group(0) @binding(3) var<storage, read> second: array<f32>;
// [.., rows, columns]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    let column = thread % p.columns;
    let row = (thread / p.columns) % p.rows;
    let pair = pairs[thread / p.columns / p.rows];
    var a = (pair.x * p.rows + row) * p.inner;
    var b = pair.y * p.inner * p.columns + column;
    var sum = 0.0;
    for (var i = 0u; i < p.inner; i++) {
        sum += x[a] * second[b];
        a += 1u;
        b += p.columns;
    }
    out[thread] = sum;
}
