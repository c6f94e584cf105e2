//! What the networks of a cascade say of labelled pictures: by the engine, from the files that ship.

use crate::dataset::Sample;
use crate::export::{Reduction, with_embedding, with_values};
use crate::files::read_limited;
use crate::stacking::{Column, Row, Table};
use anyhow::{Context, Result, bail, ensure};
use engine::frame::MAX_FILE_BYTES;
use engine::meta::Given;
use engine::stability::View;
use engine::uncertainty::spread;
use engine::{Crop, Frame, Preprocess, ProbabilityFake, Session};
use indicatif::ProgressBar;
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::path::Path;

/// A network that may become a stage.
#[derive(Debug, Clone)]
pub struct Part {
    /// Name of the stage that it becomes.
    pub name: String,
    /// Its ONNX file.
    pub onnx: Vec<u8>,
    /// How its input is made.
    pub preprocess: Preprocess,
    /// Divisor of its logits.
    pub temperature: f64,
}

impl Part {
    /// The network at `path`: the first stage of a bundle's folder, or an ONNX file whose pictures are normalised as
    /// ImageNet's.
    ///
    /// # Errors
    /// If neither is there, or the network does not load.
    pub fn read(path: &Path) -> Result<Self> {
        let context = || format!("the network at {}", path.display());
        if path.is_dir() {
            let bundle = crate::bundle::read_bundle(path)?;
            let manifest = bundle.manifest();
            let stage = &manifest.stages[0];
            let onnx = bundle.content(&stage.file).with_context(context)?.to_vec();
            let preprocess = manifest.preprocess_of(stage).clone();
            let network = manifest.training.get("network").and_then(|name| name.as_str());
            let name = network.unwrap_or(&stage.name).to_owned();
            return Ok(Part { name, onnx, preprocess, temperature: stage.temperature });
        }
        let onnx = read_limited(path, engine::runtime::onnx::MAX_BYTES as u64)?;
        let session = Session::load(&onnx).with_context(context)?;
        let &[1, 3, side, width] = session.input_shape() else {
            bail!("{} takes {:?}, expected a picture", path.display(), session.input_shape())
        };
        ensure!(side == width, "{} takes pictures of {width} x {side}, expected a square", path.display());
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("expert");
        let name = stem.split('.').next().unwrap_or(stem).to_owned();
        let preprocess = Preprocess::imagenet(u32::try_from(side)?);
        preprocess.check()?;
        Ok(Part { name, onnx, preprocess, temperature: 1.0 })
    }

    /// The same network with the values that the meta-model reads, at most `directions` of the embedding's main ones as
    /// the pictures of `learned` show them.
    ///
    /// # Errors
    /// If a picture does not load, or the network has no embedding.
    pub fn with_values(mut self, learned: &[Sample], directions: usize, bar: &ProgressBar) -> Result<Self> {
        let onnx = with_embedding(&self.onnx).with_context(|| self.name.clone())?;
        bar.set_message(format!("embeddings of {}", self.name));
        let rows = each(learned, &[&onnx], bar, |frame, crop, sessions| {
            let input = self.preprocess.tensor(frame, crop);
            let outputs = sessions[0].run_all(&[&input])?;
            Ok(outputs.get(1).context("the embedding is missing")?.values().to_vec())
        })?;
        let width = rows.first().map_or(0, Vec::len);
        ensure!(width > 0, "there are no pictures to learn directions from");
        let embeddings = DMatrix::from_fn(rows.len(), width, |r, c| f64::from(rows[r][c]));
        self.onnx = with_values(&self.onnx, &Reduction::fit(&embeddings, directions))?;
        Ok(self)
    }
}

/// What `parts`, the filter first, say of `samples`, and how far `views` move the filter.
///
/// # Errors
/// If a picture does not load or a network gives no number.
pub fn answers(samples: &[Sample], parts: &[Part], views: &[View], bar: &ProgressBar) -> Result<Table> {
    let files: Vec<&[u8]> = parts.iter().map(|part| part.onnx.as_slice()).collect();
    bar.set_message("answers");
    let rows = each(samples, &files, bar, |frame, crop, sessions| {
        let mut given = Vec::new();
        for (part, session) in parts.iter().zip(sessions.iter_mut()) {
            let outputs = session.run_all(&[&part.preprocess.tensor(frame, crop)])?;
            given.push(Given::of_network(&part.name, &outputs)?);
        }
        let (filter, session) = (&parts[0], &mut sessions[0]);
        let mut seen = Vec::new();
        for view in views {
            let input = filter.preprocess.normalise(&view.rgb(frame, crop, filter.preprocess.size));
            let logit = Given::of_network(&filter.name, &session.run_all(&[&input])?)?.logit;
            seen.push(ProbabilityFake::of_logit(logit, filter.temperature));
        }
        let main = ProbabilityFake::of_logit(given[0].logit, filter.temperature);
        Ok((given, spread(main, &seen), crop.width().min(crop.height())))
    })?;
    let columns = rows.first().map(|(given, ..)| columns(parts, given)).unwrap_or_default();
    let rows = samples.iter().zip(rows).map(|(sample, (given, uncertainty, side))| Row {
        path: sample.name(),
        label: sample.label,
        dataset: sample.dataset.clone(),
        source: sample.source(),
        values: given
            .into_iter()
            .flat_map(|given| std::iter::once(given.logit).chain(given.values))
            .collect(),
        uncertainty,
        side,
    });
    Ok(Table { columns, rows: rows.collect() })
}

/// Names of the values, in their order.
fn columns(parts: &[Part], given: &[Given]) -> Vec<Column> {
    let of = |(stage, (part, given)): (usize, (&Part, &Given))| {
        let logit = Column { stage, name: format!("{}.logit", part.name) };
        let value = |index| Column { stage, name: format!("{}.{index}", part.name) };
        std::iter::once(logit).chain((0..given.values.len()).map(value)).collect::<Vec<_>>()
    };
    parts.iter().zip(given).enumerate().flat_map(of).collect()
}

/// What `look` makes of each sample's picture and region, with sessions of `files` for each thread.
fn each<T: Send>(
    samples: &[Sample],
    files: &[&[u8]],
    bar: &ProgressBar,
    look: impl Fn(&Frame, &Crop, &mut [Session]) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    bar.set_length(samples.len() as u64);
    bar.set_position(0);
    let load = || -> Result<Vec<Session>> {
        files.iter().map(|onnx| Session::load(onnx).context("a network does not load")).collect()
    };
    // Before the threads, so that a file that does not load is one error.
    load()?;
    let one = |sessions: &mut Result<Vec<Session>>, sample: &Sample| -> Result<T> {
        let sessions = sessions.as_mut().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let bytes = read_limited(&sample.image_path, MAX_FILE_BYTES as u64)?;
        let context = || format!("cannot judge {}", sample.image_path.display());
        let frame = Frame::from_encoded(&bytes).with_context(context)?;
        let found = look(&frame, &sample.crop(&frame)?, sessions).with_context(context)?;
        bar.inc(1);
        Ok(found)
    };
    samples.par_iter().map_init(load, one).collect()
}
