//! Floats to bytes and back, and functions of a byte.

use super::Parameters;
use crate::runtime::cpu::functions::ROUNDING;
use multiversion::multiversion;

/// `saturate(round_half_even(x / scale) + zero_point)`; a map may change from `[C, H, W]` to `[H, W, C]` on the way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantise {
    /// What the bytes stand for.
    pub parameters: Parameters,
    /// Channels of the row-major map that becomes one with the channels innermost; 1 keeps the order.
    pub channels: usize,
    /// Pixels of a map.
    pub pixels: usize,
}

impl Quantise {
    /// `out`, bytes for the floats `x`.
    pub fn run(&self, x: &[f32], out: &mut [u8]) {
        let size = self.channels * self.pixels;
        match self.channels {
            1 => quantise(&self.parameters, x, out),
            // Pictures.
            3 => {
                for (x, out) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
                    interleave::<3>(&self.parameters, x, out, self.pixels);
                }
            }
            _ => {
                for (x, out) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
                    for (channel, plane) in x.chunks_exact(self.pixels).enumerate() {
                        scatter(&self.parameters, plane, &mut out[channel..], self.channels);
                    }
                }
            }
        }
    }
}

/// Values whose bytes are made at once.
const BLOCK: usize = 64;

/// Bytes in the order of the floats.
fn quantise(parameters: &Parameters, x: &[f32], out: &mut [u8]) {
    for (x, out) in x.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
        out.copy_from_slice(&block_of(parameters, x)[..x.len()]);
    }
}

/// Writes the bytes of a plane to every `stride`-th place.
fn scatter(parameters: &Parameters, x: &[f32], out: &mut [u8], stride: usize) {
    for (x, out) in x.chunks(BLOCK).zip(out.chunks_mut(BLOCK * stride)) {
        let bytes = block_of(parameters, x);
        out.iter_mut().step_by(stride).zip(&bytes[..x.len()]).for_each(|(out, byte)| *out = *byte);
    }
}

/// Bytes of `CHANNELS` planes of so many `pixels`, in turns.
fn interleave<const CHANNELS: usize>(parameters: &Parameters, x: &[f32], out: &mut [u8], pixels: usize) {
    for (block, out) in out.chunks_mut(BLOCK * CHANNELS).enumerate() {
        let count = out.len() / CHANNELS;
        let first = block * BLOCK;
        let planes: [[u8; BLOCK]; CHANNELS] =
            std::array::from_fn(|channel| block_of(parameters, &x[channel * pixels + first..][..count]));
        for (i, pixel) in out.as_chunks_mut::<CHANNELS>().0.iter_mut().enumerate() {
            *pixel = std::array::from_fn(|channel| planes[channel][i]);
        }
    }
}

/// The bytes of at most [`BLOCK`] floats.
#[multiversion(targets("x86_64+avx2"))]
fn block_of(parameters: &Parameters, x: &[f32]) -> [u8; BLOCK] {
    let [low, high] = parameters.limits();
    let offset = parameters.zero_point.wrapping_sub(ROUNDING.to_bits() as i32);
    let mut bytes = [0; BLOCK];
    for (byte, &x) in bytes.iter_mut().zip(x) {
        let scaled = (x / parameters.scale).max(low).min(high);
        *byte = ((scaled + ROUNDING).to_bits() as i32).wrapping_add(offset) as u8;
    }
    bytes
}

/// `(q - zero_point) * scale`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dequantise(pub Parameters);

impl Dequantise {
    /// `out`, floats for the bytes `x`.
    pub fn run(&self, x: &[u8], out: &mut [f32]) {
        dequantise(&self.0, x, out);
    }
}

#[multiversion(targets("x86_64+avx2"))]
fn dequantise(parameters: &Parameters, x: &[u8], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = (i32::from(x) - parameters.zero_point) as f32 * parameters.scale;
    }
}

/// `out = table[x]`, byte by byte.
pub fn look_up(table: &[u8; 256], x: &[u8], out: &mut [u8]) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out = table[usize::from(x)]);
}
