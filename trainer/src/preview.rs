//! A batch as the network will see it, on one sheet for people to look at.

use crate::loader::{Batch, Loader, View};
use anyhow::{Context, Result};
use engine::{Frame, Preprocess};

/// Pictures in a row of the sheet.
const COLUMNS: usize = 8;
/// Width in pixels of the frame around each picture.
const BORDER: usize = 4;
/// Frames of a real and of a fake picture, RGB.
const COLOURS: [[u8; 3]; 2] = [[40, 160, 80], [200, 40, 40]];

/// The first `count` pictures of a pass over `loader`, green frames around real ones, red around fakes.
///
/// # Errors
/// If the split has fewer pictures, or one does not load.
pub fn contact_sheet(loader: &Loader, preprocess: &Preprocess, view: View, count: usize) -> Result<Frame> {
    let batch = loader.batches(view, count, 0).recv();
    let batch = batch.with_context(|| format!("the split has fewer than {count} pictures"))??;
    sheet(&batch, preprocess)
}

fn sheet(batch: &Batch, preprocess: &Preprocess) -> Result<Frame> {
    let (count, _, side, _) = batch.pictures.dims4()?;
    let pictures = batch.pictures.flatten_from(1)?.to_vec2::<f32>()?;
    let labels = batch.labels.to_vec1::<f32>()?;
    let cell = side + 2 * BORDER;
    let (width, height) = (cell * COLUMNS.min(count), cell * count.div_ceil(COLUMNS));
    let mut rgb = vec![255u8; width * height * 3];
    for (index, (picture, label)) in pictures.iter().zip(labels).enumerate() {
        let (left, top) = (index % COLUMNS * cell, index / COLUMNS * cell);
        for (y, x) in (0..cell).flat_map(|y| (0..cell).map(move |x| (y, x))) {
            let inside = (BORDER..BORDER + side).contains(&y) && (BORDER..BORDER + side).contains(&x);
            let colour = match inside {
                true => std::array::from_fn(|channel| {
                    let value = picture[(channel * side + y - BORDER) * side + x - BORDER];
                    let value = value * preprocess.std[channel] + preprocess.mean[channel];
                    (value * 255.0).round().clamp(0.0, 255.0) as u8
                }),
                false => COLOURS[usize::from(label > 0.5)],
            };
            rgb[((top + y) * width + left + x) * 3..][..3].copy_from_slice(&colour);
        }
    }
    Ok(Frame::from_rgb(width as u32, height as u32, rgb))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    #[test]
    fn pictures_stand_in_frames_of_their_class() -> Result<()> {
        let preprocess = Preprocess::imagenet(32);
        let white = (1.0 - preprocess.mean[0]) / preprocess.std[0];
        let batch = Batch {
            pictures: Tensor::full(white, (9, 3, 32, 32), &Device::Cpu)?,
            labels: Tensor::new(&[0f32, 1., 0., 0., 0., 0., 0., 0., 1.], &Device::Cpu)?,
            items: Vec::new(),
        };
        let sheet = sheet(&batch, &preprocess)?;
        assert_eq!((sheet.width(), sheet.height()), (8 * 40, 2 * 40));
        let at = |x: usize, y: usize| &sheet.rgb()[(y * 320 + x) * 3..][..3];
        assert_eq!(at(0, 0), COLOURS[0]);
        assert_eq!(at(41, 1), COLOURS[1]);
        assert_eq!(at(1, 41), COLOURS[1]);
        assert_eq!(at(20, 20)[0], 255);
        Ok(())
    }
}
