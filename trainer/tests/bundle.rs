//! Bundles as their makers and users meet them: written whole or not at all, checked on every machine, refused if altered.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;
/// The example that is packed, word for word.
#[path = "../../engine/examples/judge.rs"]
#[allow(dead_code, reason = "its main is for people")]
mod example;

use engine::bundle::{FileEntry, MANIFEST_NAME};
use engine::runtime::proto::ModelProto;
use engine::{Detector, Tensor};
use prost::Message;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use trainer::bundle::read_bundle;
use trainer::export::{ActivationBits, onnx_bytes, quantise, tflite_bytes};
use trainer::train::Network;

/// Bundle that is in the repository.
fn first_bundle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/first")
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/samples").join(name)
}

fn aware(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aware")).args(arguments).output().unwrap()
}

/// `aware bundle --from models/first` with more arguments.
fn bundle(output: &Path, more: &[&str]) -> Output {
    let first = first_bundle();
    let arguments = ["bundle", "--from", first.to_str().unwrap(), "--output", output.to_str().unwrap()];
    aware(&[&arguments, more].concat())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeded(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}{}", String::from_utf8_lossy(&output.stdout), said(output));
}

/// Expects an end with 1 and every one of `says`.
fn refused(output: &Output, says: &[&str]) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(says.iter().all(|say| text.contains(say)), "{says:?}: {text}");
}

/// The names in `folder`, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A copy of the bundle in the repository, in a fresh folder.
fn copy(name: &str) -> PathBuf {
    let folder = common::folder(name);
    for file in names(&first_bundle()) {
        std::fs::copy(first_bundle().join(&file), folder.join(&file)).unwrap();
    }
    folder
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Lets the manifest of `folder` vouch for `content` as its file `name`.
fn put(folder: &Path, name: &str, content: &[u8]) {
    std::fs::write(folder.join(name), content).unwrap();
    let mut manifest = read_json(&folder.join(MANIFEST_NAME));
    let entries = manifest["files"].as_array_mut().unwrap();
    let entry = serde_json::to_value(FileEntry::of(name, content)).unwrap();
    match entries.iter_mut().find(|entry| entry["name"] == name) {
        Some(old) => *old = entry,
        None => entries.push(entry),
    }
    std::fs::write(folder.join(MANIFEST_NAME), manifest.to_string()).unwrap();
}

/// `aware validate --json` of `folder`: exit code and report.
fn validate(folder: &Path) -> (Option<i32>, Value) {
    let output = aware(&["validate", "--json", "--runs", "3", folder.to_str().unwrap()]);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

/// The network of the bundle in the repository, in integers, with ranges observed on the samples.
fn integers(bits: ActivationBits) -> Vec<u8> {
    let bundle = read_bundle(&first_bundle()).unwrap();
    let detector = Detector::load(&bundle).unwrap();
    let samples = ["real-1.png", "real-2.png", "fake-1.png", "fake-2.png"];
    let inputs: Vec<Tensor> =
        samples.iter().map(|name| detector.input(&std::fs::read(sample(name)).unwrap()).unwrap()).collect();
    quantise(bundle.content("stage1.onnx").unwrap(), &inputs, bits).unwrap()
}

#[test]
fn g04_the_bundle_of_the_repository_is_what_the_program_writes() {
    let output = common::folder("written-anew").join("first");
    succeeded(&bundle(&output, &[]));
    assert_eq!(names(&output), names(&first_bundle()));
    for name in names(&output) {
        let [written, kept] =
            [&output, &first_bundle()].map(|folder| std::fs::read(folder.join(&name)).unwrap());
        assert!(written == kept, "{name} differs; models/README.md says how to write it anew");
    }
}

#[test]
fn g06_a_sound_bundle_passes_with_figures() {
    let (code, report) = validate(&first_bundle());
    assert_eq!((code, &report["passed"]), (Some(0), &json!(true)), "{report:#}");
    let checks: Vec<&str> =
        report["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(checks, ["files", "networks", "formats", "golden"]);
    let stage = &report["stages"][0];
    let size = std::fs::metadata(first_bundle().join("stage1.onnx")).unwrap().len();
    assert_eq!((&stage["bytes"], &stage["runs"]), (&json!(size), &json!(3)));
    assert!(stage["load_ms"].as_f64().unwrap() > 0.0 && stage["median_ms"].as_f64().unwrap() > 0.0);
    let vectors = report["golden"]["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 8 && vectors.iter().all(|vector| vector["difference"] == 0.0), "{report:#}");
    let table = aware(&["validate", first_bundle().to_str().unwrap()]);
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(text.contains("float32") && text.ends_with("\npassed\n"), "{text}");
}

#[test]
fn g08_a_logit_that_is_no_number_is_no_verdict() {
    let folder = copy("infinite");
    let mut model = ModelProto::decode(&std::fs::read(folder.join("stage1.onnx")).unwrap()[..]).unwrap();
    let graph = model.graph.as_mut().unwrap();
    // Finite weights whose sums leave what floats hold: two of them alike, so that both signs meet.
    for name in ["conv_head.weight", "classifier.weight"] {
        let weight = graph.initializer.iter_mut().find(|tensor| tensor.name == name).unwrap();
        let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let values: Vec<f32> = weight.raw_data.chunks_exact(4).map(value).collect();
        let huge = values.iter().flat_map(|value| (value.signum() * 3e38).to_le_bytes());
        weight.raw_data = huge.collect();
    }
    put(&folder, "stage1.onnx", &model.encode_to_vec());
    let output = aware(&[
        "detect",
        "--json",
        "--bundle",
        folder.to_str().unwrap(),
        sample("real-1.png").to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["error"]["code"], "numeric", "{line}");
    assert!(line.get("report").is_none(), "{line}");
}

#[test]
fn g06_the_bundle_in_integers_gives_its_bits_on_every_machine() {
    let folder = first_bundle().with_file_name("first-int8");
    let (code, report) = validate(&folder);
    assert_eq!((code, &report["passed"]), (Some(0), &json!(true)), "{report:#}");
    let sizes = ["first", "first-int8"]
        .map(|name| std::fs::metadata(folder.with_file_name(name).join("stage1.onnx")).unwrap().len());
    assert!(sizes[1] * 4 < sizes[0], "F8: {} of {} bytes", sizes[1], sizes[0]);
}

#[test]
fn g06_a_bundle_that_is_not_right_fails_and_says_where() {
    let failed = |folder: &Path, check: &str, says: &str| {
        let (code, report) = validate(folder);
        assert_eq!((code, &report["passed"]), (Some(1), &json!(false)), "{report:#}");
        let last = report["checks"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&last["name"], &last["passed"]), (&json!(check), &json!(false)), "{report:#}");
        assert!(last["detail"].as_str().unwrap().contains(says), "{says:?}: {last:#}");
        report
    };
    let golden = read_json(&first_bundle().join("golden.json"));
    let spoilt = copy("spoilt-vector");
    let mut other = golden.clone();
    other["vectors"][2]["stages"][0] = json!({ "name": "stage1", "bits": "3f800000", "logit": 1.0 });
    put(&spoilt, "golden.json", other.to_string().as_bytes());
    let report = failed(&spoilt, "golden", "1 of 8");
    let outcomes = report["golden"]["vectors"].as_array().unwrap();
    assert!(
        outcomes.iter().enumerate().all(|(index, outcome)| outcome["passed"] == (index != 2)),
        "{report:#}"
    );
    assert!(outcomes[2]["difference"].as_f64().unwrap() < -1.0, "{report:#}");

    put(&spoilt, "golden.json", b"{}");
    failed(&spoilt, "golden", "schema_version");
    put(&spoilt, "stage1.onnx", b"no network");
    failed(&spoilt, "networks", "stage1.onnx");
    std::fs::write(spoilt.join("stage1.onnx"), b"other bytes").unwrap();
    failed(&spoilt, "files", "stage1.onnx");

    let without = copy("without-golden");
    let mut manifest = read_json(&without.join(MANIFEST_NAME));
    manifest.as_object_mut().unwrap().remove("golden");
    std::fs::write(without.join(MANIFEST_NAME), manifest.to_string()).unwrap();
    failed(&without, "golden", "none");
    manifest["golden"] = json!("golden.json");
    manifest["stages"][0]["format"]["weights"] = json!("int8");
    std::fs::write(without.join(MANIFEST_NAME), manifest.to_string()).unwrap();
    let (code, report) = validate(&without);
    assert_eq!(code, Some(1));
    assert_eq!(
        (&report["checks"][2]["name"], &report["checks"][2]["passed"]),
        (&json!("formats"), &json!(false))
    );
    failed(&common::folder("empty-bundle"), "files", "not a bundle");
}

#[test]
fn m02_an_earlier_schema_still_loads() {
    let folder = copy("earlier");
    let mut manifest = read_json(&folder.join(MANIFEST_NAME));
    manifest["schema_version"] = json!("1.0");
    manifest.as_object_mut().unwrap().remove("golden");
    manifest["stages"][0].as_object_mut().unwrap().remove("format");
    std::fs::write(folder.join(MANIFEST_NAME), manifest.to_string()).unwrap();
    let (folder, picture) = (folder.to_str().unwrap(), sample("real-1.png"));
    succeeded(&aware(&["detect", "--bundle", folder, picture.to_str().unwrap()]));
}

#[test]
fn m02_m03_what_does_not_lie_in_a_bundle_itself_is_refused() {
    let check = |name: &str, says: &[&str], alter: &dyn Fn(&Path)| {
        let folder = copy(name);
        alter(&folder);
        let (folder, picture) = (folder.to_str().unwrap(), sample("real-1.png"));
        let output = aware(&["detect", "--bundle", folder, picture.to_str().unwrap()]);
        assert!(output.stdout.is_empty(), "{name}");
        refused(&output, says);
        assert_eq!(aware(&["validate", folder]).status.code(), Some(1), "{name}");
    };
    check("extra-file", &["extra.bin", "does not list"], &|folder| {
        std::fs::write(folder.join("extra.bin"), b"x").unwrap();
    });
    check("extra-hidden", &[".hidden", "does not list"], &|folder| {
        std::fs::write(folder.join(".hidden"), b"x").unwrap();
    });
    check("extra-folder", &["weights", "does not list"], &|folder| {
        std::fs::create_dir(folder.join("weights")).unwrap();
    });
    check("other-case", &["Stage1.onnx"], &|folder| {
        std::fs::rename(folder.join("stage1.onnx"), folder.join("Stage1.onnx")).unwrap();
    });
    check("no-manifest", &["not a bundle"], &|folder| {
        std::fs::remove_file(folder.join(MANIFEST_NAME)).unwrap();
    });
    check("folder-for-file", &["stage1.onnx", "regular file"], &|folder| {
        std::fs::remove_file(folder.join("stage1.onnx")).unwrap();
        std::fs::create_dir(folder.join("stage1.onnx")).unwrap();
    });
    check("traversal", &["plain file name"], &|folder| {
        let text = std::fs::read_to_string(folder.join(MANIFEST_NAME)).unwrap();
        let text = text.replace("\"MODEL_CARD.md\"", "\"../MODEL_CARD.md\"");
        std::fs::write(folder.join(MANIFEST_NAME), text).unwrap();
    });
    #[cfg(unix)]
    for name in [MANIFEST_NAME, "stage1.onnx", "README.md"] {
        let aside = |folder: &Path| {
            let away = common::folder(&format!("away-{name}")).join("x");
            std::fs::rename(folder.join(name), &away).unwrap();
            away
        };
        check(&format!("symlink-{name}"), &["is a link"], &|folder| {
            std::os::unix::fs::symlink(aside(folder), folder.join(name)).unwrap();
        });
        check(&format!("hardlink-{name}"), &["is a link"], &|folder| {
            std::fs::hard_link(aside(folder), folder.join(name)).unwrap();
        });
        check(&format!("device-{name}"), &["is a link"], &|folder| {
            aside(folder);
            std::os::unix::fs::symlink("/dev/zero", folder.join(name)).unwrap();
        });
        check(&format!("pipe-{name}"), &["regular file"], &|folder| {
            aside(folder);
            assert!(Command::new("mkfifo").arg(folder.join(name)).status().unwrap().success());
        });
    }
}

#[test]
fn c02_what_is_there_stays_unless_force_is_used_and_it_is_a_bundle() {
    let root = common::folder("existing");
    let output = root.join("mine");
    succeeded(&bundle(&output, &[]));
    let before = std::fs::read(output.join(MANIFEST_NAME)).unwrap();
    refused(&bundle(&output, &["--version", "2"]), &["exists already", "--force"]);
    assert_eq!(std::fs::read(output.join(MANIFEST_NAME)).unwrap(), before);
    succeeded(&bundle(&output, &["--version", "2", "--force"]));
    assert_eq!(read_json(&output.join(MANIFEST_NAME))["version"], "2");
    // A bundle may be written anew from itself.
    let path = output.to_str().unwrap();
    succeeded(&aware(&["bundle", "--from", path, "--output", path, "--force"]));

    // What is no bundle, or holds more than one, is nobody's to remove.
    std::fs::write(output.join("notes.txt"), b"mine").unwrap();
    refused(&bundle(&output, &["--force"]), &["not a bundle", "notes.txt"]);
    assert!(output.join("notes.txt").is_file());
    let folder = root.join("folder");
    std::fs::create_dir(&folder).unwrap();
    refused(&bundle(&folder, &["--force"]), &["not a bundle"]);
    let file = root.join("file");
    std::fs::write(&file, b"mine").unwrap();
    refused(&bundle(&file, &["--force"]), &["not a bundle"]);
    refused(&bundle(&file.join("below"), &[]), &["cannot write"]);
    #[cfg(unix)]
    {
        let link = root.join("link");
        std::os::unix::fs::symlink(&output, &link).unwrap();
        refused(&bundle(&link, &["--force"]), &["not a bundle"]);
    }
    // Nothing half-written beside them either.
    let left: Vec<String> = names(&root).into_iter().filter(|name| name.contains('.')).collect();
    assert_eq!(left, [""; 0]);
}

/// A limit on the size of files stands for a full disk: writing ends with an error in the middle of a file.
#[cfg(unix)]
#[test]
fn c02_a_disk_that_fills_up_leaves_nothing_and_keeps_the_old_bundle() {
    let root = common::folder("full");
    let output = root.join("mine");
    let first = first_bundle();
    let limited = |more: &str| {
        // Without the trap the signal would kill the program.
        let script =
            format!("trap '' XFSZ; ulimit -f 4000; exec \"$0\" bundle --from \"$1\" --output \"$2\" {more}");
        let program = env!("CARGO_BIN_EXE_aware");
        Command::new("sh").args(["-c", &script, program]).arg(&first).arg(&output).output().unwrap()
    };
    refused(&limited(""), &["cannot write stage1.onnx", "mine"]);
    assert_eq!(names(&root), [""; 0]);
    succeeded(&bundle(&output, &[]));
    let before = std::fs::read(output.join(MANIFEST_NAME)).unwrap();
    refused(&limited("--force --version 2"), &["cannot write stage1.onnx"]);
    assert_eq!(names(&root), ["mine"]);
    assert_eq!(std::fs::read(output.join(MANIFEST_NAME)).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn c02_a_folder_that_may_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let root = common::folder("read-only");
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o555)).unwrap();
    let may_write = std::fs::write(root.join("probe"), b"").is_ok();
    if !may_write {
        refused(&bundle(&root.join("mine"), &[]), &["cannot write", "mine"]);
        assert_eq!(names(&root), [""; 0]);
    }
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755)).unwrap();
    // Nobody may make folders there, not even an administrator, for whom the one above is open.
    refused(&bundle(Path::new("/proc/aware-bundle"), &[]), &["cannot write", "/proc/aware-bundle"]);
}

#[test]
fn m07_a_network_in_integers_is_packed_beside_files_for_other_runtimes() {
    let root = common::folder("integers");
    let write = |name: &str, content: &[u8]| {
        let path = root.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let model = write("mine.onnx", &integers(ActivationBits::Seven));
    let eight = write("stage1.int8-8bit.onnx", &integers(ActivationBits::Eight));
    let lite = write("stage1.tflite", &tflite_bytes(&integers(ActivationBits::Eight)).unwrap());
    let output = root.join("bundle");
    succeeded(&bundle(&output, &["--model", &model, "--version", "2", "--also", &eight, &lite]));

    let manifest = read_json(&output.join(MANIFEST_NAME));
    assert_eq!(
        manifest["stages"][0]["format"],
        json!({ "weights": "int8", "activations": "int8", "input_size": 160 })
    );
    assert_eq!(
        manifest["others"],
        json!([
            { "file": "stage1.int8-8bit.onnx", "runtime": "onnx",
              "format": { "weights": "int8", "activations": "int8", "input_size": 160 } },
            { "file": "stage1.tflite", "runtime": "tflite" },
        ])
    );
    let drop = &manifest["training"]["written"];
    println!("post-training quantisation on four samples: {drop}");
    assert_eq!(drop["reference"], "the earlier bundle");
    assert!(drop["mean_probability_difference"].as_f64().unwrap() > 0.0, "{drop}");
    let (code, report) = validate(&output);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(report["stages"][0]["format"]["weights"], "int8");
    // The file says of itself what the manifest says.
    let onnx = ModelProto::decode(&std::fs::read(output.join("stage1.onnx")).unwrap()[..]).unwrap();
    let text = |key: &str| onnx.metadata_props.iter().find(|entry| entry.key == key).unwrap().value.clone();
    assert_eq!((text("version"), text("name")), ("2".into(), "AWARE first".into()));
    let page = std::fs::read_to_string(output.join("README.md")).unwrap();
    assert!(page.contains("`stage1.tflite` | for other runtimes (tflite)"), "{page}");

    // Written anew, it keeps them, unless others of the name are given.
    let path = output.to_str().unwrap();
    let floats = tflite_bytes(&std::fs::read(first_bundle().join("stage1.onnx")).unwrap()).unwrap();
    write("stage1.tflite", &floats);
    succeeded(&aware(&["bundle", "--from", path, "--output", path, "--force", "--also", &lite]));
    let again = read_json(&output.join(MANIFEST_NAME));
    assert_eq!(again["others"], manifest["others"]);
    assert!(std::fs::read(output.join("stage1.tflite")).unwrap() == floats);

    let none = root.join("none");
    let lite = |bytes: &[u8]| bundle(&none, &["--also", &write("x.tflite", bytes)]);
    refused(&lite(b"no flatbuffer"), &["x.tflite", "TFL3"]);
    refused(&lite(&floats[..floats.len() / 2]), &["x.tflite"]);
    let network = Network::new("mobilenetv4-conv-small-narrow", 1, &candle_core::Device::Cpu).unwrap();
    let small = tflite_bytes(&onnx_bytes(&network.model, 128, Vec::new()).unwrap()).unwrap();
    refused(&lite(&small), &["x.tflite", "[1, 160, 160, 3]"]);
    refused(&bundle(&none, &["--also", &write("x.txt", b"x")]), &["x.txt", "neither"]);
    refused(&bundle(&none, &["--also", &write("STAGE1.onnx", &integers(ActivationBits::Eight))]), &["twice"]);
    refused(&bundle(&none, &["--also", &write("x.onnx", b"\xff\xff")]), &["x.onnx", "no ONNX file"]);
    refused(&bundle(&none, &["--model", &write("y.onnx", b"\xff\xff")]), &["y.onnx", "no ONNX file"]);
    refused(&bundle(&none, &["--model", "absent.onnx"]), &["absent.onnx"]);
    assert!(!none.exists());
}

#[test]
fn m07_another_network_is_not_packed_under_the_name() {
    let root = common::folder("other-network");
    let random = root.join("random.onnx");
    let path = random.to_str().unwrap();
    let output = root.join("bundle");
    for (size, int8, says) in [
        ("160", &[][..], "logit_tolerance"),
        ("160", &["--int8"], "int8_probability_tolerance"),
        ("128", &[], "preprocess.size"),
    ] {
        succeeded(&aware(&[&["export", "--output", path, "--image-size", size], int8].concat()));
        refused(&bundle(&output, &["--model", path]), &[says]);
        refused(&bundle(&output, &["--also", path]), &["random.onnx"]);
    }
    assert_eq!(names(&root), ["random.onnx"]);
}

#[test]
fn g08_every_choice_of_a_deployment_has_an_effect() {
    let root = common::folder("deployment");
    let config = root.join("deployment.json");
    let (path, output) = (config.to_str().unwrap(), root.join("bundle"));
    let write = |json: &Value, more: &[&str]| {
        std::fs::write(&config, json.to_string()).unwrap();
        bundle(&output, &[&["--config", path, "--force"], more].concat())
    };
    let manifest = || read_json(&output.join(MANIFEST_NAME));
    succeeded(&write(&json!({ "bundle_name": "Mine", "bundle_version": "7", "licence": "all mine" }), &[]));
    let texts = ["name", "version", "licence"].map(|key| manifest()[key].as_str().unwrap().to_owned());
    assert_eq!(texts, ["Mine", "7", "all mine"]);
    succeeded(&write(&json!({ "bundle_name": "Mine", "golden_vectors": 11 }), &["--name", "Given"]));
    assert_eq!(manifest()["name"], "Given");
    assert_eq!(read_json(&output.join("golden.json"))["vectors"].as_array().unwrap().len(), 11);
    assert!(output.join("example_page.html").is_file());
    succeeded(&write(&json!({ "include_examples": false }), &[]));
    assert!(!output.join("example_page.html").exists());
    refused(&write(&json!({ "max_bundle_megabytes": 9.9 }), &[]), &["max_bundle_megabytes is 9.9"]);

    let model = root.join("int8.onnx");
    std::fs::write(&model, integers(ActivationBits::Seven)).unwrap();
    let more = ["--model", model.to_str().unwrap()];
    refused(
        &write(&json!({ "int8_probability_tolerance": 1e-6 }), &more),
        &["int8_probability_tolerance is 1.00e-6"],
    );
    // The last bias, a hundredth off.
    let mut onnx =
        ModelProto::decode(&std::fs::read(first_bundle().join("stage1.onnx")).unwrap()[..]).unwrap();
    let bias =
        onnx.graph.as_mut().unwrap().initializer.iter_mut().find(|tensor| tensor.name == "classifier.bias");
    let bias = &mut bias.unwrap().raw_data;
    let value = f32::from_le_bytes(bias[..4].try_into().unwrap()) + 0.005;
    bias.copy_from_slice(&value.to_le_bytes());
    std::fs::write(&model, onnx.encode_to_vec()).unwrap();
    refused(&write(&json!({}), &more), &["logit_tolerance is 1.00e-4"]);
    succeeded(&write(&json!({ "logit_tolerance": 0.01 }), &more));

    refused(&write(&json!({ "goldenvectors": 3 }), &[]), &["unknown field", "goldenvectors", "line 1"]);
    refused(&write(&json!({ "golden_vectors": 0 }), &[]), &["deployment.json", "golden_vectors is 0"]);
    std::fs::write(&config, b"{\n \"licence\": \"caf\xe9\" }").unwrap();
    refused(&bundle(&output, &["--config", path, "--force"]), &["not UTF-8", "line 2"]);
}

#[test]
fn g04_the_native_example_gives_the_programs_verdict() {
    let mut detector = example::load(&first_bundle()).unwrap();
    for name in ["real-1.png", "fake-1.png"] {
        let report = example::judge(&mut detector, &sample(name)).unwrap();
        let (first, picture) = (first_bundle(), sample(name));
        let output =
            aware(&["detect", "--json", "--bundle", first.to_str().unwrap(), picture.to_str().unwrap()]);
        let line: Value = serde_json::from_slice(&output.stdout).unwrap();
        let logit = line["report"]["stages"][0]["logit"].as_f64().unwrap() as f32;
        assert_eq!(report.stages[0].logit.to_bits(), logit.to_bits(), "{name}");
        assert_eq!(json!(report.verdict), line["report"]["verdict"], "{name}");
    }
    let altered = copy("altered-example");
    let mut golden = read_json(&altered.join("golden.json"));
    golden["vectors"][0]["input_sha256"] = json!("0");
    put(&altered, "golden.json", golden.to_string().as_bytes());
    let error = example::load(&altered).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("computes wrong"), "{error}");
}
