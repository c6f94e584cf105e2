//! Folders of any size and shape, entered without following links.

use std::path::{Path, PathBuf};

/// Deepest nesting that is entered; no published set comes near.
const MAX_DEPTH: usize = 16;

/// A regular file, or what could not be used and why.
pub(super) type Visited = Result<PathBuf, (PathBuf, String)>;

/// Hands every regular file below `folder` to `visit`, by path; so are, as errors, links, pipes, devices
/// and folders that cannot be listed. A `folder` that is absent holds nothing.
pub(super) fn walk(folder: &Path, visit: &mut impl FnMut(Visited)) {
    match std::fs::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_symlink() => visit(Err(link(folder.to_owned()))),
        Ok(_) => enter(folder, 0, visit),
        Err(_) => {}
    }
}

fn enter(folder: &Path, depth: usize, visit: &mut impl FnMut(Visited)) {
    if depth > MAX_DEPTH {
        return visit(Err((folder.to_owned(), format!("more than {MAX_DEPTH} folders deep"))));
    }
    let cannot_list = |error| (folder.to_owned(), format!("cannot list the folder: {error}"));
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return visit(Err(cannot_list(error))),
    };
    let mut listed = Vec::new();
    for entry in entries {
        match entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))) {
            Ok(entry) => listed.push(entry),
            Err(error) => visit(Err(cannot_list(error))),
        }
    }
    listed.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    for (name, kind) in listed {
        let path = folder.join(name);
        match kind {
            kind if kind.is_dir() => enter(&path, depth + 1, visit),
            kind if kind.is_file() => visit(Ok(path)),
            kind if kind.is_symlink() => visit(Err(link(path))),
            _ => visit(Err((path, "not a regular file".into()))),
        }
    }
}

fn link(path: PathBuf) -> (PathBuf, String) {
    (path, "a link, which is not followed".into())
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
