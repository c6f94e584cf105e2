//! FaceForensics++ (<https://arxiv.org/abs/1901.08971>).
//!
//! `original_sequences/{youtube,actors}/COMPRESSION/videos/ID.mp4` and
//! `manipulated_sequences/METHOD/COMPRESSION/videos/TARGET_SOURCE.mp4`, compression `c0` (or `raw`),
//! `c23`, `c40`; folders of frames may stand for videos. `{train,val,test}.json` (also in `splits/`)
//! hold the publishers' pairs of ids.

use super::{Compression, Reader, walk};
use crate::dataset::Split;
use crate::files::read_limited;
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use std::collections::HashMap;
use std::path::Path;

const CLASSES: [(&str, u8); 2] = [("manipulated_sequences", 1), ("original_sequences", 0)];
/// The published lists have some kilobytes.
const MAX_LIST_BYTES: u64 = 4 << 20;

pub(super) fn fits(folder: &Path) -> bool {
    CLASSES.iter().any(|(name, _)| walk::is_folder(&folder.join(name)))
}

pub(super) fn read(reader: &mut Reader) -> Result<()> {
    let official = official_splits(&reader.place.folder)?;
    for (class, label) in CLASSES {
        reader.walk(class, |file| {
            let [_, method, compression, ..] = file.parts.as_slice() else {
                return Err(format!("not in {class}/METHOD/COMPRESSION/"));
            };
            let Ok(compression) = Compression::from_str(compression, false) else {
                return Err(format!("{compression:?} is no compression of FF++ (c0, raw, c23, c40)"));
            };
            if file.parts.iter().any(|part| part == "masks") {
                return Err("a mask".into());
            }
            // `videos/` or `images/` (frames) lies between, or is left out.
            let depth = if ["videos", "images", "frames"].contains(&file.parts[3].as_str()) { 4 } else { 3 };
            let (method, clip) = (method.clone(), file.clip(depth).to_owned());
            let mut item = file.item(label, format!("ffpp/{class}/{method}/{clip}"));
            item.identities = identities(&clip);
            let splits: Option<Vec<Split>> =
                item.identities.iter().map(|id| official.get(id).copied()).collect();
            // A pair across lists is nobody's; the split drops it for the identities' sake.
            item.official = splits.and_then(|splits| splits.into_iter().max());
            item.method = (label == 1).then_some(method);
            item.compression = Some(compression);
            item.legacy_key = clip;
            Ok(item)
        });
    }
    Ok(())
}

/// `000` -> 000; `000_003` -> 000 and 003; actors' `01_02__walking__X` -> actors 01 and 02.
pub(super) fn identities(clip: &str) -> Vec<String> {
    let (people, of) = match clip.split_once("__") {
        Some((people, _)) => (people, "ffpp/actor"),
        None => (clip, "ffpp"),
    };
    people.split('_').map(|id| format!("{of}/{id}")).collect()
}

/// The split of each id on the publishers' lists; empty without lists.
fn official_splits(folder: &Path) -> Result<HashMap<String, Split>> {
    let mut split_of = HashMap::new();
    for split in [Split::Train, Split::Val, Split::Test] {
        let name = format!("{}.json", split.name());
        let places = [folder.join("splits").join(&name), folder.join(&name)];
        let Some(path) = places.iter().find(|path| walk::is_file(path)) else {
            continue;
        };
        let pairs: Vec<[String; 2]> = serde_json::from_slice(&read_limited(path, MAX_LIST_BYTES)?)
            .with_context(|| format!("{} is no list of pairs of ids", path.display()))?;
        for id in pairs.into_iter().flatten() {
            let earlier = split_of.insert(format!("ffpp/{id}"), split);
            ensure!(
                earlier.is_none_or(|earlier| earlier == split),
                "{}: id {id} is on two lists: the official splits leak",
                path.display()
            );
        }
    }
    Ok(split_of)
}
