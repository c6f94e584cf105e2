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
        if self.channels == 1 {
            return quantise(&self.parameters, x, out, 1);
        }
        let size = self.channels * self.pixels;
        for (x, out) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
            for (channel, plane) in x.chunks_exact(self.pixels).enumerate() {
                quantise(&self.parameters, plane, &mut out[channel..], self.channels);
            }
        }
    }
}

/// Writes every `stride`-th byte.
#[multiversion(targets("x86_64+avx2"))]
fn quantise(parameters: &Parameters, x: &[f32], out: &mut [u8], stride: usize) {
    const BLOCK: usize = 64;
    let [low, high] = parameters.limits();
    let offset = parameters.zero_point.wrapping_sub(ROUNDING.to_bits() as i32);
    let mut bytes = [0; BLOCK];
    for (block, x) in x.chunks(BLOCK).enumerate() {
        for (byte, &x) in bytes.iter_mut().zip(x) {
            let scaled = (x / parameters.scale).max(low).min(high);
            *byte = ((scaled + ROUNDING).to_bits() as i32).wrapping_add(offset) as u8;
        }
        let out = &mut out[block * BLOCK * stride..];
        match stride {
            1 => out[..x.len()].copy_from_slice(&bytes[..x.len()]),
            _ => out.iter_mut().step_by(stride).zip(&bytes[..x.len()]).for_each(|(out, byte)| *out = *byte),
        }
    }
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
