// Products of bytes by the packed dot product.

alias Sums = vec4<i32>;

// Adds to the sums of four outputs the products of four inputs `x` with the weights `w` of each output.
fn multiply(sums: Sums, w: vec4<u32>, x: u32) -> Sums {
    return sums + vec4<i32>(
        dot4I8Packed(w.x, x),
        dot4I8Packed(w.y, x),
        dot4I8Packed(w.z, x),
        dot4I8Packed(w.w, x),
    );
}

fn integers(sums: Sums) -> vec4<i32> {
    return sums;
}
