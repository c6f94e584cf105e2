//! Reading and writing files with care: no half file under a final name, no endless or giant input.

use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Largest configuration.
pub const MAX_TEXT_BYTES: u64 = 1 << 20;

/// A file that is written beside its place and gets its name when it is whole.
pub struct WholeFile {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    is_named: bool,
}

impl WholeFile {
    /// An empty file for `path`, whose folder is made.
    ///
    /// # Errors
    /// If the folder or file cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let context = || format!("cannot write {}", path.display());
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).with_context(context)?;
        }
        let mut name = path.file_name().with_context(context)?.to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = BufWriter::new(File::create(&temporary).with_context(context)?);
        Ok(WholeFile { path: path.to_owned(), temporary, file, is_named: false })
    }

    /// Gives the file its name, in place of one that has it.
    ///
    /// # Errors
    /// If it cannot be written whole.
    pub fn finish(mut self) -> Result<()> {
        let mut finish = || -> std::io::Result<()> {
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            std::fs::rename(&self.temporary, &self.path)
        };
        finish().with_context(|| format!("cannot write {}", self.path.display()))?;
        self.is_named = true;
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.is_named {
            // The error that matters is the first one.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Writes `content` to `path` through a temporary neighbour and a rename.
///
/// # Errors
/// If the folder cannot be made or the file not written.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = WholeFile::create(path)?;
    file.write_all(content).with_context(|| format!("cannot write {}", path.display()))?;
    file.finish()
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

/// Brings the names in `folder` to the disk, where systems know that.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
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
                let mut content = File::open(path).with_context(context)?;
                std::io::copy(&mut content, &mut file).with_context(context)?;
                return Ok(Some(backup));
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(context),
        }
    }
    bail!("{}: too many copies", context())
}

/// The regular file at `path`, open for reading.
///
/// # Errors
/// If it is no regular file (a device or pipe could never end), or does not open.
pub fn open_regular(path: &Path) -> Result<File> {
    let context = || format!("cannot read {}", path.display());
    // Before it is opened, too, since opening a pipe waits for a writer.
    let is_regular = std::fs::metadata(path).with_context(context)?.is_file();
    ensure!(is_regular, "cannot read {}: it is not a regular file", path.display());
    let file = File::open(path).with_context(context)?;
    let is_regular = file.metadata().with_context(context)?.is_file();
    ensure!(is_regular, "cannot read {}: it is not a regular file", path.display());
    Ok(file)
}

/// The content of the regular file at `path`, at most `limit` bytes.
///
/// # Errors
/// If it is no regular file, is larger, or does not read.
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
    let mut content = Vec::new();
    let read = open_regular(path)?.take(length).read_to_end(&mut content);
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(content)
}

/// The text of a configuration, of at most [`MAX_TEXT_BYTES`].
///
/// # Errors
/// As [`read_limited`], and with the line if it is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read_limited(path, MAX_TEXT_BYTES)?).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        anyhow::anyhow!("{} is not UTF-8 text, first in line {line}", path.display())
    })
}

/// Makes `path` a symbolic link to the file `aim`.
///
/// # Errors
/// If the system refuses, as Windows does without the right to.
pub fn symlink(aim: &Path, path: &Path) -> std::io::Result<()> {
    #[cfg(windows)]
    return std::os::windows::fs::symlink_file(aim, path);
    #[cfg(not(windows))]
    return std::os::unix::fs::symlink(aim, path);
}

/// The bytes of `path` in hexadecimal, where its text would not give them back.
pub fn path_bytes(path: &Path) -> Option<String> {
    let hex =
        |path: &Path| path.as_os_str().as_encoded_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    path.to_str().is_none().then(|| hex(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("aware-files-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_file_that_is_given_up_leaves_nothing() {
        let path = file("given-up");
        let mut half = WholeFile::create(&path).unwrap();
        half.write_all(b"half").unwrap();
        let temporary = half.temporary.clone();
        drop(half);
        assert!(!path.exists() && !temporary.exists());
    }

    #[test]
    fn text_that_is_none_is_refused_with_its_line() {
        let path = file("text");
        std::fs::write(&path, b"one\ntwo\nthr\xffee\n").unwrap();
        let error = read_text(&path).unwrap_err().to_string();
        assert!(error.contains("line 3"), "{error}");
        // A sparse file of a hundred megabytes.
        File::create(&path).unwrap().set_len(100 << 20).unwrap();
        let error = read_text(&path).unwrap_err().to_string();
        assert!(error.contains("more than 1048576 bytes"), "{error}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn c03_a_file_that_grows_while_it_is_read_ends() {
        let path = file("grows");
        let limit = 1 << 20;
        std::fs::write(&path, vec![0; limit / 2]).unwrap();
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
                for _ in 0..64 {
                    file.write_all(&vec![0; limit / 2]).unwrap();
                }
                is_done.store(true, Ordering::Release);
            });
            while !is_done.load(Ordering::Acquire) {
                if let Ok(content) = read_limited(&path, limit as u64) {
                    assert!(content.len() <= limit);
                }
            }
        });
        assert!(read_limited(&path, limit as u64).is_err());
        std::fs::remove_file(&path).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn c03_a_device_is_not_opened() {
        let error = read_limited(Path::new("/dev/zero"), 10).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn c05_a_name_that_is_no_text_is_given_as_bytes() {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"a\xff.png");
        assert_eq!(path_bytes(Path::new(name)).as_deref(), Some("61ff2e706e67"));
        assert_eq!(path_bytes(Path::new("a\u{fffd}.png")), None);
    }
}
