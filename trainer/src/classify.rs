//! DFDC as published -> `real` and `fake`, by its metadata.

use crate::files::symlink;
use crate::readers::{Item, Layout, Place};
use crate::report::Listing;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::path::{Component, Path, PathBuf};

const CLASSES: [&str; 2] = ["real", "fake"];

/// How videos get into the sorted folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// As files of their own.
    Copy,
    /// As relative symbolic links; `prepare` follows none, other programs may.
    Symlink,
    /// Not at all: they are counted.
    Analyse,
}

/// What goes where.
#[derive(Debug, Clone)]
pub struct ClassifyConfig {
    /// Folder that gets `real` and `fake`.
    pub output: PathBuf,
    /// How.
    pub placement: Placement,
    /// At most so many of each class, the first by name.
    pub max_per_class: Option<usize>,
}

/// What was found, or done.
#[derive(Debug, Default, Serialize)]
pub struct Classified {
    /// Real videos in place.
    pub real: usize,
    /// Fake videos in place.
    pub fake: usize,
    /// Of these, how many were there before.
    pub present: usize,
    /// What has no label, no file, or could not be placed.
    pub skipped: Listing,
}

/// Sorts the DFDC set in `root`: `PART/VIDEO` becomes `real/PART_VIDEO` or `fake/PART_VIDEO`.
///
/// # Errors
/// If `root` has no metadata or it is broken, or the folders cannot be made. A video that cannot be
/// placed is listed.
pub fn classify(root: &Path, config: &ClassifyConfig) -> Result<Classified> {
    let place = Place { dataset: "dfdc".into(), folder: root.to_owned(), layout: Layout::Dfdc };
    ensure!(place.fits(), "{} holds no {}", root.display(), Layout::Dfdc.looks_for());
    if config.placement != Placement::Analyse {
        for class in CLASSES {
            let folder = config.output.join(class);
            std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
    }
    let mut classified = Classified::default();
    let limit = config.max_per_class.unwrap_or(usize::MAX);
    place.read(&mut |found| {
        let item = match found {
            Ok(item) => item,
            Err((path, reason)) => return classified.skipped.push(&path, reason),
        };
        let count = if item.label == 0 { classified.real } else { classified.fake };
        if count >= limit {
            return;
        }
        match put(root, &item, config) {
            Ok(was_there) => {
                classified.present += usize::from(was_there);
                *(if item.label == 0 { &mut classified.real } else { &mut classified.fake }) += 1;
            }
            Err(error) => classified.skipped.push(&item.path, format!("{error:#}")),
        }
    })?;
    Ok(classified)
}

/// Puts one video in its place; whether it was there before.
fn put(root: &Path, item: &Item, config: &ClassifyConfig) -> Result<bool> {
    let part = item.path.parent().unwrap_or(root).canonicalize()?;
    let name = format!(
        "{}_{}",
        part.file_name().unwrap_or_default().to_string_lossy(),
        item.name.rsplit('/').next().unwrap_or(&item.name)
    );
    let target = config.output.join(CLASSES[usize::from(item.label)]).join(name);
    match config.placement {
        Placement::Analyse => Ok(false),
        Placement::Copy => copy(&item.path, &target),
        Placement::Symlink => link(&item.path, &target),
    }
}

fn copy(source: &Path, target: &Path) -> Result<bool> {
    let bytes = std::fs::metadata(source)?.len();
    if let Ok(there) = std::fs::symlink_metadata(target) {
        let is_it = there.is_file() && there.len() == bytes;
        ensure!(is_it, "{} is there already, and another", target.display());
        return Ok(true);
    }
    let mut temporary = target.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let copied = std::fs::copy(source, &temporary).and_then(|_| std::fs::rename(&temporary, target));
    copied.with_context(|| format!("cannot write {}", target.display())).inspect_err(|_| {
        // The error that matters is the first one.
        let _ = std::fs::remove_file(&temporary);
    })?;
    Ok(false)
}

fn link(source: &Path, target: &Path) -> Result<bool> {
    let folder = target.parent().unwrap_or(target).canonicalize()?;
    let aim = relative(&folder, &source.canonicalize()?);
    if std::fs::symlink_metadata(target).is_ok() {
        let is_it = std::fs::read_link(target).is_ok_and(|there| there == aim);
        ensure!(is_it, "{} is there already, and another", target.display());
        return Ok(true);
    }
    symlink(&aim, target).with_context(|| format!("cannot link {}", target.display()))?;
    Ok(false)
}

/// The way from the folder `from` to `to`, both absolute and without links.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_two_places_is_relative() {
        for (from, to, want) in [("/a/b", "/a/c/d", "../c/d"), ("/a", "/a/b", "b"), ("/x/y", "/a", "../../a")]
        {
            assert_eq!(relative(Path::new(from), Path::new(to)), Path::new(want));
        }
    }
}
