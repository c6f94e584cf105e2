// A function of each element, twin of cpu/functions.rs.

struct Params {
    // Of those functions that have any.
    parameters: vec2<f32>,
    threads: u32,
    // In the order of `code` in gpu/floats.rs.
    function: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [threads]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [threads]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exponential(-x));
}

fn hyperbolic_tangent(x: f32) -> f32 {
    return 1.0 - 2.0 / (exponential(2.0 * x) + 1.0);
}

fn error_function(x: f32) -> f32 {
    let magnitude = abs(x);
    let t = 1.0 / (1.0 + 0.3275911 * magnitude);
    var q = 1.0614054;
    q = q * t + -1.453152;
    q = q * t + 1.4214137;
    q = q * t + -0.28449674;
    q = q * t + 0.2548296;
    let y = 1.0 - q * t * exponential(-magnitude * magnitude);
    return select(y, -y, x < 0.0);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let thread = id.x + id.y * groups.x * 64u;
    if (thread >= p.threads) {
        return;
    }
    let v = x[thread];
    var y = v;
    switch (p.function) {
        case 1u: { y = limited(v, p.parameters); }
        case 2u: { y = select(v, p.parameters.x * v, v < 0.0); }
        case 3u: { y = limited(p.parameters.x * v + p.parameters.y, vec2<f32>(0.0, 1.0)); }
        case 4u: { y = v * limited(v * (1.0 / 6.0) + 0.5, vec2<f32>(0.0, 1.0)); }
        case 5u: { y = sigmoid(v); }
        case 6u: { y = v * sigmoid(v); }
        case 7u: { y = hyperbolic_tangent(v); }
        case 8u: { y = 0.5 * v * (1.0 + error_function(v * 0.70710678)); }
        case 9u: { y = 0.5 * v * (1.0 + hyperbolic_tangent(0.7978846 * (v + 0.044715 * v * v * v))); }
        case 10u: { y = error_function(v); }
        case 11u: { y = exponential(v); }
        case 12u: { y = sqrt(v); }
        case 13u: { y = 1.0 / v; }
        case 14u: { y = -v; }
        case 15u: { y = abs(v); }
        default: {}
    }
    out[thread] = y;
}
