//! The whole story on a toy set: prepare, train, resume, bundle, judge.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use candle_core::Device;
use engine::{Crop, Frame, Label};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use std::process::Command;
use trainer::augment::Augment;
use trainer::bundle::Existing;
use trainer::config::RunConfig;
use trainer::dataset::{Split, read_manifest, write_manifest};
use trainer::deployment::DeploymentConfig;
use trainer::detect::load_detector;
use trainer::evaluate::{Reading, evaluate};
use trainer::export::{BundleSource, Origin, write_bundle};
use trainer::judge::Judge;
use trainer::loss::LossWeights;
use trainer::prepare::prepare;
use trainer::tensors::TensorsError;
use trainer::train::{RunFolder, RunMetrics, Span, Start, train};
use trainer::validation::validate_bundle;

fn toy_manifest(root: &Path) -> PathBuf {
    common::toy_set(root, 60);
    let prepared = prepare(root, &[], 1, &ProgressBar::hidden()).unwrap();
    assert!(prepared.skipped.is_empty(), "{:?}", prepared.skipped);
    let manifest = root.join("manifest.csv");
    write_manifest(&manifest, &prepared.samples).unwrap();
    manifest
}

fn toy_config(manifest: PathBuf) -> RunConfig {
    let augment = Augment { min_crop: 1.0, jpeg: 0.0, downscale: 0.0, ..Augment::default() };
    RunConfig {
        manifest,
        image_size: 64,
        epochs: 12,
        batch_size: 8,
        warmup_epochs: 0.5,
        augment,
        ..RunConfig::default()
    }
}

fn run(config: &RunConfig, folder: &Path, start: Start, stop_after: Option<u64>) -> RunMetrics {
    let span = Span { start, stop_after, device: Device::Cpu };
    train(config, &RunFolder::new(folder), span, &ProgressBar::hidden()).unwrap()
}

#[test]
fn a_toy_set_is_learned_bundled_and_judged() {
    let root = common::folder("learned");
    let config = toy_config(toy_manifest(&root));
    let run_folder = root.join("run");
    let metrics = run(&config, &run_folder, Start::Fresh, None);
    let auc = metrics.test["toy"].auc.unwrap();
    assert!(auc > 0.95, "test AUC {auc} on a set that a checkerboard gives away");

    let judge = Judge::open(&RunFolder::new(&run_folder)).unwrap();
    let reports = |split| {
        let rows = judge.score(judge.samples(split)).unwrap();
        evaluate(&rows, &Reading { temperature: metrics.temperature, split, threshold: Some(0.5) })
    };
    let (val, test) = (reports(Split::Val), reports(Split::Test));
    assert_eq!(test["toy"].metrics.auc, Some(auc), "evaluation repeats the run's own judgement");
    assert_eq!(test["toy"].trivial_cues_auc, metrics.test_trivial_cues["toy"].auc);
    assert_eq!(
        val["all"].selection, metrics.cascade,
        "B8: the run keeps the threshold that validation chose"
    );
    assert_eq!(test["all"].selection, None, "nothing is chosen on the test split");

    let curves = std::fs::read_to_string(RunFolder::new(&run_folder).curves()).unwrap();
    assert!(curves.contains("best of 12 epochs") && curves.contains("trivial cues"), "{curves}");

    let card = root.join("card.md");
    std::fs::write(&card, "# Toy\n").unwrap();
    let source = BundleSource {
        origin: Origin::Run(&RunFolder::new(&run_folder)),
        model: None,
        optimized: None,
        also: &[],
        name: Some("toy"),
        version: Some("0.0.1"),
        licence: Some("none"),
        card: Some(&card),
    };
    let bundle = root.join("bundle");
    let manifest = write_bundle(&source, &DeploymentConfig::default(), Existing::Refuse, &bundle).unwrap();
    assert_eq!(manifest.training["written"]["reference"], "candle", "M07: compared with what was trained");
    let validation = validate_bundle(&bundle, 1);
    assert!(validation.passed, "{}", validation.text());

    let mut detector = load_detector(&bundle).unwrap();
    for (seed, amplitude, wrong) in [(900, 0, Label::Fake), (901, 40, Label::Real)] {
        let frame = Frame::from_encoded(&common::toy_picture(seed, amplitude)).unwrap();
        // Judging would refuse the checkerboard as noise.
        let examination = detector.examine(&frame, &Crop::centre_square(&frame)).unwrap();
        let (_, probability) = examination.stages[0].clone().unwrap();
        assert_ne!(manifest.thresholds.label(probability), wrong, "{probability:?}");
    }
}

#[test]
fn a_resumed_run_gives_the_bits_of_an_unbroken_one() {
    let root = common::folder("resumed");
    let manifest = toy_manifest(&root);
    // The second one draws noise in every step.
    for (network, image_size) in [("mobilenetv4-conv-small", 64), ("genconvit-tiny", 32)] {
        let config =
            RunConfig { epochs: 2, network: network.into(), image_size, ..toy_config(manifest.clone()) };
        let (whole, broken) = (root.join(network), root.join(format!("{network}-broken")));
        run(&config, &whole, Start::Fresh, None);
        run(&config, &broken, Start::Fresh, Some(1));
        run(&config, &broken, Start::Resume, None);
        assert_same_end(&whole, &broken);
    }
}

#[test]
fn the_loss_of_a_run_has_the_networks_own_terms() {
    let root = common::folder("terms");
    let toy = toy_config(toy_manifest(&root));
    let config = RunConfig { epochs: 1, network: "genconvit-tiny".into(), image_size: 32, ..toy };
    let first_loss = |name: &str, loss| {
        let folder = root.join(name);
        run(&RunConfig { loss, ..config.clone() }, &folder, Start::Fresh, None);
        history(&folder)[0]["loss"].as_f64().unwrap()
    };
    let alone = first_loss("alone", LossWeights { reconstruction: 0.0, kl: 0.0 });
    for (name, loss) in [
        ("reconstruction", LossWeights { reconstruction: 1.0, kl: 0.0 }),
        ("kl", LossWeights { reconstruction: 0.0, kl: 1.0 }),
    ] {
        let with_term = first_loss(name, loss);
        assert!(with_term > alone + 0.1, "{name}: {with_term} with it, {alone} without");
    }
}

/// Panics unless the last checkpoints of two runs hold the same bits.
fn assert_same_end(a: &Path, b: &Path) {
    let tensors = |folder: &Path| {
        let bytes = std::fs::read(RunFolder::new(folder).last()).unwrap();
        candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap()
    };
    let (a, b) = (tensors(a), tensors(b));
    assert_eq!(a.len(), b.len());
    for (name, tensor) in &a {
        let values = |t: &candle_core::Tensor| -> Vec<u8> {
            let t = t.to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap();
            t.to_vec1::<f32>().unwrap().into_iter().flat_map(f32::to_le_bytes).collect()
        };
        assert!(values(tensor) == values(&b[name]), "{name} differs");
    }
}

/// The history without the speeds, which no two runs share.
fn history(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(RunFolder::new(folder).history()).unwrap();
    let line = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("pictures_per_s");
        line
    };
    text.lines().map(line).collect()
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_the_same() {
    let root = common::folder("killed");
    let config = RunConfig {
        epochs: 3,
        checkpoint_steps: 2,
        average_decay: 0.9,
        balance_classes: true,
        ..toy_config(toy_manifest(&root))
    };
    let whole = root.join("whole");
    run(&config, &whole, Start::Fresh, None);

    let file = root.join("run.toml");
    std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
    let killed = root.join("killed");
    let mut kills = 0;
    for attempt in 1.. {
        let mut aware = Command::new(env!("CARGO_BIN_EXE_aware"));
        aware.args(["train", "--config"]).arg(&file).arg("--output").arg(&killed);
        if RunFolder::new(&killed).last().exists() {
            aware.arg("--resume");
        }
        let mut aware = aware.stdout(std::process::Stdio::null()).spawn().unwrap();
        // Each attempt gets further than the one before, so that the run ends on machines of any speed.
        std::thread::sleep(std::time::Duration::from_millis(60 * attempt));
        match aware.try_wait().unwrap() {
            Some(status) => {
                assert!(status.success());
                break;
            }
            None => {
                aware.kill().unwrap(); // SIGKILL
                aware.wait().unwrap();
                kills += 1;
            }
        }
    }
    assert!(kills > 0, "nothing was killed");
    assert_same_end(&whole, &killed);
    assert_eq!(history(&whole), history(&killed));
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_names_the_batch() {
    let root = common::folder("diverged");
    let config = RunConfig { learning_rate: 1e30, clip_norm: 1e30, ..toy_config(toy_manifest(&root)) };
    let span = Span { start: Start::Fresh, stop_after: None, device: Device::Cpu };
    let folder = RunFolder::new(root.join("run"));
    let error = train(&config, &folder, span, &ProgressBar::hidden()).unwrap_err().to_string();
    assert!(error.contains("step") && error.contains(".png") && error.contains("and 4 more"), "{error}");
    assert!(!folder.last().exists(), "a checkpoint of a broken network was kept");
}

#[test]
fn a_run_begins_at_its_initial_checkpoint_or_not_at_all() {
    let root = common::folder("initial");
    let config = RunConfig { epochs: 1, ..toy_config(toy_manifest(&root)) };
    let first = root.join("first");
    run(&config, &first, Start::Fresh, None);
    let initial = RunFolder::new(&first).last();
    let stem = |folder: &Path| {
        let bytes = std::fs::read(RunFolder::new(folder).last()).unwrap();
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
        tensors["network.conv_stem.weight"].flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    // Another seed, and steps too small to be seen: what is alike came from the checkpoint.
    let next = RunConfig { initial: Some(initial.clone()), learning_rate: 1e-12, seed: 2, ..config.clone() };
    run(&next, &root.join("next"), Start::Fresh, None);
    let far = |(a, b): (f32, f32)| (a - b).abs() > 1e-6;
    assert!(!stem(&first).into_iter().zip(stem(&root.join("next"))).any(far));

    let refusal = |config: RunConfig| {
        let span = Span { start: Start::Fresh, stop_after: None, device: Device::Cpu };
        let folder = RunFolder::new(root.join("refused"));
        let error = train(&config, &folder, span, &ProgressBar::hidden()).unwrap_err();
        assert!(format!("{error:#}").contains("initial = "), "{error:#}");
        assert!(!folder.last().exists() && !folder.history().exists());
        error
    };
    refusal(RunConfig { initial: Some(root.join("absent.safetensors")), ..config.clone() });
    refusal(RunConfig { initial: Some(config.manifest.clone()), ..config.clone() });
    // T05: the last layers of the two differ in width.
    let narrow = "mobilenetv4-conv-small-narrow".to_owned();
    let error = refusal(RunConfig { initial: Some(initial), network: narrow, ..config });
    let mismatch = TensorsError::Shape {
        name: "classifier.weight".into(),
        found: vec![1, 1280],
        expected: vec![1, 768],
    };
    assert_eq!(error.downcast_ref(), Some(&mismatch), "{error:#}");
}

#[test]
fn a_second_run_does_not_overwrite_the_first() {
    let root = common::folder("overwrite");
    let config = RunConfig { epochs: 1, ..toy_config(toy_manifest(&root)) };
    let folder = root.join("run");
    run(&config, &folder, Start::Fresh, None);
    let span = Span { start: Start::Fresh, stop_after: None, device: Device::Cpu };
    let error = train(&config, &RunFolder::new(&folder), span, &ProgressBar::hidden()).unwrap_err();
    assert!(error.to_string().contains("--resume"), "{error}");
    let other = RunConfig { seed: 2, ..config };
    let span = Span { start: Start::Resume, stop_after: None, device: Device::Cpu };
    let error = train(&other, &RunFolder::new(&folder), span, &ProgressBar::hidden()).unwrap_err();
    assert!(error.to_string().contains("configuration"), "{error}");
}

/// The mean of a run with itself is that run, with all that was fitted to it.
#[test]
fn a_mean_of_runs_is_a_run_of_its_own() {
    let root = common::folder("mean");
    let config = RunConfig { epochs: 1, ..toy_config(toy_manifest(&root)) };
    let (folder, mean) = (root.join("run"), root.join("mean"));
    let trained = run(&config, &folder, Start::Fresh, None);
    let soup = || {
        let named = [&folder, &folder].map(|run| run.to_str().unwrap());
        let output = ["--weights", "1", "3", "--output", mean.to_str().unwrap()];
        Command::new(env!("CARGO_BIN_EXE_aware")).arg("soup").args(named).args(output).output().unwrap()
    };
    let made = soup();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = Judge::open(&RunFolder::new(&mean)).unwrap().metrics;
    assert_eq!((read.temperature, read.thresholds), (trained.temperature, trained.thresholds));
    assert_eq!(read.test["all"].auc, trained.test["all"].auc);
    assert_eq!(read.progress.best_auc, trained.progress.best_auc);
    let again = soup();
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("holds a run already"));
}

#[test]
fn prepare_counts_what_it_skips_and_keeps_copies_together() {
    let root = common::folder("prepared");
    common::toy_set(&root, 20);
    let toy = root.join("toy");
    std::fs::write(toy.join("real/broken.jpg"), b"\xFF\xD8\xFF broken").unwrap();
    std::fs::copy(toy.join("real/003.png"), toy.join("real/copy.png")).unwrap();
    let prepared = prepare(&root, &[], 1, &ProgressBar::hidden()).unwrap();
    assert_eq!(prepared.samples.len(), 41);
    assert_eq!(prepared.skipped.len(), 1);
    let split_of = |name: &str| prepared.samples.iter().find(|s| s.image_path.ends_with(name)).unwrap().split;
    assert_eq!(split_of("real/003.png"), split_of("real/copy.png"));
    for split in [Split::Train, Split::Val, Split::Test] {
        assert!(prepared.samples.iter().any(|s| s.split == split), "{split:?} is empty");
    }
    let manifest = root.join("manifest.csv");
    write_manifest(&manifest, &prepared.samples).unwrap();
    assert_eq!(read_manifest(&manifest).unwrap(), prepared.samples);
    let text = std::fs::read_to_string(&manifest).unwrap();
    assert!(text.starts_with("image_path,label,dataset,split,"), "{text}");
    std::fs::write(&manifest, text.replacen("image_path,", "filepath,", 1)).unwrap();
    assert!(read_manifest(&manifest).is_err());
}
