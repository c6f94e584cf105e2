//! The items of a set -> its pictures, looked at one by one.
//!
//! What decides about a picture stays in memory, some numbers each; its names go to a spool on disk.

use crate::dataset::Split;
use crate::duplicates::clusters;
use crate::faces::FaceFinder;
use crate::files::read_limited;
use crate::legacy;
use crate::prepare::PrepareConfig;
use crate::readers::{DF40_LEGACY_SPLIT, Item, Layout, Media, Place};
use crate::report::Listing;
use crate::splits::{Candidate, Candidates, SplitMode, key_of, place_of};
use crate::spool::Spool;
use anyhow::{Context, Result};
use engine::crop::FaceBox;
use engine::frame::MAX_FILE_BYTES;
use engine::{Crop, Frame};
use indicatif::ProgressBar;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Items that are looked at together.
const CHUNK: usize = 4096;
/// A list of near duplicates of a million pictures is smaller.
const MAX_LIST_BYTES: u64 = 256 << 20;

/// One picture, or a face of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Picture {
    pub(crate) item: Item,
    pub(crate) face: Option<FaceBox>,
}

/// The pictures of one set.
pub(crate) struct Pictures {
    pub(crate) place: Place,
    pub(crate) spool: Spool<Picture>,
    /// [`difference_hash`] of each.
    pub(crate) hashes: Vec<u64>,
    /// Of the pixels and face of each; empty where nobody asked.
    pub(crate) digests: Vec<u128>,
    pub(crate) candidates: Candidates,
    listed: ListedPairs,
}

/// What is looked at how.
pub(crate) struct Look<'a> {
    pub(crate) config: &'a PrepareConfig,
    pub(crate) faces: Option<&'a FaceFinder>,
    pub(crate) progress: &'a ProgressBar,
}

/// A picture with its numbers.
struct Seen {
    picture: Picture,
    hash: u64,
    digest: u128,
}

/// A picture, or why there is none: because it cannot be used, or will not be.
enum Looked {
    Seen(Box<Seen>),
    Skipped(PathBuf, String),
    LeftOut(PathBuf, String),
}

impl Pictures {
    /// Looks at every one of `items`, in parallel and kept in order.
    ///
    /// # Errors
    /// If a list beside the set is broken or the temporary file cannot be written; what is wrong with an
    /// item goes to `skipped`.
    pub(crate) fn look(
        look: &Look,
        place: Place,
        items: Spool<Item>,
        skipped: &mut Listing,
        left_out: &mut Listing,
    ) -> Result<Self> {
        let listed = ListedPairs::read(&place.folder, look.config)?;
        let mut pictures = Pictures {
            place,
            spool: Spool::new()?,
            hashes: Vec::new(),
            digests: Vec::new(),
            candidates: Candidates::default(),
            listed,
        };
        look.progress.set_message(pictures.place.dataset.clone());
        let mut items = items.read()?;
        loop {
            let chunk: Vec<Item> = items.by_ref().take(CHUNK).collect::<Result<_>>()?;
            if chunk.is_empty() {
                return Ok(pictures);
            }
            let dataset = pictures.place.dataset.as_str();
            let looked: Vec<Vec<Looked>> = chunk
                .into_par_iter()
                .map(|item| {
                    let looked = look.at_item(dataset, item);
                    look.progress.inc(1);
                    looked
                })
                .collect();
            for looked in looked.into_iter().flatten() {
                match looked {
                    Looked::Seen(seen) => pictures.push(look.config, &seen)?,
                    Looked::Skipped(path, reason) => skipped.push(&path, reason),
                    Looked::LeftOut(path, reason) => left_out.push(&path, reason),
                }
            }
        }
    }

    fn push(&mut self, config: &PrepareConfig, seen: &Seen) -> Result<()> {
        let item = &seen.picture.item;
        self.listed.note(&item.name, self.hashes.len() as u32);
        let (keys, official) = keys_of(item, self.place.layout, config.split);
        self.candidates.push(&Candidate {
            place: place_of(config.seed, &self.place.dataset, &item.name),
            label: item.label,
            official,
            keys: keys.iter().map(|key| key_of(key)).collect(),
        });
        self.hashes.push(seen.hash);
        if config.drop_duplicates {
            self.digests.push(seen.digest);
        }
        self.spool.push(&seen.picture)
    }

    /// For each picture the first that it is tied to by likeness; itself where likeness does not count.
    pub(crate) fn clusters(&self, config: &PrepareConfig) -> Vec<u32> {
        if config.names_only || config.split == SplitMode::Legacy {
            return (0..self.hashes.len() as u32).collect();
        }
        clusters(&self.hashes, &self.listed.pairs())
    }
}

impl Look<'_> {
    /// The pictures of one item, or where and why there is none.
    fn at_item(&self, dataset: &str, item: Item) -> Vec<Looked> {
        if self.config.names_only {
            let picture = Picture { item, face: None };
            return vec![Looked::Seen(Box::new(Seen { picture, hash: 0, digest: 0 }))];
        }
        match (item.media, &self.config.frames) {
            (Media::Picture, _) => self.at_pictures(vec![item]),
            (Media::Video, None) => {
                vec![Looked::Skipped(item.path, "a video; --frames takes pictures of it".into())]
            }
            (Media::Video, Some(frames)) => match frames.frames(dataset, &item) {
                Ok(frames) => self.at_pictures(frames),
                Err(error) => vec![Looked::Skipped(item.path, format!("{error:#}"))],
            },
        }
    }

    /// The pictures of one video, or a single one: with faces, so many as may be of one.
    fn at_pictures(&self, items: Vec<Item>) -> Vec<Looked> {
        let mut looked = Vec::new();
        let mut room = self.config.faces.as_ref().map_or(0, |faces| faces.max_faces as usize);
        for item in items {
            let frame = match read_frame(&item.path) {
                Ok(frame) => frame,
                Err(error) => {
                    looked.push(Looked::Skipped(item.path, format!("{error:#}")));
                    continue;
                }
            };
            let faces = match self.faces.map(|finder| finder.usable(&frame)) {
                None => vec![None],
                Some(Err(error)) => {
                    looked.push(Looked::Skipped(item.path, format!("{error:#}")));
                    continue;
                }
                Some(Ok(faces)) if faces.is_empty() => {
                    looked.push(Looked::LeftOut(item.path, "no face that is large enough".into()));
                    continue;
                }
                Some(Ok(faces)) => {
                    let faces: Vec<_> = faces.into_iter().take(room).map(Some).collect();
                    room -= faces.len();
                    faces
                }
            };
            let hash = hash_of(&frame);
            for face in faces {
                let digest = if self.config.drop_duplicates { digest_of(&frame, face) } else { 0 };
                let picture = Picture { item: item.clone(), face };
                looked.push(Looked::Seen(Box::new(Seen { picture, hash, digest })));
            }
            if self.faces.is_some() && room == 0 {
                break;
            }
        }
        looked
    }
}

/// Whose picture `item` is, as far as `mode` cares, and the publishers' choice.
pub(crate) fn keys_of(item: &Item, layout: Layout, mode: SplitMode) -> (Vec<String>, Option<Split>) {
    // What is published for testing only stays that.
    let is_test_only = layout == Layout::Eval2024;
    match mode {
        SplitMode::Identity => (item.identities.clone(), item.official),
        SplitMode::Official => (vec![item.video.clone()], item.official),
        SplitMode::Legacy if is_test_only => (vec![item.video.clone()], item.official),
        SplitMode::Legacy => {
            let split = match layout {
                Layout::Df40 => DF40_LEGACY_SPLIT,
                _ => legacy::split_of(&item.legacy_key),
            };
            // Layouts apart, since they may use one name differently.
            (vec![format!("{layout:?}/{}", item.legacy_key)], Some(split))
        }
    }
}

fn read_frame(path: &Path) -> Result<Frame> {
    Ok(Frame::from_encoded(&read_limited(path, MAX_FILE_BYTES as u64)?)?)
}

/// 64 bits of the picture at `path`: whether a pixel is brighter than its right neighbour, in the upper
/// 8 rows of a 9 x 9 grey thumbnail.
pub(crate) fn difference_hash(path: &Path) -> Result<u64> {
    Ok(hash_of(&read_frame(path)?))
}

fn hash_of(frame: &Frame) -> u64 {
    let thumbnail = engine::preprocess::resize_square(frame, &Crop::centre_square(frame), 9);
    // ITU-R BT.601 luma, as Pillow's "L".
    let grey: Vec<u32> = thumbnail
        .chunks_exact(3)
        .map(|p| 299 * u32::from(p[0]) + 587 * u32::from(p[1]) + 114 * u32::from(p[2]))
        .collect();
    let bits = (0..8).flat_map(|y| (0..8).map(move |x| (y, x)));
    bits.fold(0, |hash, (y, x)| hash << 1 | u64::from(grey[y * 9 + x] > grey[y * 9 + x + 1]))
}

/// Equal for equal pixels and faces; equal files decode to equal pixels.
fn digest_of(frame: &Frame, face: Option<FaceBox>) -> u128 {
    let mut sha256 = Sha256::new();
    sha256.update(format!("{} {} {face:?} ", frame.width(), frame.height()));
    sha256.update(frame.rgb());
    sha256.finalize().iter().take(16).fold(0, |digest, byte| digest << 8 | u128::from(*byte))
}

/// The pairs of `near_duplicates.csv` beside a set (columns `a`, `b`: names in the set).
#[derive(Default)]
struct ListedPairs {
    pairs: Vec<(String, String)>,
    index_of: HashMap<String, Option<u32>>,
}

impl ListedPairs {
    fn read(folder: &Path, config: &PrepareConfig) -> Result<Self> {
        let path = folder.join("near_duplicates.csv");
        let mut listed = ListedPairs::default();
        if config.names_only || !path.is_file() {
            return Ok(listed);
        }
        let content = read_limited(&path, MAX_LIST_BYTES)?;
        for row in csv::Reader::from_reader(content.as_slice()).deserialize() {
            let mut row: HashMap<String, String> = row.with_context(|| format!("in {}", path.display()))?;
            if let (Some(a), Some(b)) = (row.remove("a"), row.remove("b")) {
                listed.index_of.extend([(a.clone(), None), (b.clone(), None)]);
                listed.pairs.push((a, b));
            }
        }
        Ok(listed)
    }

    fn note(&mut self, name: &str, index: u32) {
        if let Some(place) = self.index_of.get_mut(name) {
            *place = Some(index);
        }
    }

    fn pairs(&self) -> Vec<(u32, u32)> {
        let index = |name: &String| self.index_of.get(name).copied().flatten();
        self.pairs.iter().filter_map(|(a, b)| index(a).zip(index(b))).collect()
    }
}
