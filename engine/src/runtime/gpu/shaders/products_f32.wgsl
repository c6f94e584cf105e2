// Products of bytes in floats: exact, since a program takes this variant only where no sum can leave 24 bits.

alias Sums = vec4<f32>;

// Adds to the sums of four outputs the products of four inputs `x` with the weights `w` of each output.
fn multiply(sums: Sums, w: vec4<u32>, x: u32) -> Sums {
    let values = vec4<f32>(signed_bytes(x));
    return sums + vec4<f32>(
        dot(vec4<f32>(signed_bytes(w.x)), values),
        dot(vec4<f32>(signed_bytes(w.y)), values),
        dot(vec4<f32>(signed_bytes(w.z)), values),
        dot(vec4<f32>(signed_bytes(w.w)), values),
    );
}

fn integers(sums: Sums) -> vec4<i32> {
    return vec4<i32>(sums);
}
