//! A network that learns from a finished one.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use candle_core::Device;
use indicatif::ProgressBar;
use std::path::Path;
use trainer::augment::Augment;
use trainer::config::RunConfig;
use trainer::dataset::{Split, read_manifest, write_manifest};
use trainer::prepare::prepare;
use trainer::teacher::TeacherConfig;
use trainer::train::{RunFolder, RunMetrics, Span, Start, train};

/// A run on drawn pictures of which the fakes bear a checkerboard.
fn toy_config(root: &Path) -> RunConfig {
    common::toy_set(root, 60);
    let prepared = prepare(root, &[], 1, &ProgressBar::hidden()).unwrap();
    let manifest = root.join("manifest.csv");
    write_manifest(&manifest, &prepared.samples).unwrap();
    RunConfig {
        manifest,
        image_size: 64,
        epochs: 8,
        batch_size: 8,
        warmup_epochs: 0.5,
        augment: Augment { min_crop: 1.0, jpeg: 0.0, downscale: 0.0, ..Augment::default() },
        ..RunConfig::default()
    }
}

fn run(config: &RunConfig, folder: &Path) -> anyhow::Result<RunMetrics> {
    let span = Span { start: Start::Fresh, stop_after: None, device: Device::Cpu };
    train(config, &RunFolder::new(folder), span, &ProgressBar::hidden())
}

#[test]
fn a_student_believes_its_teacher_where_labels_count_for_nothing() {
    let root = common::folder("teacher");
    let config = toy_config(&root);
    run(&config, &root.join("teacher")).unwrap();

    // What the student is told of its training pictures is the opposite of what they are.
    let mut samples = read_manifest(&config.manifest).unwrap();
    for sample in samples.iter_mut().filter(|sample| sample.split == Split::Train) {
        sample.label = 1 - sample.label;
    }
    let contrary = root.join("contrary.csv");
    write_manifest(&contrary, &samples).unwrap();
    let teacher = TeacherConfig {
        checkpoint: RunFolder::new(root.join("teacher")).best(),
        hard: 0.0,
        soft: 1.0,
        embedding: 0.0,
        temperature: 2.0,
    };
    let student = RunConfig {
        manifest: contrary,
        network: "mobilenetv4-conv-small-narrow".into(),
        teacher: Some(teacher),
        seed: 2,
        ..config
    };
    let taught = run(&student, &root.join("student")).unwrap();
    let auc = taught.test["toy"].auc.unwrap();
    assert!(auc > 0.9, "test AUC {auc} of a student whose teacher knows");
}

#[test]
fn a_teacher_that_does_not_fit_is_refused_before_anything_is_written() {
    let root = common::folder("teacher-refused");
    let config = RunConfig { epochs: 1, ..toy_config(&root) };
    run(&config, &root.join("teacher")).unwrap();
    let checkpoint = RunFolder::new(root.join("teacher")).last();
    let teacher = TeacherConfig { checkpoint, hard: 0.5, soft: 0.5, embedding: 0.0, temperature: 2.0 };
    let refusal = |config: RunConfig, teacher: TeacherConfig| {
        let folder = root.join("refused");
        let error = run(&RunConfig { teacher: Some(teacher), ..config }, &folder).unwrap_err();
        assert!(!RunFolder::new(&folder).last().exists() && !RunFolder::new(&folder).history().exists());
        format!("{error:#}")
    };
    let larger = RunConfig { image_size: 96, ..config.clone() };
    let error = refusal(larger, teacher.clone());
    assert!(error.contains("64 pixels, the run at 96"), "{error}");
    let absent = TeacherConfig { checkpoint: root.join("absent.safetensors"), ..teacher.clone() };
    let error = refusal(config.clone(), absent);
    assert!(error.contains("teacher.checkpoint") && error.contains("absent.safetensors"), "{error}");
    let error = refusal(config, TeacherConfig { temperature: 0.0, ..teacher });
    assert!(error.contains("teacher.temperature is 0, expected 0.1 to 100"), "{error}");
}
