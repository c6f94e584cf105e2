//! `aware prepare` and `aware validate` as their users call them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn aware(arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aware")).args(arguments).args(paths).output().unwrap()
}

fn prepare(root: &Path, options: &[&str]) -> Output {
    let manifest = root.join("manifest.csv");
    let fixed = ["prepare", root.to_str().unwrap(), "--output", manifest.to_str().unwrap()];
    aware(&[&fixed, options].concat(), &[])
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A toy set with one broken picture.
fn flawed_set(name: &str) -> PathBuf {
    let root = common::folder(name);
    common::toy_set(&root, 20);
    std::fs::write(root.join("toy/real/broken.png"), b"\x89PNG broken").unwrap();
    root
}

#[test]
fn a07_a09_a11_the_report_counts_and_too_many_errors_fail() {
    let root = flawed_set("report");
    std::fs::remove_file(root.join("toy/fake/000.png")).unwrap();
    let report = root.join("report.json");
    let report_option = ["--report", report.to_str().unwrap()];
    let output = prepare(&root, &[&report_option[..], &["--max-errors", "0"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--max-errors 0"), "{}", stderr(&output));
    assert!(!root.join("manifest.csv").exists());
    let output = prepare(&root, &[&report_option[..], &["--max-errors", "1"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(root.join("manifest.csv").exists());
    let report = json(&report);
    assert_eq!((report["total"]["real"].as_u64(), report["total"]["fake"].as_u64()), (Some(20), Some(19)));
    let imbalance = report["total"]["imbalance"].as_f64().unwrap();
    assert!((imbalance - 20.0 / 19.0).abs() < 1e-9, "{imbalance}");
    let of_splits: u64 =
        ["train", "val", "test"].iter().map(|s| report["sets"]["toy"][s]["real"].as_u64().unwrap_or(0)).sum();
    assert_eq!(of_splits, 20);
    assert_eq!(report["skipped"]["count"], 1);
    assert!(report["skipped"]["files"][0]["path"].as_str().unwrap().ends_with("broken.png"));
}

#[test]
fn a09_a_dry_run_writes_nothing_and_a_second_run_keeps_the_first() {
    let root = common::folder("dry-run");
    common::toy_set(&root, 20);
    let before = std::fs::read_dir(&root).unwrap().count();
    let output = prepare(&root, &["--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains(" 20 real"), "{output:?}");
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), before);

    prepare(&root, &[]);
    let first = std::fs::read(root.join("manifest.csv")).unwrap();
    prepare(&root, &["--seed", "2"]);
    prepare(&root, &["--seed", "3"]);
    assert_eq!(std::fs::read(root.join("manifest.csv.bak-1")).unwrap(), first);
    assert_ne!(std::fs::read(root.join("manifest.csv.bak-2")).unwrap(), first);
}

#[test]
fn a09_validate_finds_what_changed() {
    let root = common::folder("validate");
    common::toy_set(&root, 20);
    prepare(&root, &[]);
    let manifest = root.join("manifest.csv");
    let output = aware(&["validate"], &[&manifest]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    std::fs::remove_file(root.join("toy/real/001.png")).unwrap();
    std::fs::copy(root.join("toy/real/003.png"), root.join("toy/real/002.png")).unwrap();
    let output = aware(&["validate"], &[&manifest]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("001.png") && text.contains("002.png") && text.lines().count() == 2, "{text}");
}

#[test]
fn a09_equal_pictures_are_dropped_on_request() {
    let root = common::folder("drop-duplicates");
    common::toy_set(&root, 20);
    let toy = root.join("toy");
    let copy = |from: &str, to: &str| std::fs::copy(toy.join(from), toy.join(to)).unwrap();
    copy("real/003.png", "real/same-bytes.png");
    copy("real/004.png", "fake/called-fake.png");
    // The same pixels in another file.
    let pixels = image::load_from_memory(&std::fs::read(toy.join("fake/005.png")).unwrap()).unwrap();
    pixels.save_with_format(toy.join("fake/same-pixels.webp"), image::ImageFormat::WebP).unwrap();
    let report = root.join("report.json");
    let options = ["--report", report.to_str().unwrap()];
    let rows = || trainer::dataset::read_manifest(&root.join("manifest.csv")).unwrap();
    assert_eq!(prepare(&root, &options).status.code(), Some(0));
    assert_eq!((rows().len(), json(&report)["duplicates"]["count"].as_u64()), (43, Some(0)));

    let output = prepare(&root, &[&options[..], &["--drop-duplicates"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("duplicates: 4 left out"), "{output:?}");
    let (rows, report) = (rows(), json(&report));
    let files = report["duplicates"]["files"].as_array().unwrap();
    let dropped = |name: &str| files.iter().find(|file| file["path"].as_str().unwrap().ends_with(name));
    assert_eq!((rows.len(), files.len()), (39, 4), "{files:?}");
    for name in ["same-bytes.png", "same-pixels.webp"] {
        assert!(dropped(name).unwrap()["reason"].as_str().unwrap().contains("another picture"), "{files:?}");
    }
    for name in ["real/004.png", "fake/called-fake.png"] {
        assert!(dropped(name).unwrap()["reason"].as_str().unwrap().contains("real and fake"), "{files:?}");
        assert!(!rows.iter().any(|row| row.image_path.ends_with(name)));
    }
}

#[test]
fn c03_pictures_that_change_while_they_are_read_are_whole_or_skipped() {
    let root = common::folder("changing");
    common::toy_set(&root, 20);
    let path = root.join("toy/real/changing.png");
    let whole = common::toy_picture(1000, 0);
    std::fs::write(&path, &whole).unwrap();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for cut in (0..whole.len()).cycle() {
                if is_done.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                std::fs::write(&path, &whole[..cut]).unwrap();
                std::fs::write(&path, &whole).unwrap();
            }
        });
        for _ in 0..10 {
            let output = prepare(&root, &[]);
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        }
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    std::fs::write(&path, &whole).unwrap();
    prepare(&root, &[]);
    let rows = trainer::dataset::read_manifest(&root.join("manifest.csv")).unwrap();
    assert_eq!(rows.len(), 41);
}

#[test]
fn t01_a_class_that_a_split_lacks_is_named() {
    let root = common::folder("missing-class");
    common::toy_set(&root, 20);
    std::fs::remove_dir_all(root.join("toy/fake")).unwrap();
    let output = prepare(&root, &[]);
    assert!(stderr(&output).contains("test has no fake picture"), "{}", stderr(&output));
}

#[cfg(unix)]
mod videos {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, Instant};

    /// Runs on a set with one video, with a program of our own in ffmpeg's place.
    fn with_ffmpeg(name: &str, script: &str, options: &[&str]) -> (PathBuf, Output) {
        let root = common::folder(name);
        common::toy_set(&root, 3);
        std::fs::write(root.join("toy/real/-clip %d.mp4"), "video").unwrap();
        let ffmpeg = root.join("ffmpeg");
        std::fs::write(&ffmpeg, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&ffmpeg, std::fs::Permissions::from_mode(0o755)).unwrap();
        let frames = root.join("frames");
        let fixed = ["--ffmpeg", ffmpeg.to_str().unwrap(), "--frames", frames.to_str().unwrap()];
        let output = prepare(&root, &[&fixed, options].concat());
        (root, output)
    }

    #[test]
    fn c_missing_ffmpeg_says_how_to_get_it() {
        let (_, output) = with_ffmpeg("no-ffmpeg", "", &["--ffmpeg", "/nowhere/ffmpeg"]);
        assert_ne!(output.status.code(), Some(0));
        let root = common::folder("no-ffmpeg-2");
        std::fs::create_dir_all(root.join("toy/real")).unwrap();
        std::fs::write(root.join("toy/real/clip.mp4"), "video").unwrap();
        let frames = root.join("frames");
        let options = ["--ffmpeg", "/nowhere/ffmpeg", "--frames", frames.to_str().unwrap()];
        let output = prepare(&root, &options);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("apt install ffmpeg"), "{}", stderr(&output));
    }

    #[test]
    fn a_stuck_ffmpeg_is_stopped_and_a_loud_one_heard() {
        let started = Instant::now();
        let stuck = "[ \"$1\" = -version ] && exit 0\nsleep 60";
        let (root, output) = with_ffmpeg("stuck-ffmpeg", stuck, &["--video-timeout", "1"]);
        assert!(started.elapsed() < Duration::from_secs(30));
        assert!(stderr(&output).contains("took more than 1 s"), "{}", stderr(&output));
        // Half a folder of frames does not stay.
        assert_eq!(std::fs::read_dir(root.join("frames/toy/real")).unwrap().count(), 0);

        let loud = "[ \"$1\" = -version ] && exit 0\nhead -c 1000000 /dev/zero | tr '\\0' x >&2\nexit 1";
        let (_, output) = with_ffmpeg("loud-ffmpeg", loud, &[]);
        assert!(stderr(&output).contains("ffmpeg: xxx") && output.stderr.len() < 200_000);
    }

    #[test]
    fn the_video_is_named_as_a_file_and_nothing_else_may_be_opened() {
        let script = "printf '%s\\n' \"$@\" >> \"$(dirname \"$0\")/called\"";
        let (root, _) = with_ffmpeg("called-ffmpeg", script, &[]);
        let called = std::fs::read_to_string(root.join("called")).unwrap();
        let lines: Vec<_> = called.lines().collect();
        let input = lines.iter().position(|line| *line == "-i").unwrap();
        let video = root.join("toy/real/-clip %d.mp4");
        assert_eq!(lines[input + 1], format!("file:{}", video.display()));
        assert_eq!(lines[input - 4..input], ["-protocol_whitelist", "file,pipe", "-f", "mov"]);
        assert!(lines.contains(&"-nostdin"));
    }

    #[test]
    fn a04_frames_of_a_video_are_sampled_and_stay_together() {
        if Command::new("ffmpeg").arg("-version").output().is_err() {
            eprintln!("left out: frames of a real video, since there is no ffmpeg");
            return;
        }
        let root = common::folder("real-ffmpeg");
        common::toy_set(&root, 20);
        let video = root.join("toy/fake/clip.mp4");
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=duration=4:size=96x64:rate=25"])
            .args(["-c:v", "mpeg4"])
            .arg(&video)
            .status();
        assert!(made.unwrap().success());
        let frames = root.join("frames");
        let run = |options: &[&str]| {
            let output = prepare(&root, &[&["--frames", frames.to_str().unwrap()], options].concat());
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            let manifest = trainer::dataset::read_manifest(&root.join("manifest.csv")).unwrap();
            let of_clip: Vec<_> =
                manifest.into_iter().filter(|sample| sample.image_path.starts_with(&frames)).collect();
            assert!(of_clip.iter().all(|s| s.label == 1 && s.group == of_clip[0].group), "{of_clip:?}");
            of_clip
        };
        assert_eq!(run(&[]).len(), 10);
        let short = run(&["--stride", "25", "--max-frames", "3"]);
        assert_eq!(short.len(), 3);
        let whole = run(&["--whole-video", "--max-frames", "3"]);
        assert_eq!(whole.len(), 3);
        // The last of three over four seconds is later than the third at a stride of one.
        let late = |of: &[trainer::dataset::Sample]| std::fs::read(&of[2].image_path).unwrap();
        assert_ne!(late(&whole), late(&run(&["--stride", "1", "--max-frames", "3"])));
    }
}
