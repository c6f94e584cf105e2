//! Any set: `real` and `fake`, with pictures, videos, or folders of frames in them.

use super::{File, Item, Media, Reader, stem, walk};
use std::path::Path;

const CLASSES: [(&str, u8); 2] = [("fake", 1), ("real", 0)];

pub(super) fn fits(folder: &Path) -> bool {
    CLASSES.iter().any(|(name, _)| walk::is_folder(&folder.join(name)))
}

pub(super) fn read(reader: &mut Reader) {
    read_as(reader, |_| {});
}

/// As [`read`], with `change` to each item.
pub(super) fn read_as(reader: &mut Reader, change: impl Fn(&mut Item)) {
    let dataset = reader.place.dataset.clone();
    for (class, label) in CLASSES {
        reader.walk(class, |file| {
            let video = format!("{dataset}/{class}/{}", clip(&file));
            let mut item = file.item(label, video);
            change(&mut item);
            Ok(item)
        });
    }
}

/// Frames of one folder are of one video; files beside each other are strangers, also where only their
/// extensions differ.
fn clip(file: &File) -> &str {
    match file.parts.as_slice() {
        [_, name] if file.media == Media::Video => stem(name),
        [_, name] => name,
        parts => &parts[1],
    }
}
