//! The files below a folder, in an order that does not change, without knowing them all at once.
//!
//! Names are taken in the order of their bytes, folder by folder; what is held are the names of the folders on the way
//! down, and of their files only those of one shard. Links are not followed, so nothing is met twice and nothing outside
//! the folder is met at all.

use super::shard::{NameHash, Shard};
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs::FileType;
use std::path::{Path, PathBuf};

/// Folders in folders; systems refuse longer paths anyway.
const MAX_DEPTH: usize = 1000;

/// Something that was met, and belongs to the shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// Its path below the folder.
    pub relative: PathBuf,
    /// The hash of that.
    pub hash: NameHash,
    /// What it is.
    pub kind: Kind,
}

/// What was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// Something that is not read, and why.
    Refused(String),
}

/// Walks through a folder.
pub struct Walk {
    root: PathBuf,
    shard: Shard,
    /// The folders on the way down, with what is left of each.
    levels: Vec<Level>,
}

struct Level {
    /// Below the root.
    folder: PathBuf,
    entries: std::vec::IntoIter<Entry>,
}

struct Entry {
    name: Box<OsStr>,
    kind: EntryKind,
}

enum EntryKind {
    Folder,
    File,
    Refused(&'static str),
}

impl Walk {
    /// A walk through `root` that meets what belongs to `shard`.
    ///
    /// # Errors
    /// If `root` is no folder that can be listed.
    pub fn new(root: &Path, shard: Shard) -> Result<Self> {
        let mut walk = Walk { root: root.to_owned(), shard, levels: Vec::new() };
        let top = walk.list(PathBuf::new()).with_context(|| format!("cannot list {}", root.display()))?;
        walk.levels.push(top);
        Ok(walk)
    }

    /// What lies in `folder`: its folders, and of the rest what belongs to the shard.
    fn list(&self, folder: PathBuf) -> std::io::Result<Level> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(self.root.join(&folder))? {
            let entry = entry?;
            let kind = kind_of(entry.file_type()?);
            let name = entry.file_name();
            if matches!(kind, EntryKind::Folder) || self.shard.owns(&NameHash::of_path(&folder.join(&name))) {
                entries.push(Entry { name: name.into_boxed_os_str(), kind });
            }
        }
        entries.sort_unstable_by(|a, b| a.name.as_encoded_bytes().cmp(b.name.as_encoded_bytes()));
        Ok(Level { folder, entries: entries.into_iter() })
    }

    /// Goes down into `folder`, or says why not.
    fn enter(&mut self, folder: PathBuf) -> Option<Met> {
        let listed = if self.levels.len() < MAX_DEPTH {
            self.list(folder.clone())
        } else {
            Err(std::io::Error::other(format!("more than {MAX_DEPTH} folders in each other")))
        };
        match listed {
            Ok(level) => {
                self.levels.push(level);
                None
            }
            Err(error) => {
                let met = met(folder, Kind::Refused(format!("the folder cannot be listed: {error}")));
                self.shard.owns(&met.hash).then_some(met)
            }
        }
    }
}

impl Iterator for Walk {
    /// Nothing, where a step met nothing of the shard: whoever walks may stop between steps.
    type Item = Option<Met>;

    fn next(&mut self) -> Option<Option<Met>> {
        let level = self.levels.last_mut()?;
        let Some(entry) = level.entries.next() else {
            self.levels.pop();
            return Some(None);
        };
        let relative = level.folder.join(&*entry.name);
        Some(match entry.kind {
            EntryKind::Folder => self.enter(relative),
            EntryKind::File => Some(met(relative, Kind::File)),
            EntryKind::Refused(why) => Some(met(relative, Kind::Refused(why.into()))),
        })
    }
}

fn kind_of(kind: FileType) -> EntryKind {
    if kind.is_dir() {
        EntryKind::Folder
    } else if kind.is_file() {
        EntryKind::File
    } else if kind.is_symlink() {
        EntryKind::Refused("it is a link, and links are not followed")
    } else {
        EntryKind::Refused("it is not a regular file")
    }
}

fn met(relative: PathBuf, kind: Kind) -> Met {
    Met { hash: NameHash::of_path(&relative), relative, kind }
}
