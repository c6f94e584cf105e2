//! WebCodecs (<https://www.w3.org/TR/webcodecs/>): the few words of it that are needed, which web-sys keeps behind a flag.

use super::film::{Film, Turn};
use super::samples::Sample;
use js_sys::{Function, Object, Promise, Reflect, Uint8Array};
use std::f64::consts::FRAC_PI_2;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{ImageBitmap, OffscreenCanvas, OffscreenCanvasRenderingContext2d};

#[wasm_bindgen]
extern "C" {
    /// The browser's decoder; [`VideoDecoder::close`] gives it back.
    #[derive(Clone)]
    pub type VideoDecoder;

    #[wasm_bindgen(constructor, catch)]
    fn construct(init: &Object) -> Result<VideoDecoder, JsValue>;

    #[wasm_bindgen(static_method_of = VideoDecoder, catch, js_name = isConfigSupported)]
    fn is_config_supported(config: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn configure(this: &VideoDecoder, config: &Object) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = decode)]
    fn decode_chunk(this: &VideoDecoder, chunk: &EncodedVideoChunk) -> Result<(), JsValue>;

    /// Settles when all frames are out.
    #[wasm_bindgen(method, catch)]
    pub fn flush(this: &VideoDecoder) -> Result<Promise, JsValue>;

    /// Frees what it holds.
    #[wasm_bindgen(method, catch)]
    pub fn close(this: &VideoDecoder) -> Result<(), JsValue>;

    /// Frames that it has been given and has not begun with.
    #[wasm_bindgen(method, getter, js_name = decodeQueueSize)]
    pub fn queue_size(this: &VideoDecoder) -> u32;

    #[wasm_bindgen(method, setter, js_name = ondequeue)]
    fn set_on_dequeue(this: &VideoDecoder, listener: &Function);

    type EncodedVideoChunk;

    #[wasm_bindgen(constructor, catch)]
    fn construct(init: &Object) -> Result<EncodedVideoChunk, JsValue>;

    /// A decoded frame, which holds memory of the decoder until it is closed.
    #[derive(Clone)]
    pub type VideoFrame;

    /// When it is shown, in microseconds.
    #[wasm_bindgen(method, getter)]
    pub fn timestamp(this: &VideoFrame) -> f64;

    #[wasm_bindgen(method, getter, js_name = displayWidth)]
    fn width(this: &VideoFrame) -> u32;

    #[wasm_bindgen(method, getter, js_name = displayHeight)]
    fn height(this: &VideoFrame) -> u32;

    /// Gives its memory back.
    #[wasm_bindgen(method)]
    pub fn close(this: &VideoFrame);

    #[wasm_bindgen(catch, js_name = createImageBitmap)]
    fn bitmap_of(frame: &VideoFrame) -> Result<Promise, JsValue>;

    /// A canvas that frames can be drawn on.
    #[wasm_bindgen(extends = OffscreenCanvasRenderingContext2d)]
    type FrameContext;

    #[wasm_bindgen(method, catch, js_name = drawImage)]
    fn draw_frame(this: &FrameContext, frame: &VideoFrame, x: f64, y: f64) -> Result<(), JsValue>;
}

/// What the decoder says, and when.
pub struct Heard {
    /// A frame is there.
    pub on_frame: Closure<dyn FnMut(VideoFrame)>,
    /// It has failed, and does nothing more.
    pub on_error: Closure<dyn FnMut(JsValue)>,
    /// It takes more.
    pub on_dequeue: Closure<dyn FnMut()>,
}

impl VideoDecoder {
    /// A decoder for `film`.
    ///
    /// # Errors
    /// If the browser does not decode it.
    pub async fn open(film: &Film, heard: &Heard) -> Result<Self, JsValue> {
        let config = config(film)?;
        let support = JsFuture::from(VideoDecoder::is_config_supported(&config)?).await?;
        if Reflect::get(&support, &"supported".into())? != JsValue::TRUE {
            return Err(format!("it does not decode {}", film.codec).into());
        }
        let init = Object::new();
        Reflect::set(&init, &"output".into(), heard.on_frame.as_ref())?;
        Reflect::set(&init, &"error".into(), heard.on_error.as_ref())?;
        let decoder = VideoDecoder::construct(&init)?;
        decoder.set_on_dequeue(heard.on_dequeue.as_ref().unchecked_ref());
        decoder.configure(&config)?;
        Ok(decoder)
    }

    /// Decodes `sample`, whose bytes are `data`.
    ///
    /// # Errors
    /// If the decoder takes no more.
    pub fn decode(&self, sample: &Sample, data: &[u8]) -> Result<(), JsValue> {
        let init = Object::new();
        let kind = if sample.is_key { "key" } else { "delta" };
        Reflect::set(&init, &"type".into(), &kind.into())?;
        Reflect::set(&init, &"timestamp".into(), &(sample.time as f64).into())?;
        Reflect::set(&init, &"data".into(), &Uint8Array::from(data))?;
        self.decode_chunk(&EncodedVideoChunk::construct(&init)?)
    }
}

fn config(film: &Film) -> Result<Object, JsValue> {
    let config = Object::new();
    Reflect::set(&config, &"codec".into(), &film.codec.as_str().into())?;
    for (name, side) in ["codedWidth", "codedHeight"].into_iter().zip(film.coded) {
        Reflect::set(&config, &name.into(), &side.into())?;
    }
    if let Some(description) = &film.description {
        Reflect::set(&config, &"description".into(), &Uint8Array::from(&description[..]))?;
    }
    Ok(config)
}

impl VideoFrame {
    /// Width and height of the upright picture, in square pixels.
    pub fn size(&self, turn: Turn) -> [u32; 2] {
        let [width, height] = [self.width(), self.height()];
        match turn {
            Turn::None | Turn::Half => [width, height],
            Turn::Right | Turn::Left => [height, width],
        }
    }

    /// The upright picture.
    ///
    /// # Errors
    /// If the browser has no memory for it.
    pub async fn picture(&self, turn: Turn) -> Result<ImageBitmap, JsValue> {
        if turn == Turn::None {
            return Ok(JsFuture::from(bitmap_of(self)?).await?.unchecked_into());
        }
        let [width, height] = self.size(turn);
        let canvas = OffscreenCanvas::new(width, height)?;
        let context = canvas.get_context("2d")?.ok_or("there is no 2d context")?;
        let context: FrameContext = context.unchecked_into();
        let [right, bottom] = [f64::from(width), f64::from(height)];
        let (quarters, x, y) = match turn {
            Turn::None => (0.0, 0.0, 0.0),
            Turn::Right => (1.0, right, 0.0),
            Turn::Half => (2.0, right, bottom),
            Turn::Left => (3.0, 0.0, bottom),
        };
        context.translate(x, y)?;
        context.rotate(quarters * FRAC_PI_2)?;
        context.draw_frame(self, 0.0, 0.0)?;
        canvas.transfer_to_image_bitmap()
    }
}
