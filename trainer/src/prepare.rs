//! Folders of data sets -> one manifest, split without leaks.
//!
//! [`crate::readers`] say what lies there, [`crate::splits`] who goes where; here pictures are hashed,
//! so that near duplicates (or the pairs of a `SET/near_duplicates.csv`) stay together. Pictures are
//! opened one at a time; kept of each are its names and eight bytes.

use crate::dataset::{Sample, Split};
use crate::files::read_limited;
use crate::readers::{Item, Layout, Media, Set, read_sets};
use crate::splits::{Candidate, Fate, SplitMode, assign};
use crate::video::FrameConfig;
use crate::{legacy, readers};
use anyhow::{Context, Result, ensure};
use engine::frame::MAX_FILE_BYTES;
use engine::{Crop, Frame};
use indicatif::{ParallelProgressIterator, ProgressBar};
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Most differing bits of two hashes that count as one picture; what the pairs of the `ciplab`
/// list, looked through by eye, go up to.
pub const NEAR_DUPLICATE_BITS: u32 = 5;

/// A list of near duplicates of a million pictures is smaller.
const MAX_LIST_BYTES: u64 = 256 << 20;

/// What to prepare, and how.
#[derive(Debug, Clone, Default)]
pub struct PrepareConfig {
    /// Sets to use, by folder or name; all if empty.
    pub datasets: Vec<String>,
    /// Layout of every set; found by looking if absent.
    pub layout: Option<Layout>,
    /// Seed of the split.
    pub seed: u64,
    /// How splits are chosen.
    pub split: SplitMode,
    /// Method whose fakes are for testing only, and the only fakes tested in its set.
    pub hold_out: Option<String>,
    /// How videos become pictures; without it they are skipped.
    pub frames: Option<FrameConfig>,
    /// Looks at names only: no picture is opened, and near duplicates stay unknown.
    pub names_only: bool,
}

/// What `prepare` found.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Every picture in use, by set and path.
    pub samples: Vec<Sample>,
    /// What could not be used, and why.
    pub skipped: Vec<(PathBuf, String)>,
    /// What would be usable but was left out for the split's sake, and why.
    pub left_out: Vec<(PathBuf, String)>,
}

/// Scans the sets called `datasets` (all if empty) below `root` and splits them by `seed`.
///
/// # Errors
/// As [`prepare_with`].
pub fn prepare(root: &Path, datasets: &[String], seed: u64, progress: &ProgressBar) -> Result<Prepared> {
    let config = PrepareConfig { datasets: datasets.to_vec(), seed, ..PrepareConfig::default() };
    prepare_with(root, &config, progress)
}

/// Scans the sets at or below `root` and splits them as `config` says.
///
/// # Errors
/// If no set is found, one of its lists is broken, or `hold_out` is no method of any set. A picture
/// that does not decode is counted in [`Prepared::skipped`].
pub fn prepare_with(root: &Path, config: &PrepareConfig, progress: &ProgressBar) -> Result<Prepared> {
    let mut sets = read_sets(root, &config.datasets, config.layout)?;
    // Sets with lists first: what they say of a person binds the others.
    sets.sort_by_key(|set| set.layout);
    check_hold_out(&sets, config.hold_out.as_deref())?;
    if let Some(frames) = config.frames.as_ref().filter(|_| !config.names_only && has_videos(&sets)) {
        frames.check()?;
    }
    let mut prepared = Prepared::default();
    let mut known = HashMap::new();
    for mut set in sets {
        prepared.skipped.append(&mut set.skipped);
        progress.set_message(set.dataset.clone());
        let pictures = hash_pictures(&mut set, config, &mut prepared.skipped, progress);
        let pairs = match config.split {
            SplitMode::Legacy => Vec::new(),
            _ if config.names_only => Vec::new(),
            _ => near_duplicates(&pictures, &listed_pairs(&set.folder)?),
        };
        let candidates: Vec<_> =
            pictures.iter().map(|picture| candidate(&picture.item, set.layout, config.split)).collect();
        let fates = assign(&set.dataset, &candidates, &pairs, config.seed, &mut known);
        let names: Vec<String> = candidates.into_iter().map(|candidate| candidate.name).collect();
        let hold_out = config.hold_out.as_deref().filter(|name| methods(&set, &pictures).contains(name));
        for (picture, fate) in pictures.iter().zip(fates) {
            match held_out(&picture.item, fate, hold_out) {
                Fate::Used(split, root) => prepared.samples.push(Sample {
                    image_path: picture.item.path.clone(),
                    label: picture.item.label,
                    dataset: set.dataset.clone(),
                    split,
                    group: names[root].clone(),
                    dhash: format!("{:016x}", picture.hash),
                }),
                Fate::LeftOut(reason) => prepared.left_out.push((picture.item.path.clone(), reason)),
            }
        }
    }
    Ok(prepared)
}

fn has_videos(sets: &[Set]) -> bool {
    sets.iter().flat_map(|set| &set.items).any(|item| item.media == Media::Video)
}

struct Picture {
    item: Item,
    hash: u64,
}

/// The pictures of `set` that decode, frames of its videos among them, in the order of its items.
fn hash_pictures(
    set: &mut Set,
    config: &PrepareConfig,
    skipped: &mut Vec<(PathBuf, String)>,
    progress: &ProgressBar,
) -> Vec<Picture> {
    let items = std::mem::take(&mut set.items);
    progress.inc_length(items.len() as u64);
    let dataset = set.dataset.as_str();
    let hashed: Vec<_> = items
        .into_par_iter()
        .progress_with(progress.clone())
        .flat_map_iter(|item| hash_item(dataset, item, config))
        .collect();
    let mut pictures = Vec::with_capacity(hashed.len());
    for result in hashed {
        match result {
            Ok(picture) => pictures.push(picture),
            Err(reason) => skipped.push(reason),
        }
    }
    pictures
}

/// The pictures of one item, or where and why there is none.
fn hash_item(dataset: &str, item: Item, config: &PrepareConfig) -> Vec<Result<Picture, (PathBuf, String)>> {
    if config.names_only {
        return vec![Ok(Picture { item, hash: 0 })];
    }
    let hash = |item: Item| match difference_hash(&item.path) {
        Ok(hash) => Ok(Picture { item, hash }),
        Err(error) => Err((item.path, format!("{error:#}"))),
    };
    match (item.media, &config.frames) {
        (Media::Picture, _) => vec![hash(item)],
        (Media::Video, None) => vec![Err((item.path, "a video; --frames takes pictures of it".into()))],
        (Media::Video, Some(frames)) => match frames.frames(dataset, &item) {
            Ok(frames) => frames.into_iter().map(hash).collect(),
            Err(error) => vec![Err((item.path, format!("{error:#}")))],
        },
    }
}

fn candidate(item: &Item, layout: Layout, mode: SplitMode) -> Candidate {
    // What is published for testing only stays that.
    let is_test_only = layout == Layout::Eval2024;
    let (keys, official) = match mode {
        SplitMode::Identity => (item.identities.clone(), item.official),
        SplitMode::Official => (vec![item.video.clone()], item.official),
        SplitMode::Legacy if is_test_only => (vec![item.video.clone()], item.official),
        SplitMode::Legacy => {
            let split = match layout {
                Layout::Df40 => readers::DF40_LEGACY_SPLIT,
                _ => legacy::split_of(&item.legacy_key),
            };
            // Layouts apart, since they may use one name differently.
            (vec![format!("{layout:?}/{}", item.legacy_key)], Some(split))
        }
    };
    Candidate { name: item.name.clone(), label: item.label, keys, official }
}

fn methods<'a>(set: &'a Set, pictures: &'a [Picture]) -> BTreeSet<&'a str> {
    let items = set.items.iter().chain(pictures.iter().map(|picture| &picture.item));
    items.filter_map(|item| item.method.as_deref()).collect()
}

fn check_hold_out(sets: &[Set], method: Option<&str>) -> Result<()> {
    let Some(method) = method else { return Ok(()) };
    let known: BTreeSet<_> = sets.iter().flat_map(|set| methods(set, &[])).collect();
    let names = || known.iter().copied().collect::<Vec<_>>().join(", ");
    ensure!(known.contains(method), "no set has the method {method:?} to hold out; methods: {}", names());
    Ok(())
}

/// Of the fakes of a set that has the method: its own are tested only, others never.
fn held_out(item: &Item, fate: Fate, method: Option<&str>) -> Fate {
    let (Some(method), Fate::Used(split, _), 1) = (method, &fate, item.label) else { return fate };
    match (item.method.as_deref() == Some(method), *split) {
        (true, Split::Train | Split::Val) => {
            Fate::LeftOut(format!("{method} is held out, and this person is in {}", split.name()))
        }
        (false, Split::Test) => Fate::LeftOut(format!("only {method} is tested")),
        _ => fate,
    }
}

/// 64 bits: whether a pixel is brighter than its right neighbour, in the upper 8 rows of a 9 x 9 grey
/// thumbnail.
pub(crate) fn difference_hash(path: &Path) -> Result<u64> {
    let bytes = read_limited(path, MAX_FILE_BYTES as u64)?;
    let frame = Frame::from_encoded(&bytes)?;
    let crop = Crop::centre_square(&frame);
    let thumbnail = engine::preprocess::resize_square(&frame, &crop, 9);
    // ITU-R BT.601 luma, as Pillow's "L".
    let grey: Vec<u32> = thumbnail
        .chunks_exact(3)
        .map(|p| 299 * u32::from(p[0]) + 587 * u32::from(p[1]) + 114 * u32::from(p[2]))
        .collect();
    let bits = (0..8).flat_map(|y| (0..8).map(move |x| (y, x)));
    Ok(bits.fold(0, |hash, (y, x)| hash << 1 | u64::from(grey[y * 9 + x] > grey[y * 9 + x + 1])))
}

/// Pairs of `folder/near_duplicates.csv` (columns `a`, `b`: paths below `folder`), if it is there.
fn listed_pairs(folder: &Path) -> Result<Vec<(String, String)>> {
    let path = folder.join("near_duplicates.csv");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let content = read_limited(&path, MAX_LIST_BYTES)?;
    let mut pairs = Vec::new();
    for row in csv::Reader::from_reader(content.as_slice()).deserialize() {
        let mut row: HashMap<String, String> = row.with_context(|| format!("in {}", path.display()))?;
        if let (Some(a), Some(b)) = (row.remove("a"), row.remove("b")) {
            pairs.push((a, b));
        }
    }
    Ok(pairs)
}

/// Pairs that tie all near duplicates together; not every pair there is.
fn near_duplicates(pictures: &[Picture], listed: &[(String, String)]) -> Vec<(usize, usize)> {
    // Two hashes that differ in at most five bits agree in one of six bands.
    let bands = NEAR_DUPLICATE_BITS + 1;
    let width = u64::BITS.div_ceil(bands);
    let mut pairs = Vec::new();
    let mut first_of: HashMap<u64, usize> = HashMap::new();
    let mut buckets: HashMap<(u32, u64), Vec<usize>> = HashMap::new();
    for (index, picture) in pictures.iter().enumerate() {
        let first = *first_of.entry(picture.hash).or_insert(index);
        if first != index {
            // Thousands of black frames cost one comparison each.
            pairs.push((first, index));
            continue;
        }
        let mut near = BTreeSet::new();
        for band in 0..bands {
            let key = picture.hash >> (band * width) & ((1 << width) - 1);
            let bucket = buckets.entry((band, key)).or_default();
            near.extend(
                bucket.iter().filter(|&&other| {
                    (picture.hash ^ pictures[other].hash).count_ones() <= NEAR_DUPLICATE_BITS
                }),
            );
            bucket.push(index);
        }
        pairs.extend(near.into_iter().map(|other| (other, index)));
    }
    let index_of: HashMap<&str, usize> =
        pictures.iter().enumerate().map(|(index, picture)| (picture.item.name.as_str(), index)).collect();
    let index_of = |name: &String| index_of.get(name.as_str()).copied();
    pairs.extend(listed.iter().filter_map(|(a, b)| index_of(a).zip(index_of(b))));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(name: &str, hash: u64) -> Picture {
        let item = Item {
            path: name.into(),
            name: name.into(),
            media: Media::Picture,
            label: 0,
            video: name.into(),
            identities: vec![name.into()],
            method: None,
            official: None,
            legacy_key: name.into(),
        };
        Picture { item, hash }
    }

    #[test]
    fn hashes_within_five_bits_are_near() {
        let base = 0x0123_4567_89ab_cdef;
        let pictures = [
            picture("0", base),
            picture("1", base ^ 0b1_1111),
            picture("2", base ^ 0x8000_8000_8000_8001),
            picture("3", base ^ 0b11_1111),
            picture("4", !base),
            picture("5", base),
        ];
        let pairs = near_duplicates(&pictures, &[]);
        // 3 is six bits from 0, but one from 1.
        assert_eq!(pairs, [(0, 1), (0, 2), (1, 3), (0, 5)]);
    }

    #[test]
    fn listed_pairs_are_near() {
        let pictures = [picture("real/a.png", 0), picture("fake/b.png", u64::MAX)];
        let listed = [("real/a.png".to_owned(), "fake/b.png".to_owned())];
        assert_eq!(near_duplicates(&pictures, &listed), [(0, 1)]);
    }
}
