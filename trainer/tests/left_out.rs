//! `aware leave-one-out` and `aware features` on toy sets.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use engine::crop::CropKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use trainer::dataset::{Sample, Split, write_manifest};

/// Two toy sets with both classes and one without reals, and a configuration of two epochs.
fn toy_sets(root: &Path) -> PathBuf {
    let sets = [
        ("toy", "real", 0),
        ("toy", "fake", 40),
        ("other", "real", 0),
        ("other", "fake", 60),
        ("only_fakes", "fake", 50),
    ];
    let mut samples = Vec::new();
    for (number, (set, class, amplitude)) in (0..).zip(sets) {
        let folder = root.join(set).join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for index in 0..24 {
            let image_path = folder.join(format!("{index}.png"));
            std::fs::write(&image_path, common::toy_picture(100 * number + index, amplitude)).unwrap();
            samples.push(Sample {
                label: u8::from(class == "fake"),
                dataset: set.into(),
                split: [Split::Train, Split::Train, Split::Val, Split::Test][index as usize % 4],
                group: image_path.display().to_string(),
                dhash: String::new(),
                face: None,
                crop: CropKind::default(),
                image_path,
            });
        }
    }
    let manifest = root.join("manifest.csv");
    write_manifest(&manifest, &samples).unwrap();
    let config = root.join("run.toml");
    let text = format!(
        "manifest = {manifest:?}\nnetwork = \"mobilenetv4-conv-small-narrow\"\nimage_size = 64\nepochs = 2\nbatch_size = 8\n"
    );
    std::fs::write(&config, text).unwrap();
    config
}

/// Standard output; panics with standard error if the program fails.
fn aware(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_aware")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_set_is_left_out_once_and_nothing_is_trained_twice() {
    let root = common::folder("left-out");
    let config = toy_sets(&root);
    let folder = root.join("folds");
    let run = || {
        aware(&["leave-one-out", "--config", config.to_str().unwrap(), "--output", folder.to_str().unwrap()])
    };
    let text = run();
    let folds: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("folds.json")).unwrap()).unwrap();
    let fold = |name: &str| folds.as_array().unwrap().iter().find(|fold| fold["left_out"] == name).unwrap();
    assert_eq!(
        fold("other")["trained_on"],
        serde_json::json!(["toy"]),
        "a set of one class is not trained on"
    );
    assert_eq!(fold("only_fakes")["trained_on"], serde_json::json!(["other", "toy"]));
    let other = &fold("other")["judged"];
    assert_eq!((&other["left_out"]["real"], &other["left_out"]["fake"]), (&24.into(), &24.into()));
    for value in
        ["/left_out/auc", "/left_out/trivial_cues_auc", "/in_domain/auc", "/in_domain_trivial_cues/auc"]
    {
        assert!(other.pointer(value).unwrap().is_f64(), "{value} in {other}");
    }
    let fakes = &fold("only_fakes")["judged"];
    assert!(fakes["left_out"]["auc"].is_null(), "an AUC of one class was made up");
    assert!(fakes["called"]["fake"].is_f64() && text.contains("one class"), "{text}");
    let html = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(html.contains("only_fakes (one class)") && !html.contains("src="));

    // A finished fold stays as it is; a broken one is finished.
    let written = |name: &str| {
        std::fs::metadata(folder.join(name).join("last.safetensors")).unwrap().modified().unwrap()
    };
    let (kept, broken) = (written("without-toy"), written("on-all"));
    std::fs::remove_file(folder.join("on-all/metrics.json")).unwrap();
    std::fs::remove_dir_all(folder.join("without-other")).unwrap();
    assert_eq!(run(), text, "a second call gives the same figures");
    assert_eq!(
        (written("without-toy"), written("on-all")),
        (kept, broken),
        "a trained fold was trained again"
    );

    features_follow_their_pipeline(&folder.join("on-all"), &root);
}

fn features_follow_their_pipeline(run: &Path, root: &Path) {
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let call = |split: &str, more: &[&str]| {
        let (run, output) = (run.to_str().unwrap(), path(&format!("{split}.safetensors")));
        aware(&[&["features", "--run", run, "--split", split, "--output", &output], more].concat())
    };
    let pipeline = path("pipeline.safetensors");
    let text = call("train", &["--fit", &pipeline, "--variance", "0.9"]);
    assert!(text.contains("768 values each, reduced to"), "{text}");
    call("test", &["--pipeline", &pipeline]);
    let first = std::fs::read(path("test.safetensors")).unwrap();
    call("test", &["--pipeline", &pipeline]);
    assert!(first == std::fs::read(path("test.safetensors")).unwrap(), "the same features differ");
    let refused = Command::new(env!("CARGO_BIN_EXE_aware"))
        .args([
            "features",
            "--run",
            run.to_str().unwrap(),
            "--split",
            "test",
            "--output",
            &path("x"),
            "--fit",
            &path("y"),
        ])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("fitted on the train split"));
}
