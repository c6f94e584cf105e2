//! The folder of a bundle: read with every file checked, written whole or not at all.

use crate::files::{read_limited, sync_folder};
use anyhow::{Context, Result, bail, ensure};
use engine::bundle::{FileEntry, MANIFEST_NAME, MAX_FILE_BYTES, MAX_FILES, MAX_MANIFEST_BYTES, sha256_hex};
use engine::{Bundle, Manifest};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The verified bundle in `folder`.
///
/// # Errors
/// If the manifest or a file it names is missing, a link, too large or altered, or if the folder holds anything else.
pub fn read_bundle(folder: &Path) -> Result<Bundle> {
    Ok(read_bundle_with_digest(folder)?.0)
}

/// As [`read_bundle`], with the lower-case hexadecimal SHA-256 of the manifest, which names the digest of all else.
///
/// # Errors
/// Those of [`read_bundle`].
pub fn read_bundle_with_digest(folder: &Path) -> Result<(Bundle, String)> {
    let json = read_manifest_bytes(folder)?;
    let manifest = Manifest::parse(&json).with_context(|| format!("in {}", folder.display()))?;
    check_listing(folder, &manifest)?;
    // Collected beside, since the engine's errors know no files.
    let mut failed = None;
    let content_of = |entry: &FileEntry| {
        let content = read_own(&folder.join(&entry.name), entry.bytes.min(MAX_FILE_BYTES));
        Ok(content.unwrap_or_else(|error| {
            failed.get_or_insert(error);
            Vec::new()
        }))
    };
    let bundle = Bundle::new(manifest, content_of);
    if let Some(error) = failed {
        return Err(error);
    }
    Ok((bundle.with_context(|| format!("in {}", folder.display()))?, sha256_hex(&json)))
}

fn read_manifest(folder: &Path) -> Result<Manifest> {
    Manifest::parse(&read_manifest_bytes(folder)?).with_context(|| format!("in {}", folder.display()))
}

fn read_manifest_bytes(folder: &Path) -> Result<Vec<u8>> {
    read_own(&folder.join(MANIFEST_NAME), MAX_MANIFEST_BYTES as u64)
        .with_context(|| format!("{} is not a bundle", folder.display()))
}

/// Refuses whatever lies in `folder` and is no file that the manifest lists.
fn check_listing(folder: &Path, manifest: &Manifest) -> Result<()> {
    let context = || format!("cannot list {}", folder.display());
    // One more than a bundle may have tells all the same, however many there are.
    for entry in std::fs::read_dir(folder).with_context(context)?.take(MAX_FILES + 2) {
        let name = entry.with_context(context)?.file_name();
        let is_listed =
            name.to_str().is_some_and(|name| name == MANIFEST_NAME || manifest.file(name).is_some());
        ensure!(
            is_listed,
            "{} holds {name:?}, which {MANIFEST_NAME} does not list; a bundle holds its own files alone",
            folder.display()
        );
    }
    Ok(())
}

/// The content of a file that lies in the bundle itself: no link of either kind, no device, no pipe.
pub(crate) fn read_own(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let metadata =
        std::fs::symlink_metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_link = metadata.is_symlink();
    #[cfg(unix)]
    let is_link = {
        use std::os::unix::fs::MetadataExt;
        is_link || metadata.is_file() && metadata.nlink() > 1
    };
    ensure!(!is_link, "{} is a link; a bundle holds its files itself", path.display());
    read_limited(path, limit)
}

/// What becomes of a bundle that has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is written.
    Refuse,
    /// It is replaced, if it is a bundle and nothing else.
    Replace,
}

/// A folder that is written beside its place and gets its name when it is whole.
pub struct NewFolder {
    path: PathBuf,
    temporary: PathBuf,
    existing: Existing,
    is_named: bool,
}

impl NewFolder {
    /// An empty folder for `path`, whose parents are made.
    ///
    /// # Errors
    /// If `path` exists and may not be replaced, or the folder cannot be made.
    pub fn create(path: &Path, existing: Existing) -> Result<Self> {
        let context = || format!("cannot write {}", path.display());
        check_free(path, existing)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).with_context(context)?;
        }
        let temporary = neighbour(path, "tmp").with_context(context)?;
        std::fs::create_dir(&temporary).with_context(context)?;
        Ok(NewFolder { path: path.to_owned(), temporary, existing, is_named: false })
    }

    /// Where the folder lies until it is whole.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Writes the new file `name`, down to the disk.
    ///
    /// # Errors
    /// If the name is taken, or the file cannot be written whole.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let write = || -> std::io::Result<()> {
            // Follows no link and replaces nothing.
            let mut file = OpenOptions::new().write(true).create_new(true).open(self.temporary.join(name))?;
            file.write_all(content)?;
            file.sync_all()
        };
        write().with_context(|| format!("cannot write {name} of {}", self.path.display()))
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    /// If that is taken meanwhile, or the system refuses; what had the name keeps it then.
    pub fn finish(mut self) -> Result<()> {
        let context = || format!("cannot write {}", self.path.display());
        sync_folder(&self.temporary).with_context(context)?;
        check_free(&self.path, self.existing)?;
        if self.path.symlink_metadata().is_ok() {
            let old = neighbour(&self.path, "old").with_context(context)?;
            std::fs::rename(&self.path, &old).with_context(context)?;
            if let Err(error) = std::fs::rename(&self.temporary, &self.path) {
                std::fs::rename(&old, &self.path).with_context(context)?;
                return Err(error).with_context(context);
            }
            self.is_named = true;
            std::fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
        } else {
            std::fs::rename(&self.temporary, &self.path).with_context(context)?;
            self.is_named = true;
        }
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_folder(parent.unwrap_or(Path::new(".")))
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.is_named {
            // The error that matters is the first one.
            let _ = std::fs::remove_dir_all(&self.temporary);
        }
    }
}

/// Refuses a `path` that exists, unless it is a bundle that may be replaced.
fn check_free(path: &Path, existing: Existing) -> Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
        Ok(_) if existing == Existing::Refuse => {
            bail!("{} exists already; --force replaces a bundle", path.display())
        }
        Ok(metadata) => {
            let is_bundle = || read_manifest(path).and_then(|manifest| check_listing(path, &manifest));
            let not_one = || format!("{} is not a bundle; --force replaces nothing else", path.display());
            ensure!(metadata.is_dir(), "{}", not_one());
            is_bundle().with_context(not_one)
        }
    }
}

/// `NAME.PROCESS.END` beside `path`.
fn neighbour(path: &Path, end: &str) -> Result<PathBuf> {
    let mut name = path.file_name().context("it has no name")?.to_owned();
    name.push(format!(".{}.{end}", std::process::id()));
    Ok(path.with_file_name(name))
}
