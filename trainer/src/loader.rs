//! Samples -> batches, made by a thread of its own while the network learns.

use crate::augment::Augment;
use crate::dataset::Sample;
use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use engine::{Crop, Frame, Preprocess};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};

/// Decoded bytes that are kept in memory; pictures past it are decoded each time.
const MAX_KEPT_BYTES: usize = 4 << 30;
/// Batches that wait for the network.
const PREFETCH: usize = 2;

/// Pictures and their labels.
pub struct Batch {
    /// `[N, 3, S, S]`, normalised RGB.
    pub pictures: Tensor,
    /// `[N]`, 0 real, 1 fake.
    pub labels: Tensor,
    /// Their places among the loader's samples.
    pub indices: Vec<usize>,
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
    frames: Arc<Frames>,
    preprocess: Preprocess,
}

impl Loader {
    /// A loader of `samples`; pictures are decoded when first used.
    pub fn new(samples: Vec<Sample>, preprocess: Preprocess) -> Self {
        let frames =
            Frames { kept: samples.iter().map(|_| OnceLock::new()).collect(), bytes: AtomicUsize::new(0) };
        Loader { samples: Arc::new(samples), frames: Arc::new(frames), preprocess }
    }

    /// The samples, in the order of [`View::Plain`].
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The decoded picture of sample `index`.
    ///
    /// # Errors
    /// If it does not load.
    pub fn frame(&self, index: usize) -> Result<Arc<Frame>> {
        self.frames.get(index, &self.samples[index])
    }

    /// Batches of `size` samples; a last smaller one only in [`View::Plain`], since batch norm
    /// learns nothing from a handful of pictures. The first `skip` batches are left out unmade.
    pub fn batches(&self, view: View, size: usize, skip: usize) -> Receiver<Result<Batch>> {
        let (sender, receiver) = sync_channel(PREFETCH);
        let (samples, frames) = (self.samples.clone(), self.frames.clone());
        let preprocess = self.preprocess.clone();
        std::thread::spawn(move || {
            let mut order: Vec<usize> = (0..samples.len()).collect();
            if let View::Augmented { seed, epoch, .. } = view {
                order.shuffle(&mut stream(seed, epoch, 0));
            }
            for indices in order.chunks(size).skip(skip) {
                if indices.len() < size && matches!(view, View::Augmented { .. }) {
                    break;
                }
                let batch = make_batch(indices, &samples, &frames, &preprocess, &view);
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

fn make_batch(
    indices: &[usize],
    samples: &[Sample],
    frames: &Frames,
    preprocess: &Preprocess,
    view: &View,
) -> Result<Batch> {
    let pictures = indices.par_iter().map(|&index| {
        let frame = frames.get(index, &samples[index])?;
        let crop = Crop::centre_square(&frame);
        let tensor = match view {
            View::Plain => preprocess.tensor(&frame, &crop),
            View::Augmented { augment, seed, epoch } => {
                let mut rng = stream(*seed, *epoch, index as u64 + 1);
                preprocess.normalise(&augment.view(&frame, &crop, preprocess.size, &mut rng))
            }
        };
        Ok(tensor.into_values())
    });
    let pictures: Vec<Vec<f32>> = pictures.collect::<Result<_>>()?;
    let labels: Vec<f32> = indices.iter().map(|&index| f32::from(samples[index].label)).collect();
    let side = preprocess.size as usize;
    Ok(Batch {
        pictures: Tensor::from_vec(pictures.concat(), (indices.len(), 3, side, side), &Device::Cpu)?,
        labels: Tensor::from_vec(labels, indices.len(), &Device::Cpu)?,
        indices: indices.to_vec(),
    })
}

/// Decoded pictures, kept while there is room.
struct Frames {
    kept: Vec<OnceLock<Arc<Frame>>>,
    bytes: AtomicUsize,
}

impl Frames {
    fn get(&self, index: usize, sample: &Sample) -> Result<Arc<Frame>> {
        if let Some(frame) = self.kept[index].get() {
            return Ok(frame.clone());
        }
        let context = || format!("cannot load {}", sample.image_path.display());
        let bytes = std::fs::read(&sample.image_path).with_context(context)?;
        let frame = Arc::new(Frame::from_encoded(&bytes).with_context(context)?);
        let size = frame.rgb().len();
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size <= MAX_KEPT_BYTES {
            return Ok(self.kept[index].get_or_init(|| frame).clone());
        }
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        Ok(frame)
    }
}
