//! The program as its users call it: exit codes, JSON lines, messages.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use engine::pattern::{Pattern, PatternKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Bundle that is in the repository.
fn first_bundle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/first")
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/samples").join(name)
}

fn detect(bundle: &Path, arguments: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aware"));
    command.arg("detect").arg("--json").arg("--bundle").arg(bundle).args(arguments);
    command.output().unwrap()
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn code(line: &serde_json::Value) -> &str {
    line["error"]["code"].as_str().unwrap_or("none")
}

#[test]
fn every_sample_gets_a_verdict() {
    let samples = ["real-1.png", "real-2.png", "fake-1.png", "fake-2.png"].map(sample);
    let output = detect(&first_bundle(), &samples.each_ref().map(PathBuf::as_path));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = lines(&output);
    assert_eq!(lines.len(), 4);
    for line in lines {
        let verdict = &line["report"]["verdict"];
        let probability = verdict["probability_fake"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&probability));
        assert!(["real", "fake", "uncertain"].contains(&verdict["label"].as_str().unwrap()));
        assert!(!line.to_string().contains("rgb"), "a report holds no pixels");
    }
}

#[test]
fn bad_files_get_a_code_and_good_ones_still_a_verdict() {
    let folder = common::folder("bad-files");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let png = std::fs::read(sample("real-1.png")).unwrap();
    let files = [
        (write("empty.jpg", b""), "empty"),
        (write("cut.png", &png[..png.len() / 2]), "corrupt"),
        (write("page.jpg", b"<!doctype html><html></html>"), "unsupported"),
        (write("renamed.jpg", &png), "none"),
        (folder.join("absent.png"), "io"),
        (folder.clone(), "io"),
    ];
    let paths: Vec<&Path> = files.iter().map(|(path, _)| path.as_path()).collect();
    let output = detect(&first_bundle(), &paths);
    assert_eq!(output.status.code(), Some(3));
    let lines = lines(&output);
    for (line, (path, want)) in lines.iter().zip(&files) {
        assert_eq!(code(line), *want, "{}", path.display());
    }
}

/// A finding without what no two runs share: its times.
fn timeless(mut line: serde_json::Value) -> serde_json::Value {
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.retain(|name, _| !name.ends_with("_ms"));
                fields.values_mut().for_each(strip);
            }
            serde_json::Value::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut line);
    line
}

#[test]
fn e6_many_files_by_many_threads_give_what_one_by_one_gives_in_their_order() {
    let folder = common::folder("many-files");
    let png = std::fs::read(sample("real-1.png")).unwrap();
    // Large and small, sound and broken, so that threads overtake each other.
    let files: Vec<PathBuf> = (0..60)
        .map(|index| {
            let path = folder.join(format!("{index}.png"));
            match index % 6 {
                0 => std::fs::write(&path, &png[..png.len() / 2]).unwrap(),
                1 => {}
                2 => {
                    let frame = engine::Frame::from_encoded(&png).unwrap();
                    let (side, width) = (frame.width() * 6, frame.width() as usize);
                    let at = |x: u32, y: u32| (y / 6) as usize * width + (x / 6) as usize;
                    let pixels = (0..side * side).map(|i| at(i % side, i / side));
                    let rgb: Vec<u8> = pixels.flat_map(|at| frame.rgb()[at * 3..][..3].to_vec()).collect();
                    std::fs::write(&path, common::png(&rgb, side, side)).unwrap();
                }
                other => {
                    let name = ["real-1.png", "fake-1.png", "fake-2.png"][other as usize - 3];
                    std::fs::copy(sample(name), &path).unwrap();
                }
            }
            path
        })
        .collect();
    let judge = |threads: &str, files: &[PathBuf]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aware"));
        command.args(["detect", "--json", "--bundle"]).arg(first_bundle()).args(files);
        let output = command.env("RAYON_NUM_THREADS", threads).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
        lines(&output).into_iter().map(timeless).collect::<Vec<_>>()
    };
    let one_by_one = judge("1", &files);
    assert_eq!(one_by_one.len(), files.len());
    for (line, file) in one_by_one.iter().zip(&files) {
        assert_eq!(line["file"].as_str(), file.to_str());
    }
    assert!(one_by_one.iter().filter(|line| line["report"].is_object()).count() >= 40);
    for threads in ["2", "7"] {
        assert_eq!(judge(threads, &files), one_by_one, "{threads} threads");
    }
}

#[cfg(unix)]
#[test]
fn c03_c05_what_is_no_file_and_a_name_that_is_no_text_get_a_line_each() {
    use std::os::unix::ffi::OsStrExt;
    let folder = common::folder("hostile-files");
    let pipe = folder.join("pipe.png");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let loops = folder.join("loop.png");
    std::os::unix::fs::symlink("loop.png", &loops).unwrap();
    let bytes = folder.join(std::ffi::OsStr::from_bytes(b"caf\xe9.png"));
    let has_bytes = std::fs::copy(sample("real-1.png"), &bytes).is_ok();
    let paths = [pipe.as_path(), &loops, Path::new("/dev/zero"), &bytes];
    let output = detect(&first_bundle(), &paths);
    assert_eq!(output.status.code(), Some(3));
    let lines = lines(&output);
    assert_eq!(lines.len(), 4);
    assert!(lines[..3].iter().all(|line| code(line) == "io" && line["file_bytes"].is_null()), "{lines:?}");
    assert!(lines[3]["file_bytes"].as_str().unwrap().ends_with("2f636166e92e706e67"), "{}", lines[3]);
    assert_eq!(code(&lines[3]), if has_bytes { "none" } else { "io" });
}

#[test]
fn m01_an_altered_bundle_does_not_run() {
    let altered = |name: &str, alter: &dyn Fn(&Path)| {
        let folder = common::folder(name);
        for entry in std::fs::read_dir(first_bundle()).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
        alter(&folder);
        let output = detect(&folder, &[&sample("real-1.png")]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(output.stdout.is_empty(), "{name}");
        String::from_utf8(output.stderr).unwrap()
    };
    let edit = |file: &'static str, change: fn(&mut Vec<u8>)| {
        move |folder: &Path| {
            let path = folder.join(file);
            let mut bytes = std::fs::read(&path).unwrap();
            change(&mut bytes);
            std::fs::write(path, bytes).unwrap();
        }
    };
    let flipped = altered("bit-flip", &edit("stage1.onnx", |bytes| bytes[5_000_000] ^= 1));
    assert!(flipped.contains("stage1.onnx") && flipped.contains("sha256"), "{flipped}");
    let cut = altered("cut", &edit("stage1.onnx", |bytes| bytes.truncate(1000)));
    assert!(cut.contains("stage1.onnx") && cut.contains("bytes"), "{cut}");
    let longer = altered("longer", &edit("stage1.onnx", |bytes| bytes.push(0)));
    assert!(longer.contains("stage1.onnx"), "{longer}");
    let absent =
        altered("absent", &|folder: &Path| std::fs::remove_file(folder.join("stage1.onnx")).unwrap());
    assert!(absent.contains("stage1.onnx"), "{absent}");
    let newer = altered(
        "newer",
        &edit("manifest.json", |bytes| {
            *bytes = String::from_utf8_lossy(bytes)
                .replace("\"schema_version\": \"1.", "\"schema_version\": \"2.")
                .into_bytes();
        }),
    );
    assert!(newer.contains("schema_version"), "{newer}");
    let no_manifest =
        altered("no-manifest", &|folder: &Path| std::fs::remove_file(folder.join("manifest.json")).unwrap());
    assert!(no_manifest.contains("not a bundle"), "{no_manifest}");
    #[cfg(unix)]
    {
        let linked = altered("linked", &|folder: &Path| {
            std::fs::remove_file(folder.join("stage1.onnx")).unwrap();
            let target = first_bundle().canonicalize().unwrap().join("stage1.onnx");
            std::os::unix::fs::symlink(target, folder.join("stage1.onnx")).unwrap();
        });
        assert!(linked.contains("link"), "{linked}");
    }
}

#[test]
fn a_wrong_call_says_how_it_goes() {
    let output = Command::new(env!("CARGO_BIN_EXE_aware")).arg("detect").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = Command::new(env!("CARGO_BIN_EXE_aware")).args(["detect", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("Exit codes") && help.contains("Examples"), "{help}");
}

#[test]
fn an_unknown_key_in_a_configuration_is_named() {
    let folder = common::folder("config");
    let config = folder.join("run.toml");
    std::fs::write(&config, "epochs = 3\nlearningrate = 1.0\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_aware"))
        .args(["train", "--config"])
        .arg(&config)
        .arg("--output")
        .arg(folder.join("run"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("learningrate") && message.contains("line 2"), "{message}");
}

#[test]
fn c04_a_configuration_that_is_none_is_refused_with_key_and_line() {
    let folder = common::folder("bad-configs");
    let config = folder.join("run.toml");
    let refused = |text: &[u8], says: &[&str]| {
        std::fs::write(&config, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_aware"))
            .args(["train", "--config", config.to_str().unwrap(), "--output"])
            .arg(folder.join("run"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(says.iter().all(|say| message.contains(say)), "{says:?}: {message}");
    };
    refused(b"seed = 1\nepochs = \"many\"\n", &["epochs", "line 2"]);
    refused(b"batch_size = 1\n", &["batch_size is 1"]);
    refused(b"seed = 1\n# caf\xe9\n", &["not UTF-8", "line 2"]);
    refused(&vec![b'\n'; 100 << 20], &["more than 1048576 bytes"]);
}

#[test]
fn scores_are_evaluated_and_compared() {
    let folder = common::folder("scores");
    let scores = folder.join("scores.csv");
    let aware =
        |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_aware")).args(arguments).output().unwrap();
    let rows = "a.png,0,s,1,-2\nb.png,1,s,1,1.5\nc.png,0,s,2,0.5\nd.png,1,s,2,0.25\n";
    std::fs::write(&scores, format!("path,label,dataset,group,logit\n{rows}")).unwrap();
    let (path, out) = (scores.to_str().unwrap(), folder.join("out"));
    let output = aware(&["evaluate", "--json", "--scores", path, "--output", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["all"]["auc"], 0.75);
    assert_eq!(report["s"]["confusion"]["false_positives"], 1);
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("metrics.json")).unwrap()).unwrap();
    assert_eq!(written, report);
    for file in ["report.html", "plots/all/roc.svg", "plots/all/roc.csv"] {
        assert!(out.join(file).is_file(), "{file} is missing");
    }
    let copy = out.join("scores.csv");
    let output = aware(&["compare", path, copy.to_str().unwrap()]);
    let comparison: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&comparison["pictures"], &comparison["difference"]), (&4.into(), &0.0.into()));

    let threshold = out.join("threshold.json");
    assert!(!threshold.exists(), "the cascade's threshold was chosen on a test split");
    let val = folder.join("val.csv");
    let rows = "a.png,0,s,1,-2\nb.png,1,s,1,1.5\nc.png,0,s,2,-1\nd.png,1,s,2,0.25\n";
    std::fs::write(&val, format!("path,label,dataset,group,logit\n{rows}")).unwrap();
    let (val, out) = (val.to_str().unwrap(), out.to_str().unwrap());
    let output = aware(&["evaluate", "--scores", val, "--split", "val", "--output", out]);
    let text = String::from_utf8(output.stdout).unwrap();
    // Where the first group is drawn twice, only its real picture lies below a fake.
    assert!(text.contains("passes as real up to 0.2689 [0.1192, 0.2689], chosen here"), "{text}");
    let chosen: serde_json::Value = serde_json::from_slice(&std::fs::read(&threshold).unwrap()).unwrap();
    assert_eq!(
        (&chosen["real"]["filtration"], &chosen["leakage_interval"]),
        (&0.5.into(), &serde_json::json!([0.0, 0.0]))
    );

    std::fs::write(&scores, "path,label,dataset,group,logit\na.png,0,s,1,nan\n").unwrap();
    let output = aware(&["evaluate", "--scores", path]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("scores.csv") && message.contains("line 2"), "{message}");
    assert_eq!(aware(&["evaluate"]).status.code(), Some(2));
}

/// In a build with CUDA it depends on the machine whether there is a GPU; `device.rs` tests what is said then.
#[cfg(not(feature = "cuda"))]
#[test]
fn t06_cuda_that_is_not_there_is_an_error_and_never_the_processor() {
    let folder = common::folder("no-cuda");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/first.toml");
    let run = folder.join("run");
    let mut command = Command::new(env!("CARGO_BIN_EXE_aware"));
    command.args(["train", "--device", "cuda", "--config"]).arg(config).arg("--output").arg(&run);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("without CUDA") && text.contains("--device cpu"), "{text}");
    assert!(!run.exists());
}

#[test]
fn t03_edge_pictures_get_a_verdict_or_a_code() {
    let folder = common::folder("edge-pictures");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let plain = |value: u8, side: u32| common::png(&vec![value; (side * side * 3) as usize], side, side);
    let waves = |side: u32| {
        let pattern = Pattern { kind: PatternKind::Waves, width: side, height: side, seed: 1 };
        common::png(pattern.frame().unwrap().rgb(), side, side)
    };
    let slope: Vec<u8> = (0..64 * 48).map(|i| (i % 64 * 3) as u8).collect();
    let mut grey = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut grey);
    image::ImageEncoder::write_image(encoder, &slope, 64, 48, image::ExtendedColorType::L8).unwrap();
    let toy = common::toy_picture(3, 0);
    let cases = [
        (write("32.png", &waves(32)), "none", true),
        (write("1024.png", &waves(1024)), "none", false),
        // Neither shows a face, nor anything.
        (write("black.png", &plain(0, 256)), "not_applicable", false),
        (write("white.png", &plain(255, 256)), "not_applicable", false),
        // Of two axes: no channels.
        (write("grey.png", &grey), "none", true),
        (write("cut.png", &toy[..toy.len() - 20]), "corrupt", false),
        (write("spoilt.png", &[&toy[..60], &[0; 40], &toy[100..]].concat()), "corrupt", false),
        (write("empty.png", b""), "empty", false),
        (write("numbers.npy", b"\x93NUMPY\x01\0\x76\0{'descr': '<f4'}"), "unsupported", false),
    ];
    let paths: Vec<&Path> = cases.iter().map(|(path, ..)| path.as_path()).collect();
    let output = detect(&first_bundle(), &paths);
    assert_eq!(output.status.code(), Some(3));
    let lines = lines(&output);
    assert_eq!(lines.len(), cases.len());
    for (line, (path, want, is_small)) in lines.iter().zip(&cases) {
        assert_eq!(code(line), *want, "{}", path.display());
        if *want == "none" {
            let probability = line["report"]["verdict"]["probability_fake"].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&probability), "{line}");
            let notices = line["report"]["notices"].to_string();
            assert_eq!(notices.contains("small_picture"), *is_small, "{}: {notices}", path.display());
        }
    }
}

#[test]
fn a_file_in_floats_is_quantised_by_a_folder_of_pictures() {
    let folder = common::folder("quantize");
    let output = folder.join("stage1.int8.onnx");
    let run = |model: &Path, pictures: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aware"));
        command.arg("quantize").arg(model).arg("--calibration").arg(pictures).arg("--output").arg(&output);
        command.output().unwrap()
    };
    let (model, samples) = (first_bundle().join("stage1.onnx"), sample("").to_owned());
    let done = run(&model, &samples);
    let says = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(0), "{says}");
    assert!(says.contains("samples.json"), "what is no picture is named: {says}");
    let integers = std::fs::read(&output).unwrap();
    assert!(integers.len() * 10 < std::fs::metadata(&model).unwrap().len() as usize * 3);
    assert!(engine::Session::load(&integers).is_ok());

    std::fs::remove_file(&output).unwrap();
    let empty = folder.join("empty");
    std::fs::create_dir(&empty).unwrap();
    for (model, pictures, says) in [
        (&model, &empty, "no picture"),
        (&model, &folder.join("absent"), "cannot list"),
        (&samples, &samples, "regular file"),
    ] {
        let refused = run(model, pictures);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(1) && text.contains(says), "{text}");
        assert!(!output.exists());
    }
}
