//! Faces are those that OpenCV's YuNet finds; crops around them are what a network sees.
//!
//! `tools/golden_faces.py` writes the data.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use engine::crop::FaceBox;
use engine::{Frame, Tensor};
use serde::Deserialize;
use std::path::Path;
use trainer::faces::{FaceConfig, FaceFinder, Pick};
use trainer::yunet::{Canvas, Face};

const GOLDEN: &str = include_str!("golden/faces.json");

#[derive(Deserialize)]
struct Golden {
    outputs: Outputs,
    pictures: Vec<Picture>,
}

/// What the network gave for a small picture, without the points of the faces.
#[derive(Deserialize)]
struct Outputs {
    side: usize,
    threshold: f32,
    values: Vec<Vec<f32>>,
    faces: Vec<Want>,
}

#[derive(Deserialize)]
struct Picture {
    file: String,
    side: usize,
    threshold: f32,
    faces: Vec<Want>,
}

#[derive(Deserialize)]
struct Want {
    corners: [f32; 4],
    score: f32,
}

fn assert_same(found: &[Face], want: &[Want], pixels: f32, what: &str) {
    assert_eq!(found.len(), want.len(), "{what}: {found:?}");
    for (face, want) in found.iter().zip(want) {
        let FaceBox { x, y, width, height } = face.region;
        let corners = [x, y, x + width as i32, y + height as i32];
        for (corner, want) in corners.into_iter().zip(want.corners) {
            assert!((corner as f32 - want).abs() <= pixels, "{what}: {face:?}, OpenCV {:?}", want);
        }
        assert!((face.score - want.score).abs() < 0.01, "{what}: {}, OpenCV {}", face.score, want.score);
    }
}

#[test]
fn a05_boxes_are_decoded_as_opencv_does() {
    let Golden { outputs, .. } = serde_json::from_str(GOLDEN).unwrap();
    let side = outputs.side;
    let tensor = |values: Vec<f32>| Tensor::from_vec(vec![values.len()], values);
    let mut tensors: Vec<Tensor> = outputs.values.into_iter().map(tensor).collect();
    tensors.extend([8, 16, 32].map(|stride| tensor(vec![0.0; (side / stride).pow(2) * 10])));
    let frame = Frame::from_rgb(side as u32, side as u32, vec![0; side * side * 3]);
    let canvas = Canvas::new(&frame, [side, side]);
    let faces = canvas.faces(&tensors, outputs.threshold).unwrap();
    assert!(outputs.faces.len() >= 3);
    // The box is cut to whole pixels.
    assert_same(&faces, &outputs.faces, 1.1, "small picture");
    assert!(canvas.faces(&tensors, 0.999).unwrap().is_empty());

    // On a canvas of another size, a box is where it is in the picture.
    let wide = Frame::from_rgb(2 * side as u32, side as u32, vec![0; 2 * side * side * 3]);
    let larger = Canvas::new(&wide, [side, side]).faces(&tensors, outputs.threshold).unwrap();
    assert!((larger[0].region.x - 2 * faces[0].region.x).abs() <= 2, "{larger:?}");

    let error = canvas.faces(&tensors[..11], 0.5).unwrap_err().to_string();
    assert!(error.contains("11 outputs"), "{error}");
    tensors.swap(0, 6);
    let error = canvas.faces(&tensors, 0.5).unwrap_err().to_string();
    assert!(error.contains("output 0") && error.contains("256"), "{error}");
}

#[test]
fn a05_a_picture_lies_on_the_canvas_in_blue_green_red() {
    let frame = Frame::from_rgb(64, 32, [10, 20, 30].repeat(64 * 32));
    let canvas = Canvas::new(&frame, [32, 32]);
    assert_eq!(canvas.input.shape(), [1, 3, 32, 32]);
    for (channel, plane) in canvas.input.values().chunks(32 * 32).enumerate() {
        let (upper, lower) = plane.split_at(32 * 16);
        assert!(upper.iter().all(|value| *value == [30.0, 20.0, 10.0][channel]));
        assert!(lower.iter().all(|value| *value == 0.0));
    }
}

/// The detector that the tests are given, if any, and the side of its input.
fn detector() -> Option<std::path::PathBuf> {
    let path = std::env::var_os("AWARE_YUNET");
    if path.is_none() {
        eprintln!("left out: faces in pictures; name a YuNet file in AWARE_YUNET to have them found");
    }
    path.map(Into::into)
}

#[test]
fn a05_faces_in_pictures_are_where_opencv_finds_them() {
    let Some(detector) = detector() else { return };
    let Golden { pictures, .. } = serde_json::from_str(GOLDEN).unwrap();
    let mut looked_at = 0;
    for picture in pictures {
        let config = FaceConfig {
            threshold: picture.threshold,
            pick: Pick::Every,
            ..FaceConfig::new(detector.clone())
        };
        let finder = FaceFinder::load(&config).unwrap();
        if finder.side().unwrap() != picture.side {
            continue;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&picture.file);
        let frame = Frame::from_encoded(&std::fs::read(path).unwrap()).unwrap();
        assert_same(&finder.faces(&frame).unwrap(), &picture.faces, 2.0, &picture.file);
        looked_at += 1;
    }
    assert_eq!(looked_at, 3, "the detector takes neither 320 nor 640 pixels");
}
