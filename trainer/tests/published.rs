//! `aware paths` and `aware classify-dfdc` as their users call them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn aware(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aware"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever refuses at once does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn touch(root: &Path, names: &[&str]) {
    for name in names {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, *name).unwrap();
    }
}

/// Files below `root` with their content; links with their aim.
fn tree(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match std::fs::read_link(&path) {
            Ok(aim) => found.push((name, format!("-> {}", aim.display()))),
            Err(_) if path.is_dir() => {
                found.extend(
                    tree(&path).into_iter().map(|(below, content)| (format!("{name}/{below}"), content)),
                );
            }
            Err(_) => found.push((name, std::fs::read_to_string(&path).unwrap())),
        }
    }
    found.sort();
    found
}

/// Two parts with two real and three fake videos, and what cannot be sorted.
fn dfdc(name: &str) -> PathBuf {
    let root = common::folder(name).join("DFDC");
    let videos =
        ["part_0/a.mp4", "part_0/b.mp4", "part_0/c.mp4", "part_1/a.mp4", "part_1/d.mp4", "part_1/e.mp4"];
    touch(&root, &videos);
    std::fs::write(
        root.join("part_0/metadata.json"),
        r#"{"a.mp4": {"label": "REAL"}, "b.mp4": {"label": "FAKE", "original": "a.mp4"}, "c.mp4": {"label": "FAKE"}}"#,
    )
    .unwrap();
    std::fs::write(
        root.join("part_1/metadata.json"),
        r#"{"a.mp4": {"label": "FAKE"}, "d.mp4": {"label": "REAL"}, "e.mp4": {"label": "?"}, "gone.mp4": {"label": "REAL"}}"#,
    )
    .unwrap();
    root
}

const SORTED: [(&str, &str); 5] = [
    ("fake/part_0_b.mp4", "part_0/b.mp4"),
    ("fake/part_0_c.mp4", "part_0/c.mp4"),
    ("fake/part_1_a.mp4", "part_1/a.mp4"),
    ("real/part_0_a.mp4", "part_0/a.mp4"),
    ("real/part_1_d.mp4", "part_1/d.mp4"),
];

#[test]
fn a03_copies_are_the_originals_tree() {
    let root = dfdc("classify-copy");
    let call = || aware(&["classify-dfdc", root.to_str().unwrap()], "");
    let output = call();
    assert_eq!(output.status.code(), Some(0), "{:?}", texts(&output));
    let want: Vec<_> = SORTED.map(|(name, content)| (name.to_owned(), content.to_owned())).into();
    assert_eq!(tree(&root.join("classified")), want);
    let (stdout, stderr) = texts(&output);
    assert!(stdout.contains("2 real, 3 fake, 2 skipped"), "{stdout}");
    assert!(stderr.contains("e.mp4") && stderr.contains("gone.mp4"), "{stderr}");
    // Again, nothing changes; what is not the video is not touched.
    assert!(texts(&call()).0.contains("(5 were there before)"));
    std::fs::write(root.join("classified/real/part_0_a.mp4"), "another").unwrap();
    let (stdout, stderr) = texts(&call());
    assert!(
        stdout.contains("1 real, 3 fake, 3 skipped") && stderr.contains("and another"),
        "{stdout}{stderr}"
    );
    // It is a set of its own now.
    let output = aware(&["prepare", root.join("classified").to_str().unwrap(), "--dry-run"], "");
    assert!(texts(&output).0.contains("2 real"), "{:?}", texts(&output));
}

#[cfg(unix)]
#[test]
fn a03_links_are_relative_and_the_cap_counts_each_class() {
    let root = dfdc("classify-link");
    let sorted = root.parent().unwrap().join("sorted");
    let fixed = ["classify-dfdc", root.to_str().unwrap(), "--output", sorted.to_str().unwrap(), "--symlink"];
    let output = aware(&[&fixed[..], &["--max-per-class", "1"]].concat(), "");
    assert_eq!(output.status.code(), Some(0), "{:?}", texts(&output));
    let link = |(name, aim): (&str, &str)| (name.to_owned(), format!("-> ../../DFDC/{aim}"));
    assert_eq!(tree(&sorted), [link(SORTED[0]), link(SORTED[3])]);
    aware(&fixed, "");
    assert_eq!(tree(&sorted), SORTED.map(link));
    assert_eq!(std::fs::read_to_string(sorted.join("fake/part_1_a.mp4")).unwrap(), "part_1/a.mp4");
}

#[test]
fn a03_analysing_writes_nothing() {
    let root = dfdc("classify-analyse");
    let before = tree(&root);
    let output = aware(&["classify-dfdc", root.to_str().unwrap(), "--analyse-only", "--max-errors", "1"], "");
    assert_eq!(output.status.code(), Some(1), "two are broken");
    assert!(texts(&output).0.contains("2 real, 3 fake, 2 skipped"), "{:?}", texts(&output));
    assert_eq!(tree(&root), before);
}

#[test]
fn a02_paths_are_asked_for_checked_and_prepared() {
    let root = common::folder("paths");
    touch(
        &root,
        &[
            "celeb/Celeb-real/id0_0000.mp4",
            "celeb/Celeb-synthesis/id0_id1_0000.mp4",
            "ff/original_sequences/youtube/c23/videos/000.mp4",
            "ff/original_sequences/youtube/c40/videos/000.mp4",
            "ff/manipulated_sequences/Deepfakes/c23/videos/000_001.mp4",
        ],
    );
    let file = root.join("paths.json");
    let (file_name, folder) = (file.to_str().unwrap(), |name: &str| root.join(name).display().to_string());
    // The second answer is no such set, so it is asked for again.
    let answers = format!("{}\n{}\n{}\n\n-\n\nc23\n", folder("celeb"), folder("celeb"), folder("ff"));
    let output = aware(&["paths", "write", file_name], &answers);
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(stdout.trim(), file_name);
    assert!(stderr.contains("celebdf_v2: ") && stderr.contains("holds no original_sequences/"), "{stderr}");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(json["celebdf_v2"], folder("celeb"));
    assert_eq!((&json["dfdc"], &json["compressions"][0]), (&serde_json::Value::Null, &"c23".into()));

    let (stdout, _) = texts(&aware(&["paths", "check", file_name], ""));
    let lines: Vec<_> =
        stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(lines[0].starts_with("celebdf_v2 1 real 1 fake 0 unusable"), "{stdout}");
    assert!(lines[1].starts_with("ffpp 2 real 1 fake"), "{stdout}");
    let prepared = |options: &[&str]| {
        let output = aware(&[&["prepare", "--dry-run", "--config", file_name], options].concat(), "");
        assert_eq!(output.status.code(), Some(0), "{:?}", texts(&output));
        texts(&output).0.lines().find(|line| line.starts_with("all                all")).unwrap().to_owned()
    };
    assert!(prepared(&[]).contains("2 real") && prepared(&[]).contains("2 fake"), "c40 is not wanted");
    assert!(prepared(&["--compression", "c23,c40"]).contains("3 real"));
    assert!(prepared(&["--dataset", "ffpp"]).contains("1 real"));

    // Empty answers keep what was there.
    aware(&["paths", "write", file_name], &"\n".repeat(6));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&std::fs::read(&file).unwrap()).unwrap(), json);
    // Half of the answers change nothing.
    let output = aware(&["paths", "write", file_name], "-\n");
    assert_eq!((output.status.code(), texts(&output).1.contains("answers ended")), (Some(1), true));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&std::fs::read(&file).unwrap()).unwrap(), json);
}

#[test]
fn a02_what_is_wrong_with_the_paths_is_said_all_at_once() {
    let root = common::folder("wrong-paths");
    touch(&root, &["celeb/holiday/1.jpg"]);
    let file = root.join("paths.json");
    std::fs::write(&file, r#"{"celebdf_v2": "celeb", "df40": "nowhere"}"#).unwrap();
    let output = aware(&["paths", "check", file.to_str().unwrap()], "");
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    // Relative to the file, wherever the program was started.
    let celeb = root.join("celeb").display().to_string();
    assert!(
        stderr.contains(&celeb) && stderr.contains("Celeb-real") && stderr.contains("df40: "),
        "{stderr}"
    );
    std::fs::write(&file, "{\n\"celebdf_v2\": 3}").unwrap();
    let (_, stderr) = texts(&aware(&["prepare", "--config", file.to_str().unwrap()], ""));
    assert!(stderr.contains("\"celebdf_v2\"") && stderr.contains("line 2"), "{stderr}");
}
