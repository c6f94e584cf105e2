//! Reading and writing files with care: no half file under a final name, no endless or giant input.

use anyhow::{Context, Result, bail, ensure};
use engine::bundle::{self, FileEntry, MANIFEST_NAME};
use engine::{Bundle, Manifest};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Writes `content` to `path` through a temporary neighbour and a rename.
///
/// # Errors
/// If the folder cannot be made or the file not written.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(context)?;
    }
    let mut name = path.file_name().with_context(context)?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().with_context(context).inspect_err(|_| {
        // The error that matters is the first one.
        let _ = std::fs::remove_file(&temporary);
    })
}

/// Writes `value` as indented JSON with a final newline.
///
/// # Errors
/// As [`write_whole`].
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(value)?;
    json.push(b'\n');
    write_whole(path, &json)
}

/// Copies the file at `path`, if there is one, to a neighbour `NAME.bak-N` that is new, and names it.
///
/// # Errors
/// If it cannot be copied.
pub fn back_up(path: &Path) -> Result<Option<PathBuf>> {
    if !path.is_file() {
        return Ok(None);
    }
    let context = || format!("cannot keep a copy of {}", path.display());
    for number in 1_u32.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".bak-{number}"));
        let backup = PathBuf::from(name);
        // Never over another backup, also not one made this moment.
        match std::fs::OpenOptions::new().write(true).create_new(true).open(&backup) {
            Ok(mut file) => {
                let mut content = std::fs::File::open(path).with_context(context)?;
                std::io::copy(&mut content, &mut file).with_context(context)?;
                return Ok(Some(backup));
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(context),
        }
    }
    bail!("{}: too many copies", context())
}

/// The content of the regular file at `path`, at most `limit` bytes.
///
/// # Errors
/// If it is no regular file (a device or pipe could never end), is larger, or does not read.
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>> {
    // One byte more than allowed tells a file that grew meanwhile.
    let content = read_head(path, limit + 1)?;
    ensure!(content.len() as u64 <= limit, "{} has more than {limit} bytes", path.display());
    Ok(content)
}

/// The first `length` bytes of the regular file at `path`, or all if it has fewer.
///
/// # Errors
/// If it is no regular file or does not read.
pub fn read_head(path: &Path, length: u64) -> Result<Vec<u8>> {
    let context = || format!("cannot read {}", path.display());
    let metadata = std::fs::metadata(path).with_context(context)?;
    ensure!(metadata.is_file(), "cannot read {}: it is not a regular file", path.display());
    let mut content = Vec::new();
    let file = std::fs::File::open(path).with_context(context)?;
    file.take(length).read_to_end(&mut content).with_context(context)?;
    Ok(content)
}

/// The verified bundle in `folder`.
///
/// # Errors
/// If the manifest or a file it names is missing, a link, too large or altered.
pub fn read_bundle(folder: &Path) -> Result<Bundle> {
    let manifest = folder.join(MANIFEST_NAME);
    let manifest = read_limited(&manifest, bundle::MAX_MANIFEST_BYTES as u64)
        .with_context(|| format!("{} is not a bundle", folder.display()))?;
    let manifest = Manifest::parse(&manifest).with_context(|| format!("in {}", folder.display()))?;
    // Collected beside, since the engine's errors know no files.
    let mut failed = None;
    let content_of = |entry: &FileEntry| {
        let content = read_entry(&folder.join(&entry.name), entry);
        Ok(content.unwrap_or_else(|error| {
            failed.get_or_insert(error);
            Vec::new()
        }))
    };
    let bundle = Bundle::new(manifest, content_of);
    if let Some(error) = failed {
        return Err(error);
    }
    bundle.with_context(|| format!("in {}", folder.display()))
}

fn read_entry(path: &Path, entry: &FileEntry) -> Result<Vec<u8>> {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    if is_link {
        bail!("{} is a link; a bundle holds its files itself", path.display());
    }
    read_limited(path, entry.bytes.min(bundle::MAX_FILE_BYTES))
}
