//! A composite of two pictures: the face of one on the head of the other.
//!
//! Makes the fake samples that ship; training makes its own with [`crate::composite`]. The
//! recipe is the plain core of Face X-ray (Li et al., arXiv 1912.13458): a soft mask, and the
//! source's colours moved to the target's inside it.

use anyhow::{Result, ensure};
use engine::Frame;

/// An ellipse with a soft border, in shares of the picture's sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ellipse {
    /// Middle, from the left and from the top.
    pub centre: [f32; 2],
    /// Half axes.
    pub radii: [f32; 2],
    /// Width of the border over which the mask falls from 1 to 0, in shares of the half axes.
    pub feather: f32,
}

impl Default for Ellipse {
    /// Forehead to chin of a face that fills the middle of the picture.
    fn default() -> Self {
        Ellipse { centre: [0.5, 0.5], radii: [0.19, 0.27], feather: 0.3 }
    }
}

impl Ellipse {
    /// 1 inside, 0 outside, a smooth step between, at `x`, `y` in shares of the sides.
    fn mask(&self, x: f32, y: f32) -> f32 {
        let [dx, dy] = [(x - self.centre[0]) / self.radii[0], (y - self.centre[1]) / self.radii[1]];
        let t = ((1.0 - dx.hypot(dy)) / self.feather).clamp(0.0, 1.0);
        t * t * (3.0 - 2.0 * t)
    }
}

/// `target` with the inside of `ellipse` from `source`, whose mean colour there becomes the target's.
///
/// # Errors
/// If the pictures differ in size or the ellipse covers no pixel.
pub fn blend(target: &Frame, source: &Frame, ellipse: &Ellipse) -> Result<Frame> {
    let (width, height) = (target.width(), target.height());
    ensure!(
        (width, height) == (source.width(), source.height()),
        "the pictures must be of one size, got {width} x {height} and {} x {}",
        source.width(),
        source.height()
    );
    let share = |i: u32, extent: u32| (i as f32 + 0.5) / extent as f32;
    let mask: Vec<f32> = (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .map(|(x, y)| ellipse.mask(share(x, width), share(y, height)))
        .collect();
    let weight: f32 = mask.iter().sum();
    ensure!(weight > 0.0, "the ellipse covers no pixel");

    let mut rgb = target.rgb().to_vec();
    for channel in 0..3 {
        let mean = |frame: &Frame| {
            let values = frame.rgb()[channel..].iter().step_by(3);
            values.zip(&mask).map(|(&value, mask)| f32::from(value) * mask).sum::<f32>() / weight
        };
        let shift = mean(target) - mean(source);
        let values = rgb[channel..].iter_mut().step_by(3);
        for ((value, source), mask) in values.zip(source.rgb()[channel..].iter().step_by(3)).zip(&mask) {
            let moved = f32::from(*source) + shift;
            *value = (f32::from(*value) + mask * (moved - f32::from(*value))).round().clamp(0.0, 255.0) as u8;
        }
    }
    Ok(Frame::from_rgb(width, height, rgb))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(value: u8) -> Frame {
        Frame::from_rgb(32, 32, vec![value; 32 * 32 * 3])
    }

    #[test]
    fn the_outside_stays_and_the_inside_changes() -> Result<()> {
        let stripes = Frame::from_rgb(
            32,
            32,
            (0..32 * 32 * 3).map(|i| if i / 3 % 2 == 0 { 60 } else { 140 }).collect(),
        );
        let target = flat(100);
        let out = blend(&target, &stripes, &Ellipse::default())?;
        let pixel = |frame: &Frame, x: usize, y: usize| frame.rgb()[(y * 32 + x) * 3];
        assert_eq!(pixel(&out, 0, 0), 100);
        assert_eq!(pixel(&out, 31, 16), 100);
        assert_ne!(pixel(&out, 16, 16), pixel(&out, 17, 16));
        Ok(())
    }

    #[test]
    fn a_flat_source_takes_the_targets_colour() -> Result<()> {
        assert_eq!(blend(&flat(90), &flat(200), &Ellipse::default())?, flat(90));
        Ok(())
    }

    #[test]
    fn pictures_of_two_sizes_are_refused() {
        let small = Frame::from_rgb(1, 1, vec![0; 3]);
        assert!(blend(&flat(0), &small, &Ellipse::default()).is_err());
    }
}
