//! Many files, judged by processes that share nothing, are killed and go on (D01, D03, C01 to C07).
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// No step here takes more than seconds; a program that hangs must not hang the tests.
const DEADLINE: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(5);

fn models(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name)
}

/// `count` files in folders of ten below a new folder; their contents are the four samples.
fn pictures(test: &str, count: usize) -> PathBuf {
    let root = common::folder(test).join("pictures");
    for index in 0..count {
        let folder = root.join(format!("set-{}", index / 10));
        std::fs::create_dir_all(&folder).unwrap();
        let sample = ["real-1.png", "real-2.png", "fake-1.png", "fake-2.png"][index % 4];
        std::fs::hard_link(models("samples").join(sample), folder.join(format!("{index}.png"))).unwrap();
    }
    root
}

fn names(count: usize) -> BTreeSet<String> {
    (0..count).map(|index| format!("set-{}/{index}.png", index / 10)).collect()
}

fn scan(root: &Path, shard: &str, output: &Path) -> Command {
    scan_with("first-int8", root, shard, output)
}

fn scan_with(bundle: &str, root: &Path, shard: &str, output: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aware"));
    command.arg("scan").arg(root).args(["--shard", shard, "--part-lines", "5", "--output"]).arg(output);
    command.arg("--bundle").arg(models(bundle)).stdin(Stdio::null());
    command
}

fn merge(folders: &[&Path], output: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aware"));
    command.arg("merge").args(folders).arg("--output").arg(output).args(options).output().unwrap()
}

fn ok(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(output: &Output, says: &str) {
    assert!(output.status.code() == Some(1) && stderr(output).contains(says), "{says}: {}", stderr(output));
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The lines of a file by the names in them, none twice.
fn lines(path: &Path) -> BTreeMap<String, Value> {
    let mut lines = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let name = line["file"].as_str().unwrap().to_owned();
        assert!(lines.insert(name.clone(), line).is_none(), "{name} is there twice");
    }
    lines
}

/// The parts that a shard has by now.
fn parts(output: &Path, shard: u32) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(output.join(format!("shard-{shard:05}"))) else { return Vec::new() };
    let mut parts: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    parts.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    parts.sort();
    parts
}

fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
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

fn ended(mut child: Child) -> Output {
    wait_for("end", || child.try_wait().unwrap().is_some());
    child.wait_with_output().unwrap()
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
}

#[test]
fn every_file_has_one_line_whatever_the_number_of_shards() {
    let root = pictures("scan-shards", 30);
    std::fs::write(root.join("notes.txt"), "no picture").unwrap();
    let folder = root.parent().unwrap();
    let all = |shards: u32| {
        let output = folder.join(format!("of-{shards}"));
        for shard in 0..shards {
            ok(&scan(&root, &format!("{shard}/{shards}"), &output).output().unwrap());
        }
        let merged = folder.join(format!("of-{shards}.jsonl"));
        let text = ok(&merge(&[&output], &merged, &[]));
        assert!(text.contains("31 files") && text.contains("1 not judged (1 unsupported)"), "{text}");
        lines(&merged)
    };
    let (one, four) = (all(1), all(4));
    let mut expected = names(30);
    expected.insert("notes.txt".into());
    assert_eq!(one.keys().cloned().collect::<BTreeSet<_>>(), expected);
    let logit = |line: &Value| line["report"]["stages"][0]["logit"].as_f64().map(f64::to_bits);
    for (name, line) in &one {
        assert_eq!(logit(line), logit(&four[name]), "{name}");
    }
    assert_eq!(one["notes.txt"]["error"]["code"], "unsupported");

    let mut detect = Command::new(env!("CARGO_BIN_EXE_aware"));
    detect.args(["detect", "--json", "--bundle"]).arg(models("first-int8")).arg(root.join("set-2/23.png"));
    let judged: Value = serde_json::from_str(&ok(&detect.output().unwrap())).unwrap();
    assert_eq!(logit(&judged), logit(&one["set-2/23.png"]));
}

#[test]
fn files_are_met_in_the_order_of_their_names() {
    let root = pictures("scan-order", 30);
    let output = root.with_file_name("out");
    let order = |output: &Path| -> Vec<String> {
        let all: String =
            parts(output, 0).iter().map(|part| std::fs::read_to_string(part).unwrap()).collect();
        let name = |line: &str| serde_json::from_str::<Value>(line).unwrap()["file"].to_string();
        all.lines().map(name).collect()
    };
    ok(&scan(&root, "0/1", &output).output().unwrap());
    let order = order(&output);
    let mut sorted = order.clone();
    sorted.sort();
    assert_eq!(order, sorted);
    assert_eq!(parts(&output, 0).len(), 6);
}

#[test]
fn d01_run_twice_gives_nothing_twice_and_another_scan_is_refused() {
    let root = pictures("scan-twice", 12);
    let output = root.with_file_name("out");
    ok(&scan(&root, "0/2", &output).output().unwrap());
    let before: Vec<_> = parts(&output, 0).iter().map(|part| std::fs::read(part).unwrap()).collect();
    let again = ok(&scan(&root, "0/2", &output).output().unwrap());
    assert!(again.contains("was done"), "{again}");
    let after: Vec<_> = parts(&output, 0).iter().map(|part| std::fs::read(part).unwrap()).collect();
    assert!(before == after && !before.is_empty());

    refused(&scan(&root, "0/3", &output).output().unwrap(), "another number of shards");
    refused(&scan_with("first", &root, "1/2", &output).output().unwrap(), "another bundle");
    assert!(parts(&output, 1).is_empty());
    for wrong in ["2/2", "1", "a/b", "0/0"] {
        assert_eq!(scan(&root, wrong, &output).output().unwrap().status.code(), Some(2), "{wrong}");
    }
    let inside = scan(&root, "0/1", &root.join("set-0/out")).output().unwrap();
    refused(&inside, "which is scanned");
}

#[test]
fn d01_a_shard_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let root = pictures("scan-killed", 400);
    let output = root.with_file_name("out");
    for _ in 0..4 {
        let before = parts(&output, 0).len();
        let mut child = spawn(&mut scan(&root, "0/1", &output));
        wait_for("part", || parts(&output, 0).len() > before + 1);
        child.kill().unwrap();
        let killed = child.wait_with_output().unwrap();
        assert_eq!(killed.status.code(), None, "it had ended before it was killed: {}", stderr(&killed));
        // Whatever has its name is whole.
        parts(&output, 0).iter().for_each(|part| assert_eq!(lines(part).len(), 5, "{}", part.display()));
        refused(&merge(&[&output], &root.with_file_name("early.jsonl"), &[]), "is not done");
    }
    ok(&scan(&root, "0/1", &output).output().unwrap());
    let merged = root.with_file_name("all.jsonl");
    ok(&merge(&[&output], &merged, &[]));
    assert_eq!(lines(&merged).into_keys().collect::<BTreeSet<_>>(), names(400));
    let left = std::fs::read_dir(output.join("shard-00000")).unwrap();
    let temporary =
        left.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "tmp"));
    assert_eq!(temporary.count(), 0, "what a killed run left is removed");
}

#[test]
fn d01_files_that_come_while_a_shard_is_stopped_are_not_lost() {
    let root = pictures("scan-late", 200);
    let output = root.with_file_name("out");
    let mut child = spawn(&mut scan(&root, "0/1", &output));
    wait_for("part", || parts(&output, 0).len() > 1);
    child.kill().unwrap();
    child.wait().unwrap();
    // Before all others.
    std::fs::copy(models("samples/real-1.png"), root.join("aaa.png")).unwrap();
    ok(&scan(&root, "0/1", &output).output().unwrap());
    let merged = root.with_file_name("all.jsonl");
    ok(&merge(&[&output], &merged, &[]));
    let lines = lines(&merged);
    assert!(lines.len() == 201 && lines.contains_key("aaa.png"));
}

#[test]
fn d01_two_processes_never_work_on_one_shard() {
    let root = pictures("scan-busy", 400);
    let output = root.with_file_name("out");
    let mut child = spawn(&mut scan(&root, "0/1", &output));
    wait_for("part", || !parts(&output, 0).is_empty());
    let second = scan(&root, "0/1", &output).output().unwrap();
    assert!(child.try_wait().unwrap().is_none(), "the first one was too fast for this test");
    assert_eq!(second.status.code(), Some(75), "{}", stderr(&second));
    child.kill().unwrap();
    child.wait().unwrap();
    // The lock went with the process.
    ok(&scan(&root, "0/1", &output).output().unwrap());
}

#[test]
fn c01_signals_end_a_scan_in_order() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let root = pictures(&format!("scan-signal-{name}"), 400);
        let output = root.with_file_name("out");
        let child = spawn(&mut scan(&root, "0/1", &output));
        wait_for("part", || parts(&output, 0).len() > 1);
        signal(&child, name);
        let stopped = ended(child);
        assert_eq!(stopped.status.code(), Some(code), "{}", stderr(&stopped));
        assert!(stderr(&stopped).contains("the next run goes on"), "{}", stderr(&stopped));
        let judged: usize = parts(&output, 0).iter().map(|part| lines(part).len()).sum();
        assert!((10..400).contains(&judged), "{judged}");
        assert!(!output.join("shard-00000/done.json").exists());
        ok(&scan(&root, "0/1", &output).output().unwrap());
        let merged = root.with_file_name("all.jsonl");
        ok(&merge(&[&output], &merged, &[]));
        assert_eq!(lines(&merged).into_keys().collect::<BTreeSet<_>>(), names(400));
    }
}

#[test]
fn c01_a_judgement_of_many_files_ends_with_whole_lines() {
    let root = pictures("detect-signal", 400);
    let detect = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aware"));
        command.args(["detect", "--json", "--bundle"]).arg(models("first-int8"));
        command.args(names(400).iter().map(|name| root.join(name)));
        let mut child = spawn(&mut command);
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        (child, reader, first)
    };
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let (child, reader, first) = detect();
        signal(&child, name);
        let rest: Vec<String> = reader.lines().map(Result::unwrap).collect();
        assert_eq!(ended(child).status.code(), Some(code));
        assert!(rest.len() < 399, "it did not stop");
        for line in rest.iter().chain([&first]) {
            assert!(serde_json::from_str::<Value>(line).unwrap()["report"].is_object(), "{line}");
        }
    }
    let (child, reader, _) = detect();
    drop(reader);
    let piped = ended(child);
    assert_eq!((piped.status.code(), stderr(&piped).as_str()), (Some(0), ""));
}

#[test]
fn c02_a_full_disk_leaves_no_half_file() {
    let root = pictures("scan-full", 40);
    let output = root.with_file_name("out");
    // The shell's limit of a file's size, in blocks of 512 or 1024 bytes, stands for a disk that takes no more.
    let command = scan(&root, "0/1", &output);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$@\"", "sh"]).arg(command.get_program());
    let full = shell.args(command.get_args()).output().unwrap();
    refused(&full, "cannot write");
    let left: Vec<_> = std::fs::read_dir(output.join("shard-00000")).unwrap().map(Result::unwrap).collect();
    assert!(left.iter().all(|entry| entry.file_name() == "lock"), "{left:?}");
    // With room again it goes on.
    ok(&scan(&root, "0/1", &output).output().unwrap());

    let merged = root.with_file_name("all.jsonl");
    std::fs::write(&merged, "kept").unwrap();
    refused(&merge(&[&output], &merged, &[]), "--force");
    assert_eq!(std::fs::read(&merged).unwrap(), b"kept");
    ok(&merge(&[&output], &merged, &["--force"]));
    assert_eq!(lines(&merged).len(), 40);
    refused(&scan(&root, "0/1", &merged).output().unwrap(), "cannot write");
}

#[test]
fn c03_c05_what_is_no_file_gets_a_line_and_stops_nothing() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    let root = pictures("scan-hostile", 8);
    assert!(Command::new("mkfifo").arg(root.join("pipe.png")).status().unwrap().success());
    symlink(&root, root.join("set-0/up")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("/dev/zero", root.join("zero.png")).unwrap();
    let secret = root.with_file_name("secret.png");
    std::fs::copy(models("samples/real-1.png"), &secret).unwrap();
    symlink(&secret, root.join("outside.png")).unwrap();
    std::fs::write(root.join("empty.png"), "").unwrap();
    std::fs::write(root.join("line\nbreak \u{202e}.png"), "").unwrap();
    let closed = root.join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o0)).unwrap();
    let is_closed = std::fs::read_dir(&closed).is_err();
    let bytes = root.join(std::ffi::OsStr::from_bytes(b"caf\xe9.png"));
    let has_bytes = std::fs::copy(models("samples/real-1.png"), &bytes).is_ok();

    let output = root.with_file_name("out");
    for shard in ["0/3", "1/3", "2/3"] {
        ok(&scan(&root, shard, &output).output().unwrap());
    }
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o755)).unwrap();
    let merged = root.with_file_name("all.jsonl");
    ok(&merge(&[&output], &merged, &[]));
    let mut lines = lines(&merged);
    let mut code = |name: &str| {
        let line = lines.remove(name).unwrap_or_else(|| panic!("{name:?} has no line"));
        line["error"]["code"].as_str().unwrap_or("none").to_owned()
    };
    for name in ["pipe.png", "set-0/up", "loop", "zero.png", "outside.png"] {
        assert_eq!(code(name), "io", "{name}");
    }
    for name in ["empty.png", "line\nbreak \u{202e}.png"] {
        assert_eq!(code(name), "empty", "{name}");
    }
    if is_closed {
        assert_eq!(code("closed"), "io");
    } else {
        eprintln!("left out: a closed folder, since this user may open any");
    }
    if has_bytes {
        let line = lines.remove("caf\u{fffd}.png").unwrap();
        assert_eq!(line["file_bytes"], "636166e92e706e67");
        assert!(line["report"].is_object());
    }
    assert_eq!(lines.into_keys().collect::<BTreeSet<_>>(), names(8));
}

#[test]
fn d03_what_is_not_one_whole_scan_is_not_merged() {
    let root = pictures("scan-merge", 16);
    let folder = |name: &str| root.with_file_name(name);
    let run = |bundle: &str, shard: &str, output: &Path| {
        ok(&scan_with(bundle, &root, shard, output).output().unwrap());
    };
    let (a, b) = (folder("a"), folder("b"));
    run("first-int8", "0/2", &a);
    run("first-int8", "1/2", &b);
    run("first", "1/2", &folder("other-bundle"));
    run("first-int8", "1/3", &folder("other-number"));
    let merged = folder("all.jsonl");
    let refuse = |folders: &[&Path], says: &str| {
        refused(&merge(folders, &merged, &[]), says);
        assert!(!merged.exists());
    };
    refuse(&[&a], "1 of 2 shards are missing: 1");
    refuse(&[&a, &folder("other-bundle")], "another bundle");
    refuse(&[&a, &folder("other-number")], "another number of shards");
    refuse(&[&a, &b, &a], "there twice");
    refuse(&[&root], "holds no shard");

    let part = parts(&b, 1).into_iter().next().unwrap();
    let whole = std::fs::read(&part).unwrap();
    let done = b.join("shard-00001/done.json");
    let manifest = std::fs::read_to_string(&done).unwrap();
    let spoil = |bytes: &[u8], says: &str| {
        std::fs::write(&part, bytes).unwrap();
        refuse(&[&a, &b], says);
        std::fs::write(&part, &whole).unwrap();
    };
    let text = String::from_utf8(whole.clone()).unwrap();
    spoil(text.replace("\"latency_ms\":", "\"latency_ms\": ").as_bytes(), "not what its manifest says");
    spoil(&whole[..whole.len() - 2], "does not end");
    spoil(text.split_inclusive('\n').skip(1).collect::<String>().as_bytes(), "not what its manifest");
    let foreign = std::fs::read(&parts(&a, 0)[0]).unwrap();
    spoil(&foreign, "belongs to another shard");
    let double = format!("{text}{}\n", text.lines().next().unwrap());
    spoil(double.as_bytes(), "has a line already");
    let extra = b.join("shard-00001").join(format!("part-{:06}.jsonl", parts(&b, 1).len()));
    std::fs::write(&extra, &whole).unwrap();
    refuse(&[&a, &b], "its manifest lists");
    std::fs::remove_file(&extra).unwrap();
    let forge = |from: &str, to: &str, says: &str| {
        assert!(manifest.contains(from), "{manifest}");
        std::fs::write(&done, manifest.replace(from, to)).unwrap();
        refuse(&[&a, &b], says);
    };
    forge("\"part-000000.jsonl\"", "\"../../../etc/passwd\"", "is called");
    forge("\"shard\": 1", "\"shard\": 0", "says that it is shard 0");
    forge("\"schema_version\": \"1.0\"", "\"schema_version\": \"2.0\"", "schema_version");
    std::fs::remove_file(&done).unwrap();
    refuse(&[&a, &b], "is not done");
    std::fs::write(&done, &manifest).unwrap();
    ok(&merge(&[&a, &b], &merged, &[]));
    assert_eq!(lines(&merged).into_keys().collect::<BTreeSet<_>>(), names(16));
}

#[test]
fn c06_c07_little_memory_and_no_terminal_are_enough() {
    let root = pictures("scan-small", 12);
    let output = root.with_file_name("out");
    let command = scan(&root, "0/1", &output);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v 524288 && exec \"$@\"", "sh"]).arg(command.get_program());
    shell.args(command.get_args()).env("RAYON_NUM_THREADS", "2");
    shell.envs([("LANG", "C"), ("NO_COLOR", "1"), ("COLUMNS", "20")]);
    let done = shell.output().unwrap();
    let text = ok(&done);
    assert!(text.contains("12 files"), "{text}");
    let is_clean = |bytes: &[u8]| bytes.iter().all(|byte| *byte >= b' ' || *byte == b'\n');
    assert!(is_clean(&done.stdout) && done.stderr.is_empty(), "{text}{}", stderr(&done));
}
