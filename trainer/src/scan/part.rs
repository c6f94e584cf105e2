//! The files with the lines of a shard, each under its name only when it is whole.

use super::done::{Counts, Part, part_name};
use super::shard::NameHash;
use crate::detect::Finding;
use crate::files::{WholeFile, open_regular, sync_folder};
use anyhow::{Context, Result, bail, ensure};
use engine::bundle::FileEntry;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// Longest line that is read: paths have a few kilobytes, reports another.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// End of the name of a file that is not whole.
const TEMPORARY: &str = ".tmp";

/// What a line says, as far as it is needed again.
#[derive(Debug, Deserialize)]
pub struct Line {
    file: String,
    file_bytes: Option<String>,
    report: Option<LineReport>,
    error: Option<LineError>,
}

#[derive(Debug, Deserialize)]
struct LineReport {
    verdict: LineVerdict,
}

#[derive(Debug, Deserialize)]
struct LineVerdict {
    label: String,
}

#[derive(Debug, Deserialize)]
struct LineError {
    code: String,
}

impl Line {
    /// The hash of the file's name.
    ///
    /// # Errors
    /// If the name's bytes are not hexadecimal digits.
    pub fn name_hash(&self) -> Result<NameHash> {
        let Some(hex) = &self.file_bytes else { return Ok(NameHash::of_bytes(self.file.as_bytes())) };
        let digits: Option<Vec<u32>> = hex.chars().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() % 2 == 0);
        let digits = digits.with_context(|| format!("file_bytes is {hex:?}"))?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
        Ok(NameHash::of_bytes(&bytes))
    }

    /// Counts what became of the file.
    ///
    /// # Errors
    /// If the line has not either a report or an error.
    pub fn count(&self, counts: &mut Counts) -> Result<()> {
        match (&self.report, &self.error) {
            (Some(report), None) => counts.add_label(&report.verdict.label),
            (None, Some(error)) => counts.add_error(&error.code),
            _ => bail!("it needs either a report or an error"),
        }
        Ok(())
    }
}

/// Reads the part called `name` in `folder` line by line, each with its line break.
///
/// # Errors
/// If it is no regular file, has a line that is not whole or not ours, or `take` refuses one.
pub fn read_part(
    folder: &Path,
    name: &str,
    mut take: impl FnMut(&[u8], &Line) -> Result<()>,
) -> Result<Part> {
    let path = folder.join(name);
    let mut reader = BufReader::new(open_regular(&path)?);
    let (mut digest, mut bytes, mut lines) = (Sha256::new(), 0_u64, 0_u64);
    let mut line = Vec::new();
    loop {
        line.clear();
        let context = || format!("in line {} of {}", lines + 1, path.display());
        reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line).with_context(context)?;
        if line.is_empty() {
            break;
        }
        ensure!(line.ends_with(b"\n"), "{}: it does not end, or is too long", context());
        let parsed: Line = serde_json::from_slice(&line).with_context(context)?;
        take(&line, &parsed).with_context(context)?;
        digest.update(&line);
        bytes += line.len() as u64;
        lines += 1;
    }
    Ok(Part { file: FileEntry { name: name.into(), bytes, sha256: hex(digest) }, lines })
}

/// The lines of a shard while it is scanned.
pub struct ShardParts {
    folder: PathBuf,
    lines_a_part: u64,
    parts: Vec<Part>,
    counts: Counts,
    /// Of every file that has a line.
    names: HashSet<NameHash>,
    open: Option<OpenPart>,
}

struct OpenPart {
    file: WholeFile,
    digest: Sha256,
    bytes: u64,
    lines: u64,
}

impl ShardParts {
    /// What earlier runs wrote to `folder`; what they left half done is removed.
    ///
    /// # Errors
    /// If the folder holds a part that is not whole, not ours, or out of order.
    pub fn resume(folder: &Path, lines_a_part: u64) -> Result<Self> {
        let mut shard = ShardParts {
            folder: folder.to_owned(),
            lines_a_part: lines_a_part.max(1),
            parts: Vec::new(),
            counts: Counts::default(),
            names: HashSet::new(),
            open: None,
        };
        let found = parts_in(folder)?;
        for temporary in &found.temporary {
            std::fs::remove_file(folder.join(temporary))
                .with_context(|| format!("cannot remove {}", folder.join(temporary).display()))?;
        }
        for number in 0..found.parts {
            let part = read_part(folder, &part_name(number), |_, line| {
                ensure!(shard.names.insert(line.name_hash()?), "{:?} has a line already", line.file);
                line.count(&mut shard.counts)
            })?;
            shard.parts.push(part);
        }
        Ok(shard)
    }

    /// Takes note of the file with this hash; false if it has a line already.
    pub fn is_new(&mut self, name: NameHash) -> bool {
        self.names.insert(name)
    }

    /// How many files have a line.
    pub fn files(&self) -> u64 {
        self.counts.files
    }

    /// Adds the line of a file that [`ShardParts::is_new`] told to be new.
    ///
    /// # Errors
    /// If the disk takes it not.
    pub fn push(&mut self, finding: &Finding) -> Result<()> {
        let mut line = serde_json::to_vec(finding)?;
        line.push(b'\n');
        let path = self.folder.join(part_name(self.parts.len()));
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(OpenPart {
                file: WholeFile::create(&path)?,
                digest: Sha256::new(),
                bytes: 0,
                lines: 0,
            }),
        };
        open.file.write_all(&line).with_context(|| format!("cannot write {}", path.display()))?;
        open.digest.update(&line);
        open.bytes += line.len() as u64;
        open.lines += 1;
        // As a later run will read it.
        serde_json::from_slice::<Line>(&line)?.count(&mut self.counts)?;
        if open.lines >= self.lines_a_part { self.close() } else { Ok(()) }
    }

    /// Gives the part in hand its name, however few lines it has.
    ///
    /// # Errors
    /// If the disk takes it not, or there is a file of that name.
    pub fn close(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let name = part_name(self.parts.len());
        let path = self.folder.join(&name);
        ensure!(!path.exists(), "{} was written by another program", path.display());
        open.file.finish()?;
        sync_folder(&self.folder).with_context(|| format!("cannot write {}", path.display()))?;
        let file = FileEntry { name, bytes: open.bytes, sha256: hex(open.digest) };
        self.parts.push(Part { file, lines: open.lines });
        Ok(())
    }

    /// Every part and what became of the files, once all of them have a line.
    ///
    /// # Errors
    /// As [`ShardParts::close`].
    pub fn finish(mut self) -> Result<(Vec<Part>, Counts)> {
        self.close()?;
        Ok((self.parts, self.counts))
    }
}

/// What lies in a shard's folder.
pub struct FoundParts {
    /// Number of parts: they are numbered from 0 without a gap.
    pub parts: usize,
    /// What a run that was killed left.
    pub temporary: Vec<String>,
}

/// Looks for parts in `folder`.
///
/// # Errors
/// If it cannot be listed, or a part is missing between others.
pub fn parts_in(folder: &Path) -> Result<FoundParts> {
    let context = || format!("cannot list {}", folder.display());
    let (mut numbers, mut temporary) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let name = entry.with_context(context)?.file_name();
        // What else lies there is nobody's business.
        let Some(name) = name.to_str() else { continue };
        let is_ours = name.starts_with("part-") || name.starts_with(super::done::DONE_NAME);
        if is_ours && name.ends_with(TEMPORARY) {
            temporary.push(name.to_owned());
        } else if let Some(number) = name.strip_prefix("part-").and_then(|name| name.strip_suffix(".jsonl")) {
            let number: usize = number
                .parse()
                .ok()
                .filter(|number| part_name(*number) == name)
                .with_context(|| format!("{} is no part of a scan", folder.join(name).display()))?;
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    if let Some((missing, _)) = numbers.iter().enumerate().find(|(at, number)| at != *number) {
        bail!("{} is missing, and later parts are there", folder.join(part_name(missing)).display());
    }
    Ok(FoundParts { parts: numbers.len(), temporary })
}

fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
