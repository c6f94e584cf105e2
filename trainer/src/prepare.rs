//! Folders of faces -> one manifest, split without leaks.
//!
//! Reads every `SET/real` and `SET/fake` below a root. Pictures whose difference hashes are close
//! (or that a `SET/near_duplicates.csv` pairs) form a group; whole groups go to train, val or test.

use crate::dataset::{Sample, Split};
use anyhow::{Context, Result, ensure};
use engine::{Crop, Frame};
use indicatif::{ParallelProgressIterator, ProgressBar};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Most differing bits of two hashes that count as one picture; what the pairs of the `ciplab`
/// list, looked through by eye, go up to.
pub const NEAR_DUPLICATE_BITS: u32 = 5;

/// Shares of the images in train and val; the rest is test.
const SHARES: [f64; 2] = [0.70, 0.15];

/// What `prepare` found.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Every readable picture, in path order.
    pub samples: Vec<Sample>,
    /// What was left out, and why.
    pub skipped: Vec<(PathBuf, String)>,
}

/// Scans the sets called `datasets` (all if empty) below `root` and splits them by `seed`.
///
/// # Errors
/// If the root holds no such set or a folder cannot be listed. A picture that does not decode is
/// counted in [`Prepared::skipped`].
pub fn prepare(root: &Path, datasets: &[String], seed: u64, progress: &ProgressBar) -> Result<Prepared> {
    let names = if datasets.is_empty() { set_names(root)? } else { datasets.to_vec() };
    let mut prepared = Prepared::default();
    for dataset in &names {
        let folder = root.join(dataset);
        let files = pictures_of(&folder)?;
        ensure!(!files.is_empty(), "{} holds no pictures in real/ or fake/", folder.display());
        progress.set_message(dataset.clone());
        progress.inc_length(files.len() as u64);
        let hashed: Vec<_> = files
            .into_par_iter()
            .progress_with(progress.clone())
            .map(|(path, label)| {
                let hash = difference_hash(&path);
                (path, label, hash)
            })
            .collect();
        let mut found = Vec::new();
        for (path, label, hash) in hashed {
            match hash {
                Ok(hash) => found.push(Picture { path, label, hash }),
                Err(error) => prepared.skipped.push((path, format!("{error:#}"))),
            }
        }
        let groups = group(&found, &listed_pairs(&folder)?);
        prepared.samples.extend(split(dataset, &folder, found, &groups, seed));
    }
    Ok(prepared)
}

struct Picture {
    path: PathBuf,
    label: u8,
    hash: u64,
}

/// Every folder below `root` with a `real` or `fake` folder in it.
fn set_names(root: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(root).with_context(|| format!("cannot list {}", root.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if (path.join("real").is_dir() || path.join("fake").is_dir())
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "{} holds no SET/real or SET/fake folders", root.display());
    Ok(names)
}

/// Regular files of `folder/real` (label 0) and `folder/fake` (label 1) with a picture's extension.
fn pictures_of(folder: &Path) -> Result<Vec<(PathBuf, u8)>> {
    let mut files = Vec::new();
    for (name, label) in [("real", 0), ("fake", 1)] {
        let class = folder.join(name);
        if !class.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&class).with_context(|| format!("cannot list {}", class.display()))? {
            let entry = entry?;
            let path = entry.path();
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
            if entry.file_type()?.is_file() && ["jpg", "jpeg", "png", "webp"].contains(&extension.as_str()) {
                files.push((path, label));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// 64 bits: whether a pixel is brighter than its right neighbour, in the upper 8 rows of a 9 x 9 grey
/// thumbnail.
fn difference_hash(path: &Path) -> Result<u64> {
    let bytes = std::fs::read(path)?;
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
fn listed_pairs(folder: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let path = folder.join("near_duplicates.csv");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let mut pairs = Vec::new();
    for row in csv::Reader::from_path(&path)?.deserialize() {
        let row: HashMap<String, String> = row.with_context(|| format!("in {}", path.display()))?;
        if let (Some(a), Some(b)) = (row.get("a"), row.get("b")) {
            pairs.push((folder.join(a), folder.join(b)));
        }
    }
    Ok(pairs)
}

/// For each picture the index of the first picture of its group.
fn group(pictures: &[Picture], listed: &[(PathBuf, PathBuf)]) -> Vec<usize> {
    let mut groups = Groups { parent: (0..pictures.len()).collect() };
    // Two hashes that differ in at most five bits agree in one of six bands.
    let bands = NEAR_DUPLICATE_BITS + 1;
    let width = u64::BITS.div_ceil(bands);
    let mut buckets: HashMap<(u32, u64), Vec<usize>> = HashMap::new();
    for (index, picture) in pictures.iter().enumerate() {
        for band in 0..bands {
            let key = picture.hash >> (band * width) & ((1 << width) - 1);
            let bucket = buckets.entry((band, key)).or_default();
            for &other in bucket.iter() {
                if (picture.hash ^ pictures[other].hash).count_ones() <= NEAR_DUPLICATE_BITS {
                    groups.join(index, other);
                }
            }
            bucket.push(index);
        }
    }
    let index_of: HashMap<&Path, usize> =
        pictures.iter().enumerate().map(|(i, p)| (p.path.as_path(), i)).collect();
    for (a, b) in listed {
        if let (Some(&a), Some(&b)) = (index_of.get(a.as_path()), index_of.get(b.as_path())) {
            groups.join(a, b);
        }
    }
    (0..pictures.len()).map(|index| groups.root(index)).collect()
}

/// Disjoint sets whose root is their smallest member.
struct Groups {
    parent: Vec<usize>,
}

impl Groups {
    fn root(&mut self, mut index: usize) -> usize {
        while self.parent[index] != index {
            self.parent[index] = self.parent[self.parent[index]];
            index = self.parent[index];
        }
        index
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }
}

/// Gives whole groups to splits, per class of their first picture, in the order of a hash of their name.
fn split(dataset: &str, folder: &Path, pictures: Vec<Picture>, groups: &[usize], seed: u64) -> Vec<Sample> {
    let name_of = |index: usize| {
        let path = pictures[index].path.strip_prefix(folder).unwrap_or(&pictures[index].path);
        path.to_string_lossy().into_owned()
    };
    let mut size_of: BTreeMap<usize, usize> = BTreeMap::new();
    for &root in groups {
        *size_of.entry(root).or_default() += 1;
    }
    let mut split_of = HashMap::new();
    for label in [0, 1] {
        let mut roots: Vec<usize> =
            size_of.keys().copied().filter(|&root| pictures[root].label == label).collect();
        roots.sort_by_cached_key(|&root| Sha256::digest(format!("{seed}/{dataset}/{}", name_of(root))));
        let total: usize = roots.iter().map(|root| size_of[root]).sum();
        let mut before = 0;
        for root in roots {
            let share = before as f64 / total as f64;
            let split = match share {
                _ if share < SHARES[0] => Split::Train,
                _ if share < SHARES[0] + SHARES[1] => Split::Val,
                _ => Split::Test,
            };
            split_of.insert(root, split);
            before += size_of[&root];
        }
    }
    let sample = |(index, root): (usize, &usize)| Sample {
        image_path: pictures[index].path.clone(),
        label: pictures[index].label,
        dataset: dataset.to_owned(),
        split: split_of[root],
        group: name_of(*root),
        dhash: format!("{:016x}", pictures[index].hash),
    };
    groups.iter().enumerate().map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(index: usize, label: u8, hash: u64) -> Picture {
        Picture { path: format!("set/{label}/{index:04}.png").into(), label, hash }
    }

    #[test]
    fn hashes_within_five_bits_form_one_group() {
        let base = 0x0123_4567_89ab_cdef;
        let pictures = vec![
            picture(0, 0, base),
            picture(1, 0, base ^ 0b1_1111),
            picture(2, 0, base ^ 0x8000_8000_8000_8001),
            picture(3, 0, base ^ 0b11_1111),
            picture(4, 0, !base),
        ];
        let groups = group(&pictures, &[]);
        assert_eq!(groups[..3], [0, 0, 0]);
        // Six bits from the first, but one from the second.
        assert_eq!(groups[3], 0);
        assert_eq!(groups[4], 4);
    }

    #[test]
    fn listed_pairs_join_groups() {
        let pictures = vec![picture(0, 0, 0), picture(1, 1, u64::MAX)];
        let pair = (pictures[0].path.clone(), pictures[1].path.clone());
        assert_eq!(group(&pictures, &[pair]), [0, 0]);
    }

    #[test]
    fn splits_are_stratified_deterministic_and_keep_groups() {
        let pictures = || -> Vec<Picture> {
            let spread = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (0..400).map(|i| picture(i, u8::from(i % 4 == 0), spread((i / 2) as u64))).collect()
        };
        let groups = group(&pictures(), &[]);
        let samples = split("set", Path::new("set"), pictures(), &groups, 7);
        assert_eq!(samples, split("set", Path::new("set"), pictures(), &groups, 7));
        assert_ne!(samples, split("set", Path::new("set"), pictures(), &groups, 8));
        for pair in samples.chunks(2) {
            assert_eq!(pair[0].split, pair[1].split);
        }
        for (split, share) in [(Split::Train, 0.70), (Split::Val, 0.15), (Split::Test, 0.15)] {
            let count = samples.iter().filter(|s| s.split == split).count() as f64;
            assert!((count / 400.0 - share).abs() < 0.02, "{split:?}: {count}");
        }
    }
}
