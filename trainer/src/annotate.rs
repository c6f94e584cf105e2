//! Frames of a video with boxes around the faces, to look at.

use crate::files::write_whole;
use anyhow::{Context, Result, ensure};
use engine::crop::FaceBox;
use engine::video::JudgedFace;
use engine::{Frame, Label, Thresholds};
use image::ImageEncoder;
use std::path::{Path, PathBuf};

/// Shortest time between two pictures, in seconds.
const STEP_S: f64 = 1.0;
/// Most pictures of a video.
const MAX_PICTURES: usize = 1000;

/// Writes pictures to a folder, at most one for each second of the video.
pub struct Annotator {
    folder: PathBuf,
    thresholds: Thresholds,
    next_s: f64,
    written: usize,
}

impl Annotator {
    /// Pictures for `folder`, which is made.
    ///
    /// # Errors
    /// If it holds something already, or cannot be made.
    pub fn create(folder: &Path, thresholds: Thresholds) -> Result<Self> {
        let context = || format!("cannot write {}", folder.display());
        std::fs::create_dir_all(folder).with_context(context)?;
        let is_empty = std::fs::read_dir(folder).with_context(context)?.next().is_none();
        ensure!(is_empty, "{} is not empty", folder.display());
        let (next_s, written) = (f64::NEG_INFINITY, 0);
        Ok(Annotator { folder: folder.to_owned(), thresholds, next_s, written })
    }

    /// Writes `frame` if one is due, as `SECONDS.png`: a red box is fake, green real, yellow uncertain, grey not judged. The colours
    /// are of this frame alone.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, time_s: f64, frame: &Frame, faces: &[JudgedFace]) -> Result<()> {
        if time_s < self.next_s || self.written >= MAX_PICTURES {
            return Ok(());
        }
        self.next_s = time_s + STEP_S;
        self.written += 1;
        let mut rgb = frame.rgb().to_vec();
        for face in faces {
            let label = face.probability_fake.map(|p| self.thresholds.label(p));
            draw_box(&mut rgb, frame, &face.region, colour(label));
        }
        let mut png = Vec::new();
        image::codecs::png::PngEncoder::new(&mut png)
            .write_image(&rgb, frame.width(), frame.height(), image::ExtendedColorType::Rgb8)
            .context("cannot encode the picture")?;
        write_whole(&self.folder.join(format!("{time_s:010.3}.png")), &png)
    }
}

fn colour(label: Option<Label>) -> [u8; 3] {
    match label {
        Some(Label::Fake) => [220, 40, 40],
        Some(Label::Real) => [40, 180, 70],
        Some(_) => [230, 190, 40],
        None => [150, 150, 150],
    }
}

/// A frame about `region`, as thick as the picture asks for, where it lies in the picture.
fn draw_box(rgb: &mut [u8], frame: &Frame, region: &FaceBox, colour: [u8; 3]) {
    let [wide, high] = [frame.width(), frame.height()].map(i64::from);
    let thick = (wide.max(high) / 250).max(1);
    let (left, top) = (i64::from(region.x), i64::from(region.y));
    let (right, bottom) = (left + i64::from(region.width), top + i64::from(region.height));
    for y in top.max(0)..bottom.min(high) {
        for x in left.max(0)..right.min(wide) {
            if x < left + thick || x >= right - thick || y < top + thick || y >= bottom - thick {
                let at = ((y * wide + x) * 3) as usize;
                rgb[at..at + 3].copy_from_slice(&colour);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_lies_on_the_face_and_nowhere_else() {
        let frame = Frame::from_rgb(8, 6, vec![0; 8 * 6 * 3]);
        let mut rgb = frame.rgb().to_vec();
        draw_box(&mut rgb, &frame, &FaceBox { x: 2, y: 1, width: 4, height: 3 }, [9; 3]);
        let rows: Vec<String> = rgb
            .chunks_exact(24)
            .map(|row| row.chunks_exact(3).map(|pixel| if pixel[0] == 9 { '#' } else { '.' }).collect())
            .collect();
        assert_eq!(rows, ["........", "..####..", "..#..#..", "..####..", "........", "........"]);
        for region in [
            FaceBox { x: i32::MIN, y: i32::MIN, width: u32::MAX, height: u32::MAX },
            FaceBox { x: i32::MAX, y: 0, width: u32::MAX, height: 1 },
        ] {
            draw_box(&mut rgb, &frame, &region, [9; 3]);
        }
    }
}
