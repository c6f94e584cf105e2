//! Quality and scene scores are OpenCV's, smoothing is scipy's.
//!
//! `tools/golden_video.py` writes the data.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use engine::grey::Grey;
use engine::pattern::Pattern;
use engine::quality::Quality;
use engine::video::scene::SceneDetector;
use engine::video::temporal::smooth;
use engine::video::thumbnail::Thumbnail;
use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[derive(Deserialize)]
struct Golden {
    qualities: Vec<QualityCase>,
    scenes: Vec<SceneCase>,
    smoothing: Vec<SmoothingCase>,
}

#[derive(Deserialize)]
struct QualityCase {
    pattern: Pattern,
    values: [f64; 5],
}

#[derive(Deserialize)]
struct SceneCase {
    patterns: [Pattern; 2],
    score: f64,
}

#[derive(Deserialize)]
struct SmoothingCase {
    values: Vec<f64>,
    want: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("data/video.json")).unwrap()
}

#[test]
fn v3_quality_is_opencv_s() {
    for QualityCase { pattern, values } in golden().qualities {
        let frame = pattern.frame().unwrap();
        let quality =
            Quality::of(&Grey::from_rgb(frame.width() as usize, frame.height() as usize, frame.rgb()));
        let Quality { blur, brightness, contrast, noise, overall } = quality;
        for (value, want) in [blur, brightness, contrast, noise, overall].iter().zip(values) {
            assert!((value - want).abs() < 1e-9, "{pattern:?}: {quality:?}, not {values:?}");
        }
    }
}

#[test]
fn v4_scene_scores_are_opencv_s() {
    for SceneCase { patterns, score } in golden().scenes {
        let mut scenes = SceneDetector::new(0.3);
        let [_, step] = patterns.map(|pattern| scenes.step(&Thumbnail::of(&pattern.frame().unwrap())));
        // OpenCV keeps histograms as 32-bit floats.
        assert!((step.score.unwrap() - score).abs() < 1e-5, "{patterns:?}: {step:?}, not {score}");
        assert_eq!(step.is_cut, score > 0.3);
    }
}

#[test]
fn v6_smoothing_is_scipy_s() {
    for SmoothingCase { values, want } in golden().smoothing {
        let smoothed = smooth(&values);
        assert_eq!(smoothed.len(), want.len());
        for (value, want) in smoothed.iter().zip(&want) {
            assert!((value - want).abs() < 1e-12, "{values:?}: {smoothed:?}, not {want}");
        }
    }
}
