//! Faces are those that OpenCV's YuNet finds; crops around them are what a network sees.
//!
//! `tools/golden_faces.py` writes the data.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use engine::crop::{CropKind, FaceBox};
use engine::{Crop, Frame, Preprocess, Tensor};
use serde::Deserialize;
use std::path::Path;
use std::process::{Command, Output};
use trainer::dataset::{Sample, read_manifest};
use trainer::face_points::read_points;
use trainer::faces::{FaceConfig, FaceFinder, Pick};
use trainer::loader::{Loader, View};
use trainer::points::Points;
use trainer::yunet::{Canvas, Face};

const GOLDEN: &str = include_str!("golden/faces.json");

#[derive(Deserialize)]
struct Golden {
    outputs: Outputs,
    pictures: Vec<Picture>,
}

/// What the network gave for a small picture.
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
    /// Eyes, nose, corners of the mouth.
    points: [[f32; 2]; 5],
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

fn assert_near(found: &Points, want: &[[f32; 2]; 5], pixels: f32) {
    for (point, want) in found.0.iter().zip(want) {
        let off = (point[0] - want[0]).hypot(point[1] - want[1]);
        assert!(off <= pixels, "{found:?}, OpenCV {want:?}");
    }
}

#[test]
fn a05_boxes_are_decoded_as_opencv_does() {
    let Golden { outputs, .. } = serde_json::from_str(GOLDEN).unwrap();
    let side = outputs.side;
    let tensor = |values: Vec<f32>| Tensor::from_vec(vec![values.len()], values);
    let mut tensors: Vec<Tensor> = outputs.values.into_iter().map(tensor).collect();
    let frame = Frame::from_rgb(side as u32, side as u32, vec![0; side * side * 3]);
    let canvas = Canvas::new(&frame, [side, side]);
    let faces = canvas.faces(&tensors, outputs.threshold).unwrap();
    assert!(outputs.faces.len() >= 3);
    // The box is cut to whole pixels.
    assert_same(&faces, &outputs.faces, 1.1, "small picture");
    assert!(canvas.faces(&tensors, 0.999).unwrap().is_empty());
    for (marked, want) in canvas.marked(&tensors, outputs.threshold).unwrap().iter().zip(&outputs.faces) {
        assert_near(&marked.points, &want.points, 0.1);
    }

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
            threshold: Some(picture.threshold),
            pick: Pick::Every,
            ..FaceConfig::new(detector.clone())
        };
        let finder = FaceFinder::load(&config).unwrap();
        if finder.side().unwrap() != picture.side {
            continue;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&picture.file);
        let frame = Frame::from_encoded(&std::fs::read(path).unwrap()).unwrap();
        let found = finder.faces(&frame).unwrap().faces;
        let found: Vec<Face> =
            found.iter().map(|face| Face { region: face.region, score: face.score }).collect();
        assert_same(&found, &picture.faces, 2.0, &picture.file);
        looked_at += 1;
    }
    assert_eq!(looked_at, 3, "the detector takes neither 320 nor 640 pixels");
}

fn aware(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aware")).args(arguments).output().unwrap()
}

/// The test picture with three faces, three times as large, as PNG.
fn large_picture() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/faces.jpg");
    let frame = Frame::from_encoded(&std::fs::read(path).unwrap()).unwrap();
    let [width, height] = [frame.width(), frame.height()];
    let whole = Crop { side: width, height: Some(height), x: 0, y: 0, ..Crop::centre_square(&frame) };
    let rgb = engine::preprocess::resize(&frame, &whole, [3 * width, 3 * height]);
    common::png(&rgb, 3 * width, 3 * height)
}

#[test]
fn a05_faces_are_prepared_loaded_and_judged() {
    let Some(detector) = detector() else { return };
    let detector = detector.to_str().unwrap();
    let root = common::folder("faces");
    for (name, bytes) in
        [("toy/real/three.png", large_picture()), ("toy/fake/none.png", common::toy_picture(1, 0))]
    {
        std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        std::fs::write(root.join(name), bytes).unwrap();
    }
    let (manifest, report) = (root.join("manifest.csv"), root.join("report.json"));
    let prepared = |options: &[&str]| -> Vec<Sample> {
        let fixed = ["prepare", root.to_str().unwrap(), "--output", manifest.to_str().unwrap()];
        let faces = ["--faces", detector, "--report", report.to_str().unwrap()];
        let output = aware(&[&fixed, &faces, options].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        read_manifest(&manifest).unwrap()
    };
    let largest = prepared(&[]);
    let face = largest[0].face.unwrap();
    assert_eq!(largest.len(), 1);
    assert!((face.x - 420).abs() < 20 && (face.width as i32 - 198).abs() < 30, "{face:?}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!(report["left_out"]["count"], 1, "{report}");
    assert!(report["left_out"]["files"][0]["reason"].as_str().unwrap().contains("no face"), "{report}");

    assert_eq!(prepared(&["--pick", "every", "--max-faces", "2"]).len(), 2);
    let every = prepared(&["--pick", "every", "--crop", "legacy", "--drop-duplicates"]);
    assert_eq!((every.len(), every[1].crop), (3, CropKind::Legacy));
    assert!(every.iter().all(|sample| sample.split == every[0].split), "one picture is in one split");
    assert_eq!(aware(&["validate", manifest.to_str().unwrap()]).status.code(), Some(0));

    // The points of each face lie in its box, the eyes over the mouth.
    let points = root.join("points.csv");
    let named = [manifest.to_str().unwrap(), "--detector", detector, "--output", points.to_str().unwrap()];
    let output = aware(&[&["face-points", "--manifest"], &named[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("3 of 3 faces seen"));
    let points = read_points(&points).unwrap();
    for sample in &every {
        let (Points(found), face) = (points[&sample.name()], sample.face.unwrap());
        let [left, top] = [face.x as f32, face.y as f32];
        let inside = |[x, y]: [f32; 2]| {
            (0.0..face.width as f32).contains(&(x - left)) && (0.0..face.height as f32).contains(&(y - top))
        };
        assert!(found.into_iter().all(inside) && found[0][1] < found[3][1], "{found:?} in {face:?}");
    }

    // What a network sees is the region, and of each face another.
    let loader = Loader::new(every.clone(), Preprocess::imagenet(64));
    let batch = loader.batches(View::Plain, 3, 0).recv().unwrap().unwrap();
    let seen = batch.pictures.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
    let frame = Frame::from_encoded(&large_picture()).unwrap();
    for (sample, seen) in every.iter().zip(&seen) {
        let crop = Crop::of_face(&sample.face.unwrap(), &frame, CropKind::Legacy).unwrap();
        assert_eq!(Preprocess::imagenet(64).tensor(&frame, &crop).values(), seen.as_slice());
    }
    assert_ne!(seen[0], seen[1]);

    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/first");
    let picture = root.join("toy/real/three.png");
    let judged = |options: &[&str]| -> serde_json::Value {
        let fixed = ["detect", "--json", "--bundle", bundle.to_str().unwrap(), picture.to_str().unwrap()];
        serde_json::from_slice(&aware(&[&fixed, options].concat()).stdout).unwrap()
    };
    let report = &judged(&["--faces", detector])["report"];
    // The report is of the face that decided; the largest one was judged as well.
    let faces = report["faces"].as_array().unwrap();
    let number = |face: &serde_json::Value, key: &str| face[key].as_i64().unwrap() as i32;
    let region = |face: &serde_json::Value| FaceBox {
        x: number(face, "x"),
        y: number(face, "y"),
        width: number(face, "width") as u32,
        height: number(face, "height") as u32,
    };
    let decided = region(faces.iter().find(|face| face["decided"] == true).unwrap());
    let square = Crop::of_face(&decided, &frame, CropKind::Square).unwrap();
    assert_eq!(serde_json::from_value::<Crop>(report["crop"].clone()).unwrap(), square);
    let largest = faces.iter().find(|other| region(other) == face).unwrap();
    assert!(faces.len() == 3 && largest["probability_fake"].is_f64(), "{report}");
    assert!(!report["notices"].to_string().contains("no_face_detector"), "{report}");
    assert_eq!(judged(&[])["report"]["crop"]["source"], "centre_square");
    let output =
        aware(&["faces", "--json", "--detector", detector, picture.to_str().unwrap(), "/nowhere.png"]);
    assert_eq!(output.status.code(), Some(3));
    let lines = String::from_utf8(output.stdout).unwrap();
    let line: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(line["faces"].as_array().unwrap().len(), 3, "{line}");
    assert!(
        line["faces"][0]["score"].as_f64().unwrap() > 0.6 && line["faces"][0]["width"].is_u64(),
        "{line}"
    );
}

#[test]
fn a05_what_is_no_detector_is_refused_by_name() {
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/first");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/samples/real-1.png");
    let call = |detector: &Path| {
        let output = aware(&["faces", "--detector", detector.to_str().unwrap(), sample.to_str().unwrap()]);
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap() + &String::from_utf8_lossy(&output.stdout),
        )
    };
    let (code, text) = call(&sample);
    assert!(code == Some(1) && text.contains("real-1.png is no face detector"), "{text}");
    let (code, text) = call(&bundle.join("stage1.onnx"));
    assert!(code == Some(3) && text.contains("YuNet has 12"), "{text}");
    let manifest = common::folder("no-detector").join("manifest.csv");
    std::fs::write(&manifest, "image_path,label,dataset,split,group,dhash\n").unwrap();
    let named = [
        manifest.to_str().unwrap(),
        "--detector",
        sample.to_str().unwrap(),
        "--output",
        "/nowhere/points.csv",
    ];
    let output = aware(&[&["face-points", "--manifest"], &named[..]].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && text.contains("real-1.png is no face detector"), "{text}");
    let (code, text) = call(Path::new("/nowhere.onnx"));
    assert!(code == Some(1) && text.contains("/nowhere.onnx"), "{text}");
}
