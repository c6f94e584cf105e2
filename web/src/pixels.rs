//! A browser's bitmap -> the engine's frame, in a worker.

use crate::download::describe;
use crate::message::Failure;
use engine::Frame;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{ContextAttributes2d, ImageBitmap, OffscreenCanvas, OffscreenCanvasRenderingContext2d};

/// Longer side of what is read, in pixels; a larger frame is made smaller first.
pub const MAX_SIDE: u32 = 1920;

/// A canvas that pixels are read from, kept for the next frame.
#[derive(Default)]
pub struct Pixels(Option<(OffscreenCanvas, OffscreenCanvasRenderingContext2d)>);

impl Pixels {
    /// The pixels of `picture`, which is closed.
    ///
    /// # Errors
    /// `video` if the browser does not hand them out.
    pub fn read(&mut self, picture: &ImageBitmap) -> Result<Frame, Failure> {
        let size = scaled([picture.width(), picture.height()]);
        let frame = self.draw(picture, size);
        picture.close();
        frame.map_err(|error| {
            Failure::new("video", format!("the browser hands out no pixels of it ({})", describe(&error)))
        })
    }

    fn draw(&mut self, picture: &ImageBitmap, [width, height]: [u32; 2]) -> Result<Frame, JsValue> {
        if width == 0 || height == 0 {
            return Err("a frame without pixels".into());
        }
        if self.0.as_ref().is_none_or(|(canvas, _)| [canvas.width(), canvas.height()] != [width, height]) {
            self.0 = Some(canvas(width, height)?);
        }
        let Some((_, context)) = &self.0 else { return Err("there is no canvas".into()) };
        let [w, h] = [f64::from(width), f64::from(height)];
        context.draw_image_with_image_bitmap_and_dw_and_dh(picture, 0.0, 0.0, w, h)?;
        let rgba = context.get_image_data(0.0, 0.0, w, h)?.data();
        let mut rgb = vec![0; width as usize * height as usize * 3];
        for (pixel, from) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(rgba.as_chunks::<4>().0) {
            *pixel = [from[0], from[1], from[2]];
        }
        Ok(Frame::from_rgb(width, height, rgb))
    }
}

fn canvas(width: u32, height: u32) -> Result<(OffscreenCanvas, OffscreenCanvasRenderingContext2d), JsValue> {
    let canvas = OffscreenCanvas::new(width, height)?;
    let attributes = ContextAttributes2d::new();
    // Kept in memory that is read, and not on a GPU.
    attributes.set_will_read_frequently(true);
    attributes.set_alpha(false);
    let context =
        canvas.get_context_with_context_options("2d", &attributes)?.ok_or("there is no 2d context")?;
    Ok((canvas, context.unchecked_into()))
}

/// The size that is read, in pixels.
fn scaled([width, height]: [u32; 2]) -> [u32; 2] {
    let longer = width.max(height);
    if longer <= MAX_SIDE {
        return [width, height];
    }
    [width, height].map(|side| (u64::from(side) * u64::from(MAX_SIDE) / u64::from(longer)).max(1) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v05_a_large_frame_is_read_smaller() {
        assert_eq!(scaled([7680, 4320]), [1920, 1080]);
        assert_eq!(scaled([640, 480]), [640, 480]);
        assert_eq!(scaled([100_000, 3]), [1920, 1]);
    }
}
