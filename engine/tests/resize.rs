//! The resize is Pillow's, bit for bit, wherever the box lies in the picture.
//!
//! `tools/golden.py` writes the data.

use engine::crop::CropSource;
use engine::preprocess::resize_square;
use engine::{Crop, Frame};
use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// One picture and what Pillow makes of it.
#[derive(Deserialize)]
struct Case {
    name: String,
    width: u32,
    height: u32,
    /// Left edge, top edge, side.
    #[serde(rename = "box")]
    square: [u32; 3],
    size: u32,
    sha256: String,
    /// The first bytes of the result: they say how far off it is.
    first: Vec<u8>,
}

#[test]
fn equals_pillow_bit_for_bit() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/resize.json")).unwrap();
    assert!(!cases.is_empty());
    let failures: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

fn check(case: &Case) -> Result<(), String> {
    let frame = Frame::from_rgb(case.width, case.height, hashed_bytes(case.width * case.height * 3));
    let [x, y, side] = case.square;
    let small = resize_square(
        &frame,
        &Crop { x, y, side, height: None, source: CropSource::CentreSquare },
        case.size,
    );
    let first = &small[..case.first.len()];
    if engine::bundle::sha256_hex(&small) == case.sha256 {
        return Ok(());
    }
    Err(format!("{}: begins with {first:?}, Pillow's with {:?}", case.name, case.first))
}

/// The pattern of `tools/golden_graphs.py`.
fn hashed_bytes(count: u32) -> Vec<u8> {
    (0..count).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
