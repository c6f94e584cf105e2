//! What becomes of picture files, sound and broken: rows I01 to I03, I05 to I09, I14 and I16 of the
//! table of faults, natively and as wasm.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use engine::frame::claimed_pixels;
use engine::{Error, ErrorCode, Frame};
use image::{ExtendedColorType, ImageEncoder};
use wasm_bindgen_test::wasm_bindgen_test;

const WIDTH: u32 = 48;
const HEIGHT: u32 = 32;

/// Four quarters of four colours, 16 pixels and more each, so that JPEG keeps them.
fn quarters() -> Vec<u8> {
    let colour = |x: u32, y: u32| match (x < WIDTH / 3, y < HEIGHT / 2) {
        (true, true) => [200, 40, 40],
        (false, true) => [40, 200, 40],
        (true, false) => [40, 40, 200],
        (false, false) => [210, 210, 60],
    };
    (0..HEIGHT).flat_map(|y| (0..WIDTH).flat_map(move |x| colour(x, y))).collect()
}

fn png(rgb: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.write_image(rgb, width, height, ExtendedColorType::Rgb8).unwrap();
    bytes
}

fn webp(rgb: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut bytes);
    encoder.write_image(rgb, WIDTH, HEIGHT, ExtendedColorType::Rgb8).unwrap();
    bytes
}

/// A GIF with a screen of [`WIDTH`] x [`HEIGHT`] and `pictures`, each `[left, top, width, height]` and packed RGB.
fn gif(pictures: &[([u16; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, WIDTH as u16, HEIGHT as u16, &[]).unwrap();
    for ([left, top, width, height], rgb) in pictures {
        let mut colours: Vec<[u8; 3]> = rgb.as_chunks().0.to_vec();
        colours.sort_unstable();
        colours.dedup();
        let index = |colour: &[u8; 3]| colours.iter().position(|own| own == colour).unwrap() as u8;
        let indices: Vec<u8> = rgb.as_chunks().0.iter().map(index).collect();
        let picture = gif::Frame::from_palette_pixels(*width, *height, indices, colours.concat(), None);
        encoder.write_frame(&gif::Frame { left: *left, top: *top, ..picture }).unwrap();
    }
    drop(encoder);
    bytes
}

/// A GIF of one picture that fills the screen.
fn still_gif(rgb: &[u8]) -> Vec<u8> {
    gif(&[([0, 0, WIDTH as u16, HEIGHT as u16], rgb)])
}

struct Jpeg {
    progressive: bool,
    exif: Option<Vec<u8>>,
}

impl Jpeg {
    fn encode(&self, rgb: &[u8], width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 100);
        encoder.set_progressive(self.progressive);
        encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_1_1);
        if let Some(exif) = &self.exif {
            encoder.add_app_segment(1, exif.clone()).unwrap();
        }
        encoder.encode(rgb, width as u16, height as u16, jpeg_encoder::ColorType::Rgb).unwrap();
        bytes
    }
}

const PLAIN: Jpeg = Jpeg { progressive: false, exif: None };
const PROGRESSIVE: Jpeg = Jpeg { progressive: true, exif: None };

fn code(bytes: &[u8]) -> Option<ErrorCode> {
    Frame::from_encoded(bytes).err().map(|error| error.code())
}

fn assert_close(frame: &Frame, rgb: &[u8], tolerance: u8) {
    assert_eq!((frame.width(), frame.height()), (WIDTH, HEIGHT));
    let largest = frame.rgb().iter().zip(rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(largest <= tolerance, "pixels differ by up to {largest}");
}

#[wasm_bindgen_test(unsupported = test)]
fn sound_files_of_every_format_decode() {
    let rgb = quarters();
    assert_close(&Frame::from_encoded(&png(&rgb, WIDTH, HEIGHT)).unwrap(), &rgb, 0);
    assert_close(&Frame::from_encoded(&webp(&rgb)).unwrap(), &rgb, 0);
    assert_close(&Frame::from_encoded(&still_gif(&rgb)).unwrap(), &rgb, 0);
    assert_close(&Frame::from_encoded(&PLAIN.encode(&rgb, WIDTH, HEIGHT)).unwrap(), &rgb, 3);
    assert_close(&Frame::from_encoded(&PROGRESSIVE.encode(&rgb, WIDTH, HEIGHT)).unwrap(), &rgb, 3);
}

#[wasm_bindgen_test(unsupported = test)]
fn i01_an_empty_file_is_named_so() {
    assert_eq!(code(&[]), Some(ErrorCode::Empty));
}

#[wasm_bindgen_test(unsupported = test)]
fn i02_a_file_cut_off_anywhere_is_refused() {
    let rgb = quarters();
    // A thumbnail's end marker inside the metadata must not count as the picture's.
    let mut exif = b"Exif\0\0".to_vec();
    exif.extend(PLAIN.encode(&rgb[..3 * 16 * 16], 16, 16));
    let with_thumbnail = Jpeg { progressive: false, exif: Some(exif) };
    let files = [
        PLAIN.encode(&rgb, WIDTH, HEIGHT),
        PROGRESSIVE.encode(&rgb, WIDTH, HEIGHT),
        with_thumbnail.encode(&rgb, WIDTH, HEIGHT),
        png(&rgb, WIDTH, HEIGHT),
        webp(&rgb),
        still_gif(&rgb),
    ];
    for (number, file) in files.iter().enumerate() {
        assert_eq!(code(file), None, "file {number}");
        // The last twelve bytes of a PNG are its end chunk: without them the picture is still whole.
        let last = file.len() - 14;
        for end in (0..=10).map(|tenth| (last * tenth / 10).max(16)) {
            assert_eq!(code(&file[..end]), Some(ErrorCode::Corrupt), "file {number} cut at {end}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn i02_damaged_data_never_panics() {
    let rgb = quarters();
    for file in [
        PLAIN.encode(&rgb, WIDTH, HEIGHT),
        PROGRESSIVE.encode(&rgb, WIDTH, HEIGHT),
        png(&rgb, WIDTH, HEIGHT),
        webp(&rgb),
        still_gif(&rgb),
    ] {
        let mut state = 1u32;
        for _ in 0..400 {
            let mut damaged = file.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = state as usize % damaged.len();
                damaged[at] ^= 1 << (state >> 29);
            }
            // Either outcome is right; what counts is that there is one.
            let _ = Frame::from_encoded(&damaged);
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn i03_a_header_that_claims_a_giant_is_refused() {
    // Only the claimed size differs from a sound file.
    let mut bomb = png(&[0; 3], 1, 1);
    bomb[16..24].copy_from_slice(&[0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF]);
    let crc = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(code(&bomb), Some(ErrorCode::TooLarge));

    let mut jpeg = PLAIN.encode(&quarters(), WIDTH, HEIGHT);
    let frame_header = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    jpeg[frame_header + 5..frame_header + 9].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF]);
    assert_eq!(code(&jpeg), Some(ErrorCode::TooLarge));

    // The screen, at the sixth byte, and the picture in it, whose descriptor begins with a comma.
    let still = still_gif(&quarters());
    let descriptor = still.windows(5).position(|bytes| bytes == [b',', 0, 0, 0, 0]).unwrap();
    for at in [6, descriptor + 5] {
        let mut gif = still.clone();
        gif[at..at + 4].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(code(&gif), Some(ErrorCode::TooLarge), "at byte {at}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_header_says_how_many_pixels_a_picture_takes() {
    let rgb = quarters();
    let files = [png(&rgb, WIDTH, HEIGHT), webp(&rgb), still_gif(&rgb), PLAIN.encode(&rgb, WIDTH, HEIGHT)];
    for (number, file) in files.iter().enumerate() {
        assert_eq!(claimed_pixels(file), u64::from(WIDTH * HEIGHT), "file {number}");
        assert_eq!(claimed_pixels(&file[..8]), 0, "file {number}");
    }
    for file in [&b""[..], b"hello, world", b"GIF89a\xff\xff\xff\xff"] {
        assert_eq!(claimed_pixels(file), 0);
    }
}

/// CRC-32 of PNG chunks (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 },
        )
    })
}

#[wasm_bindgen_test(unsupported = test)]
fn i06_other_formats_are_refused_by_name() {
    let cases: [(&[u8], &str); 13] = [
        (b"<!DOCTYPE html><html></html>", "HTML"),
        (b"  <?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"/>", "SVG"),
        (b"\xEF\xBB\xBF<svg/>", "SVG"),
        (b"<?xml version=\"1.0\"?><a/>", "XML"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04....", "ZIP"),
        (b"BM....", "BMP"),
        (b"II*\0....", "TIFF"),
        (b"\0\0\0\x18ftypheic....", "HEIC"),
        (b"\0\0\0\x18ftypavif....", "AVIF"),
        (b"\0\0\0\x18ftypisom....", "a video"),
        (b"\xFF\x0A........", "JPEG XL"),
        (b"hello, world", "this kind of file"),
    ];
    for (bytes, want) in cases {
        match Frame::from_encoded(bytes) {
            Err(Error::Unsupported { format }) => assert_eq!(format, want),
            other => panic!("{want}: {other:?}"),
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn i07_every_exif_orientation_comes_out_upright() {
    let upright = quarters();
    for orientation in 1..=8u8 {
        let turned = orientation >= 5;
        let (width, height) = if turned { (HEIGHT, WIDTH) } else { (WIDTH, HEIGHT) };
        // Where the stored pixel lies in the upright picture (TIFF 6.0, tag 274).
        let place = |x: u32, y: u32| match orientation {
            1 => (x, y),
            2 => (WIDTH - 1 - x, y),
            3 => (WIDTH - 1 - x, HEIGHT - 1 - y),
            4 => (x, HEIGHT - 1 - y),
            5 => (y, x),
            6 => (WIDTH - 1 - y, x),
            7 => (WIDTH - 1 - y, HEIGHT - 1 - x),
            _ => (y, HEIGHT - 1 - x),
        };
        let mut stored = Vec::new();
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let (x, y) = place(x, y);
            stored.extend_from_slice(&upright[((y * WIDTH + x) * 3) as usize..][..3]);
        }
        let jpeg = Jpeg { progressive: false, exif: Some(exif_with(orientation)) };
        let frame = Frame::from_encoded(&jpeg.encode(&stored, width, height)).unwrap();
        assert_close(&frame, &upright, 3);
    }
}

/// The smallest EXIF block that holds an orientation, big-endian.
fn exif_with(orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01".to_vec();
    exif.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0]);
    exif
}

#[wasm_bindgen_test(unsupported = test)]
fn transparent_pixels_show_white() {
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    let rgba = [10, 20, 30, 255, 10, 20, 30, 0, 0, 0, 0, 128];
    encoder.write_image(&rgba, 3, 1, ExtendedColorType::Rgba8).unwrap();
    let frame = Frame::from_encoded(&bytes).unwrap();
    assert_eq!(frame.rgb(), [10, 20, 30, 255, 255, 255, 127, 127, 127]);
}

/// The files of `tools/golden_pictures.py`.
macro_rules! files {
    ($($name:literal)*) => {
        [$(($name, &include_bytes!(concat!("data/pictures/", $name))[..])),*]
    };
}

#[wasm_bindgen_test(unsupported = test)]
fn i08_other_forms_of_pixels_are_read_as_pillow_reads_them() {
    let expected: std::collections::BTreeMap<String, String> =
        serde_json::from_str(include_str!("data/pictures/pictures.json")).unwrap();
    let files = files![
        "grey.png" "palette.png" "opaque.png" "sixteen_bits.png" "profile.png" "texts.png" "grey.jpg" "cmyk.jpg"
        "halved.jpg" "animated.webp" "animated.gif" "clear.gif"
    ];
    assert_eq!(files.len(), expected.len());
    for (name, bytes) in files {
        let frame = Frame::from_encoded(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((frame.width(), frame.height()), (24, 16), "{name}");
        let digits = expected[name].as_bytes().chunks_exact(2);
        let pixels: Vec<u8> =
            digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
        // Decoders of JPEG round their transforms, and enlarge halved colours, each in its own way.
        let tolerance = match name {
            "halved.jpg" => 8,
            name if name.ends_with(".jpg") => 3,
            _ => 0,
        };
        let largest = frame.rgb().iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(largest <= tolerance, "{name}: pixels differ by up to {largest}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn i09_of_an_animation_the_first_frame_is_judged_and_that_is_known() {
    let [(_, animated), (_, still)] = files!["animated.webp" "grey.png"];
    let frame = Frame::from_encoded(animated).unwrap();
    assert!(frame.is_first_of_many());
    assert_eq!(frame.rgb()[..3], [200, 40, 40]);
    assert!(!Frame::from_encoded(still).unwrap().is_first_of_many());
    assert!(!Frame::from_encoded(&webp(&quarters())).unwrap().is_first_of_many());
}

#[wasm_bindgen_test(unsupported = test)]
fn i09_of_a_gif_the_first_picture_is_read_where_it_stands() {
    let rgb = quarters();
    let (left, top, width, height) = (20u32, 10u32, 3u32, 2u32);
    let part = [9, 8, 7].repeat((width * height) as usize);
    let place = [left, top, width, height].map(|value| value as u16);
    let whole = [0, 0, WIDTH as u16, HEIGHT as u16];
    let frame = Frame::from_encoded(&gif(&[(place, &part), (whole, &rgb)])).unwrap();
    assert!(frame.is_first_of_many());
    for (at, pixel) in frame.rgb().chunks_exact(3).enumerate() {
        let (x, y) = (at as u32 % WIDTH, at as u32 / WIDTH);
        let is_part = (left..left + width).contains(&x) && (top..top + height).contains(&y);
        assert_eq!(pixel, if is_part { [9, 8, 7] } else { [255; 3] }, "at {x}, {y}");
    }
    let still = Frame::from_encoded(&still_gif(&rgb)).unwrap();
    assert!(!still.is_first_of_many() && still.rgb() == rgb);
    // What stands beyond the screen is not there; a screen without a picture is none.
    let beyond = gif(&[([WIDTH as u16 - 1, 0, 3, 2], &part)]);
    let frame = Frame::from_encoded(&beyond).unwrap();
    assert_eq!(frame.rgb().chunks_exact(3).filter(|pixel| *pixel == [9, 8, 7]).count(), 2);
    assert_eq!(code(b"GIF89a\x01\0\x01\0\0\0\0;"), Some(ErrorCode::Corrupt));
}

#[wasm_bindgen_test(unsupported = test)]
fn i14_i16_what_stands_beside_the_pixels_changes_none() {
    let rgb = quarters();
    // What generators and forgers write: a provenance box, a caption, a marker behind the end.
    let marker = b"c2pa jumb <script>alert(1)</script> trainedAlgorithmicMedia AI generated";
    let jpeg = PLAIN.encode(&rgb, WIDTH, HEIGHT);
    let pixels = Frame::from_encoded(&jpeg).unwrap().rgb().to_vec();
    let with_segment = |kind: u8, content: &[u8]| {
        let length = (content.len() as u16 + 2).to_be_bytes();
        [&jpeg[..2], &[0xFF, kind], &length, content, &jpeg[2..]].concat()
    };
    let mut full = exif_with(1);
    full.resize(65_000, b'x');
    let ten_megabytes = {
        let segment = [&[0xFF, 0xE1][..], &(full.len() as u16 + 2).to_be_bytes(), &full].concat();
        [&jpeg[..2], &segment.repeat(160), &jpeg[2..]].concat()
    };
    assert!(ten_megabytes.len() > 10_000_000);
    let cases = [
        [&jpeg[..], marker].concat(),
        [&jpeg[..], &marker.repeat(1000)].concat(),
        with_segment(0xFE, marker),
        with_segment(0xEB, marker),
        with_segment(0xE1, &exif_with(1)),
        ten_megabytes,
    ];
    for (number, bytes) in cases.iter().enumerate() {
        let frame = Frame::from_encoded(bytes).unwrap_or_else(|error| panic!("case {number}: {error}"));
        assert_eq!(frame.rgb(), pixels, "case {number}");
    }
    let png = png(&rgb, WIDTH, HEIGHT);
    assert_eq!(Frame::from_encoded(&[&png[..], marker].concat()).unwrap().rgb(), rgb);
    let webp = webp(&rgb);
    assert_eq!(Frame::from_encoded(&[&webp[..], marker].concat()).unwrap().rgb(), rgb);
}

#[wasm_bindgen_test(unsupported = test)]
fn gifs_of_all_kinds_are_read_as_the_library_wrote_them() {
    let mut state = 7u32;
    let mut random = move |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    for round in 0..300u32 {
        let [width, height] = [1 + random(90) as u16, 1 + random(70) as u16];
        let colours = [2, 3, 16, 77, 256][random(5) as usize];
        // Noise fills the table of codes, long runs make long pieces.
        let run = [1, 2, 50, 5000][random(4) as usize];
        let mut indices = Vec::new();
        while indices.len() < usize::from(width) * usize::from(height) {
            let index = random(colours) as u8;
            indices.extend(std::iter::repeat_n(index, 1 + random(run) as usize));
        }
        indices.truncate(usize::from(width) * usize::from(height));
        let palette: Vec<u8> = (0..colours * 3).map(|_| random(256) as u8).collect();
        let transparent = (round % 3 == 0).then(|| random(colours) as u8);
        let is_interlaced = round % 2 == 0;
        // Rows are stored as GIF89a's appendix E has it.
        let passes = if is_interlaced { vec![(0, 8), (4, 8), (2, 4), (1, 2)] } else { vec![(0, 1)] };
        let rows = passes.into_iter().flat_map(|(first, step)| (first..height).step_by(step));
        let mut expected = vec![[255; 3]; indices.len()];
        for (stored, y) in indices.chunks_exact(width.into()).zip(rows) {
            for (pixel, index) in expected[usize::from(y * width)..].iter_mut().zip(stored) {
                if transparent != Some(*index) {
                    *pixel = palette.as_chunks().0[usize::from(*index)];
                }
            }
        }
        let picture = gif::Frame::from_palette_pixels(width, height, indices, palette, transparent);
        let mut bytes = Vec::new();
        let mut encoder = gif::Encoder::new(&mut bytes, width, height, &[]).unwrap();
        encoder.write_frame(&gif::Frame { interlaced: is_interlaced, ..picture }).unwrap();
        drop(encoder);
        let frame = Frame::from_encoded(&bytes).unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!((frame.width(), frame.height()), (width.into(), height.into()));
        assert_eq!(frame.rgb(), expected.concat(), "round {round}");
    }
}
