//! Folders of data sets -> one manifest, split without leaks.
//!
//! [`crate::readers`] say what lies there, `pictures` look at it, so that near duplicates (or
//! the pairs of a `SET/near_duplicates.csv`) stay together, and [`crate::splits`] says who goes where.
//! Names wait on disk meanwhile: in memory a picture is some numbers.

use crate::dataset::{Sample, Split};
use crate::duplicates::{Digested, drop_equal};
use crate::faces::{FaceConfig, FaceFinder};
use crate::pictures::{Look, Picture, Pictures, keys_of};
use crate::readers::{Compression, Item, Media, Place, find_sets};
use crate::report::Listing;
use crate::splits::{Fate, Reason, SplitMode, assign};
use crate::spool::Spool;
use crate::video::FrameConfig;
use anyhow::{Result, ensure};
use indicatif::ProgressBar;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// What to prepare, and how.
#[derive(Debug, Clone, Default)]
pub struct PrepareConfig {
    /// Seed of the split.
    pub seed: u64,
    /// How splits are chosen.
    pub split: SplitMode,
    /// Method whose fakes are for testing only, and the only fakes tested in its set.
    pub hold_out: Option<String>,
    /// Of sets that come in several compressions these only; all if empty.
    pub compressions: Vec<Compression>,
    /// How videos become pictures; without it they are skipped.
    pub frames: Option<FrameConfig>,
    /// How faces are found; without it whole pictures are used.
    pub faces: Option<FaceConfig>,
    /// Leaves out all but one of pictures with the same pixels.
    pub drop_duplicates: bool,
    /// Looks at names only: no picture is opened, and near duplicates stay unknown.
    pub names_only: bool,
}

/// What is not in the manifest.
#[derive(Debug, Default, Serialize)]
pub struct Rest {
    /// What could not be used, and why.
    pub skipped: Listing,
    /// What would be usable but was left out, and why.
    pub left_out: Listing,
    /// Pictures that are there twice, left out on demand.
    pub duplicates: Listing,
}

/// What was found, in memory.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Every picture in use, by set and path.
    pub samples: Vec<Sample>,
    /// What could not be used, and why.
    pub skipped: Listing,
    /// What would be usable but was left out, and why.
    pub left_out: Listing,
    /// Pictures that are there twice, left out on demand.
    pub duplicates: Listing,
}

/// Prepares the sets called `datasets` (all if empty) below `root`, split by `seed`.
///
/// # Errors
/// As [`find_sets`] and [`prepare_into`].
pub fn prepare(root: &Path, datasets: &[String], seed: u64, progress: &ProgressBar) -> Result<Prepared> {
    let config = PrepareConfig { seed, ..PrepareConfig::default() };
    prepare_places(find_sets(root, datasets, None)?, &config, progress)
}

/// Prepares the sets at or below `root` as `config` says.
///
/// # Errors
/// As [`find_sets`] and [`prepare_into`].
pub fn prepare_with(root: &Path, config: &PrepareConfig, progress: &ProgressBar) -> Result<Prepared> {
    prepare_places(find_sets(root, &[], None)?, config, progress)
}

fn prepare_places(places: Vec<Place>, config: &PrepareConfig, progress: &ProgressBar) -> Result<Prepared> {
    let mut samples = Vec::new();
    let Rest { skipped, left_out, duplicates } = prepare_into(places, config, progress, &mut |sample| {
        samples.push(sample);
        Ok(())
    })?;
    Ok(Prepared { samples, skipped, left_out, duplicates })
}

/// Splits the sets at `places` as `config` says and hands every picture in use to `take`, by set and path.
///
/// # Errors
/// If a list of a set is broken, `hold_out` is no method of any set, a compression is nowhere, ffmpeg or
/// the face detector does not run, or `take` fails. A picture that does not decode is counted in
/// [`Rest::skipped`].
pub fn prepare_into(
    mut places: Vec<Place>,
    config: &PrepareConfig,
    progress: &ProgressBar,
    take: &mut dyn FnMut(Sample) -> Result<()>,
) -> Result<Rest> {
    // Sets with lists first: what they say of a person binds the others.
    places.sort_by_key(|place| place.layout);
    let mut rest = Rest::default();
    let mut sets = Vec::with_capacity(places.len());
    for place in places {
        sets.push(Listed::read(place, config, &mut rest.skipped)?);
    }
    check_hold_out(&sets, config.hold_out.as_deref())?;
    progress.inc_length(sets.iter().map(|set| set.items.len() as u64).sum());
    let has_videos = !config.names_only && sets.iter().any(|set| set.has_videos);
    if let Some(frames) = config.frames.as_ref().filter(|_| has_videos) {
        frames.check()?;
    }
    let faces = config.faces.as_ref().filter(|_| !config.names_only).map(FaceFinder::load).transpose()?;
    let look = Look { config, faces: faces.as_ref(), progress };

    let mut known = HashMap::new();
    let mut split = Vec::with_capacity(sets.len());
    for set in sets {
        let hold_out = config.hold_out.clone().filter(|method| set.methods.contains(method));
        let pictures = Pictures::look(&look, set.place, set.items, &mut rest.skipped, &mut rest.left_out)?;
        let clusters = pictures.clusters(config);
        let dataset = &pictures.place.dataset;
        let fates = assign(dataset, &pictures.candidates, &clusters, config.seed, &mut known);
        split.push(SplitSet { pictures, fates, hold_out });
    }
    if config.drop_duplicates {
        drop_equal(&mut split.iter_mut().map(SplitSet::digested).collect::<Vec<_>>());
    }
    for set in split {
        set.hand_on(config, &mut rest, take)?;
    }
    Ok(rest)
}

/// A set whose files are known by name.
struct Listed {
    place: Place,
    items: Spool<Item>,
    methods: BTreeSet<String>,
    has_videos: bool,
}

impl Listed {
    fn read(place: Place, config: &PrepareConfig, skipped: &mut Listing) -> Result<Self> {
        let mut items = Spool::new()?;
        let mut pushed = Ok(());
        let (mut methods, mut compressions) = (BTreeSet::new(), BTreeSet::new());
        let mut has_videos = false;
        place.read(&mut |found| {
            let item = match found {
                Ok(item) => item,
                Err((path, reason)) => return skipped.push(&path, reason),
            };
            compressions.extend(item.compression);
            let is_wanted = |compression| config.compressions.contains(&compression);
            if !config.compressions.is_empty() && !item.compression.is_none_or(is_wanted) {
                return;
            }
            has_videos |= item.media == Media::Video;
            methods.extend(item.method.clone());
            if pushed.is_ok() {
                pushed = items.push(&item);
            }
        })?;
        pushed?;
        let names = |all: &[Compression]| all.iter().map(|c| c.name()).collect::<Vec<_>>().join(", ");
        ensure!(
            items.len() > 0 || compressions.is_empty(),
            "{} has no file of compression {}; it has {}",
            place.folder.display(),
            names(&config.compressions),
            names(&compressions.iter().copied().collect::<Vec<_>>())
        );
        Ok(Listed { place, items, methods, has_videos })
    }
}

fn check_hold_out(sets: &[Listed], method: Option<&str>) -> Result<()> {
    let Some(method) = method else { return Ok(()) };
    let known: BTreeSet<&str> = sets.iter().flat_map(|set| &set.methods).map(String::as_str).collect();
    let names = || known.iter().copied().collect::<Vec<_>>().join(", ");
    ensure!(known.contains(method), "no set has the method {method:?} to hold out; methods: {}", names());
    Ok(())
}

/// A set whose pictures have their fates.
struct SplitSet {
    pictures: Pictures,
    fates: Vec<Fate>,
    hold_out: Option<String>,
}

impl SplitSet {
    fn digested(&mut self) -> Digested<'_> {
        let SplitSet { pictures, fates, .. } = self;
        Digested { digests: &pictures.digests, labels: pictures.candidates.labels(), fates }
    }

    fn hand_on(
        self,
        config: &PrepareConfig,
        rest: &mut Rest,
        take: &mut dyn FnMut(Sample) -> Result<()>,
    ) -> Result<()> {
        let Place { dataset, layout, .. } = self.pictures.place;
        let mode = config.split;
        let crop = config.faces.as_ref().map(|faces| faces.crop).unwrap_or_default();
        // Who others are named after comes before them, used or not.
        let mut is_name = vec![false; self.fates.len()];
        for (index, fate) in self.fates.iter().enumerate() {
            if let Fate::Used(_, root) = fate {
                is_name[*root as usize] |= *root as usize != index;
            }
        }
        let mut names: HashMap<u32, String> = HashMap::new();
        for (index, picture) in self.pictures.spool.read()?.enumerate() {
            let Picture { item, face } = picture?;
            if is_name[index] {
                names.insert(index as u32, item.name.clone());
            }
            match held_out(&item, self.fates[index], self.hold_out.as_deref()) {
                Fate::Used(split, root) => take(Sample {
                    group: names.get(&root).unwrap_or(&item.name).clone(),
                    image_path: item.path,
                    label: item.label,
                    dataset: dataset.clone(),
                    split,
                    dhash: format!("{:016x}", self.pictures.hashes[index]),
                    face,
                    crop,
                })?,
                Fate::LeftOut(reason) => {
                    let listing = match reason {
                        Reason::Duplicate | Reason::TwoLabels => &mut rest.duplicates,
                        _ => &mut rest.left_out,
                    };
                    listing.push(&item.path, reason.text(&keys_of(&item, layout, mode).0));
                }
            }
        }
        Ok(())
    }
}

/// Of the fakes of a set that has the method: its own are tested only, others never.
fn held_out(item: &Item, fate: Fate, method: Option<&str>) -> Fate {
    let (Some(method), Fate::Used(split, _), 1) = (method, fate, item.label) else { return fate };
    match (item.method.as_deref() == Some(method), split) {
        (true, Split::Train | Split::Val) => Fate::LeftOut(Reason::HeldOut(split)),
        (false, Split::Test) => Fate::LeftOut(Reason::NotHeldOut),
        _ => fate,
    }
}
