//! A finished run, or an earlier bundle, with networks, model card and examples -> a bundle that was read back and checked.

use super::cascade::CascadeContent;
use super::format::network_format;
use super::onnx::{Metadata, onnx_bytes, with_metadata};
use super::parity::{Parity, Reference, candle_logits, engine_logits};
use super::readme::{CARD_NAME, EXAMPLES, README_NAME, readme};
use super::tflite::{Summary, verify};
use crate::bundle::{Existing, NewFolder, read_bundle};
use crate::checkpoint::Checkpoint;
use crate::deployment::DeploymentConfig;
use crate::files::read_limited;
use crate::optimize::read_result;
use crate::train::{Network, RunFolder, RunMetrics};
use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;
use engine::bundle::{
    FileEntry, MANIFEST_NAME, MAX_FILE_BYTES, NetworkFormat, OtherFile, SCHEMA_VERSION, Stage,
};
use engine::golden::{GOLDEN_NAME, Golden};
use engine::uncertainty::Uncertainty;
use engine::{Bundle, Detector, Manifest, Preprocess, Session, Tensor, Thresholds};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Name of the only network of a bundle.
const STAGE: &str = "stage1";

/// Where a bundle comes from.
pub struct BundleSource<'a> {
    /// What gives network, thresholds, temperature and figures.
    pub origin: Origin<'a>,
    /// ONNX file in place of the origin's network: the same one in other numbers.
    pub model: Option<&'a Path>,
    /// Folder of the network that `aware optimize` wrote: its integers, temperature and thresholds in place of the origin's.
    pub optimized: Option<&'a Path>,
    /// Files with the same network for other runtimes.
    pub also: &'a [PathBuf],
    /// Name of the bundle, for people; else the configuration's or the origin's.
    pub name: Option<&'a str>,
    /// Version of the bundle, likewise.
    pub version: Option<&'a str>,
    /// Terms of the weights, likewise.
    pub licence: Option<&'a str>,
    /// Model card in Markdown; else the origin's.
    pub card: Option<&'a Path>,
}

/// What a bundle is made of.
pub enum Origin<'a> {
    /// A finished run.
    Run(&'a RunFolder),
    /// The folder of an earlier bundle.
    Bundle(&'a Path),
}

/// Writes a bundle to `folder`, once what was written has been read back and checked.
///
/// # Errors
/// If something needed is missing or `folder` exists; if the network is not the origin's within the limits of `config`;
/// if a file cannot be written. Nothing is left under the final name then.
pub fn write_bundle(
    source: &BundleSource,
    config: &DeploymentConfig,
    existing: Existing,
    folder: &Path,
) -> Result<Manifest> {
    config.check()?;
    // Refused before the work, not behind it.
    let output = NewFolder::create(folder, existing)?;
    let (manifest, files) = match CascadeContent::of_bundle(source, config)? {
        Some(cascade) => cascade.package(config)?,
        None => Content::gather(source, config)?.package(source, config)?,
    };
    write_files(output, &manifest, &files)
        .with_context(|| format!("{} was not written as it should be", folder.display()))?;
    Ok(manifest)
}

/// Writes a bundle's files, reads them back as any user would, and gives the folder its name.
///
/// # Errors
/// If a file cannot be written, or what is read back does not pass.
pub(super) fn write_files(output: NewFolder, manifest: &Manifest, files: &[File]) -> Result<()> {
    for (name, bytes) in files {
        output.write(name, bytes)?;
    }
    let mut json = serde_json::to_vec_pretty(manifest)?;
    json.push(b'\n');
    output.write(MANIFEST_NAME, &json)?;
    check_written(&read_bundle(output.temporary())?)?;
    output.finish()
}

/// Loads what was written as any user would, and runs the golden vectors.
fn check_written(bundle: &Bundle) -> Result<()> {
    let mut detector = Detector::load(bundle)?;
    let golden = bundle.golden()?.context("there are no golden vectors")?;
    let report = golden.check(&mut detector, &|| 0.0);
    match report.vectors.into_iter().find(|vector| !vector.passed) {
        Some(wrong) => bail!("golden vector {}: {}", wrong.name, wrong.problem.unwrap_or_default()),
        None => Ok(()),
    }
}

/// A file of a bundle: name and content.
pub(super) type File = (String, Vec<u8>);

/// What a bundle says, and its network.
struct Content {
    name: String,
    version: String,
    licence: String,
    card: Vec<u8>,
    preprocess: Preprocess,
    temperature: f64,
    thresholds: Thresholds,
    uncertainty: Uncertainty,
    training: Value,
    stage: String,
    onnx: Vec<u8>,
    others: Vec<Other>,
    /// The network that [`Content::onnx`] must equal.
    reference: Original,
}

/// The network of the origin.
enum Original {
    Trained(Box<Network>),
    Packed(Vec<u8>),
}

impl Content {
    fn gather(source: &BundleSource, config: &DeploymentConfig) -> Result<Self> {
        let mut content = match source.origin {
            Origin::Run(run) => Content::of_run(run, source, config)?,
            Origin::Bundle(folder) => Content::of_bundle(folder, source, config)?,
        };
        if let Some(folder) = source.optimized {
            content.take_optimized(folder).with_context(|| folder.display().to_string())?;
        }
        if let Some(path) = source.model {
            content.onnx = read_limited(path, engine::runtime::onnx::MAX_BYTES as u64)?;
        }
        for path in source.also {
            let other = Other::read(path, content.preprocess.size)?;
            // In place of one that an earlier bundle had.
            content.others.retain(|earlier| earlier.entry.file != other.entry.file);
            content.others.push(other);
        }
        content.onnx = with_metadata(&content.onnx, content.metadata())
            .with_context(|| source.model.unwrap_or(Path::new(STAGE)).display().to_string())?;
        Ok(content)
    }

    /// Takes the student that `aware optimize` left in `folder`, as it was judged there.
    fn take_optimized(&mut self, folder: &Path) -> Result<()> {
        let result = read_result(folder)?;
        let details = result.details.as_deref().context("the optimisation failed")?;
        let file = &details.files.optimized;
        let onnx = read_limited(&folder.join(&file.name), engine::runtime::onnx::MAX_BYTES as u64)?;
        FileEntry { name: file.name.clone(), bytes: file.bytes, sha256: file.sha256.clone() }.check(&onnx)?;
        self.onnx = onnx;
        self.temperature = details.temperature;
        self.thresholds = details.thresholds;
        if let Some(training) = self.training.as_object_mut() {
            let summary = serde_json::json!({
                "test_auc": details.auc,
                "test_auc_after_training_only": details.auc_after_training_only,
                "calibration": details.calibration,
                "best_epoch": details.best_epoch,
                "four_bits": details.four_bits,
                "floats": details.floats,
                "size_reduction_percent": result.size_reduction_percent,
                "pictures": details.pictures,
            });
            training.insert("optimization".into(), summary);
            // Who reads the bundle's figures reads those of the network that is in it.
            let figures = [
                ("test", serde_json::json!(details.test)),
                ("test_sure", serde_json::json!(details.test_sure)),
            ];
            for (key, value) in figures {
                if let Some(floats) = training.insert(key.into(), value) {
                    training.insert(format!("{key}_in_floats"), floats);
                }
            }
        }
        Ok(())
    }

    fn of_run(run: &RunFolder, source: &BundleSource, config: &DeploymentConfig) -> Result<Self> {
        let checkpoint = Checkpoint::read(&run.best())?;
        let network = Network::from_checkpoint(&checkpoint, &Device::Cpu)?;
        let path = run.metrics();
        let metrics = std::fs::read(&path)
            .with_context(|| format!("cannot read {}; finish the run with `aware train`", path.display()))?;
        let metrics: RunMetrics =
            serde_json::from_slice(&metrics).with_context(|| format!("in {}", path.display()))?;
        let run = &checkpoint.progress.config;
        Ok(Content {
            name: text("name", source.name, config.bundle_name.as_deref())?,
            version: text("version", source.version, config.bundle_version.as_deref())?,
            licence: text("licence", source.licence, config.licence.as_deref())?,
            card: read_card(source.card.context("a run has no model card; name one with --card")?)?,
            preprocess: run.preprocess(),
            temperature: metrics.temperature,
            thresholds: metrics.thresholds,
            uncertainty: Uncertainty::default(),
            training: serde_json::json!({
                "network": run.network,
                "datasets": run.datasets,
                "best_epoch": metrics.progress.best_epoch,
                "test": metrics.test,
                "test_trivial_cues": metrics.test_trivial_cues,
                "test_sure": metrics.test_sure,
            }),
            stage: STAGE.into(),
            onnx: onnx_bytes(&network.model, run.image_size as usize, Vec::new())?,
            others: Vec::new(),
            reference: Original::Trained(Box::new(network)),
        })
    }

    fn of_bundle(folder: &Path, source: &BundleSource, config: &DeploymentConfig) -> Result<Self> {
        let bundle = read_bundle(folder)?;
        let manifest = bundle.manifest().clone();
        let stage = manifest.stages[0].clone();
        let content = |name: &str| bundle.content(name).map(<[u8]>::to_vec);
        let onnx = content(&stage.file).with_context(|| format!("{} is missing", stage.file))?;
        let card = match source.card {
            Some(path) => read_card(path)?,
            None => content(CARD_NAME)
                .with_context(|| format!("{} has no {CARD_NAME}; name one with --card", folder.display()))?,
        };
        let or = |own: String, given: Option<&str>, default: &Option<String>| {
            given.map(str::to_owned).or_else(|| default.clone()).unwrap_or(own)
        };
        let others = manifest.others.into_iter().filter_map(|entry| {
            let content = bundle.content(&entry.file)?.to_vec();
            Some(Other { content, entry })
        });
        Ok(Content {
            name: or(manifest.name, source.name, &config.bundle_name),
            version: or(manifest.version, source.version, &config.bundle_version),
            licence: or(manifest.licence, source.licence, &config.licence),
            card,
            preprocess: manifest.preprocess,
            temperature: stage.temperature,
            thresholds: manifest.thresholds,
            uncertainty: manifest.uncertainty.unwrap_or_default(),
            training: manifest.training,
            stage: stage.name,
            onnx: onnx.clone(),
            others: others.collect(),
            reference: Original::Packed(onnx),
        })
    }

    /// What the ONNX file says of itself.
    fn metadata(&self) -> Metadata {
        let network = self.training.get("network").and_then(Value::as_str).unwrap_or("unknown");
        [
            ("name", self.name.as_str()),
            ("version", &self.version),
            ("licence", &self.licence),
            ("network", network),
            ("input", "RGB, centre square, resized and normalised as the bundle's manifest says"),
            ("output", "logit; P(fake) = sigmoid(logit / temperature)"),
            ("temperature", &self.temperature.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// The manifest of the network alone, through the engine's own checks.
    fn manifest(&self) -> Result<Manifest> {
        let file = format!("{}.onnx", self.stage);
        let stage = Stage {
            format: Some(network_format(&self.onnx, self.preprocess.size)?),
            multiply_adds: Some(Session::load(&self.onnx)?.plan().multiply_adds()),
            ..Stage::filter(self.stage.clone(), file.clone(), self.temperature)
        };
        let manifest = Manifest {
            schema_version: SCHEMA_VERSION.into(),
            name: self.name.clone(),
            version: self.version.clone(),
            licence: self.licence.clone(),
            preprocess: self.preprocess.clone(),
            stages: vec![stage],
            thresholds: self.thresholds,
            uncertainty: Some(self.uncertainty.clone()),
            files: vec![FileEntry::of(file, &self.onnx)],
            golden: None,
            others: Vec::new(),
            training: self.training.clone(),
        };
        Ok(Manifest::parse(&serde_json::to_vec(&manifest)?)?)
    }

    /// The manifest and every file that it lists, each network compared with the origin's.
    fn package(self, source: &BundleSource, config: &DeploymentConfig) -> Result<(Manifest, Vec<File>)> {
        let mut manifest = self.manifest()?;
        let alone = Bundle::new(manifest.clone(), |_| Ok(self.onnx.clone()))?;
        let golden = Golden::record(&mut Detector::load(&alone)?, config.golden_vectors)?;
        let inputs: Vec<Tensor> =
            golden.vectors.iter().map(|vector| vector.input(&manifest)).collect::<Result<_, _>>()?;
        let reference = self.reference.run(&inputs)?;
        let measure =
            Measure { inputs: &inputs, reference: &reference, temperature: self.temperature, config };
        let stage = manifest.stages[0].clone();
        let parity = measure.compare(&stage.file, &self.onnx, stage.format)?;
        let is_new =
            source.model.is_some() || source.optimized.is_some() || matches!(source.origin, Origin::Run(_));
        if let (true, Some(training)) = (is_new, manifest.training.as_object_mut()) {
            training.insert("written".into(), serde_json::to_value(&parity)?);
        }

        let mut files = vec![(stage.file, self.onnx)];
        for other in self.others {
            measure.compare(&other.entry.file, &other.content, other.entry.format)?;
            files.push((other.entry.file.clone(), other.content));
            manifest.others.push(other.entry);
        }
        complete(manifest, files, &golden, self.card, config)
    }
}

/// Puts golden vectors, card, examples and page beside a bundle's networks, and lists all of them.
///
/// # Errors
/// If the manifest does not pass the engine's checks, or the files are too large together.
pub(super) fn complete(
    mut manifest: Manifest,
    mut files: Vec<File>,
    golden: &Golden,
    card: Vec<u8>,
    config: &DeploymentConfig,
) -> Result<(Manifest, Vec<File>)> {
    let mut golden = serde_json::to_vec_pretty(golden)?;
    golden.push(b'\n');
    files.push((GOLDEN_NAME.into(), golden));
    manifest.golden = Some(GOLDEN_NAME.into());
    files.push((CARD_NAME.into(), card));
    let examples = EXAMPLES.iter().filter(|_| config.include_examples);
    files.extend(examples.map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())));
    let list = |files: &[File]| files.iter().map(|(name, content)| FileEntry::of(name, content)).collect();
    manifest.files = list(&files);
    files.push((README_NAME.into(), readme(&manifest).into_bytes()));
    manifest.files = list(&files);
    check_size(&manifest, config)?;
    // Clashing names, above all, before anything is written.
    Ok((Manifest::parse(&serde_json::to_vec(&manifest)?)?, files))
}

fn check_size(manifest: &Manifest, config: &DeploymentConfig) -> Result<()> {
    let bytes: u64 = manifest.files.iter().map(|entry| entry.bytes).sum();
    ensure!(
        bytes as f64 <= config.max_bundle_megabytes * 1e6,
        "the files have {:.1} MB together, max_bundle_megabytes is {}",
        bytes as f64 / 1e6,
        config.max_bundle_megabytes
    );
    Ok(())
}

/// What the ONNX files of a bundle are held to.
struct Measure<'a> {
    inputs: &'a [Tensor],
    reference: &'a Reference,
    temperature: f64,
    config: &'a DeploymentConfig,
}

impl Measure<'_> {
    /// How far the file `name` is from the reference; nothing without a format, which files have that the engine does not
    /// read.
    fn compare(&self, name: &str, content: &[u8], format: Option<NetworkFormat>) -> Result<Option<Parity>> {
        let Some(format) = format else { return Ok(None) };
        let logits = engine_logits(content, self.inputs).with_context(|| name.to_owned())?;
        let parity = Parity::of(&logits, self.reference, self.temperature)?;
        parity.check(name, format, self.config)?;
        Ok(Some(parity))
    }
}

impl Original {
    fn run(&self, inputs: &[Tensor]) -> Result<Reference> {
        Ok(match self {
            Original::Trained(network) => {
                Reference { name: "candle".into(), logits: candle_logits(network, inputs)? }
            }
            Original::Packed(onnx) => {
                Reference { name: "the earlier bundle".into(), logits: engine_logits(onnx, inputs)? }
            }
        })
    }
}

/// A file for another runtime.
struct Other {
    content: Vec<u8>,
    entry: OtherFile,
}

impl Other {
    fn read(path: &Path, input_size: u32) -> Result<Self> {
        let name = path.file_name().and_then(|name| name.to_str());
        let file = name.with_context(|| format!("{} has no plain name", path.display()))?.to_owned();
        let content = read_limited(path, MAX_FILE_BYTES)?;
        let (runtime, format) = match path.extension().and_then(|extension| extension.to_str()) {
            Some("onnx") => {
                let format = network_format(&content, input_size).with_context(|| path.display().to_string());
                ("onnx", Some(format?))
            }
            Some("tflite") => {
                check_tflite(&content, input_size as usize).with_context(|| path.display().to_string())?;
                ("tflite", None)
            }
            _ => bail!("{} ends in neither .onnx nor .tflite", path.display()),
        };
        Ok(Other { content, entry: OtherFile { file, runtime: runtime.into(), format } })
    }
}

/// Checks a TFLite file as far as that goes without its runtime: that it is whole, from one picture to one logit.
fn check_tflite(file: &[u8], side: usize) -> Result<()> {
    let Summary { inputs, outputs, .. } = verify(file)?;
    let is_logit = matches!(&outputs[..], [shape] if shape.iter().product::<usize>() == 1);
    ensure!(
        inputs == [[1, side, side, 3]] && is_logit,
        "it takes {inputs:?} and gives {outputs:?}, expected [1, {side}, {side}, 3] and one logit"
    );
    Ok(())
}

/// The first of two texts that is given.
pub(super) fn text(what: &str, given: Option<&str>, default: Option<&str>) -> Result<String> {
    let text = given.or(default);
    Ok(text.with_context(|| format!("a run has no {what}; give one with --{what}"))?.to_owned())
}

pub(super) fn read_card(path: &Path) -> Result<Vec<u8>> {
    read_limited(path, MAX_FILE_BYTES).context("the model card")
}
