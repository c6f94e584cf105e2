//! Pooling.

/// Mean of each channel of `x` `[H * W, channels]`.
pub fn global_average(x: &[f32], channels: usize, out: &mut [f32]) {
    out.fill(0.0);
    let mut pixels = 0u32;
    for pixel in x.chunks_exact(channels) {
        out.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
        pixels += 1;
    }
    out.iter_mut().for_each(|sum| *sum /= pixels as f32);
}
