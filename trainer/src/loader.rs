//! Samples -> batches, made by a thread of its own while the network learns.

use crate::augment::{Augment, Face, Portrait};
use crate::dataset::Sample;
use crate::face_points::PointsByFace;
use crate::files::read_limited;
use crate::memory::available_bytes;
use crate::points::Points;
use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use engine::frame::MAX_FILE_BYTES;
use engine::{Frame, Preprocess};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};

/// Decoded bytes that a loader keeps in memory where the system does not say how much there is.
const KEPT_BYTES: u64 = 4 << 30;
/// What a loader keeps of the memory that is there: a run has three of them, and others may run beside it.
const KEPT_SHARE: u64 = 5;
/// Batches that wait for the network.
const PREFETCH: usize = 2;

/// Pictures and their labels.
pub struct Batch {
    /// `[N, 3, S, S]`, normalised RGB.
    pub pictures: Tensor,
    /// `[N]`, 0 real, 1 fake.
    pub labels: Tensor,
    /// Which picture each is.
    pub items: Vec<Item>,
}

/// One picture of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Its place among the loader's samples.
    pub index: usize,
    /// What it is shown as.
    pub face: Face<usize>,
}

impl Item {
    /// 0 real, 1 fake.
    fn label(self, samples: &[Sample]) -> u8 {
        match self.face {
            Face::Own => samples[self.index].label,
            Face::SelfBlended | Face::Composite(_) => 1,
        }
    }
}

/// How samples are shown.
#[derive(Debug, Clone)]
pub enum View {
    /// As the engine will see them, in order.
    Plain,
    /// Shuffled and augmented, by seed and epoch.
    Augmented {
        /// How strongly.
        augment: Augment,
        /// Seed of the run.
        seed: u64,
        /// Number of the pass.
        epoch: u64,
    },
}

/// Samples with their decoded pictures.
pub struct Loader {
    samples: Arc<Vec<Sample>>,
    points: Arc<Vec<Option<Points>>>,
    frames: Arc<Frames>,
    preprocess: Preprocess,
}

impl Loader {
    /// A loader of `samples`; pictures are decoded when first used.
    pub fn new(samples: Vec<Sample>, preprocess: Preprocess) -> Self {
        let limit = available_bytes().map_or(KEPT_BYTES, |bytes| bytes / KEPT_SHARE) as usize;
        let kept = samples.iter().map(|_| OnceLock::new()).collect();
        let frames = Frames { kept, bytes: AtomicUsize::new(0), limit };
        let points = Arc::new(vec![None; samples.len()]);
        Loader { samples: Arc::new(samples), points, frames: Arc::new(frames), preprocess }
    }

    /// The same with the points of those faces that `points` has, for composites.
    #[must_use]
    pub fn with_points(self, points: &PointsByFace) -> Self {
        let own = self.samples.iter().map(|sample| points.get(&sample.name()).copied());
        Loader { points: Arc::new(own.collect()), ..self }
    }

    /// The samples, in the order of [`View::Plain`].
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The set of each sample.
    pub fn sets(&self) -> Vec<&str> {
        self.samples.iter().map(|sample| sample.dataset.as_str()).collect()
    }

    /// The decoded picture of sample `index`.
    ///
    /// # Errors
    /// If it does not load.
    pub fn frame(&self, index: usize) -> Result<Arc<Frame>> {
        self.frames.get(index, &self.samples[index])
    }

    /// Real and fake pictures of a pass: those that are made count as fakes.
    pub fn class_counts(&self, view: &View) -> [usize; 2] {
        let items = order(&self.samples, &self.points, view);
        let fakes = items.iter().filter(|item| item.label(&self.samples) == 1).count();
        [items.len() - fakes, fakes]
    }

    /// Batches of `size` samples; a last smaller one only in [`View::Plain`], since batch norm
    /// learns nothing from a handful of pictures. The first `skip` batches are left out unmade.
    pub fn batches(&self, view: View, size: usize, skip: usize) -> Receiver<Result<Batch>> {
        let (sender, receiver) = sync_channel(PREFETCH);
        let (samples, points, frames) = (self.samples.clone(), self.points.clone(), self.frames.clone());
        let preprocess = self.preprocess.clone();
        std::thread::spawn(move || {
            for items in order(&samples, &points, &view).chunks(size).skip(skip) {
                if items.len() < size && matches!(view, View::Augmented { .. }) {
                    break;
                }
                let look =
                    Look { samples: &samples, points: &points, frames: &frames, preprocess: &preprocess };
                let batch = look.make_batch(items, &view);
                if sender.send(batch).is_err() {
                    break; // nobody waits any more
                }
            }
        });
        receiver
    }
}

/// Independent random numbers for one use of one epoch.
fn stream(seed: u64, epoch: u64, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ epoch);
    rng.set_stream(index);
    rng
}

/// The pictures of a pass in their order. A real one and the fake made of it stand side by side from an even place on,
/// and so in one batch of an even size.
fn order(samples: &[Sample], points: &[Option<Points>], view: &View) -> Vec<Item> {
    let own = |index| Item { index, face: Face::Own };
    let View::Augmented { augment, seed, epoch } = view else {
        return (0..samples.len()).map(own).collect();
    };
    let mut rng = stream(*seed, *epoch, 0);
    let mut items: Vec<Item> = (0..samples.len()).map(own).collect();
    items.shuffle(&mut rng);
    let reals = items.iter().filter(|item| item.label(samples) == 0).count();
    let part = |share: f64| (reals as f64 * share).round() as usize;
    let (blends, pairs) = (part(augment.self_blend), part(augment.self_blend + augment.composite));
    if pairs == 0 {
        return items;
    }
    // The shuffled order makes the first ones a random choice; every epoch has as many.
    let mut paired = 0;
    let (first, singles): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| {
        let chosen = item.label(samples) == 0 && paired < pairs;
        paired += usize::from(chosen);
        chosen
    });
    let donors = Donors::of(samples, points);
    let mut cells: Vec<Vec<Item>> = Vec::with_capacity(samples.len());
    for (place, item) in first.into_iter().enumerate() {
        let donor = if place < blends { None } else { donors.for_one(item.index, &mut rng) };
        let face = donor.map_or(Face::SelfBlended, Face::Composite);
        cells.push(vec![item, Item { face, ..item }]);
    }
    let halves = singles.chunks_exact(2);
    let rest = halves.remainder().to_vec();
    cells.extend(halves.map(<[Item]>::to_vec));
    cells.shuffle(&mut rng);
    cells.push(rest);
    cells.concat()
}

/// Faces that are drawn for a composite; of these the one that looks the same way is taken.
const CANDIDATES: usize = 16;

/// The real pictures of each set, whose faces composites may borrow.
struct Donors<'a> {
    samples: &'a [Sample],
    points: &'a [Option<Points>],
    by_set: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Donors<'a> {
    fn of(samples: &'a [Sample], points: &'a [Option<Points>]) -> Self {
        let mut by_set: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, sample) in samples.iter().enumerate().filter(|(_, sample)| !sample.is_fake()) {
            by_set.entry(&sample.dataset).or_default().push(index);
        }
        Donors { samples, points, by_set }
    }

    /// Another real picture of the set, so that sharpness and compression do not tell the parts from the rest: of some the
    /// nearest in pose. None if the set has one real picture only.
    fn for_one(&self, index: usize, rng: &mut ChaCha8Rng) -> Option<usize> {
        let set = self.by_set.get(self.samples[index].dataset.as_str())?;
        let drawn: Vec<usize> = (0..CANDIDATES).map(|_| set[rng.random_range(0..set.len())]).collect();
        let difference = |donor: usize| match (self.points[donor], self.points[index]) {
            (Some(own), Some(target)) => own.difference(&target),
            _ => f32::MAX,
        };
        let others = drawn.into_iter().filter(|&donor| donor != index);
        others.min_by(|a, b| difference(*a).total_cmp(&difference(*b)))
    }
}

/// What a batch is made of.
struct Look<'a> {
    samples: &'a [Sample],
    points: &'a [Option<Points>],
    frames: &'a Frames,
    preprocess: &'a Preprocess,
}

impl Look<'_> {
    fn make_batch(&self, items: &[Item], view: &View) -> Result<Batch> {
        let pictures: Vec<Vec<f32>> =
            items.par_iter().map(|item| self.picture(*item, view)).collect::<Result<_>>()?;
        let labels: Vec<f32> = items.iter().map(|item| f32::from(item.label(self.samples))).collect();
        let side = self.preprocess.size as usize;
        Ok(Batch {
            pictures: Tensor::from_vec(pictures.concat(), (items.len(), 3, side, side), &Device::Cpu)?,
            labels: Tensor::from_vec(labels, items.len(), &Device::Cpu)?,
            items: items.to_vec(),
        })
    }

    /// `[3, S, S]`, normalised.
    fn picture(&self, Item { index, face }: Item, view: &View) -> Result<Vec<f32>> {
        let frame = self.frames.get(index, &self.samples[index])?;
        let crop = self.samples[index].crop(&frame)?;
        let portrait = Portrait { frame: &frame, crop, points: self.points[index] };
        let tensor = match view {
            View::Plain => self.preprocess.tensor(&frame, &crop),
            View::Augmented { augment, seed, epoch } => {
                // A real picture and the fake made of it share the random numbers, and with them the treatment.
                let mut rng = stream(*seed, *epoch, index as u64 + 1);
                let size = self.preprocess.size;
                let rgb = match face {
                    Face::Own => augment.view(&portrait, Face::Own, size, &mut rng),
                    Face::SelfBlended => augment.view(&portrait, Face::SelfBlended, size, &mut rng),
                    Face::Composite(donor) => {
                        let sample = &self.samples[donor];
                        let frame = self.frames.get(donor, sample)?;
                        let other = Portrait {
                            frame: &frame,
                            crop: sample.crop(&frame)?,
                            points: self.points[donor],
                        };
                        augment.view(&portrait, Face::Composite(other), size, &mut rng)
                    }
                };
                self.preprocess.normalise(&rgb)
            }
        };
        Ok(tensor.into_values())
    }
}

/// Decoded pictures, kept while there is room; those past it are decoded each time.
struct Frames {
    kept: Vec<OnceLock<Arc<Frame>>>,
    bytes: AtomicUsize,
    /// The most bytes.
    limit: usize,
}

impl Frames {
    fn get(&self, index: usize, sample: &Sample) -> Result<Arc<Frame>> {
        if let Some(frame) = self.kept[index].get() {
            return Ok(frame.clone());
        }
        let context = || format!("cannot load {}", sample.image_path.display());
        let bytes = read_limited(&sample.image_path, MAX_FILE_BYTES as u64)?;
        let frame = Arc::new(Frame::from_encoded(&bytes).with_context(context)?);
        let size = frame.rgb().len();
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size <= self.limit {
            return Ok(self.kept[index].get_or_init(|| frame).clone());
        }
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Split;
    use engine::crop::CropKind;

    fn samples(real: usize, fake: usize) -> Vec<Sample> {
        let sample = |index: usize| Sample {
            image_path: format!("{index}.png").into(),
            label: u8::from(index >= real),
            dataset: "toy".into(),
            split: Split::Train,
            group: index.to_string(),
            dhash: String::new(),
            face: None,
            crop: CropKind::Square,
        };
        (0..real + fake).map(sample).collect()
    }

    fn view(self_blend: f64, epoch: u64) -> View {
        View::Augmented { augment: Augment { self_blend, ..Augment::default() }, seed: 5, epoch }
    }

    #[test]
    fn composites_borrow_from_another_real_picture_of_their_set() {
        let mut samples = samples(20, 6);
        samples[..8].iter_mut().for_each(|sample| sample.dataset = "other".into());
        // Faces that look two ways.
        let mut turned = Points::MIDDLE;
        turned.0[2][0] += 0.2;
        let points: Vec<Option<Points>> =
            (0..26).map(|i| Some(if i % 2 == 0 { turned } else { Points::MIDDLE })).collect();
        let augment = Augment { self_blend: 0.25, composite: 0.75, ..Augment::default() };
        let items = order(&samples, &points, &View::Augmented { augment, seed: 5, epoch: 2 });
        let count = |wanted: fn(&Face<usize>) -> bool| items.iter().filter(|item| wanted(&item.face)).count();
        assert_eq!(count(|face| *face == Face::SelfBlended), 5);
        assert_eq!(count(|face| matches!(face, Face::Composite(_))), 15);
        for (place, item) in items.iter().enumerate() {
            let Face::Composite(donor) = item.face else { continue };
            assert_eq!(items[place - 1], Item { index: item.index, face: Face::Own });
            assert_ne!(donor, item.index);
            assert!(!samples[donor].is_fake());
            assert_eq!(samples[donor].dataset, samples[item.index].dataset);
            assert_eq!(donor % 2, item.index % 2, "the donor looks another way");
        }
    }

    #[test]
    fn a_pass_shows_every_sample_once_and_pairs_never_part() {
        let samples = samples(31, 12);
        for (self_blend, pairs) in [(0.0, 0), (0.5, 16), (1.0, 31)] {
            let items = order(&samples, &[None; 64], &view(self_blend, 1));
            let mut own: Vec<usize> =
                items.iter().filter(|item| item.face == Face::Own).map(|item| item.index).collect();
            own.sort_unstable();
            assert_eq!(own, (0..43).collect::<Vec<_>>());
            assert_eq!(items.len(), 43 + pairs);
            for batch in items.chunks(8) {
                for (place, blended) in batch.iter().enumerate().filter(|(_, i)| i.face == Face::SelfBlended)
                {
                    let real = Item { index: blended.index, face: Face::Own };
                    assert_eq!(batch[place - 1], real, "made of another picture, or in another batch");
                    assert_eq!((real.label(&samples), blended.label(&samples)), (0, 1));
                }
            }
        }
    }

    #[test]
    fn the_order_depends_on_the_epoch_alone_and_the_counts_do_not() {
        let samples = samples(20, 10);
        assert_eq!(order(&samples, &[None; 64], &view(0.5, 1)), order(&samples, &[None; 64], &view(0.5, 1)));
        assert_ne!(order(&samples, &[None; 64], &view(0.5, 1)), order(&samples, &[None; 64], &view(0.5, 2)));
        let loader = Loader::new(samples, Preprocess::imagenet(64));
        assert_eq!(loader.class_counts(&view(0.5, 1)), [20, 20]);
        assert_eq!(loader.class_counts(&view(0.5, 9)), [20, 20]);
        assert_eq!(loader.class_counts(&View::Plain), [20, 10]);
    }
}
