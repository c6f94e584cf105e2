//! Random views of a picture, the same for one seed; both classes get the same treatment.

use crate::composite::composite;
use crate::points::Points;
use crate::raster::{Affine, Raster, resize, shift_hsv};
use crate::self_blend::self_blended;
use engine::preprocess::resize_square;
use engine::{Crop, Frame};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How strongly training pictures are varied; part of a run's configuration.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Smallest side of a random crop, as a share of the full crop's.
    pub min_crop: f64,
    /// Probability of re-encoding as JPEG.
    pub jpeg: f64,
    /// Lowest JPEG quality, 1 to 100.
    pub jpeg_quality: u8,
    /// Probability of a round trip through a smaller size.
    pub downscale: f64,
    /// Least of those sizes, as a share of the side.
    pub min_downscale: f64,
    /// Largest relative change of brightness, contrast and saturation.
    pub colour: f64,
    /// Largest turn of the hue, as a share of the colour circle.
    pub hue: f64,
    /// Largest rotation, in degrees.
    pub rotation: f64,
    /// Largest shift, as a share of the side.
    pub translate: f64,
    /// Largest relative change of size.
    pub scale: f64,
    /// Probability of a Gaussian blur.
    pub blur: f64,
    /// Largest deviation of that blur, in pixels.
    pub blur_sigma: f64,
    /// Share of the real pictures that come with a fake made of themselves, in the same batch.
    pub self_blend: f64,
    /// Share of the real pictures, others than these, that come with a composite: parts of another real face of their set on
    /// their own, in the same batch.
    pub composite: f64,
}

impl Default for Augment {
    fn default() -> Self {
        Augment {
            min_crop: 0.8,
            jpeg: 0.3,
            jpeg_quality: 60,
            downscale: 0.1,
            min_downscale: 0.5,
            colour: 0.2,
            hue: 0.0,
            rotation: 0.0,
            translate: 0.0,
            scale: 0.0,
            blur: 0.0,
            blur_sigma: 2.0,
            self_blend: 0.0,
            composite: 0.0,
        }
    }
}

/// What a picture is shown as; `D` names the donor of a composite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face<D> {
    /// As its label says.
    Own,
    /// As a fake made of itself: [`self_blended`].
    SelfBlended,
    /// As a fake with parts of the donor's face: [`composite`].
    Composite(D),
}

/// A face in a picture.
#[derive(Debug, Clone, Copy)]
pub struct Portrait<'a> {
    /// The whole picture.
    pub frame: &'a Frame,
    /// What of it is looked at.
    pub crop: Crop,
    /// Points of the face in pixels of the picture, if they are known.
    pub points: Option<Points>,
}

impl Portrait<'_> {
    /// The points in shares of `crop`.
    fn points_in(&self, crop: &Crop) -> Points {
        let Some(Points(points)) = self.points else { return Points::MIDDLE };
        let [wide, high] = [crop.width() as f32, crop.height() as f32];
        Points(points.map(|[x, y]| [(x - crop.x as f32) / wide, (y - crop.y as f32) / high]))
    }
}

impl Augment {
    /// Whether some real pictures come with fakes made of them.
    pub fn makes_fakes(&self) -> bool {
        self.self_blend + self.composite > 0.0
    }

    /// Whether each real picture comes with one.
    pub fn pairs_all(&self) -> bool {
        self.self_blend + self.composite >= 1.0
    }

    /// RGB bytes of a random `size` x `size` view of `portrait`.
    ///
    /// A fake that is made here gets the same treatment as the others, after it was made.
    pub fn view(
        &self,
        portrait: &Portrait<'_>,
        face: Face<Portrait<'_>>,
        size: u32,
        rng: &mut impl Rng,
    ) -> Vec<u8> {
        let crop = self.random_crop(&portrait.crop, rng);
        let mut rgb = resize_square(portrait.frame, &crop, size);
        // Numbers of its own: a real picture and the fake made of it go on with the same ones.
        let made = !matches!(face, Face::Own);
        let mut making = (self.makes_fakes() || made).then(|| ChaCha8Rng::from_rng(rng));
        match (face, &mut making) {
            (Face::SelfBlended, Some(rng)) => rgb = self_blended(&rgb, size as usize, rng),
            (Face::Composite(donor), Some(rng)) => {
                let other = resize_square(donor.frame, &donor.crop, size);
                let (own, others) = (portrait.points_in(&crop), donor.points_in(&donor.crop));
                rgb = composite((&rgb, &own), (&other, &others), size as usize, rng);
            }
            _ => {}
        }
        if rng.random_bool(0.5) {
            flip(&mut rgb, size as usize);
        }
        self.vary_place(&mut rgb, size as usize, rng);
        self.vary_colour(&mut rgb, rng);
        self.vary_hue_and_focus(&mut rgb, size as usize, rng);
        self.vary_detail(rgb, size, rng)
    }

    /// What a smaller picture and compression lose. A small face of a compressed picture was compressed before it was enlarged, a
    /// large one after: both come up.
    fn vary_detail(&self, mut rgb: Vec<u8>, size: u32, rng: &mut impl Rng) -> Vec<u8> {
        let least = ((f64::from(size) * self.min_downscale).round() as u32).clamp(1, size);
        let small = rng.random_bool(self.downscale).then(|| rng.random_range(least..=size));
        let quality = rng.random_bool(self.jpeg).then(|| rng.random_range(self.jpeg_quality..=95));
        let before = small.is_some() && quality.is_some() && rng.random_bool(0.5);
        if let Some(small) = small {
            rgb = resize(rgb, size, small);
            if let (true, Some(quality)) = (before, quality) {
                rgb = recompress(rgb, small, quality);
            }
            rgb = resize(rgb, small, size);
        }
        match quality {
            Some(quality) if !before => recompress(rgb, size, quality),
            _ => rgb,
        }
    }

    fn random_crop(&self, crop: &Crop, rng: &mut impl Rng) -> Crop {
        let share = rng.random_range(self.min_crop..=1.0);
        let part = |side: u32| ((f64::from(side) * share).round().max(1.0) as u32).min(side);
        let (width, height) = (part(crop.width()), part(crop.height()));
        Crop {
            x: crop.x + rng.random_range(0..=crop.width() - width),
            y: crop.y + rng.random_range(0..=crop.height() - height),
            side: width,
            height: crop.height.map(|_| height),
            ..*crop
        }
    }

    /// Rotation, size and shift.
    fn vary_place(&self, rgb: &mut Vec<u8>, size: usize, rng: &mut impl Rng) {
        if [self.rotation, self.scale, self.translate] == [0.0; 3] {
            return;
        }
        let mut within = |range: f64| rng.random_range(-range..=range) as f32;
        let affine = Affine {
            degrees: within(self.rotation),
            scale: 1.0 + within(self.scale),
            shift: [within(self.translate), within(self.translate)],
        };
        *rgb = Raster::from_rgb(rgb, size).moved(&affine).to_rgb();
    }

    fn vary_hue_and_focus(&self, rgb: &mut Vec<u8>, size: usize, rng: &mut impl Rng) {
        if self.hue > 0.0 {
            let turns = rng.random_range(-self.hue..=self.hue) as f32;
            let mut raster = Raster::from_rgb(rgb, size);
            raster.each_pixel(|pixel| shift_hsv(pixel, turns, 1.0, 1.0));
            *rgb = raster.to_rgb();
        }
        if self.blur > 0.0 && rng.random_bool(self.blur) {
            let sigma = rng.random_range(0.1..=self.blur_sigma) as f32;
            *rgb = Raster::from_rgb(rgb, size).blurred(sigma).to_rgb();
        }
    }

    /// Contrast around the mean, saturation around grey, brightness.
    fn vary_colour(&self, rgb: &mut [u8], rng: &mut impl Rng) {
        let mut factor = || 1.0 + rng.random_range(-self.colour..=self.colour) as f32;
        let (brightness, contrast, saturation) = (factor(), factor(), factor());
        let mean = rgb.iter().map(|&v| f32::from(v)).sum::<f32>() / rgb.len() as f32;
        for pixel in rgb.chunks_exact_mut(3) {
            let grey =
                0.299 * f32::from(pixel[0]) + 0.587 * f32::from(pixel[1]) + 0.114 * f32::from(pixel[2]);
            for value in pixel {
                let saturated = grey + (f32::from(*value) - grey) * saturation;
                *value =
                    ((mean + (saturated - mean) * contrast) * brightness).round().clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// Mirrors packed RGB rows of `side` pixels.
pub fn flip(rgb: &mut [u8], side: usize) {
    for row in rgb.chunks_exact_mut(side * 3) {
        for x in 0..side / 2 {
            for channel in 0..3 {
                row.swap(x * 3 + channel, (side - 1 - x) * 3 + channel);
            }
        }
    }
}

/// Encodes and decodes as JPEG of `quality`; on an encoder's error the pixels stay as they are.
fn recompress(rgb: Vec<u8>, side: u32, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    let side = side as u16;
    match encoder.encode(&rgb, side, side, jpeg_encoder::ColorType::Rgb) {
        Ok(()) => Frame::from_encoded(&bytes).map_or(rgb, |frame| frame.rgb().to_vec()),
        Err(_) => rgb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Augment {
        /// What changes nothing but, half the time, left and right.
        fn none() -> Self {
            Augment { min_crop: 1.0, jpeg: 0.0, downscale: 0.0, colour: 0.0, ..Augment::default() }
        }
    }

    fn frame(side: u32) -> Frame {
        let value = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8;
        Frame::from_rgb(side, side, (0..side * side * 3).map(value).collect())
    }

    fn whole(frame: &Frame) -> Portrait<'_> {
        Portrait { frame, crop: Crop::centre_square(frame), points: None }
    }

    #[test]
    fn one_seed_gives_one_view() {
        let frame = frame(40);
        let strong = Augment { jpeg: 1.0, downscale: 1.0, rotation: 10.0, blur: 1.0, ..Augment::default() };
        let own = whole(&frame);
        let view = |face, seed| strong.view(&own, face, 32, &mut ChaCha8Rng::seed_from_u64(seed));
        let other = self::frame(56);
        for face in [Face::Own, Face::SelfBlended, Face::Composite(whole(&other))] {
            assert_eq!(view(face, 1), view(face, 1));
            assert_ne!(view(face, 1), view(face, 2));
            assert_eq!(view(face, 1).len(), 32 * 32 * 3);
        }
        assert_ne!(view(Face::Own, 1), view(Face::SelfBlended, 1));
        assert_ne!(view(Face::SelfBlended, 1), view(Face::Composite(whole(&other)), 1));
    }

    /// Each choice alone changes the picture: none is without effect.
    #[test]
    fn every_choice_has_an_effect() {
        let none = Augment::none();
        let frame = frame(40);
        let view = |augment: &Augment| {
            augment.view(&whole(&frame), Face::Own, 32, &mut ChaCha8Rng::seed_from_u64(3))
        };
        let plain = view(&none);
        for (name, augment) in [
            ("min_crop", Augment { min_crop: 0.5, ..none.clone() }),
            ("jpeg", Augment { jpeg: 1.0, ..none.clone() }),
            ("downscale", Augment { downscale: 1.0, ..none.clone() }),
            ("min_downscale", Augment { downscale: 1.0, min_downscale: 0.25, ..none.clone() }),
            ("colour", Augment { colour: 0.2, ..none.clone() }),
            ("hue", Augment { hue: 0.1, ..none.clone() }),
            ("rotation", Augment { rotation: 10.0, ..none.clone() }),
            ("translate", Augment { translate: 0.1, ..none.clone() }),
            ("scale", Augment { scale: 0.1, ..none.clone() }),
            ("blur", Augment { blur: 1.0, ..none.clone() }),
        ] {
            assert_ne!(view(&augment), plain, "{name}");
        }
    }

    /// Pictures as small as the smallest set's come up, and none smaller.
    #[test]
    fn detail_is_lost_down_to_the_least_size() {
        let frame = frame(64);
        let soft = Augment { downscale: 1.0, min_downscale: 0.25, ..Augment::none() };
        let contrast = |seed| {
            let rgb = soft.view(&whole(&frame), Face::Own, 64, &mut ChaCha8Rng::seed_from_u64(seed));
            rgb.windows(4).map(|w| f64::from(w[0].abs_diff(w[3]))).sum::<f64>()
        };
        let quarter = resize(resize(frame.rgb().to_vec(), 64, 16), 16, 64);
        let least = quarter.windows(4).map(|w| f64::from(w[0].abs_diff(w[3]))).sum::<f64>();
        let seen: Vec<f64> = (0..200).map(contrast).collect();
        assert!(seen.iter().all(|&value| value > 0.9 * least), "{least}: {seen:?}");
        assert!(seen.iter().any(|&value| value < 1.1 * least), "{least}: {seen:?}");
    }

    #[test]
    fn points_follow_the_crop() {
        let frame = frame(100);
        let crop = Crop { x: 20, y: 40, side: 50, ..Crop::centre_square(&frame) };
        let portrait = Portrait { frame: &frame, crop, points: Some(Points([[45.0, 60.0]; 5])) };
        assert_eq!(portrait.points_in(&crop), Points([[0.5, 0.4]; 5]));
        assert_eq!(portrait.points_in(&Crop::centre_square(&frame)), Points([[0.45, 0.6]; 5]));
    }

    #[test]
    fn two_flips_are_none() {
        let original = frame(5).rgb().to_vec();
        let mut flipped = original.clone();
        flip(&mut flipped, 5);
        assert_ne!(flipped, original);
        assert_eq!(flipped[..3], original[12..15]);
        flip(&mut flipped, 5);
        assert_eq!(flipped, original);
    }
}
