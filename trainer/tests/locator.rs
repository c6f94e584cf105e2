//! W11 in seconds: drawn faces are learned, written, found again by the engine, and judged.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use engine::crop::{CropSource, FaceBox};
use engine::faces::{FACE_MANIFEST_NAME, boxes::overlap};
use engine::{Crop, Frame};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use trainer::dataset::{Sample, Split, write_manifest};
use trainer::faces::{FaceConfig, FaceFinder};
use trainer::files::write_json;
use trainer::locator::config::{LocatorConfig, SceneConfig};
use trainer::locator::labels::{Labelled, Labels, read_labels, write_labels};
use trainer::locator::learn::train_locator;
use trainer::locator::write::{LocatorAbout, write_locator};
use trainer::train::{RunFolder, Start};

/// Width and height of the drawn pictures, in pixels.
const SIDE: u32 = 120;

/// An oval with eyes and a mouth in front of waves; `seed` says where, how large, and in which colours.
fn drawn(seed: u32) -> (Vec<u8>, FaceBox) {
    let random = |i: u32| f64::from((seed * 131 + i).wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24);
    let width = 40.0 + 36.0 * random(1);
    let height = width * (1.15 + 0.15 * random(2));
    let left = random(3) * (f64::from(SIDE) - width);
    let top = random(4) * (f64::from(SIDE) - height);
    let light = 0.6 + 0.4 * random(5);
    let mut rgb = Vec::new();
    for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
        // From -1 to 1 within the face.
        let [u, v] = [2.0 * (f64::from(x) - left) / width - 1.0, 2.0 * (f64::from(y) - top) / height - 1.0];
        let is_eye = (u.abs() - 0.4).powi(2) + (v + 0.2).powi(2) < 0.03;
        let is_mouth = u.abs() < 0.4 && (v - 0.5).abs() < 0.08;
        for channel in 0..3u32 {
            let wave = |at: u32, i: u32| (f64::from(at) * (0.02 + 0.15 * random(10 + channel * 4 + i))).sin();
            let value = match () {
                () if is_eye || is_mouth => 30.0,
                () if u * u + v * v < 1.0 => light * [240.0, 190.0, 160.0][channel as usize],
                () => 110.0 + 50.0 * wave(x, 0) + 50.0 * wave(y, 2),
            };
            rgb.push(value.clamp(0.0, 255.0) as u8);
        }
    }
    let face = FaceBox { x: left as i32, y: top as i32, width: width as u32, height: height as u32 };
    (common::png(&rgb, SIDE, SIDE), face)
}

/// Drawn pictures with their manifest and boxes, and a run of a few seconds.
fn toy(root: &Path, pictures: u32) -> (LocatorConfig, Labels) {
    let (mut samples, mut labels) = (Vec::new(), Labels::new());
    for index in 0..pictures {
        let (png, region) = drawn(index);
        let image_path = root.join(format!("{index:03}.png"));
        std::fs::write(&image_path, png).unwrap();
        labels.insert(image_path.clone(), vec![Labelled { region, score: 0.9 }]);
        samples.push(Sample {
            image_path,
            label: 0,
            dataset: "drawn".into(),
            split: if index % 6 == 0 { Split::Val } else { Split::Train },
            group: index.to_string(),
            dhash: format!("{index:016x}"),
            face: None,
            crop: Default::default(),
        });
    }
    let config = LocatorConfig {
        manifest: root.join("manifest.csv"),
        labels: root.join("boxes.csv"),
        network: "face-toy".into(),
        image_size: 128,
        scene_size: 128,
        epochs: 4,
        scenes: 400,
        validation_scenes: 24,
        batch_size: 8,
        learning_rate: 6e-3,
        average_decay: 0.95,
        scene: SceneConfig {
            letterboxed: 0.5,
            portrait: 0.4,
            covered: 0.0,
            jpeg: 0.0,
            colour: 0.2,
            grey: 0.0,
            blur: 0.0,
            noise: 0.0,
            empty: 0.05,
            max_faces: 4,
            pasted: [20.0, 70.0],
            jpeg_quality: 30,
        },
        ..LocatorConfig::default()
    };
    write_manifest(&config.manifest, &samples).unwrap();
    write_labels(&config.labels, &labels).unwrap();
    (config, labels)
}

/// The best average precision; 0 if so short a run finds nothing.
fn train(config: &LocatorConfig, labels: &Labels, folder: &Path, span: (Start, Option<u64>)) -> f64 {
    let run = RunFolder::new(folder);
    match train_locator(config, labels, &run, span, &ProgressBar::hidden()) {
        Ok(progress) => progress.best_average_precision,
        Err(error) if error.to_string().contains("no round found a face") => 0.0,
        Err(error) => panic!("{error:#}"),
    }
}

fn about() -> LocatorAbout {
    let text = |text: &str| text.to_owned();
    let card = b"A toy.\n".to_vec();
    LocatorAbout { name: text("toy"), version: text("0"), licence: text("none"), card, score_threshold: None }
}

fn aware(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aware")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A drawn picture that nobody has seen, twice as large.
fn unseen(seed: u32) -> (Vec<u8>, FaceBox) {
    let (png, FaceBox { x, y, width, height }) = drawn(seed);
    let frame = Frame::from_encoded(&png).unwrap();
    let rgb = engine::preprocess::resize_square(&frame, &Crop::centre_square(&frame), 2 * SIDE);
    let face = FaceBox { x: 2 * x, y: 2 * y, width: 2 * width, height: 2 * height };
    (common::png(&rgb, 2 * SIDE, 2 * SIDE), face)
}

fn corners(FaceBox { x, y, width, height }: FaceBox) -> [f32; 4] {
    [x, y, x + width as i32, y + height as i32].map(|at| at as f32)
}

#[test]
fn w11_drawn_faces_are_learned_written_found_and_judged() {
    let root = common::folder("locator");
    let (config, labels) = toy(&root, 60);
    let run = root.join("run");
    let precision = train(&config, &labels, &run, (Start::Fresh, None));
    assert!(precision > 0.5, "average precision {precision}");
    let folder = root.join("face");
    let figures = write_locator(&RunFolder::new(&run), &labels, &about(), &folder).unwrap();
    assert!(figures.average_precision > 0.45 && figures.largest_difference < 1e-3, "{figures:?}");

    // Pictures that nobody has seen.
    let finder = FaceFinder::load(&FaceConfig::new(folder.clone())).unwrap();
    let finds = |(png, face): &(Vec<u8>, FaceBox)| {
        let faces = finder.faces(&Frame::from_encoded(png).unwrap()).unwrap().faces;
        let largest = faces.iter().max_by_key(|found| found.region.area());
        let is_it = |found: &engine::Face| overlap(&corners(found.region), &corners(*face)) > 0.5;
        largest.is_some_and(is_it) && faces.first().is_some_and(is_it)
    };
    let found: Vec<_> = (1000..1030).map(unseen).filter(finds).collect();
    // A coin's box would be no face's.
    assert!(found.len() >= 12, "{} of 30", found.len());

    // The command line: boxes with quality, and a verdict on the face.
    let (png, face) = found[0].clone();
    let picture = root.join("unseen.png");
    std::fs::write(&picture, png).unwrap();
    let (folder, picture) = (folder.to_str().unwrap(), picture.to_str().unwrap());
    let output = aware(&["faces", "--detector", folder, "--json", picture]);
    let line: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(line["faces"][0]["too_small"].is_boolean(), "{line}");
    assert!(line["faces"][0]["quality"]["score"].as_f64().unwrap() > 0.0, "{line}");
    let region: FaceBox = serde_json::from_value(serde_json::json!({
        "x": line["faces"][0]["x"], "y": line["faces"][0]["y"],
        "width": line["faces"][0]["width"], "height": line["faces"][0]["height"],
    }))
    .unwrap();
    assert!(overlap(&corners(region), &corners(face)) > 0.5, "{line}");
    assert!(stdout(&aware(&["faces", "--detector", folder, picture])).contains("quality"));
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/first");
    let bundle = bundle.to_str().unwrap();
    let output = aware(&["detect", "--json", "--bundle", bundle, "--faces", folder, picture]);
    let judged: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let crop: Crop = serde_json::from_value(judged["report"]["crop"].clone()).unwrap();
    let frame = Frame::from_encoded(&std::fs::read(picture).unwrap()).unwrap();
    assert_eq!(crop.source, CropSource::FaceSquare);
    let crops = line["faces"].as_array().unwrap().iter().filter_map(|face| {
        let at = |field: &str| face[field].as_i64().unwrap();
        let [width, height] = ["width", "height"].map(|field| at(field) as u32);
        let region = FaceBox { x: at("x") as i32, y: at("y") as i32, width, height };
        Crop::of_face(&region, &frame, Default::default())
    });
    assert!(crops.into_iter().any(|of_face| of_face == crop), "{crop:?}: {line}");

    // Beside itself it is always right.
    let manifest = config.manifest.to_str().unwrap();
    let report = root.join("report.json");
    let compared = aware(&[
        "evaluate-faces",
        "--detector",
        folder,
        "--reference",
        folder,
        "--manifest",
        manifest,
        "--split",
        "val",
        "--threshold",
        "0.6",
        "--report",
        report.to_str().unwrap(),
    ]);
    assert!(stdout(&compared).contains("recall 100.0 %"), "{compared:?}");
    assert!(std::fs::read_to_string(&report).unwrap().contains("\"drawn\""));
    assert!(
        !aware(&[
            "evaluate-faces",
            "--detector",
            folder,
            "--reference",
            folder,
            "--manifest",
            manifest,
            "--split",
            "none"
        ])
        .status
        .success()
    );

    what_is_altered_is_refused(&root.join("face"), picture);
}

/// M01, M02 for the folder of a face detector.
fn what_is_altered_is_refused(folder: &Path, picture: &str) {
    let altered = |change: &dyn Fn(&Path), want: &str| {
        let copy = folder.with_file_name("altered");
        let _ = std::fs::remove_dir_all(&copy);
        std::fs::create_dir(&copy).unwrap();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
        change(&copy);
        let output = aware(&["faces", "--detector", copy.to_str().unwrap(), picture]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{want}: {error}");
        assert!(error.contains(want), "{want}: {error}");
    };
    let flip = |path: PathBuf| {
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    altered(&|copy| flip(copy.join("face.onnx")), "face.onnx is not the file");
    altered(&|copy| flip(copy.join("MODEL_CARD.md")), "MODEL_CARD.md is not the file");
    altered(&|copy| std::fs::remove_file(copy.join(FACE_MANIFEST_NAME)).unwrap(), "is no face detector");
    altered(&|copy| std::fs::remove_file(copy.join("face.onnx")).unwrap(), "face.onnx");
    altered(&|copy| std::fs::write(copy.join("more"), b"").unwrap(), "does not list");
    altered(
        &|copy| {
            // Another network whose digest is right: its maps are not a face detector's.
            let path = copy.join(FACE_MANIFEST_NAME);
            let mut manifest: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            manifest["preprocess"]["size"] = 160.into();
            write_json(&path, &manifest).unwrap();
        },
        "a face detector of 160 pixels",
    );
}

#[test]
fn w11_a_resumed_run_gives_the_bits_of_an_unbroken_one() {
    let root = common::folder("locator-resumed");
    let (config, labels) = toy(&root, 24);
    let config = LocatorConfig { epochs: 2, scenes: 24, validation_scenes: 8, ..config };
    train(&config, &labels, &root.join("whole"), (Start::Fresh, None));
    train(&config, &labels, &root.join("broken"), (Start::Fresh, Some(1)));
    train(&config, &labels, &root.join("broken"), (Start::Resume, None));
    let last = |name: &str| {
        let (_, tensors): (serde_json::Value, _) =
            trainer::checkpoint::load_tensors(&RunFolder::new(root.join(name)).last()).unwrap();
        let mut weights: Vec<(String, Vec<f32>)> = tensors
            .into_iter()
            .filter(|(name, _)| name.starts_with("network.") || name.starts_with("average.value."))
            .map(|(name, tensor)| (name, tensor.flatten_all().unwrap().to_vec1().unwrap()))
            .collect();
        weights.sort_by(|a, b| a.0.cmp(&b.0));
        weights
    };
    assert!(last("whole") == last("broken"), "the weights differ");
    let other = LocatorConfig { seed: 2, ..config };
    let run = RunFolder::new(root.join("broken"));
    let error = train_locator(&other, &labels, &run, (Start::Resume, None), &ProgressBar::hidden());
    assert!(error.unwrap_err().to_string().contains("differs"));
}

#[test]
fn w11_labels_that_are_missing_are_named_and_kept_ones_need_no_detector() {
    let root = common::folder("locator-labels");
    let (config, labels) = toy(&root, 12);
    let toml = root.join("face.toml");
    let path = |path: &Path| format!("{:?}", path.to_str().unwrap());
    let text = format!(
        "manifest = {}\nlabels = {}\nnetwork = \"face-toy\"\nimage_size = 64\nscene_size = 64\nepochs = 1\nscenes = 8\nbatch_size = 4\n\
         validation_scenes = 4\n",
        path(&config.manifest),
        path(&config.labels)
    );
    std::fs::write(&toml, text).unwrap();
    let mut fewer = labels.clone();
    let left_out = fewer.pop_first().unwrap().0;
    write_labels(&config.labels, &fewer).unwrap();
    let run = root.join("run");
    let call =
        || aware(&["train-face", "--config", toml.to_str().unwrap(), "--output", run.to_str().unwrap()]);
    let output = call();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains(left_out.to_str().unwrap()) && error.contains("--label-by"), "{error}");

    write_labels(&config.labels, &labels).unwrap();
    assert_eq!(read_labels(&config.labels).unwrap(), labels);
    // So short a run may find nothing, which is said; the checkpoint is there all the same.
    let output = call();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || error.contains("no round found a face"), "{error}");
    assert!(RunFolder::new(&run).last().exists());
}
