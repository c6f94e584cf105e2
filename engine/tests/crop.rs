//! Regions around faces are the original's (legacy) and the nearest square, and resize as Pillow does.
//!
//! `tools/golden_crop.py` writes the data.

use engine::crop::{Crop, CropKind, CropSource, FaceBox};
use engine::preprocess::resize_square;
use engine::{Frame, bundle};
use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[derive(Deserialize)]
struct Golden {
    boxes: Vec<BoxCase>,
    pixels: Vec<PixelCase>,
}

/// Left, top, right, bottom; nothing for a face that is too small.
type Corners = Option<[u32; 4]>;

#[derive(Deserialize)]
struct BoxCase {
    size: [u32; 2],
    corners: [f32; 4],
    legacy: Corners,
    square: Corners,
}

#[derive(Deserialize)]
struct PixelCase {
    size: [u32; 2],
    #[serde(rename = "box")]
    region: [u32; 4],
    output: u32,
    sha256: String,
}

const GOLDEN: &str = include_str!("data/crop.json");

#[test]
fn regions_around_faces_are_the_golden_ones() {
    let Golden { boxes: cases, .. } = serde_json::from_str(GOLDEN).unwrap();
    let refused = cases.iter().filter(|case| case.legacy.is_none()).count();
    assert!(refused > 5 && cases.len() - refused > 100, "{refused} of {} are refused", cases.len());
    for case in cases {
        let [width, height] = case.size;
        let frame = Frame::from_rgb(width, height, vec![0; (width * height * 3) as usize]);
        let [left, top, right, bottom] = case.corners;
        let face = FaceBox::from_corners([left, top], [right, bottom]);
        for (kind, want) in [(CropKind::Legacy, case.legacy), (CropKind::Square, case.square)] {
            let crop = Crop::of_face(&face, &frame, kind);
            let corners = crop.map(|crop| [crop.x, crop.y, crop.x + crop.width(), crop.y + crop.height()]);
            assert_eq!(corners, want, "{kind:?} of {:?} in {:?}", case.corners, case.size);
        }
    }
}

#[test]
fn a_stretched_crop_is_pillows_bit_for_bit() {
    let golden: Golden = serde_json::from_str(GOLDEN).unwrap();
    for case in golden.pixels {
        let [width, height] = case.size;
        let pattern = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8;
        let frame = Frame::from_rgb(width, height, (0..width * height * 3).map(pattern).collect());
        let [x, y, right, bottom] = case.region;
        let source = CropSource::FaceLegacy;
        let crop = Crop { x, y, side: right - x, height: Some(bottom - y), source };
        let small = resize_square(&frame, &crop, case.output);
        assert_eq!(bundle::sha256_hex(&small), case.sha256, "{:?}", case.region);
    }
}
