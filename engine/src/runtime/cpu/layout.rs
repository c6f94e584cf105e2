//! Order of a map's axes.

/// `[C, H, W]` to `[H, W, C]`; `out` has the map's elements.
pub fn to_channels_last(x: &[f32], channels: usize, out: &mut [f32]) {
    let pixels = out.len() / channels;
    for (pixel, out) in out.chunks_exact_mut(channels).enumerate() {
        out.iter_mut().enumerate().for_each(|(channel, out)| *out = x[channel * pixels + pixel]);
    }
}

/// `[H, W, C]` to `[C, H, W]`; `out` has the map's elements.
pub fn to_channels_first(x: &[f32], channels: usize, out: &mut [f32]) {
    let pixels = out.len() / channels;
    for (channel, out) in out.chunks_exact_mut(pixels).enumerate() {
        out.iter_mut().enumerate().for_each(|(pixel, out)| *out = x[pixel * channels + channel]);
    }
}
