//! Mild changes of a picture: made as others make them, and never a reason to call a real face surely fake; natively and
//! as WebAssembly.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use engine::bundle::FileEntry;
use engine::pattern::Pattern;
use engine::preprocess::resize;
use engine::stability::View;
use engine::{Bundle, Crop, Detector, Frame, Label, Manifest, Report};
use serde_json::Value;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn views_are_those_of_another_implementation() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("data/views.json")).unwrap();
    for case in cases {
        let picture: Pattern = serde_json::from_value(case["picture"].clone()).unwrap();
        let frame = picture.frame().unwrap();
        let size = case["size"].as_u64().unwrap() as u32;
        for view in View::ALL {
            let digits = case[view.name()].as_str().unwrap().as_bytes().chunks_exact(2);
            let expected: Vec<u8> = digits
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect();
            let found = view.rgb(&frame, &Crop::centre_square(&frame), size);
            let largest = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            // numpy sums in another order, and a wave on the border between two steps falls to either.
            let tolerance = if view == View::Recompressed { 1 } else { 0 };
            assert!(
                found.len() == expected.len() && largest <= tolerance,
                "{view:?} of {picture:?}: {largest}"
            );
        }
    }
}

/// A bundle of the repository.
macro_rules! bundle {
    ($name:literal) => {{
        let manifest =
            Manifest::parse(include_bytes!(concat!("../../models/", $name, "/manifest.json"))).unwrap();
        let onnx = include_bytes!(concat!("../../models/", $name, "/stage1.onnx"));
        let golden = include_bytes!(concat!("../../models/", $name, "/golden.json"));
        let content =
            |entry: &FileEntry| Ok(if entry.name == "stage1.onnx" { onnx.to_vec() } else { golden.to_vec() });
        Detector::load(&Bundle::of_loaded_files(manifest, content).unwrap()).unwrap()
    }};
}

/// The samples of the repository: name, whether it is fake, PNG.
const SAMPLES: [(&str, bool, &[u8]); 4] = [
    ("real-1", false, include_bytes!("../../models/samples/real-1.png")),
    ("real-2", false, include_bytes!("../../models/samples/real-2.png")),
    ("fake-1", true, include_bytes!("../../models/samples/fake-1.png")),
    ("fake-2", true, include_bytes!("../../models/samples/fake-2.png")),
];

/// What becomes of pictures on their way through the world: name and picture.
fn variants(frame: &Frame) -> Vec<(String, Frame)> {
    let (width, height) = (frame.width(), frame.height());
    let whole = |frame: &Frame| Crop {
        height: Some(frame.height()),
        side: frame.width(),
        x: 0,
        y: 0,
        ..Crop::centre_square(frame)
    };
    let scaled = |frame: &Frame, share: f64| {
        let size = [width, height].map(|length| (f64::from(length) * share) as u32);
        Frame::from_rgb(size[0], size[1], resize(frame, &whole(frame), size))
    };
    let cut = |share: u32| {
        let crop = Crop {
            x: width / share,
            y: height / share,
            side: width - 2 * (width / share),
            height: Some(height - 2 * (height / share)),
            ..Crop::centre_square(frame)
        };
        let size = [crop.width(), crop.height()];
        Frame::from_rgb(size[0], size[1], resize(frame, &crop, size))
    };
    let mut variants: Vec<(String, Frame)> =
        [95, 85, 75, 65, 50, 40, 30].map(|quality| (format!("q{quality}"), encoded(frame, quality))).to_vec();
    variants.extend([0.9, 0.75, 0.5, 1.5].map(|share| (format!("x{share}"), scaled(frame, share))));
    variants.extend([40, 20, 12].map(|share| (format!("cut 1/{share}"), cut(share))));
    variants.push(("x0.5 q50".into(), encoded(&scaled(frame, 0.5), 50)));
    variants.push(("cut 1/20 q40".into(), encoded(&cut(20), 40)));
    variants.push(("boxed".into(), boxed(frame)));
    variants
}

/// `frame` once through JPEG.
fn encoded(frame: &Frame, quality: u8) -> Frame {
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    let size = [frame.width(), frame.height()].map(|length| length as u16);
    encoder.encode(frame.rgb(), size[0], size[1], jpeg_encoder::ColorType::Rgb).unwrap();
    Frame::from_encoded(&bytes).unwrap()
}

/// `frame` between black bars on both sides.
fn boxed(frame: &Frame) -> Frame {
    let bar = vec![0; frame.width() as usize / 4 * 3];
    let rows = frame.rgb().chunks_exact(frame.width() as usize * 3);
    let rgb = rows.flat_map(|row| [&bar[..], row, &bar[..]].concat()).collect();
    Frame::from_rgb(frame.width() + 2 * (frame.width() / 4), frame.height(), rgb)
}

#[test]
fn i12_no_change_makes_a_real_face_surely_fake_or_the_other_way_round() {
    for (name, mut detector) in [("first", bundle!("first")), ("first-int8", bundle!("first-int8"))] {
        let mut judge = |frame: &Frame| -> Report {
            detector.judge_frame(frame, Crop::centre_square(frame), &|| 0.0).unwrap()
        };
        for (sample, is_fake, png) in SAMPLES {
            let frame = Frame::from_encoded(png).unwrap();
            let plain = judge(&frame);
            println!("{name} {sample}: {:?} {:.3}", plain.verdict.label, plain.verdict.probability_fake);
            for (change, changed) in variants(&frame) {
                let report = judge(&changed);
                let (label, p) = (report.verdict.label, report.verdict.probability_fake);
                let moved = report.uncertainty.map_or("-".into(), |moved| format!("{moved:.2}"));
                println!("    {change:14} {label:?} {p:.3}, views move it by {moved}");
                assert!(is_fake || label != Label::Fake, "{name}: {sample} {change}");
                let opposite = [(Label::Real, Label::Fake), (Label::Fake, Label::Real)];
                assert!(!opposite.contains(&(plain.verdict.label, label)), "{name}: {sample} {change}");
            }
        }
    }
}
