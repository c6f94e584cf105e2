//! Any set: `real` and `fake`, with pictures, videos, or folders of frames in them.

use super::{Set, stem, walk};
use std::path::Path;

const CLASSES: [(&str, u8); 2] = [("real", 0), ("fake", 1)];

pub(super) fn fits(folder: &Path) -> bool {
    CLASSES.iter().any(|(name, _)| walk::is_folder(&folder.join(name)))
}

pub(super) fn read(set: &mut Set) {
    let dataset = set.dataset.clone();
    for (class, label) in CLASSES {
        set.walk(class, |file| {
            // Frames of one folder are of one video; files beside each other are strangers, also
            // where only their extensions differ.
            let clip = match file.parts.as_slice() {
                [_, name] if file.media == super::Media::Video => stem(name),
                [_, name] => name,
                parts => &parts[1],
            };
            let video = format!("{dataset}/{class}/{clip}");
            Ok(file.item(label, video))
        });
    }
}
