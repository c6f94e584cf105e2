//! A picture in grey.

/// Packed 8-bit luma, row by row from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grey {
    width: usize,
    height: usize,
    values: Vec<u8>,
}

impl Grey {
    /// Luma of packed RGB bytes: 0.299 R + 0.587 G + 0.114 B in 15-bit fixed point, as OpenCV computes it.
    ///
    /// # Panics
    /// If `rgb` does not hold `width * height` pixels or a side is zero.
    pub fn from_rgb(width: usize, height: usize, rgb: &[u8]) -> Self {
        assert_eq!(rgb.len(), width * height * 3, "RGB bytes of {width} x {height}");
        let luma = |pixel: &[u8]| {
            let [r, g, b] = [0, 1, 2].map(|channel| u32::from(pixel[channel]));
            ((r * 9798 + g * 19_235 + b * 3735 + (1 << 14)) >> 15) as u8
        };
        Self::from_values(width, height, rgb.chunks_exact(3).map(luma).collect())
    }

    /// A picture of `width * height` values.
    ///
    /// # Panics
    /// If there are more or fewer, or a side is zero.
    pub fn from_values(width: usize, height: usize, values: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0 && values.len() == width * height, "a picture of {width} x {height}");
        Grey { width, height, values }
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All values, row by row.
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// The value at a position that may lie outside, mirrored at the edge pixel (OpenCV's reflect-101).
    pub fn mirrored(&self, x: isize, y: isize) -> u8 {
        self.values[mirror(y, self.height) * self.width + mirror(x, self.width)]
    }
}

fn mirror(at: isize, length: usize) -> usize {
    let last = length as isize - 1;
    let inside = if at < 0 { -at } else { at };
    let inside = if inside > last { 2 * last - inside } else { inside };
    // A side shorter than the step is met again and again.
    inside.clamp(0, last) as usize
}
