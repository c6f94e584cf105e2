//! A bundle is measured, and told whether it is ready: reports, errors, and a stop on the way.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use trainer::dataset::{Sample, Split, write_manifest};
use trainer::prepare::prepare;

fn models(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name)
}

/// Samples of both classes, made once for all tests.
fn samples() -> &'static [Sample] {
    static SAMPLES: OnceLock<Vec<Sample>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let root = common::folder("bench-pictures");
        common::toy_set(&root, 40);
        prepare(&root, &[], 1, &ProgressBar::hidden()).unwrap().samples
    })
}

fn manifest(name: &str, keeps: impl Fn(&Sample) -> bool) -> PathBuf {
    let path = common::folder(name).join("manifest.csv");
    let kept: Vec<Sample> = samples().iter().filter(|sample| keeps(sample)).cloned().collect();
    write_manifest(&path, &kept).unwrap();
    path
}

/// A measurement of seconds.
fn config(folder: &Path, iterations: u32) -> PathBuf {
    let path = folder.join("benchmark.json");
    let config =
        json!({ "num_test_samples": 10, "warmup_iterations": 1, "benchmark_iterations": iterations });
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

fn aware(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aware"));
    command.args(arguments);
    command
}

fn bench(bundle: &Path, pictures: &Path, output: &Path) -> Command {
    let mut command = aware(&["bench"]);
    command.arg(bundle).arg("--pictures").arg(pictures).arg("--output").arg(output);
    command
}

fn ready(bundle: &Path, reports: &[&Path]) -> (Output, Value) {
    let mut command = aware(&["ready", "--json"]);
    command.arg(bundle);
    if !reports.is_empty() {
        command.arg("--report").args(reports);
    }
    let output = command.output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, json)
}

fn line<'a>(checklist: &'a Value, demand: &str) -> &'a Value {
    let lines = checklist["lines"].as_array().unwrap();
    lines.iter().find(|line| line["demand"].as_str().unwrap().starts_with(demand)).unwrap_or(&Value::Null)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn h_a_bundle_is_measured_beside_its_floats_and_told_whether_it_is_ready() {
    let pictures = manifest("bench-whole", |_| true);
    let folder = pictures.parent().unwrap();
    let output = folder.join("out");
    let mut command = bench(&models("first-int8"), &pictures, &output);
    command.arg("--original").arg(models("first")).arg("--config").arg(config(folder, 3));
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let report = read(&output.join("bench.json"));
    for pointer in [
        "/summary/accuracy/avg_auc",
        "/summary/accuracy/best_auc",
        "/summary/speed/avg_inference_time_ms",
        "/summary/speed/fastest_inference_ms",
        "/detailed_results/0/performance/throughput_fps",
        "/detailed_results/1/performance/p95_inference_time_ms",
        "/comparison/auc/points",
    ] {
        assert!(report.pointer(pointer).is_some_and(Value::is_f64), "{pointer}: {report}");
    }
    assert_eq!(report["parts"], json!(["accuracy", "speed", "robustness"]));
    assert!(!report["recommendations"].as_array().unwrap().is_empty());
    let reduction = report["comparison"]["size_reduction_percent_by_stage"]["stage1"].as_f64().unwrap();
    assert!((75.0..85.0).contains(&reduction), "{reduction}");
    for result in report["detailed_results"].as_array().unwrap() {
        let cascade = &result["accuracy"]["cascade"];
        let first = &result["stages"][0]["times"]["median_ms"];
        assert_eq!(&cascade["predicted_ms"], first, "one stage escalates to none");
        assert_eq!(cascade["judged"].as_u64().unwrap() + cascade["refused"].as_u64().unwrap(), 10);
        let curves = result["robustness"].as_array().unwrap();
        assert_eq!(curves.len(), 6);
        for curve in curves {
            assert!(curve["points"].as_array().unwrap().len() >= 4, "{curve}");
            assert!(curve["points"][0]["auc_interval"].is_array(), "{curve}");
        }
    }
    let html = std::fs::read_to_string(output.join("report.html")).unwrap();
    assert_eq!(html.matches("<svg ").count(), 9, "speed, accuracy, size and six changes");
    let foreign = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for reference in ["http", "src=", "href", "url("] {
        assert!(!foreign.contains(reference), "{reference} in the page");
    }
    assert!(output.join("plots/robustness-jpeg.svg").exists());

    let (status, checklist) = ready(&models("first-int8"), &[&output.join("bench.json")]);
    for (demand, passed) in [
        ("every model > 75 % smaller", json!(true)),
        ("memory < 512 MB", json!(true)),
        ("ONNX models load", json!(true)),
        ("package whole", json!(true)),
        ("golden vectors", json!(true)),
        ("benchmark done", json!(true)),
        ("speed-up > 3x beside onnxruntime-web", Value::Null),
        ("file in floats", Value::Null),
        ("> 80 % of the component", Value::Null),
        ("leakage", Value::Null),
    ] {
        assert_eq!(line(&checklist, demand)["passed"], passed, "{demand}: {checklist}");
    }
    // Not the leakage: the toy's fakes count as noise, so none was judged.
    for demand in ["AUC > 0.85", "F1 > 0.80", "ECE < 0.05", "filtration", "AUC degradation"] {
        assert!(line(&checklist, demand)["passed"].is_boolean(), "{demand}: {checklist}");
    }
    let failed = checklist["failed"].as_u64().unwrap();
    assert_eq!(status.status.code(), Some(if failed > 0 { 3 } else { 0 }), "{checklist}");

    // The same figures again, but for times.
    let again = folder.join("again");
    let mut command = bench(&models("first-int8"), &pictures, &again);
    command.args(["--only", "accuracy", "robustness"]).arg("--config").arg(config(folder, 3));
    assert_eq!(command.env("RAYON_NUM_THREADS", "1").output().unwrap().status.code(), Some(0));
    let second = read(&again.join("bench.json"));
    let worth = |report: &Value| {
        let result = &report["detailed_results"][0];
        (result["accuracy"]["sets"].clone(), result["robustness"].clone())
    };
    assert_eq!(worth(&second), worth(&report));
    assert_eq!(second["parts"], json!(["accuracy", "robustness"]));

    let (_, partial) = ready(&models("first-int8"), &[&again.join("bench.json")]);
    assert_eq!(line(&partial, "benchmark done")["passed"], Value::Null, "speed was not asked for: {partial}");

    // What is of another bundle or another version proves nothing.
    let (other, _) = ready(&models("first"), &[&output.join("bench.json")]);
    assert!(
        other.status.code() == Some(1) && stderr(&other).contains("not of this one"),
        "{}",
        stderr(&other)
    );
    let newer = folder.join("newer.json");
    let text = std::fs::read_to_string(output.join("bench.json")).unwrap();
    std::fs::write(&newer, text.replace("\"schema_version\": \"1.", "\"schema_version\": \"2.")).unwrap();
    let (newer, _) = ready(&models("first-int8"), &[&newer]);
    assert!(
        newer.status.code() == Some(1) && stderr(&newer).contains("schema_version"),
        "{}",
        stderr(&newer)
    );
}

#[test]
fn ready_reads_what_the_tests_printed_and_fails_with_them() {
    let folder = common::folder("ready-log");
    let log = folder.join("tests.log");
    let steps = ["rust", "fuzz", "wasm", "pipeline", "browser", "onnx", "tflite", "arm", "gpu"];
    let write = |failed: &str| {
        let line = |step: &&str| match *step == failed {
            true => format!("== {step}: about\n== {step} FAILED in 1.0 s: why\n"),
            false => format!("== {step}: about\n== {step} passed in 1.0 s\n"),
        };
        std::fs::write(&log, steps.iter().map(line).collect::<String>()).unwrap();
    };
    write("none");
    let (output, checklist) = ready(&models("first-int8"), &[&log]);
    assert_eq!((output.status.code(), &checklist["failed"]), (Some(0), &json!(0)), "{checklist}");
    assert_eq!(line(&checklist, "integration")["passed"], true);
    assert_eq!(line(&checklist, "AUC > 0.85")["passed"], Value::Null);
    let strict = aware(&["ready", "--strict"]).arg(models("first-int8")).output().unwrap();
    assert_eq!(strict.status.code(), Some(3), "not everything is measured");
    let text = String::from_utf8(strict.stdout).unwrap();
    assert!(text.contains("not measured") && text.contains("aware bench BUNDLE"), "{text}");

    write("browser");
    let (output, checklist) = ready(&models("first-int8"), &[&log]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(line(&checklist, "integration")["passed"], false);
    assert_eq!(line(&checklist, "edge cases")["passed"], true);
    assert_eq!(line(&checklist, "> 80 %")["passed"], true, "eight of nine");

    std::fs::write(&log, "hello").unwrap();
    let (output, _) = ready(&models("first-int8"), &[&log]);
    assert!(output.status.code() == Some(1) && stderr(&output).contains("is neither"), "{}", stderr(&output));
}

#[test]
fn ready_fails_for_an_altered_bundle() {
    let folder = common::folder("ready-altered");
    for entry in std::fs::read_dir(models("first-int8")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let network = folder.join("stage1.onnx");
    let mut bytes = std::fs::read(&network).unwrap();
    bytes[1_000_000] ^= 1;
    std::fs::write(&network, bytes).unwrap();
    let (output, checklist) = ready(&folder, &[]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(line(&checklist, "package whole")["passed"], false, "{checklist}");

    let pictures = manifest("bench-altered", |_| true);
    let refused = bench(&folder, &pictures, &folder.join("out")).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("stage1.onnx") && stderr(&refused).contains("sha256"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn bench_refuses_pictures_that_tell_nothing() {
    let folder = common::folder("bench-refused");
    let refused = |pictures: &Path, options: &[&str], says: &str| {
        let output =
            bench(&models("first-int8"), pictures, &folder.join("out")).args(options).output().unwrap();
        assert!(
            output.status.code() == Some(1) && stderr(&output).contains(says),
            "{says}: {}",
            stderr(&output)
        );
        assert!(!folder.join("out").exists(), "{says}: nothing may be written");
    };
    let none = manifest("bench-no-test", |sample| sample.split != Split::Test);
    refused(&none, &[], "no picture in its test split");
    let real = manifest("bench-one-class", |sample| !(sample.split == Split::Test && sample.is_fake()));
    refused(&real, &[], "an AUC needs both");
    let whole = manifest("bench-other-set", |_| true);
    refused(&whole, &["--datasets", "nowhere"], "nowhere");
    let config = folder.join("config.json");
    std::fs::write(&config, r#"{"devices": 1}"#).unwrap();
    refused(&whole, &["--config", config.to_str().unwrap()], "devices");
    refused(&folder.join("absent.csv"), &[], "absent.csv");
}

#[cfg(unix)]
#[test]
fn c01_what_was_measured_before_a_stop_is_kept() {
    let pictures = manifest("bench-stopped", |_| true);
    let folder = pictures.parent().unwrap();
    let output = folder.join("out");
    let mut command = bench(&models("first-int8"), &pictures, &output);
    let mut child = command.arg("--config").arg(config(folder, 100_000)).spawn().unwrap();
    let written = output.join("bench.json");
    let accuracy_is_done = || {
        let report =
            std::fs::read(&written).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        report.is_some_and(|report| report["parts"] == json!(["accuracy"]))
    };
    for _ in 0..6000 {
        if accuracy_is_done() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(accuracy_is_done());
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let report = read(&written);
    assert_eq!((&report["stopped"], &report["parts"]), (&json!(true), &json!(["accuracy"])));
    assert!(report["summary"]["accuracy"]["avg_auc"].is_f64(), "{report}");
    assert!(std::fs::read_to_string(output.join("report.html")).unwrap().contains("Stopped before its end"));
    let (_, checklist) = ready(&models("first-int8"), &[&written]);
    assert_eq!(line(&checklist, "benchmark done")["passed"], false, "{checklist}");
}

/// A browser that answers what it will be asked, whatever it is asked: what a real one does, `web/tests/phone.test.mjs` shows.
#[cfg(unix)]
mod phone {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A folder with a page and a program that passes for a browser.
    struct Fake {
        folder: PathBuf,
        answers: Vec<Value>,
    }

    impl Fake {
        fn new(name: &str) -> Self {
            let folder = common::folder(name);
            std::fs::create_dir_all(folder.join("site")).unwrap();
            std::fs::write(folder.join("site/index.html"), "<!doctype html>").unwrap();
            Fake { folder, answers: vec![json!({ "product": "Fake/1" })] }
        }

        /// A program of that script.
        fn script(&self, script: &str) {
            let path = self.folder.join("browser");
            std::fs::write(&path, format!("#!/bin/sh\necho $$ > '{}'\n{script}\n", self.pid().display()))
                .unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }

        fn pid(&self) -> PathBuf {
            self.folder.join("pid")
        }

        /// Answers one visit, up to the measurement.
        fn opens(&mut self, rate: u32) {
            self.answers.extend([
                json!({ "browserContextId": "C" }),
                json!({ "targetId": "T" }),
                json!({ "sessionId": "S" }),
            ]);
            self.answers.extend(vec![json!({}); 6]);
            self.answers.push(json!({ "result": { "value": { "app": "idle", "bench": "idle" } } }));
            if rate > 1 {
                // Nobody has this number.
                let processes = json!([{ "type": "renderer", "id": i32::MAX }, { "type": "GPU", "id": 1 }]);
                self.answers.push(json!({ "processInfo": processes }));
            }
            self.answers.push(json!({}));
        }

        /// Answers one visit whose page saves `result`.
        fn visit(&mut self, rate: u32, result: &Value) {
            std::fs::write(self.folder.join(format!("result-{rate}")), result.to_string()).unwrap();
            self.opens(rate);
            self.answers.push(json!({ "result": { "value": { "app": "idle", "bench": "done" } } }));
            self.answers.extend([json!({}), json!({})]);
            let params = json!({ "state": "completed", "guid": format!("result-{rate}") });
            self.answers.push(json!({ "method": "Browser.downloadProgress", "params": params }));
            self.answers.push(json!({}));
        }

        /// Makes the program of the answers, which then waits to be ended.
        fn finish(&self) {
            let mut id = 0;
            let mut said = Vec::new();
            for answer in &self.answers {
                let message = if answer.get("method").is_some() {
                    answer.clone()
                } else {
                    id += 1;
                    json!({ "id": id, "result": answer })
                };
                said.extend(serde_json::to_vec(&message).unwrap());
                said.push(0);
            }
            std::fs::write(self.folder.join("answers"), said).unwrap();
            let folder = self.folder.display();
            self.script(&format!(
                "for word; do case $word in --user-data-dir=*) saved=${{word#*=}}/saved; esac; done\n\
                 mkdir -p \"$saved\"; cp '{folder}'/result-* \"$saved\"\ncat '{folder}/answers' >&4\nexec tail -f /dev/null"
            ));
        }

        fn bench(&self, options: &[&str]) -> Command {
            let mut command = aware(&["bench", "--mobile-simulation"]);
            command.arg(models("first-int8")).arg("--site").arg(self.folder.join("site"));
            command
                .arg("--chromium")
                .arg(self.folder.join("browser"))
                .arg("--output")
                .arg(self.folder.join("out"));
            command.args(options);
            command
        }

        fn report(&self) -> Value {
            read(&self.folder.join("out/bench.json"))
        }

        /// Nothing of the browser is left; one that was never started is not either.
        fn is_gone(&self) -> bool {
            let Ok(pid) = std::fs::read_to_string(self.pid()) else { return true };
            !Command::new("kill").args(["-0", pid.trim()]).output().unwrap().status.success()
        }
    }

    /// What the page would save.
    fn result(rate: u32) -> Value {
        let manifest = read(&models("first-int8").join("manifest.json"));
        let files = manifest["files"].as_array().unwrap();
        let network = files.iter().find(|file| file["name"] == "stage1.onnx").unwrap();
        let [p50, p90] = [10.0, 20.0].map(|ms| ms * f64::from(rate));
        let summary = json!({ "runs": 60, "min_ms": p50 / 2.0, "p50_ms": p50, "p90_ms": p90, "p99_ms": p90, "max_ms": p90,
            "mean_ms": p50, "course_ms": [] });
        json!({
            "schema_version": "1.0", "engine_version": engine::VERSION, "measured_at": "2026-11-27T12:00:00Z",
            "settings": { "mode": "quick", "seconds": 5.0, "least_runs": 20 },
            "environment": { "user_agent": "Fake", "cores": 2, "screen": [390, 844], "pixel_ratio": 3.0,
                "is_isolated": true, "has_relaxed_simd": true },
            "model": { "name": "AWARE first", "version": "0.1.0", "sha256": network["sha256"] },
            "places": [{ "place": "cpu-relaxed", "golden_passed": true }],
            "cells": [{ "place": "cpu-relaxed", "subject": "picture", "summary": summary }],
            "invalid": [], "simulated": format!("cpu-{rate}x"),
        })
    }

    #[test]
    fn h6_a_simulated_phone_stands_in_the_report_and_is_called_simulated() {
        let mut fake = Fake::new("phone-whole");
        fake.visit(1, &result(1));
        fake.visit(4, &result(4));
        let mut slow = result(60);
        slow["simulated"] = json!("cpu-6x");
        fake.visit(6, &slow);
        fake.finish();
        let done = fake.bench(&["--rates", "6,4"]).output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        let report = fake.report();
        assert_eq!((&report["parts"], &report["pictures"]), (&json!(["mobile"]), &Value::Null));
        let mobile = &report["mobile_compatibility"];
        assert_eq!((&mobile["browser"], &mobile["is_small"]), (&json!("Fake/1"), &json!(true)));
        assert_eq!(mobile["model_size_limit_mb"], 100.0);
        let figures = |run: usize| &mobile["runs"][run]["figures"][0];
        assert_eq!(
            (&figures(0)["simulated"], &figures(1)["simulated"]),
            (&json!("cpu-1x"), &json!("cpu-4x"))
        );
        assert_eq!((&figures(0)["slowdown"], &figures(1)["slowdown"]), (&Value::Null, &json!(4.0)));
        let text = String::from_utf8(done.stdout).unwrap();
        assert!(
            text.contains("MB of networks") && text.contains("cpu-4x  picture  cpu-relaxed  40.00  80.00"),
            "{text}"
        );
        let html = std::fs::read_to_string(fake.folder.join("out/report.html")).unwrap();
        for part in ["Simulated phone", "no phone's speed", "<td>cpu-4x</td>", "simulated, nobody", "passes"]
        {
            assert!(html.contains(part), "{part}");
        }
        assert!(fake.folder.join("out/plots/mobile_readiness.svg").exists());
        let advice = report["recommendations"].to_string();
        assert!(!advice.contains("cpu-4x"), "{advice}");
        for part in ["cpu-6x: a picture takes 60.0 times as long", "cpu-6x: one picture in ten takes 1200 ms"]
        {
            assert!(advice.contains(part), "{part}: {advice}");
        }
        assert!(fake.is_gone());
        // It is a report like others, and proves nothing of what it does not say.
        let (_, checklist) = ready(&models("first-int8"), &[&fake.folder.join("out/bench.json")]);
        assert_eq!(line(&checklist, "benchmark done")["passed"], Value::Null, "{checklist}");
    }

    #[test]
    fn b01_a_simulation_that_does_not_count_is_named_and_not_used() {
        let mut fake = Fake::new("phone-invalid");
        let mut hidden = result(4);
        hidden["invalid"] = json!(["tab_hidden"]);
        fake.visit(1, &result(1));
        fake.visit(4, &hidden);
        fake.finish();
        let done = fake.bench(&["--rates", "4"]).output().unwrap();
        assert_eq!(done.status.code(), Some(3), "{}", stderr(&done));
        let report = fake.report();
        assert_eq!(report["mobile_compatibility"]["runs"][1]["figures"], json!([]));
        let says = |text: &str| report["recommendations"].to_string().contains(text);
        assert!(says("cpu-4x: does not count") && says("hidden"), "{}", report["recommendations"]);
        assert!(!String::from_utf8(done.stdout).unwrap().contains("40.00"));
    }

    #[test]
    fn c01_what_was_simulated_before_a_stop_or_a_failure_is_kept() {
        // The second measurement never ends.
        let mut fake = Fake::new("phone-stopped");
        fake.visit(1, &result(1));
        fake.opens(4);
        fake.finish();
        let mut child = fake.bench(&["--rates", "4"]).spawn().unwrap();
        let has_first = || {
            let report = std::fs::read(fake.folder.join("out/bench.json")).ok();
            let report = report.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            report.is_some_and(|report| report["mobile_compatibility"]["runs"].as_array().is_some())
        };
        for _ in 0..6000 {
            if has_first() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let report = fake.report();
        assert_eq!((&report["stopped"], &report["parts"]), (&json!(true), &json!([])));
        assert_eq!(report["mobile_compatibility"]["runs"].as_array().unwrap().len(), 1);
        assert!(fake.is_gone());

        std::fs::remove_dir_all(fake.folder.join("out")).unwrap();
        let hangs = fake.bench(&["--rates", "4", "--browser-timeout", "3"]).output().unwrap();
        assert!(hangs.status.code() == Some(1) && stderr(&hangs).contains("hangs"), "{}", stderr(&hangs));
        assert_eq!(fake.report()["mobile_compatibility"]["runs"].as_array().unwrap().len(), 1);
        assert!(fake.is_gone());
    }

    #[test]
    fn without_a_page_or_a_browser_there_is_an_error_that_helps() {
        let fake = Fake::new("phone-refused");
        fake.script("echo there is no display >&2; exit 1");
        let refused = |options: &[&str], code: i32, says: &[&str]| {
            let output = fake.bench(options).output().unwrap();
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(code), "{said}");
            says.iter().for_each(|part| assert!(said.contains(part), "{part}: {said}"));
            assert!(!fake.folder.join("out").exists(), "nothing may be written");
            assert!(fake.is_gone());
        };
        refused(&[], 1, &["does not start", "has ended", "there is no display"]);
        refused(&["--rates", "0.5"], 1, &["a rate is 0.5"]);
        refused(&["--rates", "fast"], 2, &["--rates"]);
        refused(&["--only", "speed"], 2, &["--pictures"]);
        let none = |option: &str, value: &str, says: &str| {
            let mut command = aware(&["bench", "--mobile-simulation"]);
            command.arg(models("first-int8")).arg("--output").arg(fake.folder.join("out"));
            let site = fake.folder.join("site");
            let (site, browser) = (site.to_str().unwrap(), fake.folder.join("browser"));
            let given = [("--site", site), ("--chromium", browser.to_str().unwrap())];
            for (name, usual) in given {
                command.args([name, if name == option { value } else { usual }]);
            }
            let output = command.output().unwrap();
            assert!(output.status.code() == Some(1) && stderr(&output).contains(says), "{}", stderr(&output));
        };
        none("--site", "no-such-page", "cargo xtask build");
        none("--chromium", "no-such-browser", "AWARE_CHROMIUM");
        // It does not say a word.
        fake.script("exec tail -f /dev/null");
        refused(&["--browser-timeout", "1"], 1, &["hangs", "Browser.getVersion"]);
        fake.script("cat /dev/zero >&4");
        refused(&[], 1, &["does not start"]);

        // The page of another version.
        let mut fake = Fake::new("phone-other");
        let mut other = result(1);
        other["engine_version"] = json!("0.0.1");
        fake.visit(1, &other);
        fake.finish();
        let output = fake.bench(&[]).output().unwrap();
        let said = stderr(&output);
        assert!(
            output.status.code() == Some(1) && said.contains("0.0.1") && said.contains("cargo xtask build"),
            "{said}"
        );
        assert!(fake.is_gone());
    }
}
