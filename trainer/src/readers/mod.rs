//! Folders of published data sets -> items with label, identities and official split.
//!
//! One file a layout. Readers look at names and lists only; no picture is opened here. Links are
//! never followed, so nothing outside the root is read. What is found is handed on file by file, by
//! path, and not kept.

mod celebdf;
mod df40;
mod dfdc;
mod eval2024;
mod ffpp;
mod folders;
mod walk;

use crate::dataset::Split;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub(crate) use df40::LEGACY_SPLIT as DF40_LEGACY_SPLIT;

/// How a published data set lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum Layout {
    /// Celeb-DF v2: `Celeb-real`, `YouTube-real`, `Celeb-synthesis`.
    Celebdf,
    /// FaceForensics++: `original_sequences`, `manipulated_sequences`.
    Ffpp,
    /// DFDC as published: folders of videos with a `metadata.json` each.
    Dfdc,
    /// DFDC sorted into `real` and `fake`.
    DfdcClassified,
    /// DF40: `METHOD/frames/CLIP/*.png`.
    Df40,
    /// Deepfake-Eval-2024: `*-metadata-publish.csv`; for testing only.
    Eval2024,
    /// Any folder with `real` or `fake` in it.
    Folders,
}

impl Layout {
    /// Every layout, the most particular first; discovery takes the first that fits.
    pub const ALL: [Layout; 7] = [
        Layout::Celebdf,
        Layout::Ffpp,
        Layout::Dfdc,
        Layout::Eval2024,
        Layout::Df40,
        Layout::DfdcClassified,
        Layout::Folders,
    ];

    /// What a folder of this layout holds, for messages.
    pub fn looks_for(self) -> &'static str {
        match self {
            Layout::Celebdf => "Celeb-real/ or Celeb-synthesis/",
            Layout::Ffpp => "original_sequences/ or manipulated_sequences/",
            Layout::Dfdc => "metadata.json, itself or in its folders",
            Layout::DfdcClassified => "real/ or fake/, in a folder whose name begins with dfdc",
            Layout::Df40 => "frames/CLIP/ or METHOD/frames/CLIP/",
            Layout::Eval2024 => "video-metadata-publish.csv or image-metadata-publish.csv",
            Layout::Folders => "real/ or fake/",
        }
    }

    fn fits(self, folder: &Path) -> bool {
        match self {
            Layout::Celebdf => celebdf::fits(folder),
            Layout::Ffpp => ffpp::fits(folder),
            Layout::Dfdc => dfdc::fits(folder),
            Layout::DfdcClassified => dfdc::is_classified(folder),
            Layout::Df40 => df40::fits(folder),
            Layout::Eval2024 => eval2024::fits(folder),
            Layout::Folders => folders::fits(folder),
        }
    }

    /// The name of the set in manifests.
    ///
    /// # Errors
    /// Where the folder gives the name, if it has none in UTF-8.
    pub fn dataset(self, folder: &Path) -> Result<String> {
        Ok(match self {
            Layout::Celebdf => "celebdf_v2".into(),
            Layout::Ffpp => "ffpp".into(),
            Layout::Dfdc => "dfdc".into(),
            Layout::DfdcClassified => "dfdc_classified".into(),
            Layout::Df40 => "df40".into(),
            Layout::Eval2024 => "deepfake_eval_2024".into(),
            Layout::Folders => {
                // Of "." and "..", too, the folder has a name.
                let whole = folder.canonicalize()?;
                let name = whole.file_name().and_then(|name| name.to_str());
                name.with_context(|| format!("{} has no usable name", folder.display()))?.to_owned()
            }
        })
    }
}

/// How strongly the videos of FaceForensics++ are compressed (H.264 quantiser).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all; the folder may be called `raw`, too.
    #[value(alias = "raw")]
    #[serde(alias = "raw")]
    C0,
    /// Lightly, at 23.
    C23,
    /// Strongly, at 40.
    C40,
}

impl Compression {
    /// The name of its folders.
    pub fn name(self) -> &'static str {
        match self {
            Compression::C0 => "c0",
            Compression::C23 => "c23",
            Compression::C40 => "c40",
        }
    }
}

/// A picture or a video?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Media {
    /// JPEG, PNG or WebP, by extension.
    Picture,
    /// MP4, MOV, AVI, MKV or WebM, by extension.
    Video,
}

impl Media {
    /// What the extension of `path` says.
    pub fn of(path: &Path) -> Option<Media> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "jpg" | "jpeg" | "png" | "webp" => Some(Media::Picture),
            "mp4" | "mov" | "avi" | "mkv" | "webm" => Some(Media::Video),
            _ => None,
        }
    }
}

/// One file of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Where it lies.
    pub path: PathBuf,
    /// Its path below the set's folder, with `/`; unique in the set.
    pub name: String,
    /// What it is.
    pub media: Media,
    /// 0 real, 1 fake.
    pub label: u8,
    /// The video it is or comes from; at least as fine as `identities`.
    pub video: String,
    /// Everyone who is in it: of a swap both people. Equal names in two sets mean one source.
    pub identities: Vec<String>,
    /// What made the fake.
    pub method: Option<String>,
    /// How strongly it is compressed, in a set that comes in several ways.
    pub compression: Option<Compression>,
    /// What the publishers use it for.
    pub official: Option<Split>,
    /// What the original's split takes a hash of.
    pub legacy_key: String,
}

/// A file of a set, or what could not be used and why.
pub type Found = Result<Item, (PathBuf, String)>;

/// Where a set lies, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name in manifests.
    pub dataset: String,
    /// Where it lies.
    pub folder: PathBuf,
    /// How it lies there.
    pub layout: Layout,
}

/// One set as found on disk.
#[derive(Debug)]
pub struct Set {
    /// Name in manifests.
    pub dataset: String,
    /// How it lies on disk.
    pub layout: Layout,
    /// Its files, by path.
    pub items: Vec<Item>,
    /// What could not be used, and why.
    pub skipped: Vec<(PathBuf, String)>,
}

/// The sets at or right below `root`; only those called `wanted` by folder or by name, if any.
///
/// With `layout` every folder is taken for that one.
///
/// # Errors
/// If no folder fits a layout, a wanted set is absent, two folders give one name, or a name is not UTF-8.
pub fn find_sets(root: &Path, wanted: &[String], layout: Option<Layout>) -> Result<Vec<Place>> {
    // The manifest is text.
    ensure!(root.to_str().is_some(), "the name of {} is not UTF-8; rename it", root.display());
    let mut found = Vec::new();
    for (folder, layout) in discover(root, layout)? {
        found.push(Place { dataset: layout.dataset(&folder)?, folder, layout });
    }
    let is_called = |place: &Place, name: &String| place.dataset == *name || place.folder.ends_with(name);
    for name in wanted {
        let names = || found.iter().map(|place| place.dataset.as_str()).collect::<Vec<_>>().join(", ");
        ensure!(
            found.iter().any(|place| is_called(place, name)),
            "{} holds no set {name:?}; found: {}",
            root.display(),
            names()
        );
    }
    found.retain(|place| wanted.is_empty() || wanted.iter().any(|name| is_called(place, name)));
    found.sort_by(|a, b| a.dataset.cmp(&b.dataset));
    if let Some([one, other]) = found.array_windows().find(|[a, b]| a.dataset == b.dataset) {
        bail!(
            "{} and {} are both {}; prepare them one by one",
            one.folder.display(),
            other.folder.display(),
            one.dataset
        );
    }
    Ok(found)
}

/// Reads the sets of [`find_sets`] into memory.
///
/// # Errors
/// As [`find_sets`] and [`Place::read`].
pub fn read_sets(root: &Path, wanted: &[String], layout: Option<Layout>) -> Result<Vec<Set>> {
    let read = |place: Place| {
        let (mut items, mut skipped) = (Vec::new(), Vec::new());
        place.read(&mut |found| match found {
            Ok(item) => items.push(item),
            Err(reason) => skipped.push(reason),
        })?;
        Ok(Set { dataset: place.dataset, layout: place.layout, items, skipped })
    };
    find_sets(root, wanted, layout)?.into_iter().map(read).collect()
}

impl Place {
    /// Hands every file of the set to `take`.
    ///
    /// # Errors
    /// If one of its lists is broken, or nothing is where the layout has it.
    pub fn read(&self, take: &mut dyn FnMut(Found)) -> Result<()> {
        let mut count = 0_u64;
        let mut counted = |found| {
            count += 1;
            take(found);
        };
        let mut reader = Reader { place: self, take: &mut counted };
        match self.layout {
            Layout::Celebdf => celebdf::read(&mut reader)?,
            Layout::Ffpp => ffpp::read(&mut reader)?,
            Layout::Dfdc => dfdc::read(&mut reader)?,
            Layout::DfdcClassified => dfdc::read_classified(&mut reader),
            Layout::Df40 => df40::read(&mut reader),
            Layout::Eval2024 => eval2024::read(&mut reader)?,
            Layout::Folders => folders::read(&mut reader),
        }
        ensure!(
            count > 0,
            "{} holds no pictures or videos where its layout has them ({})",
            self.folder.display(),
            self.layout.looks_for()
        );
        Ok(())
    }

    /// Whether the folder looks like the layout.
    pub fn fits(&self) -> bool {
        self.layout.fits(&self.folder)
    }
}

/// The folders to read: `root` if it fits a layout, else its folders that do.
fn discover(root: &Path, forced: Option<Layout>) -> Result<Vec<(PathBuf, Layout)>> {
    let context = || format!("cannot list {}", root.display());
    let layouts = forced.map_or(Layout::ALL.to_vec(), |layout| vec![layout]);
    let layout_of = |folder: &Path| layouts.iter().copied().find(|layout| layout.fits(folder));
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(root).with_context(context)? {
        let entry = entry.with_context(context)?;
        if entry.file_type().with_context(context)?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    let found: Vec<_> =
        folders.into_iter().filter_map(|folder| layout_of(&folder).map(|layout| (folder, layout))).collect();
    if let Some(layout) = layout_of(root) {
        // These are told by what is in their folders; so beside other sets, the folder is the set.
        let is_told_by_folders = [Layout::Dfdc, Layout::Df40].contains(&layout);
        if !is_told_by_folders || found.iter().all(|(_, other)| *other == layout) {
            return Ok(vec![(root.to_owned(), layout)]);
        }
    }
    if found.is_empty() {
        let looked_for: Vec<_> = layouts.iter().map(|layout| format!("  {}", layout.looks_for())).collect();
        bail!(
            "{} is no data set and holds none. Looked there and in its folders for:\n{}",
            root.display(),
            looked_for.join("\n")
        );
    }
    Ok(found)
}

/// What each layout's reader works with.
struct Reader<'a> {
    place: &'a Place,
    take: &'a mut dyn FnMut(Found),
}

impl Reader<'_> {
    /// Asks `item` about every picture and video below `folder/below`: what it is, or why it is nothing.
    fn walk(&mut self, below: &str, mut item: impl FnMut(File) -> Result<Item, String>) {
        let folder = &self.place.folder;
        walk::walk(&folder.join(below), &mut |visited| {
            let path = match visited {
                Ok(path) => path,
                Err(skipped) => return (self.take)(Err(skipped)),
            };
            let (Some(media), Ok(relative)) = (Media::of(&path), path.strip_prefix(folder)) else {
                return;
            };
            let Some(parts) = relative.iter().map(|part| part.to_str()).collect::<Option<Vec<_>>>() else {
                // The manifest is text.
                return (self.take)(Err((path, "its name is not UTF-8".into())));
            };
            let file =
                File { path: path.clone(), media, parts: parts.into_iter().map(str::to_owned).collect() };
            (self.take)(item(file).map_err(|reason| (path, reason)));
        });
    }

    fn skip(&mut self, path: PathBuf, reason: String) {
        (self.take)(Err((path, reason)));
    }
}

/// A picture or video that a reader is asked about.
struct File {
    path: PathBuf,
    media: Media,
    /// Its path below the set's folder, part by part.
    parts: Vec<String>,
}

impl File {
    /// Name of the video the file is, or of the folder of frames it lies in, at `depth` of the path.
    fn clip(&self, depth: usize) -> &str {
        match self.parts.get(depth) {
            Some(part) if depth + 1 == self.parts.len() => stem(part),
            Some(part) => part,
            None => "",
        }
    }

    /// An item of `label` that is alone with its name until told otherwise.
    fn item(self, label: u8, video: String) -> Item {
        Item {
            name: self.parts.join("/"),
            legacy_key: self.parts.last().cloned().unwrap_or_default(),
            path: self.path,
            media: self.media,
            label,
            identities: vec![video.clone()],
            video,
            method: None,
            compression: None,
            official: None,
        }
    }
}

/// A file name without its last extension.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
