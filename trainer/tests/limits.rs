//! The program where memory is short, where several run at once, and that it ends (T5, C06).
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// No step here takes more than seconds; a program that hangs must not hang the tests.
const DEADLINE: Duration = Duration::from_secs(120);

fn models(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name)
}

fn detect(bundle: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aware"));
    command.args(["detect", "--json", "--bundle"]).arg(models(bundle));
    command
}

fn samples() -> Vec<PathBuf> {
    ["real-1.png", "real-2.png", "fake-1.png", "fake-2.png"].map(|name| models("samples").join(name)).to_vec()
}

/// `command` within so many kilobytes of address space, as the shell's `ulimit -v` sets them.
fn within(kilobytes: u64, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -v {kilobytes} && exec \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    // Each thread reserves address space of its own.
    shell.env("RAYON_NUM_THREADS", "2");
    shell
}

/// What `child` said, once it has ended by itself.
fn ended(mut child: Child) -> Output {
    let step = Duration::from_millis(20);
    for _ in 0..DEADLINE.as_millis() / step.as_millis() {
        if child.try_wait().unwrap().is_some() {
            return child.wait_with_output().unwrap();
        }
        std::thread::sleep(step);
    }
    child.kill().unwrap();
    panic!("it has not ended after {DEADLINE:?}");
}

fn started(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Logit of each file, as bits.
fn logits(output: &Output) -> Vec<u64> {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["report"]["stages"][0]["logit"].as_f64().unwrap().to_bits()
    };
    std::str::from_utf8(&output.stdout).unwrap().lines().map(line).collect()
}

#[test]
fn c06_pictures_are_judged_within_512_megabytes() {
    for bundle in ["first", "first-int8"] {
        let free = logits(&ended(started(detect(bundle).args(samples()))));
        let mut command = detect(bundle);
        command.args(samples());
        let bound = logits(&ended(started(&mut within(512 << 10, &command))));
        assert_eq!(free, bound, "{bundle}");
    }
}

/// A photograph of 40 megapixels: soft waves with grain, as JPEG.
fn large_photo(path: &Path, progressive: bool) {
    let [width, height] = [7_744_u16, 5_176];
    let row = |y: u32| {
        (0..u32::from(width)).flat_map(move |x| {
            let grain =
                (x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77)).wrapping_mul(0x2c1b_3c6d) >> 28;
            let wave = ((x as f32 / 300.0).sin() + (y as f32 / 400.0).cos()) * 50.0;
            [0.0, 15.0, 30.0].map(|shade| (wave + shade + 110.0) as u8 + grain as u8)
        })
    };
    let rgb: Vec<u8> = (0..u32::from(height)).flat_map(row).collect();
    let mut encoder = jpeg_encoder::Encoder::new_file(path, 85).unwrap();
    encoder.set_progressive(progressive);
    encoder.encode(&rgb, width, height, jpeg_encoder::ColorType::Rgb).unwrap();
}

#[test]
fn i04_a_photo_of_40_megapixels_is_judged_in_bounded_memory() {
    let folder = common::folder("large-photo");
    for progressive in [false, true] {
        let photo = folder.join(format!("progressive-{progressive}.jpg"));
        large_photo(&photo, progressive);
        let mut command = detect("first-int8");
        // Resident are 201 and 332 MB at most, also of several in turn; what is bound is address space.
        command.args([&photo, &photo]).arg("--faces").arg(models("face"));
        let bound = logits(&ended(started(&mut within(768 << 10, &command))));
        assert!(bound.len() == 2 && bound[0] == bound[1], "{bound:?}");
    }
}

#[test]
fn t5_too_little_memory_ends_in_an_error_and_never_in_a_verdict() {
    let mut command = detect("first");
    command.args(samples());
    // From too little to start up to nearly enough.
    for megabytes in [24, 48, 72] {
        let output = ended(started(&mut within(megabytes << 10, &command)));
        if output.status.success() {
            // Then it was enough, and every file has its line.
            assert_eq!(logits(&output).len(), 4, "{megabytes} MB");
        } else {
            assert!(
                !String::from_utf8_lossy(&output.stderr).is_empty(),
                "{megabytes} MB: it ended without a word"
            );
        }
    }
    let output = ended(started(&mut within(24 << 10, &command)));
    assert!(!output.status.success(), "24 MB hold no network of 10");
}

#[test]
fn t5_programs_side_by_side_give_the_same_bits() {
    let alone = logits(&ended(started(detect("first-int8").args(samples()))));
    let children: Vec<Child> = (0..6).map(|_| started(detect("first-int8").args(samples()))).collect();
    for child in children {
        assert_eq!(logits(&ended(child)), alone);
    }
}

#[test]
fn t5_detectors_in_threads_give_the_same_bits() {
    let pictures: Vec<Vec<u8>> = samples().iter().map(|path| std::fs::read(path).unwrap()).collect();
    let judge = || -> Vec<u32> {
        let mut detector = trainer::detect::load_detector(&models("first-int8")).unwrap();
        let mut logit = |picture: &Vec<u8>| {
            let input = detector.input(picture).unwrap();
            detector.logit(&input).unwrap().to_bits()
        };
        pictures.iter().map(&mut logit).collect()
    };
    let alone = judge();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(judge)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), alone);
        }
    });
}
