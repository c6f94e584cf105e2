//! A toy network becomes integers: learned, resumed, exported, reported; and what must stop it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use candle_core::Device;
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use trainer::augment::Augment;
use trainer::config::RunConfig;
use trainer::dataset::write_manifest;
use trainer::export::tflite::verify;
use trainer::optimize::{
    Begin, BenchmarkConfig, OptimizationReport, OptimizationResult, QatConfig, Target, Task, optimize,
    write_report,
};
use trainer::prepare::prepare;
use trainer::train::{RunFolder, Span, Start, train};

/// A trained teacher, made once for all tests.
fn teacher() -> &'static Path {
    static TEACHER: OnceLock<PathBuf> = OnceLock::new();
    TEACHER.get_or_init(|| {
        let root = common::folder("optimize-teacher");
        common::toy_set(&root, 60);
        let prepared = prepare(&root, &[], 1, &ProgressBar::hidden()).unwrap();
        let manifest = root.join("manifest.csv");
        write_manifest(&manifest, &prepared.samples).unwrap();
        let augment = Augment { min_crop: 1.0, jpeg: 0.0, downscale: 0.0, ..Augment::default() };
        let config = RunConfig {
            manifest,
            network: "mobilenetv4-conv-small-narrow".into(),
            image_size: 64,
            epochs: 12,
            batch_size: 8,
            warmup_epochs: 0.5,
            augment,
            ..RunConfig::default()
        };
        let folder = RunFolder::new(root.join("run"));
        let span = Span { start: Start::Fresh, stop_after: None, device: Device::Cpu };
        train(&config, &folder, span, &ProgressBar::hidden()).unwrap();
        folder.best()
    })
}

fn config(name: &str) -> QatConfig {
    QatConfig {
        epochs: 2,
        batch_size: 8,
        learning_rate: 1e-4,
        calibration_dataset_size: 32,
        sensitivity_pictures: 8,
        stage1_model_path: teacher().to_owned(),
        output_dir: common::folder(name),
        ..QatConfig::default()
    }
}

fn run(config: &QatConfig, begin: Begin) -> anyhow::Result<OptimizationResult> {
    run_of(Target::Stage1, config, begin)
}

fn run_of(target: Target, config: &QatConfig, begin: Begin) -> anyhow::Result<OptimizationResult> {
    let task = Task { target, config, benchmark: &BenchmarkConfig::default(), device: &Device::Cpu };
    optimize(task, begin, &ProgressBar::hidden(), &|_| {})
}

fn refused(config: &QatConfig, begin: Begin) -> String {
    format!("{:#}", run(config, begin).err().unwrap())
}

#[test]
fn a_network_learns_in_integers_and_every_file_is_there() {
    let config = config("optimize-whole");
    let result = run(&config, Begin::Fresh).unwrap();
    let details = result.details.as_deref().unwrap();
    assert!(result.size_reduction_percent > 75.0, "{}", result.size_reduction_percent);
    assert!(!details.four_bits.is_empty() && details.floats.is_empty(), "{:?}", details.four_bits);
    assert_eq!(
        (details.parity.different, details.parity.logit_difference),
        (0, 0.0),
        "F2: {:?}",
        details.parity
    );
    let kept = &details.history[details.best_epoch as usize];
    assert!(
        details.history.iter().all(|epoch| kept.val_loss <= epoch.val_loss),
        "F14: {:?}",
        details.history
    );
    assert!(details.auc.optimized > 0.8, "a checkerboard gives the set away: {:?}", details.auc);
    let all = &details.test["all"];
    let difference = all.auc.map(|auc| (auc - details.auc.optimized).abs());
    assert!(difference.is_some_and(|difference| difference < 1e-9), "of the file that was written: {all:?}");
    assert_eq!(all.real + all.fake, details.pictures.test);
    assert!(details.files.float_difference <= 1e-5);
    assert_eq!(details.history.len(), 3, "two epochs and what was there before");
    let folder = config.output_dir.join("stage1");
    let files = &details.files;
    for file in [&files.original, &files.optimized, &files.eight_bit_activations] {
        let content = std::fs::read(folder.join(&file.name)).unwrap();
        assert_eq!(content.len() as u64, file.bytes, "sizes are those of the files");
        assert!(engine::Session::load(&content).is_ok(), "{}", file.name);
    }
    for file in [&details.files.tflite, &details.files.tflite_in_floats] {
        let content = std::fs::read(folder.join(&file.name)).unwrap();
        assert_eq!(verify(&content).unwrap().outputs, [[1, 1]], "{}", file.name);
    }

    let report = OptimizationReport::new(vec![result], &config, &BenchmarkConfig::default());
    write_report(&report).unwrap();
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(config.comparison()).unwrap()).unwrap();
    assert_eq!(json["optimization_summary"]["successful_optimizations"], 1);
    let page = std::fs::read_to_string(config.output_dir.join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("size reduction"), "{}", page.len());

    let error = refused(&config, Begin::Fresh);
    assert!(error.contains("--force"), "C02, an output that exists: {error}");
}

#[test]
fn one_seed_gives_one_file_and_a_run_that_ended_ends_again() {
    let whole = config("optimize-unbroken");
    run(&whole, Begin::Fresh).unwrap();
    let broken = config("optimize-resumed");
    // Stopped after its first epoch: what stands on disk then, under the name of the whole run.
    let first = QatConfig { scale_freeze: 1.0, epochs: 1, ..broken.clone() };
    run(&first, Begin::Fresh).unwrap();
    let error = refused(&broken, Begin::Resume);
    assert!(error.contains("configuration"), "another configuration is no resumption: {error}");

    let file = |config: &QatConfig| std::fs::read(config.output_dir.join("stage1/stage1.int8.onnx")).unwrap();
    // A run that has ended ends again, with the same file.
    let ended = file(&whole);
    run(&whole, Begin::Resume).unwrap();
    assert_eq!(file(&whole), ended);
    run(&broken, Begin::Force).unwrap();
    assert_eq!(file(&broken), ended, "F14: one seed, one file");
}

/// Killed once its first epoch is on disk, whatever it does then.
#[test]
fn a_student_that_is_killed_goes_on_to_the_same_file() {
    let whole = config("optimize-not-killed");
    run(&whole, Begin::Fresh).unwrap();
    let killed = config("optimize-killed");
    let path = killed.output_dir.join("qat.json");
    std::fs::write(&path, serde_json::to_string(&killed).unwrap()).unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_aware"))
        .args(["optimize", "--model", "stage1", "--config"])
        .arg(&path)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let last = killed.output_dir.join("stage1/last.safetensors");
    while !last.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(last.exists(), "it ended before its first epoch");
    child.kill().unwrap();
    child.wait().unwrap();
    run(&killed, Begin::Resume).unwrap();
    let file = |config: &QatConfig| std::fs::read(config.output_dir.join("stage1/stage1.int8.onnx")).unwrap();
    assert!(file(&killed) == file(&whole), "F14: a resumed run ends with another file");
}

#[test]
fn t05_a_teacher_that_does_not_fit_is_refused_before_training() {
    let good = config("optimize-t05");
    let missing = QatConfig { stage1_model_path: "no/such/file".into(), ..good.clone() };
    let error = refused(&missing, Begin::Fresh);
    assert!(error.contains("teacher of stage1") && error.contains("no/such/file"), "{error}");

    let other = QatConfig { stage2_effnet_path: teacher().to_owned(), ..good.clone() };
    let error = run_of(Target::Efficientnet, &other, Begin::Fresh);
    let error = format!("{:#}", error.err().unwrap());
    assert!(error.contains("mobilenetv4") && error.contains("efficientnet"), "{error}");

    let larger = QatConfig { image_size: Some(160), ..good.clone() };
    let error = refused(&larger, Begin::Fresh);
    assert!(error.contains("160") && error.contains("64 px"), "{error}");

    let cut = good.output_dir.join("cut.safetensors");
    let bytes = std::fs::read(teacher()).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let error = refused(&QatConfig { stage1_model_path: cut, ..good.clone() }, Begin::Fresh);
    assert!(error.contains("teacher of stage1"), "{error}");

    let none = QatConfig { calibration_dataset_size: 0, ..good };
    assert!(refused(&none, Begin::Fresh).contains("calibration_dataset_size"));
}

#[test]
fn t02_a_scale_that_collapses_stops_the_run_and_the_last_epoch_stays() {
    let good = QatConfig { epochs: 1, sensitivity_pictures: 0, ..config("optimize-t02") };
    let wild = QatConfig { scale_learning_rate: 50.0, epochs: 3, scale_freeze: 1.0, ..good };
    let error = refused(&wild, Begin::Fresh);
    assert!(error.contains("collapsed") || error.contains("gradient norm"), "{error}");
    let folder = wild.output_dir.join("stage1");
    assert!(folder.join("best.safetensors").exists(), "what was good is kept");
    assert!(!folder.join("stage1.int8.onnx").exists(), "nothing is exported");
}

#[cfg(unix)]
#[test]
fn c02_a_folder_that_takes_no_files_leaves_none_behind() {
    let config = QatConfig { epochs: 0, sensitivity_pictures: 0, ..config("optimize-c02") };
    // A file where the network's folder should be.
    std::fs::write(config.output_dir.join("stage1"), "not a folder").unwrap();
    let error = refused(&config, Begin::Fresh);
    assert!(error.contains("stage1"), "{error}");
    assert_eq!(std::fs::read_dir(&config.output_dir).unwrap().count(), 1);
}
