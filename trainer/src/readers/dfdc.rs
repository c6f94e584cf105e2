//! DFDC (<https://arxiv.org/abs/2006.07397>), as published or sorted into `real` and `fake`.
//!
//! As published each part has a `metadata.json`:
//! `{"a.mp4": {"label": "FAKE", "split": "train", "original": "b.mp4"}}`.

use super::{Item, Media, Reader, folders, stem, walk};
use crate::dataset::Split;
use crate::files::read_limited;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

const METADATA: &str = "metadata.json";
/// A part of the published set has about 0.3 MB.
const MAX_METADATA_BYTES: u64 = 64 << 20;

#[derive(Deserialize)]
struct Entry {
    label: Option<String>,
    split: Option<String>,
    original: Option<String>,
}

pub(super) fn fits(folder: &Path) -> bool {
    std::iter::once(folder.to_owned())
        .chain(walk::folders_of(folder))
        .any(|part| walk::is_file(&part.join(METADATA)))
}

pub(super) fn is_classified(folder: &Path) -> bool {
    let name = folder.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase());
    name.is_some_and(|name| name.starts_with("dfdc")) && folders::fits(folder)
}

pub(super) fn read(reader: &mut Reader) -> Result<()> {
    let root = &reader.place.folder;
    for part in std::iter::once(root.clone()).chain(walk::folders_of(root)) {
        let path = part.join(METADATA);
        if walk::is_file(&path) {
            let entries: BTreeMap<String, Entry> =
                serde_json::from_slice(&read_limited(&path, MAX_METADATA_BYTES)?)
                    .with_context(|| format!("in {}", path.display()))?;
            for (name, entry) in entries {
                let found = item(root, &part, &name, &entry);
                (reader.take)(found.map_err(|reason| (path.clone(), format!("{name:?}: {reason}"))));
            }
        }
    }
    Ok(())
}

fn item(root: &Path, part: &Path, name: &str, entry: &Entry) -> Result<Item, String> {
    // A name from a file could point anywhere.
    if name.contains(['/', '\\']) || name.starts_with('.') {
        return Err("not the name of a file beside the list".into());
    }
    let path = part.join(name);
    let media = Media::of(&path).ok_or("neither picture nor video")?;
    if !walk::is_file(&path) {
        return Err("in the list, but no regular file".into());
    }
    let label = match entry.label.as_deref() {
        Some("REAL") => 0,
        Some("FAKE") => 1,
        Some(other) => return Err(format!("label {other:?} is neither REAL nor FAKE")),
        None => return Err("no label".into()),
    };
    let official = match entry.split.as_deref() {
        Some("test") => Some(Split::Test),
        Some("validation" | "val") => Some(Split::Val),
        // All of the public training set says "train", which leaves nothing to choose by.
        _ => None,
    };
    let relative = path.strip_prefix(root).map_err(|error| error.to_string())?;
    let video = format!("dfdc/{}", stem(name));
    let source = entry.original.as_deref().map_or(video.clone(), |name| format!("dfdc/{}", stem(name)));
    Ok(Item {
        name: relative.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/"),
        media,
        label,
        identities: vec![source],
        video,
        method: None,
        compression: None,
        official,
        legacy_key: legacy_key(label, stem(name)),
        path,
    })
}

pub(super) fn read_classified(reader: &mut Reader) {
    folders::read_as(reader, |item| {
        let clip = item.video.rsplit('/').next().unwrap_or(&item.video);
        item.legacy_key = legacy_key(item.label, clip);
    });
}

fn legacy_key(label: u8, clip: &str) -> String {
    format!("dfdc_{}_{clip}", if label == 0 { "real" } else { "fake" })
}
