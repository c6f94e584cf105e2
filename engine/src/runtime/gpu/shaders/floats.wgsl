// What the float kernels share. Sums have the CPU's order; a compiler may fuse their terms, so results are near, not equal.

// As `Clamp` of cpu/clamp.rs.
fn limited(value: f32, limits: vec2<f32>) -> f32 {
    let raised = select(value, limits.x, value < limits.x);
    return select(raised, limits.y, raised > limits.y);
}

// As `exp` of cpu/functions.rs.
fn exponential(value: f32) -> f32 {
    let x = min(max(value, -87.336), 88.376);
    let n = round(x * 1.442695);
    let r = (x - n * 0.6933594) - n * -2.1219444e-4;
    var q = 1.9875691e-4;
    q = q * r + 1.3981999e-3;
    q = q * r + 8.333452e-3;
    q = q * r + 4.1665796e-2;
    q = q * r + 0.16666665;
    q = q * r + 0.5;
    let fraction = (q * r * r + r) + 1.0;
    return fraction * bitcast<f32>(u32(i32(n) + 127) << 23u);
}
