//! Folders of any size and shape, entered without following links.

use std::path::{Path, PathBuf};

/// Deepest nesting that is entered; no published set comes near.
const MAX_DEPTH: usize = 16;

/// What could not be used, and why.
pub(super) type Skipped = Vec<(PathBuf, String)>;

/// Hands every regular file below `folder` to `visit`, a folder at a time. Links, pipes, devices and
/// folders that cannot be listed go to `skipped`. A `folder` that is absent holds nothing.
pub(super) fn walk(folder: &Path, skipped: &mut Skipped, visit: &mut impl FnMut(PathBuf, &mut Skipped)) {
    match std::fs::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_symlink() => {
            skipped.push((folder.to_owned(), "a link, which is not followed".into()));
        }
        Ok(_) => enter(folder, 0, skipped, visit),
        Err(_) => {}
    }
}

fn enter(folder: &Path, depth: usize, skipped: &mut Skipped, visit: &mut impl FnMut(PathBuf, &mut Skipped)) {
    if depth > MAX_DEPTH {
        skipped.push((folder.to_owned(), format!("more than {MAX_DEPTH} folders deep")));
        return;
    }
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            skipped.push((folder.to_owned(), format!("cannot list the folder: {error}")));
            return;
        }
    };
    for entry in entries {
        let kind = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)));
        match kind {
            Ok((path, kind)) if kind.is_dir() => enter(&path, depth + 1, skipped, visit),
            Ok((path, kind)) if kind.is_file() => visit(path, skipped),
            Ok((path, kind)) if kind.is_symlink() => {
                skipped.push((path, "a link, which is not followed".into()));
            }
            Ok((path, _)) => skipped.push((path, "not a regular file".into())),
            Err(error) => skipped.push((folder.to_owned(), format!("cannot list the folder: {error}"))),
        }
    }
}

/// Whether `path` is a folder itself, not a link to one.
pub(super) fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Whether `path` is a regular file itself, not a link to one.
pub(super) fn is_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// The folders right below `folder`, by name; none if it cannot be listed.
pub(super) fn folders_of(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<_> =
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()).collect();
    folders.sort();
    folders
}
