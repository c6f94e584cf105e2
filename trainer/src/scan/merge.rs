//! The shards of a scan -> one file, if they are all there, whole, and of one scan.

use super::done::{Counts, Done, ScanIdentity, shard_folder, shard_of_folder};
use super::part::{parts_in, read_part};
use super::shard::Shard;
use crate::bundle::Existing;
use crate::files::WholeFile;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Missing shards that a message names.
const MAX_NAMED: usize = 8;

/// What was put together.
#[derive(Debug)]
pub struct Merged {
    /// What all shards were made with.
    pub scan: ScanIdentity,
    /// What became of the files.
    pub counts: Counts,
}

/// Writes the lines of all shards in `folders`, the outputs of one scan, to `output`, shard by shard.
///
/// # Errors
/// If a shard is missing, there twice, not done, altered, or of another scan, or a file has its line in two shards or in the
/// wrong one; if `output` exists and may not be replaced, or cannot be written. Nothing is left under its name then.
pub fn merge(folders: &[PathBuf], output: &Path, existing: Existing) -> Result<Merged> {
    ensure!(
        existing == Existing::Replace || output.symlink_metadata().is_err(),
        "{} exists already; --force replaces it",
        output.display()
    );
    let shards = shards_of(folders)?;
    let Some((_, (_, first))) = shards.first_key_value() else { bail!("there is no shard") };
    let scan = first.scan.clone();
    let missing: Vec<u32> = (0..scan.shards).filter(|index| !shards.contains_key(index)).collect();
    if !missing.is_empty() {
        let named: Vec<_> = missing.iter().take(MAX_NAMED).map(u32::to_string).collect();
        let more = if missing.len() > MAX_NAMED { " and more" } else { "" };
        bail!("{} of {} shards are missing: {}{more}", missing.len(), scan.shards, named.join(", "));
    }

    let mut file = WholeFile::create(output)?;
    let mut counts = Counts::default();
    for (index, (folder, done)) in &shards {
        let shard = Shard { index: *index, count: scan.shards };
        write_shard(&mut file, shard, folder, done).with_context(|| format!("shard {shard}"))?;
        counts.add(&done.counts);
    }
    file.finish()?;
    Ok(Merged { scan, counts })
}

/// Every shard that is done, by its number.
fn shards_of(folders: &[PathBuf]) -> Result<BTreeMap<u32, (PathBuf, Done)>> {
    let mut shards: BTreeMap<u32, (PathBuf, Done)> = BTreeMap::new();
    for output in folders {
        for index in indices_in(output)? {
            let folder = shard_folder(output, index);
            let done = Done::read(&folder)?
                .with_context(|| format!("{} is not done; run its shard again", folder.display()))?;
            ensure!(done.shard == index, "{} says that it is shard {}", folder.display(), done.shard);
            if let Some((_, (first, other))) = shards.first_key_value() {
                let context = || format!("{} and {} are not of one scan", first.display(), folder.display());
                other.scan.check_same(&done.scan).with_context(context)?;
            }
            if let Some((other, _)) = shards.get(&index) {
                bail!("shard {index} is there twice: {} and {}", other.display(), folder.display());
            }
            shards.insert(index, (folder, done));
        }
    }
    Ok(shards)
}

fn indices_in(output: &Path) -> Result<Vec<u32>> {
    let context = || format!("cannot list {}", output.display());
    let mut indices = Vec::new();
    for entry in std::fs::read_dir(output).with_context(context)? {
        let name = entry.with_context(context)?.file_name();
        indices.extend(name.to_str().and_then(shard_of_folder));
    }
    ensure!(!indices.is_empty(), "{} holds no shard of a scan", output.display());
    indices.sort_unstable();
    Ok(indices)
}

fn write_shard(file: &mut WholeFile, shard: Shard, folder: &Path, done: &Done) -> Result<()> {
    let found = parts_in(folder)?.parts;
    ensure!(
        found == done.parts.len(),
        "{} holds {found} parts, its manifest lists {}",
        folder.display(),
        done.parts.len()
    );
    let mut names = HashSet::new();
    let mut counts = Counts::default();
    for part in &done.parts {
        let read = read_part(folder, &part.file.name, |line, parsed| {
            let name = parsed.name_hash()?;
            ensure!(shard.owns(&name), "the file belongs to another shard");
            ensure!(names.insert(name), "the file has a line already");
            parsed.count(&mut counts)?;
            Ok(file.write_all(line)?)
        })?;
        ensure!(
            read == *part,
            "{} is not what its manifest says: {} bytes of sha256 {}, expected {} of {}",
            folder.join(&part.file.name).display(),
            read.file.bytes,
            read.file.sha256,
            part.file.bytes,
            part.file.sha256
        );
    }
    ensure!(counts == done.counts, "its lines are not what its manifest counts");
    Ok(())
}
