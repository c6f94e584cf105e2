//! Videos as users judge them: clips are made of the samples with ffmpeg, or left out with one line where there is none.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(5);

fn models(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name)
}

fn sample(name: &str) -> String {
    models("samples").join(name).to_str().unwrap().to_owned()
}

fn has_ffmpeg(test: &str) -> bool {
    let has_it = Command::new("ffmpeg").arg("-version").output().is_ok();
    if !has_it {
        eprintln!("left out: {test}, since there is no ffmpeg");
    }
    has_it
}

fn ffmpeg(arguments: &[&str], output: &Path) {
    let mut command = Command::new("ffmpeg");
    let made = command.args(["-v", "error", "-nostdin", "-y"]).args(arguments).arg(output).output().unwrap();
    assert!(made.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
}

/// A clip of one sample, which moves slowly.
fn clip_of(picture: &str, seconds: &str, encoding: &[&str], output: &Path) {
    let picture = sample(picture);
    let still = ["-loop", "1", "-framerate", "25", "-t", seconds, "-i", picture.as_str()];
    let moving = ["-vf", "scale=264:264,crop=240:240:x='12+8*sin(t*2)':y='12+8*cos(t*2)'"];
    ffmpeg(&[&still, &moving[..], encoding].concat(), output);
}

const MPEG4: &[&str] = &["-c:v", "mpeg4", "-q:v", "2"];

fn detect(files: &[&Path], options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aware"));
    command.args(["detect", "--json", "--bundle"]).arg(models("first-int8")).args(options);
    command.arg("--").args(files).stdin(Stdio::null());
    command
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn report(file: &Path, options: &[&str]) -> Value {
    let output = detect(&[file], options).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mut lines = lines(&output);
    assert_eq!(lines.len(), 1);
    let report = lines[0]["video"].take();
    assert!(report.is_object(), "{}", lines[0]);
    report
}

/// The code of the failure, and the exit code.
fn failure(file: &Path, options: &[&str]) -> (String, Option<i32>, String) {
    let output = detect(&[file], options).output().unwrap();
    let line = lines(&output).remove(0);
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    (text(&line["error"]["code"]), output.status.code(), text(&line["error"]["message"]))
}

fn times(report: &Value) -> Vec<f64> {
    report["timeline"].as_array().unwrap().iter().map(|sample| sample["time_s"].as_f64().unwrap()).collect()
}

/// The times that ffprobe gives.
fn probed(file: &Path) -> Vec<f64> {
    let mut command = Command::new("ffprobe");
    command.args([
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        "frame=best_effort_timestamp_time",
    ]);
    let output = command.args(["-of", "csv=p=0"]).arg(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect()
}

fn has_notice(report: &Value, notice: &str) -> bool {
    report["notices"].as_array().unwrap().iter().any(|value| value == notice)
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    for _ in 0..DEADLINE.as_millis() / STEP.as_millis() {
        if is_there() {
            return;
        }
        std::thread::sleep(STEP);
    }
    panic!("no {what} after {DEADLINE:?}");
}

#[test]
fn v01_v08_v10_a_clip_has_one_verdict_and_an_ordered_timeline() {
    if !has_ffmpeg("the verdict on a clip") {
        return;
    }
    let folder = common::folder("video-clip");
    let clip = folder.join("clip.mp4");
    clip_of("real-1.png", "4", MPEG4, &clip);
    let report = report(&clip, &[]);
    assert_eq!(report["schema_version"], "1.1");
    assert_eq!(report["media"]["frames"], "decoded");
    assert_eq!(report["media"]["size"], serde_json::json!([240, 240]));
    let coverage = &report["coverage"];
    assert_eq!(coverage["end"], "whole");
    assert!(coverage["share"].as_f64().unwrap() > 0.98, "{coverage}");
    assert_eq!(report["tracks"].as_array().unwrap().len(), 1);
    assert!(has_notice(&report, "no_face_detector"));
    let times = times(&report);
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    // 5 to 15 a second.
    assert!((19..=61).contains(&times.len()), "{}", times.len());
    let expected = &report["plan"]["expected"];
    assert!(times.len() as u64 <= expected[1].as_u64().unwrap(), "{expected}");
    let latency: u64 =
        report["latency"]["counts"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(
        (latency as usize, coverage["samples"].as_u64().unwrap() as usize),
        (times.len(), times.len())
    );
    let probed = probed(&clip);
    assert!(!probed.is_empty());
    for time in &times {
        assert!(probed.iter().any(|other| (other - time).abs() < 1e-5), "{time} is no frame's time");
    }
    // Smoothed values, and no others, made the person's P(fake).
    let smoothed: Vec<f64> = report["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|sample| sample["faces"][0]["smoothed"].as_f64())
        .collect();
    let mean = smoothed.iter().sum::<f64>() / smoothed.len() as f64;
    let verdict = &report["tracks"][0]["verdict"];
    assert!((verdict["probability_fake"].as_f64().unwrap() - mean).abs() < 1e-9, "{verdict}");
}

#[test]
fn v04_a_cut_ends_a_person() {
    if !has_ffmpeg("a cut") {
        return;
    }
    let folder = common::folder("video-cut");
    let [a, b] = ["a.mkv", "b.mkv"].map(|name| folder.join(name));
    clip_of("real-1.png", "2", MPEG4, &a);
    clip_of("real-2.png", "2", MPEG4, &b);
    let clip = folder.join("cut.mkv");
    let inputs = ["-i", a.to_str().unwrap(), "-i", b.to_str().unwrap()];
    let join = ["-filter_complex", "concat=n=2:v=1", "-c:v", "mpeg4", "-q:v", "2"];
    ffmpeg(&[&inputs, &join[..]].concat(), &clip);
    let report = report(&clip, &[]);
    let cuts = report["cuts_s"].as_array().unwrap();
    assert_eq!(cuts.len(), 1, "{cuts:?}");
    assert!((cuts[0].as_f64().unwrap() - 2.0).abs() < 0.25, "{cuts:?}");
    let tracks = report["tracks"].as_array().unwrap();
    assert_eq!(tracks.len(), 2);
    assert!(tracks[0]["span_s"][1].as_f64() < tracks[1]["span_s"][0].as_f64());
}

#[test]
fn v07_a_configured_rate_is_obeyed_and_a_cap_too() {
    if !has_ffmpeg("a configured rate") {
        return;
    }
    let folder = common::folder("video-rate");
    let clip = folder.join("clip.mp4");
    clip_of("real-2.png", "6", MPEG4, &clip);
    for (rate, count) in [("2", 12), ("10", 60), ("0.5", 3)] {
        let count_of = times(&report(&clip, &["--fps", rate])).len();
        assert!(count_of.abs_diff(count) <= 1, "{rate}: {count_of}");
    }
    let sparse = report(&clip, &["--max-samples", "5"]);
    let capped = times(&sparse);
    assert!(capped.len() <= 5 && *capped.last().unwrap() > 4.0, "{capped:?}");
    assert!(has_notice(&sparse, "sparse"));
    for wrong in ["0", "-1", "nan", "1000"] {
        let output = detect(&[&clip], &[&format!("--fps={wrong}")]).output().unwrap();
        assert!(matches!(output.status.code(), Some(1 | 2)) && output.stdout.is_empty(), "{wrong}");
    }
}

#[test]
fn v01_what_holds_no_video_says_so() {
    if !has_ffmpeg("files without a video") {
        return;
    }
    let folder = common::folder("video-none");
    let sound = folder.join("sound.mp4");
    ffmpeg(&["-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac"], &sound);
    assert_eq!(failure(&sound, &[]).0, "no_video");
    let cover = folder.join("cover.mp4");
    let picture = sample("real-1.png");
    let inputs = ["-f", "lavfi", "-i", "sine=duration=1", "-i", picture.as_str(), "-map", "0", "-map", "1"];
    ffmpeg(
        &[&inputs[..], &["-c:a", "aac", "-c:v", "png", "-disposition:v", "attached_pic"]].concat(),
        &cover,
    );
    assert_eq!(failure(&cover, &[]).0, "no_video");
    let header = folder.join("header.mp4");
    std::fs::write(&header, [&b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2"[..], &[0; 64]].concat()).unwrap();
    let (code, exit, message) = failure(&header, &[]);
    assert!(["corrupt", "no_video"].contains(&code.as_str()) && exit == Some(3), "{code}: {message}");
}

#[test]
fn v03_of_a_file_that_is_cut_off_the_part_that_is_there_is_judged() {
    if !has_ffmpeg("a file that is cut off") {
        return;
    }
    let folder = common::folder("video-truncated");
    let whole = folder.join("whole.mkv");
    clip_of("real-1.png", "8", MPEG4, &whole);
    let bytes = std::fs::read(&whole).unwrap();
    let half = folder.join("half.mkv");
    std::fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let report = report(&half, &[]);
    assert_eq!(report["coverage"]["end"], "truncated");
    let share = report["coverage"]["share"].as_f64().unwrap();
    assert!((0.3..0.8).contains(&share), "{share}");
    assert!(has_notice(&report, "truncated") && !report["tracks"].as_array().unwrap().is_empty());

    // The index of an MP4 stands at its end.
    let late = folder.join("late.mp4");
    clip_of("real-1.png", "2", MPEG4, &late);
    let bytes = std::fs::read(&late).unwrap();
    std::fs::write(&late, &bytes[..bytes.len() / 2]).unwrap();
    let (code, exit, message) = failure(&late, &[]);
    assert!(code == "corrupt" && exit == Some(3) && message.contains("moov"), "{code}: {message}");
}

#[test]
fn v03_frames_at_uneven_times_and_out_of_order_have_their_own() {
    if !has_ffmpeg("uneven times") {
        return;
    }
    let folder = common::folder("video-uneven");
    let clip = folder.join("uneven.mkv");
    let picture = sample("real-1.png");
    let still = ["-loop", "1", "-framerate", "25", "-t", "4", "-i", picture.as_str()];
    // Every third frame of the first half is there, every frame of the second, with B-frames.
    let uneven =
        ["-vf", "select='gt(t,2)+not(mod(n,3))',scale=128:128", "-vsync", "vfr", "-c:v", "mpeg4", "-bf", "2"];
    ffmpeg(&[&still, &uneven[..]].concat(), &clip);
    let (times, probed) = (times(&report(&clip, &["--fps", "15"])), probed(&clip));
    assert!(times.len() > 30, "{times:?}");
    for time in &times {
        assert!(probed.iter().any(|other| (other - time).abs() < 2e-3), "{time} is no frame's time");
    }
}

#[test]
fn v04_frames_are_upright_and_in_square_pixels() {
    if !has_ffmpeg("turned and stretched videos") {
        return;
    }
    let folder = common::folder("video-shape");
    let flat = folder.join("flat.mp4");
    ffmpeg(&["-f", "lavfi", "-i", "testsrc=duration=1:size=320x160:rate=25", "-c:v", "mpeg4"], &flat);
    assert_eq!(report(&flat, &[])["media"]["size"], serde_json::json!([320, 160]));

    let odd = folder.join("odd.mkv");
    ffmpeg(&["-f", "lavfi", "-i", "testsrc=duration=1:size=321x161:rate=25", "-c:v", "mpeg4"], &odd);
    assert_eq!(report(&odd, &[])["media"]["size"], serde_json::json!([321, 161]));

    let wide = folder.join("wide.mp4");
    let stretched = ["-vf", "setsar=3/2", "-c:v", "mpeg4"];
    ffmpeg(
        &[&["-f", "lavfi", "-i", "testsrc=duration=1:size=320x160:rate=25"], &stretched[..]].concat(),
        &wide,
    );
    assert_eq!(report(&wide, &[])["media"]["size"], serde_json::json!([480, 160]));

    let turned = folder.join("turned.mp4");
    let path = flat.to_str().unwrap();
    // Newer versions take the one, older ones the other.
    let attempts: [&[&str]; 2] = [
        &["-display_rotation", "90", "-i", path, "-c", "copy"],
        &["-i", path, "-c", "copy", "-metadata:s:v:0", "rotate=90"],
    ];
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]);
    let newer = command.args(attempts[0]).arg(&turned).output().unwrap();
    if !newer.status.success() {
        ffmpeg(attempts[1], &turned);
    }
    assert_eq!(report(&turned, &[])["media"]["size"], serde_json::json!([160, 320]));
}

#[test]
fn v04_a_change_of_size_keeps_the_shape_and_connects_nobody() {
    if !has_ffmpeg("a change of size") {
        return;
    }
    let folder = common::folder("video-size");
    let [a, b] = ["a.ts", "b.ts"].map(|name| folder.join(name));
    let encoding = ["-c:v", "mpeg2video", "-q:v", "2", "-f", "mpegts"];
    let picture = sample("real-1.png");
    for (size, offset, path) in [("240:240", "0", &a), ("160:320", "2", &b)] {
        let still = ["-loop", "1", "-framerate", "25", "-t", "2", "-i", picture.as_str()];
        let scale = format!("scale={size}");
        let options = ["-vf", scale.as_str(), "-output_ts_offset", offset];
        ffmpeg(&[&still, &options[..], &encoding].concat(), path);
    }
    let clip = folder.join("both.ts");
    std::fs::write(&clip, [std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap()].concat()).unwrap();
    let annotated = folder.join("frames");
    let report = report(&clip, &["--annotated", annotated.to_str().unwrap()]);
    assert!(has_notice(&report, "size_changed"), "{}", report["notices"]);
    assert!(report["coverage"]["reached_s"].as_f64().unwrap() > 3.0, "{}", report["coverage"]);
    assert_eq!(report["tracks"].as_array().unwrap().len(), 2);
    let mut pictures: Vec<_> =
        std::fs::read_dir(&annotated).unwrap().map(|entry| entry.unwrap().path()).collect();
    pictures.sort();
    // Twice as high as wide on a square canvas: a quarter at each side is black.
    let last = image::open(pictures.last().unwrap()).unwrap().into_rgb8();
    assert_eq!(last.dimensions(), (240, 240));
    // Not at the edge, where the box is.
    let is_black = |x: u32| (10..230).all(|y| last.get_pixel(x, y).0.iter().all(|value| *value < 24));
    assert!(is_black(20) && is_black(220) && !is_black(120));
}

#[test]
fn v07_lists_and_addresses_are_no_videos_and_a_dash_is_no_option() {
    let folder = common::folder("video-disguised");
    let secret = folder.join("secret.ts");
    std::fs::write(&secret, "secret").unwrap();
    let lists = [
        ("list.mp4", format!("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nfile://{}\n", secret.display())),
        ("concat.avi", format!("ffconcat version 1.0\nfile '{}'\n", secret.display())),
        ("page.mp4", "<?xml version=\"1.0\"?><MPD><BaseURL>http://host/</BaseURL></MPD>".into()),
        ("script.avi", "AviSource(\"http://host/a.avi\")".into()),
    ];
    for (name, content) in lists {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        // An ffmpeg that must not even be called.
        let (code, exit, message) = failure(&path, &["--ffmpeg", "/nowhere/ffmpeg"]);
        assert!(code == "unsupported" && exit == Some(3), "{name}: {code}: {message}");
    }
    for address in ["http://127.0.0.1:9/a.mp4", "concat:a|b", "pipe:0", "file:/etc/passwd"] {
        assert_eq!(failure(Path::new(address), &[]).0, "io", "{address}");
    }
    if has_ffmpeg("a name that begins with a dash") {
        clip_of("real-1.png", "1", MPEG4, &folder.join("-y.mp4"));
        let mut command = detect(&[Path::new("-y.mp4")], &[]);
        let output = command.current_dir(&folder).output().unwrap();
        assert!(lines(&output)[0]["video"].is_object(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A program in ffmpeg's place, and a file that looks like a video.
fn impostor(test: &str, script: &str) -> (PathBuf, PathBuf) {
    let folder = common::folder(test);
    let program = folder.join("ffmpeg");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let clip = folder.join("clip.mkv");
    std::fs::write(&clip, [&[0x1A, 0x45, 0xDF, 0xA3][..], &[0; 400]].concat()).unwrap();
    (program, clip)
}

const VERSION: &str = "[ \"$1\" = -version ] && echo 'ffmpeg version 5.1' && exit 0";
const FIRST: &str = "case \"$*\" in *-frames:v*) echo '[Parsed_showinfo_0 @ 0x1] n: 0 pts: 0 pts_time:0 s:8x8 sar:1/1' >&2; \
    exit 0;; esac";

#[test]
fn v08_a_missing_or_old_ffmpeg_is_exit_code_4_with_a_hint() {
    let (_, clip) = impostor("video-missing", "");
    let (code, exit, message) = failure(&clip, &["--ffmpeg", "/nowhere/ffmpeg"]);
    assert!(
        code == "ffmpeg_missing" && exit == Some(4) && message.contains("apt install ffmpeg"),
        "{message}"
    );
    for (test, script) in [
        ("video-old", "echo 'ffmpeg version 3.4.2'"),
        ("video-other", "echo 'something else'"),
        ("video-mute", "exit 0"),
        ("video-failing", "echo 'ffmpeg version 5.1'; exit 1"),
    ] {
        let (program, clip) = impostor(test, script);
        let (code, exit, message) = failure(&clip, &["--ffmpeg", program.to_str().unwrap()]);
        assert!(code == "ffmpeg_missing" && exit == Some(4), "{test}: {code}: {message}");
    }
}

#[test]
fn v08_an_ffmpeg_that_hangs_dies_or_raves_costs_its_video_only() {
    let run = |test: &str, script: &str| {
        let (program, clip) = impostor(test, &format!("echo $$ >> \"$0.called\"\n{VERSION}\n{script}"));
        let options = ["--ffmpeg", program.to_str().unwrap(), "--video-timeout", "1"];
        let picture = models("samples/real-1.png");
        let output = detect(&[&clip, &picture], &options).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{test}");
        let lines = lines(&output);
        assert!(lines[1]["report"].is_object(), "{test}");
        // No child outlives its use.
        for pid in std::fs::read_to_string(program.with_extension("called")).unwrap().lines() {
            let is_alive = Path::new(&format!("/proc/{pid}")).exists();
            assert!(!is_alive, "{test}: process {pid} is still there");
        }
        let line = &lines[0];
        (line["error"]["code"].as_str().unwrap_or("none").to_owned(), line["error"]["message"].to_string())
    };
    assert_eq!(run("video-hangs-first", "exec sleep 100").0, "timeout");
    assert_eq!(run("video-hangs-later", &format!("{FIRST}\nexec sleep 100")).0, "timeout");
    assert_eq!(run("video-dies", "kill -9 $$").0, "corrupt");
    assert_eq!(run("video-dies-later", &format!("{FIRST}\nkill -9 $$")).0, "corrupt");
    let raves = "head -c 3000000 /dev/zero | tr '\\0' x >&2; head -c 100000 /dev/zero";
    assert_eq!(run("video-raves-first", raves).0, "corrupt");
    // Pixels without times.
    let (code, message) = run("video-raves-later", &format!("{FIRST}\n{raves}\nexit 0"));
    assert!(code == "ffmpeg", "{code}: {message}");
    let (_, message) = run("video-says-why", "echo 'Invalid data found: \x1b[31mno' >&2; exit 1");
    assert!(message.contains("Invalid data found") && !message.contains("\\u001b"), "{message}");
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
}

#[test]
fn v05_c01_somebody_who_stops_it_keeps_the_part_before() {
    if !has_ffmpeg("a video that is stopped") {
        return;
    }
    let folder = common::folder("video-stopped");
    let clip = folder.join("long.mp4");
    clip_of("real-1.png", "120", &["-c:v", "mpeg4", "-q:v", "6"], &clip);
    let annotated = folder.join("frames");
    let options = ["--fps", "25", "--annotated", annotated.to_str().unwrap()];
    let mut command = detect(&[&clip], &options);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("picture", || std::fs::read_dir(&annotated).is_ok_and(|entries| entries.count() > 2));
    signal(&child, "INT");
    wait_for("end", || child.try_wait().unwrap().is_some());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let lines = lines(&output);
    let report = &lines[0]["video"];
    assert_eq!((lines.len(), &report["coverage"]["end"]), (1, &Value::from("interrupted")));
    assert!(has_notice(report, "interrupted"));
    let share = report["coverage"]["share"].as_f64().unwrap();
    assert!(share > 0.0 && share < 1.0 && !times(report).is_empty(), "{}", report["coverage"]);
}

#[test]
fn v9_v11_the_timeline_is_written_once_and_frames_have_boxes() {
    if !has_ffmpeg("a timeline") {
        return;
    }
    let folder = common::folder("video-timeline");
    let clip = folder.join("clip <b>.mp4");
    clip_of("real-2.png", "3", MPEG4, &clip);
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (svg, json, frames) = (path("course.svg"), path("course.json"), path("frames"));
    let whole = report(&clip, &["--timeline", &svg, "--annotated", &frames]);
    let drawn = std::fs::read_to_string(&svg).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("P(fake), smoothed") && drawn.contains("seconds"));
    assert!(!drawn.contains("<b>") && !drawn.contains("http://host"), "a name is text");
    report(&clip, &["--timeline", &json]);
    let written: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(written["timeline"].as_array().unwrap().len(), times(&whole).len());
    let mut names: Vec<_> = std::fs::read_dir(&frames)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(names[0], "000000.000.png");
    let picture = image::open(Path::new(&frames).join(&names[0])).unwrap().into_rgb8();
    let colours = [[220, 40, 40], [40, 180, 70], [230, 190, 40], [150, 150, 150]];
    assert!(colours.contains(&picture.get_pixel(0, 0).0), "{:?}", picture.get_pixel(0, 0));

    for options in [["--timeline", &svg], ["--annotated", &frames], ["--timeline", "course.png"]] {
        let output = detect(&[&clip], &options).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{options:?}");
    }
    let two = detect(&[&clip, &clip], &["--timeline", &path("two.svg")]).output().unwrap();
    assert_eq!(two.status.code(), Some(1));
}

#[test]
fn v2_people_beside_each_other_have_a_verdict_each() {
    let Some(yunet) = std::env::var_os("AWARE_YUNET") else {
        eprintln!("left out: faces in a video, since AWARE_YUNET names no YuNet file");
        return;
    };
    if !has_ffmpeg("faces in a video") {
        return;
    }
    let folder = common::folder("video-faces");
    let clip = folder.join("two.mp4");
    let (a, b) = (sample("real-1.png"), sample("real-2.png"));
    let inputs = [
        "-loop",
        "1",
        "-framerate",
        "25",
        "-t",
        "4",
        "-i",
        &a,
        "-loop",
        "1",
        "-framerate",
        "25",
        "-t",
        "4",
        "-i",
        &b,
    ];
    let beside = [
        "-filter_complex",
        "[0]scale=256:256[a];[1]scale=256:256[b];[a][b]hstack",
        "-c:v",
        "mpeg4",
        "-q:v",
        "2",
    ];
    ffmpeg(&[&inputs, &beside[..]].concat(), &clip);
    let report = report(&clip, &["--faces", yunet.to_str().unwrap()]);
    let tracks = report["tracks"].as_array().unwrap();
    assert_eq!(tracks.len(), 2, "{tracks:?}");
    assert!(!has_notice(&report, "no_face_detector"));
}
