//! Celeb-DF v2 (<https://arxiv.org/abs/1909.12962>).
//!
//! `Celeb-real/id0_0001.mp4`, `YouTube-real/00170.mp4`, `Celeb-synthesis/id0_id16_0000.mp4`: person
//! `id0` with the face of `id16`. A folder of frames may stand for a video.

use super::{Reader, walk};
use crate::dataset::Split;
use crate::files::read_limited;
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeSet, HashSet};
use std::path::Path;

const CLASSES: [(&str, u8); 3] = [("Celeb-real", 0), ("Celeb-synthesis", 1), ("YouTube-real", 0)];
/// The publishers' test videos: a line `LABEL FOLDER/FILE` each, label 1 being real.
const TEST_LIST: &str = "List_of_testing_videos.txt";
/// The published list has 518 lines.
const MAX_LIST_BYTES: u64 = 4 << 20;

pub(super) fn fits(folder: &Path) -> bool {
    ["Celeb-real", "Celeb-synthesis"].iter().any(|name| walk::is_folder(&folder.join(name)))
}

pub(super) fn read(reader: &mut Reader) -> Result<()> {
    let on_list = test_list(&reader.place.folder.join(TEST_LIST))?;
    let mut absent: BTreeSet<&String> = on_list.iter().collect();
    for (class, label) in CLASSES {
        reader.walk(class, |file| {
            let clip = file.clip(1).to_owned();
            let video = format!("{class}/{clip}");
            absent.remove(&video);
            let mut item = file.item(label, format!("celebdf/{video}"));
            item.identities = identities(&clip).unwrap_or_else(|| vec![item.video.clone()]);
            item.method = (label == 1).then(|| class.to_owned());
            item.official = on_list.contains(&video).then_some(Split::Test);
            // As of a video, also where frames are all that is left of it.
            item.legacy_key = format!("{clip}.mp4");
            Ok(item)
        });
    }
    for video in absent {
        reader.skip(reader.place.folder.join(video), format!("named in {TEST_LIST}, but not there"));
    }
    Ok(())
}

/// `id0_0001` -> `id0`; `id0_id16_0000` -> `id0` and `id16`; others are nobody known.
pub(super) fn identities(clip: &str) -> Option<Vec<String>> {
    let is_person = |part: &&str| {
        part.strip_prefix("id").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let people: Vec<_> = clip.split('_').take_while(is_person).map(|id| format!("celebdf/{id}")).collect();
    (!people.is_empty()).then_some(people)
}

/// `FOLDER/STEM` of the videos on the list; empty where there is none.
fn test_list(path: &Path) -> Result<HashSet<String>> {
    if !walk::is_file(path) {
        return Ok(HashSet::new());
    }
    let text = String::from_utf8(read_limited(path, MAX_LIST_BYTES)?)
        .with_context(|| format!("{} is not text", path.display()))?;
    let mut videos = HashSet::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = || format!("{} line {}", path.display(), number + 1);
        let (label, video) = line.trim().split_once(char::is_whitespace).with_context(place)?;
        let (class, file) = video.trim().split_once('/').with_context(place)?;
        let want = CLASSES.iter().find(|(name, _)| *name == class).with_context(place)?.1;
        // The list says 1 for real, the manifest 0.
        ensure!(
            label == if want == 0 { "1" } else { "0" },
            "{}: label {label} of a file in {class}",
            place()
        );
        videos.insert(format!("{class}/{}", super::stem(file)));
    }
    Ok(videos)
}
