//! Encoded picture -> upright 8-bit RGB pixels.
//!
//! The format is told by the first bytes, never by a name. Sizes are checked before anything is
//! allocated, and a file that ends early is refused: decoders that paint over the missing part
//! would otherwise get a verdict on grey. Of an animation the first picture is read.

mod gif;

use crate::error::Error;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, RgbImage};
use std::io::Cursor;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Largest encoded file, in bytes.
pub const MAX_FILE_BYTES: usize = 64 << 20;
/// Largest picture, in pixels; a 50-megapixel camera fits.
pub const MAX_PIXELS: u64 = 64_000_000;
/// Largest width or height, in pixels.
pub const MAX_SIDE: u32 = 16_384;

/// Colour that shows through transparent pixels: the page's white.
const BACKGROUND: u32 = 255;

/// An upright picture: packed 8-bit RGB, row by row from the top.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
    is_first_of_many: bool,
}

impl Frame {
    /// The picture in `bytes` (JPEG, PNG, WebP or GIF), turned upright by its EXIF orientation;
    /// transparent parts over white.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::TooLarge`], [`Error::Unsupported`] or [`Error::Corrupt`].
    pub fn from_encoded(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(Error::Empty);
        }
        if bytes.len() > MAX_FILE_BYTES {
            return Err(Error::TooLarge {
                what: format!("the file has {} bytes", bytes.len()),
                limit: MAX_FILE_BYTES as u64,
                unit: "bytes",
            });
        }
        match Format::sniff(bytes)? {
            Format::Jpeg => decode_jpeg(bytes),
            Format::Png => {
                let decoder = image::codecs::png::PngDecoder::with_limits(Cursor::new(bytes), limits());
                let is_animated = decoder.as_ref().is_ok_and(|decoder| decoder.is_apng().unwrap_or(false));
                decode(decoder, "PNG").map(|frame| Frame { is_first_of_many: is_animated, ..frame })
            }
            Format::WebP => {
                let decoder = image::codecs::webp::WebPDecoder::new(Cursor::new(bytes));
                let is_animated = decoder.as_ref().is_ok_and(|decoder| decoder.has_animation());
                decode(decoder, "WebP").map(|frame| Frame { is_first_of_many: is_animated, ..frame })
            }
            Format::Gif => {
                let first = gif::decode(bytes)?;
                let [width, height] = first.size;
                let frame = Frame::from_rgb(width, height, first.rgb);
                Ok(Frame { is_first_of_many: first.is_first_of_many, ..frame })
            }
        }
    }

    /// A frame over packed RGB bytes.
    ///
    /// # Panics
    /// If `rgb` does not hold `width * height` pixels or a side is zero.
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0, "a frame of {width} x {height}");
        assert_eq!(rgb.len() as u64, u64::from(width) * u64::from(height) * 3, "RGB bytes of a frame");
        Frame { width, height, rgb, is_first_of_many: false }
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Whether the file is an animation, of which this is the first picture.
    pub fn is_first_of_many(&self) -> bool {
        self.is_first_of_many
    }

    /// Packed RGB bytes, row by row.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

/// How many pixels the header in `bytes` claims, so that whoever decodes many pictures at once knows what they will take;
/// 0 for what [`Frame::from_encoded`] refuses without decoding.
pub fn claimed_pixels(bytes: &[u8]) -> u64 {
    let of = |width: u64, height: u64| check_size(width, height).map_or(0, |()| width * height);
    match Format::sniff(bytes) {
        Ok(Format::Jpeg) => {
            let mut decoder = jpeg_decoder(bytes);
            let size = decoder.decode_headers().ok().and_then(|()| decoder.dimensions());
            size.map_or(0, |(width, height)| of(width as u64, height as u64))
        }
        Ok(Format::Gif) => gif::claimed_size(bytes).map_or(0, |[width, height]| of(width, height)),
        Ok(Format::Png) => {
            let decoder = image::codecs::png::PngDecoder::with_limits(Cursor::new(bytes), limits());
            decoder.map_or(0, |decoder| of(decoder.dimensions().0.into(), decoder.dimensions().1.into()))
        }
        Ok(Format::WebP) => {
            let decoder = image::codecs::webp::WebPDecoder::new(Cursor::new(bytes));
            decoder.map_or(0, |decoder| of(decoder.dimensions().0.into(), decoder.dimensions().1.into()))
        }
        Err(_) => 0,
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({} x {})", self.width, self.height)
    }
}

/// A format that decodes here.
enum Format {
    Jpeg,
    Png,
    WebP,
    Gif,
}

impl Format {
    /// The format by its magic bytes; other known formats are refused by name.
    fn sniff(bytes: &[u8]) -> Result<Self, Error> {
        let starts = |magic: &[u8]| bytes.starts_with(magic);
        let at =
            |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
        if starts(&[0xFF, 0xD8]) {
            return Ok(Format::Jpeg);
        }
        if starts(b"\x89PNG\r\n\x1a\n") {
            return Ok(Format::Png);
        }
        if starts(b"RIFF") && at(8, b"WEBP") {
            return Ok(Format::WebP);
        }
        if starts(b"GIF87a") || starts(b"GIF89a") {
            return Ok(Format::Gif);
        }
        let brand = |names: &[&[u8]]| at(4, b"ftyp") && names.iter().any(|name| at(8, name));
        let format = if brand(&[b"avif", b"avis"]) {
            "AVIF"
        } else if brand(&[b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"]) {
            "HEIC"
        } else if at(4, b"ftyp") || starts(&[0x1A, 0x45, 0xDF, 0xA3]) || (starts(b"RIFF") && at(8, b"AVI ")) {
            "a video"
        } else if starts(&[0xFF, 0x0A]) || at(4, b"JXL \r\n") {
            "JPEG XL"
        } else if starts(b"BM") {
            "BMP"
        } else if starts(b"II*\0") || starts(b"MM\0*") {
            "TIFF"
        } else if starts(b"%PDF") {
            "PDF"
        } else if starts(b"PK\x03\x04") {
            "ZIP"
        } else {
            sniff_markup(bytes).unwrap_or("this kind of file")
        };
        Err(Error::Unsupported { format })
    }
}

/// "SVG" or "HTML" if `bytes` begin like markup.
fn sniff_markup(bytes: &[u8]) -> Option<&'static str> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).to_ascii_lowercase();
    let head = head.trim_start_matches('\u{feff}').trim_start();
    match head {
        _ if !head.starts_with('<') => None,
        _ if head.contains("<svg") => Some("SVG"),
        _ if head.contains("<html") || head.contains("<!doctype html") => Some("HTML"),
        _ => Some("XML"),
    }
}

fn limits() -> image::Limits {
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    // Sixteen-bit RGBA of the largest picture; `check_size` bounds it before this is reached.
    limits.max_alloc = Some(MAX_PIXELS * 8);
    limits
}

fn check_size(width: u64, height: u64) -> Result<(), Error> {
    if width > u64::from(MAX_SIDE) || height > u64::from(MAX_SIDE) {
        let what = format!("{width} x {height} pixels");
        return Err(Error::TooLarge { what, limit: u64::from(MAX_SIDE), unit: "pixels a side" });
    }
    if width * height > MAX_PIXELS {
        let what = format!("{width} x {height} pixels");
        return Err(Error::TooLarge { what, limit: MAX_PIXELS, unit: "pixels" });
    }
    Ok(())
}

/// Decodes what the `image` crate reads, after a look at the size in its header.
fn decode<D: ImageDecoder>(decoder: image::ImageResult<D>, format: &'static str) -> Result<Frame, Error> {
    let corrupt = |error: image::ImageError| match error {
        image::ImageError::Limits(_) => Error::TooLarge {
            what: "its header asks for more memory than a picture needs".into(),
            limit: MAX_PIXELS,
            unit: "pixels",
        },
        error => Error::Corrupt { format, detail: error.to_string() },
    };
    let mut decoder = decoder.map_err(corrupt)?;
    let (width, height) = decoder.dimensions();
    check_size(u64::from(width), u64::from(height))?;
    decoder.set_limits(limits()).map_err(corrupt)?;
    // Unreadable metadata is no reason to refuse the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(corrupt)?;
    Ok(upright(flatten(picture), orientation))
}

/// RGB pixels, transparent ones over [`BACKGROUND`].
fn flatten(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba = picture.into_rgba8();
    let over = |value: u8, alpha: u8| {
        let alpha = u32::from(alpha);
        ((u32::from(value) * alpha + BACKGROUND * (255 - alpha) + 127) / 255) as u8
    };
    let (width, height) = rgba.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let [r, g, b, a] = rgba.get_pixel(x, y).0;
        image::Rgb([over(r, a), over(g, a), over(b, a)])
    })
}

fn upright(picture: RgbImage, orientation: Orientation) -> Frame {
    let mut picture = DynamicImage::ImageRgb8(picture);
    picture.apply_orientation(orientation);
    let (width, height) = (picture.width(), picture.height());
    Frame::from_rgb(width, height, picture.into_rgb8().into_raw())
}

fn jpeg_decoder(bytes: &[u8]) -> JpegDecoder<ZCursor<&[u8]>> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        // The SIMD paths exist on some targets only; another crate may have switched them on.
        .set_use_unsafe(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    JpegDecoder::new_with_options(ZCursor::new(bytes), options)
}

fn decode_jpeg(bytes: &[u8]) -> Result<Frame, Error> {
    // Some of the decoder's messages end with a line break.
    let corrupt = |detail: String| Error::Corrupt { format: "JPEG", detail: detail.trim_end().to_owned() };
    let mut decoder = jpeg_decoder(bytes);
    decoder.decode_headers().map_err(|error| corrupt(error.to_string()))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| corrupt("it has no size".into()))?;
    check_size(width as u64, height as u64)?;
    if !jpeg_is_complete(bytes) {
        return Err(corrupt("it ends before its picture does".into()));
    }
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let pixels = decoder.decode().map_err(|error| corrupt(error.to_string()))?;
    let picture = RgbImage::from_raw(width as u32, height as u32, pixels)
        .ok_or_else(|| corrupt("its colours do not convert to RGB".into()))?;
    Ok(upright(picture, orientation.unwrap_or(Orientation::NoTransforms)))
}

/// Whether the marker chain of a JPEG reaches its end-of-image marker.
///
/// Segments are skipped by their length, so an end marker inside an embedded thumbnail does not
/// count (ITU-T T.81, annex B).
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xD9;
    let mut at = 2;
    while let Some(offset) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xFF)) {
        at += offset + 1;
        match bytes.get(at) {
            None => return false,
            Some(&END_OF_IMAGE) => return true,
            // Fill bytes, stuffed zeros, restarts and stand-alone markers have no length.
            Some(0xFF) => {}
            Some(0x00 | 0x01 | 0xD0..=0xD8) => at += 1,
            Some(_) => {
                let Some(&[high, low]) = bytes.get(at + 1..at + 3) else { return false };
                at += 1 + usize::from(u16::from_be_bytes([high, low]));
            }
        }
    }
    false
}
