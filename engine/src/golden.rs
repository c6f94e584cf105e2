//! Golden vectors: what the networks of a bundle gave where it was made, to check another device with.
//!
//! Pictures come from formulas ([`crate::pattern`]) and go the way of every picture: crop, resize, normalisation,
//! networks. A device passes if it has the same bits all along: the engine has one order of sums on every target, in
//! floats and in integers, so that nothing less would be right.

use crate::bundle::sha256_hex;
use crate::cascade::FILTER;
use crate::crop::Crop;
use crate::detector::Detector;
use crate::error::Error;
use crate::manifest::{Manifest, is_read};
use crate::pattern::{Pattern, PatternKind};
use crate::tensor::Tensor;
use crate::verdict::probability_fake;
use serde::{Deserialize, Serialize};

/// Name of the file that `aware bundle` writes.
pub const GOLDEN_NAME: &str = "golden.json";
/// Version of the schema: an unknown major is refused, a newer minor is read.
pub const GOLDEN_SCHEMA_VERSION: &str = "1.1";
/// Most vectors.
pub const MAX_VECTORS: usize = 32;
/// Largest file, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// Pictures that every bundle may take, from plain to busy; wide, high, larger and smaller than a network's input.
const PICTURES: [Pattern; 8] = [
    Pattern { kind: PatternKind::Waves, width: 320, height: 240, seed: 1 },
    Pattern { kind: PatternKind::Noise, width: 256, height: 256, seed: 1 },
    Pattern { kind: PatternKind::Flat, width: 64, height: 64, seed: 0 },
    Pattern { kind: PatternKind::Ramp, width: 500, height: 375, seed: 11 },
    Pattern { kind: PatternKind::Checkerboard, width: 256, height: 256, seed: 30 },
    Pattern { kind: PatternKind::Flat, width: 64, height: 64, seed: 255 },
    Pattern { kind: PatternKind::Waves, width: 90, height: 131, seed: 6 },
    Pattern { kind: PatternKind::Noise, width: 640, height: 480, seed: 2 },
];

/// What the networks of a bundle must give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Golden {
    /// `major.minor` of this schema.
    pub schema_version: String,
    /// Version of the engine that wrote it.
    pub engine_version: String,
    /// One picture each.
    pub vectors: Vec<GoldenVector>,
}

/// A picture and what it must give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GoldenVector {
    /// Name in reports.
    pub name: String,
    /// The picture.
    pub picture: Pattern,
    /// Of the floats of the first stage's input, row-major, each in little-endian bytes.
    pub input_sha256: String,
    /// One for each stage, in the order of the manifest.
    pub stages: Vec<GoldenLogit>,
    /// P(fake) of the first stage, after its temperature.
    pub probability_fake: f64,
    /// How far the views move it, in log-odds; since schema 1.1, of bundles that look at views.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<f64>,
}

/// A logit, for programs and for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GoldenLogit {
    /// Name of the stage.
    pub name: String,
    /// The 32 bits of the float, in eight hexadecimal digits.
    pub bits: String,
    /// The same in decimal.
    pub logit: f32,
}

/// What a device made of the golden vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GoldenReport {
    /// Whether every vector gave the bits that it must.
    pub passed: bool,
    /// One for each vector.
    pub vectors: Vec<GoldenOutcome>,
}

/// What a device made of one vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GoldenOutcome {
    /// Name of the vector.
    pub name: String,
    /// Whether input, the logits of all loaded stages, P(fake) and uncertainty have the bits that they must.
    pub passed: bool,
    /// What the first stage's logit must be.
    pub expected: f32,
    /// What it is; absent if there is none.
    pub logit: Option<f32>,
    /// The latter less the former.
    pub difference: Option<f64>,
    /// Time in the first stage's network, in milliseconds.
    pub latency_ms: f64,
    /// The first thing that is wrong.
    pub problem: Option<String>,
}

impl Golden {
    /// The golden vectors of the bundle that `manifest` describes.
    ///
    /// # Errors
    /// [`Error::Golden`] naming the vector and the field, or line and column.
    pub fn parse(json: &[u8], manifest: &Manifest) -> Result<Self, Error> {
        if json.len() > MAX_BYTES {
            return Err(refusal(format!("the file has {} bytes, at most {MAX_BYTES} are read", json.len())));
        }
        let value: serde_json::Value = serde_json::from_slice(json)
            .map_err(|error| refusal(format!("the file is not JSON: {error}")))?;
        let version = value.get("schema_version").and_then(|v| v.as_str()).unwrap_or("missing");
        if !is_read(version, GOLDEN_SCHEMA_VERSION) {
            return Err(refusal(format!(
                "schema_version is {version}, this engine reads {GOLDEN_SCHEMA_VERSION}"
            )));
        }
        let golden: Golden = serde_json::from_slice(json).map_err(|error| refusal(error.to_string()))?;
        if golden.vectors.is_empty() || golden.vectors.len() > MAX_VECTORS {
            return Err(refusal(format!(
                "there are {} vectors, expected 1 to {MAX_VECTORS}",
                golden.vectors.len()
            )));
        }
        for vector in &golden.vectors {
            vector
                .check(manifest)
                .map_err(|detail| refusal(format!("vector {:?}: {detail}", vector.name)))?;
        }
        Ok(golden)
    }

    /// What `detector` gives on the first `count` pictures, of at most [`MAX_VECTORS`]; beyond the eighth they are the
    /// same ones with other seeds.
    ///
    /// # Errors
    /// [`Error::Numeric`] if a logit is not finite, [`Error::Golden`] if `count` is out of range.
    pub fn record(detector: &mut Detector, count: usize) -> Result<Self, Error> {
        if count == 0 || count > MAX_VECTORS {
            return Err(refusal(format!("{count} vectors are asked for, expected 1 to {MAX_VECTORS}")));
        }
        let pictures = (0..count).map(|index| {
            let picture = PICTURES[index % PICTURES.len()];
            let turn = (index / PICTURES.len()) as u32;
            Pattern { seed: picture.seed + 41 * turn, ..picture }
        });
        let vectors = pictures.map(|picture| GoldenVector::record(detector, picture));
        Ok(Golden {
            schema_version: GOLDEN_SCHEMA_VERSION.into(),
            engine_version: env!("CARGO_PKG_VERSION").into(),
            vectors: vectors.collect::<Result<_, _>>()?,
        })
    }

    /// What `detector` makes of the vectors on this device; `now_ms` is any clock in milliseconds.
    pub fn check(&self, detector: &mut Detector, now_ms: &dyn Fn() -> f64) -> GoldenReport {
        let vectors: Vec<GoldenOutcome> =
            self.vectors.iter().map(|vector| vector.run(detector, now_ms)).collect();
        GoldenReport { passed: vectors.iter().all(|outcome| outcome.passed), vectors }
    }
}

impl GoldenVector {
    /// The network input of the picture as `manifest` prepares it, `[1, 3, S, S]`.
    ///
    /// # Errors
    /// Those of [`Pattern::frame`].
    pub fn input(&self, manifest: &Manifest) -> Result<Tensor, Error> {
        input(&self.picture, manifest)
    }

    fn record(detector: &mut Detector, picture: Pattern) -> Result<Self, Error> {
        let frame = picture.frame()?;
        let examination = detector.examine(&frame, &Crop::centre_square(&frame))?;
        let manifest = detector.manifest();
        let mut stages = Vec::new();
        for (stage, answer) in manifest.stages.iter().zip(&examination.stages) {
            let Some((given, _)) = answer else {
                return Err(refusal(format!("stage {:?} is not loaded", stage.name)));
            };
            let (name, logit) = (stage.name.clone(), given.logit);
            stages.push(GoldenLogit { name, bits: format!("{:08x}", logit.to_bits()), logit });
        }
        let kind = format!("{:?}", picture.kind).to_lowercase();
        Ok(GoldenVector {
            name: format!("{kind}-{}-{}x{}", picture.seed, picture.width, picture.height),
            picture,
            input_sha256: sha256_of(&input(&picture, manifest)?),
            probability_fake: probability_fake(stages[0].logit, manifest.stages[0].temperature),
            stages,
            uncertainty: examination.uncertainty,
        })
    }

    fn check(&self, manifest: &Manifest) -> Result<(), String> {
        self.picture.frame().map_err(|error| error.to_string())?;
        let is_probability = (0.0..=1.0).contains(&self.probability_fake);
        if !is_probability {
            return Err(format!("probability_fake is {}", self.probability_fake));
        }
        let stages = || manifest.stages.iter().map(|stage| stage.name.as_str());
        if !self.stages.iter().map(|stage| stage.name.as_str()).eq(stages()) {
            return Err(format!("its stages are not the manifest's, {:?}", stages().collect::<Vec<_>>()));
        }
        if self.uncertainty.is_some_and(|value| !value.is_finite() || value < 0.0) {
            return Err(format!("uncertainty is {:?}", self.uncertainty));
        }
        for stage in &self.stages {
            stage.value()?;
        }
        Ok(())
    }

    fn run(&self, detector: &mut Detector, now_ms: &dyn Fn() -> f64) -> GoldenOutcome {
        // Checked when the vectors were read.
        let expected = self.stages.first().and_then(|stage| stage.value().ok()).unwrap_or(f32::NAN);
        let mut outcome = GoldenOutcome {
            name: self.name.clone(),
            passed: false,
            expected,
            logit: None,
            difference: None,
            latency_ms: 0.0,
            problem: None,
        };
        outcome.problem = self.compare(detector, now_ms, &mut outcome).err();
        outcome.passed = outcome.problem.is_none();
        outcome
    }

    fn compare(
        &self,
        detector: &mut Detector,
        now_ms: &dyn Fn() -> f64,
        outcome: &mut GoldenOutcome,
    ) -> Result<(), String> {
        let input = self.input(detector.manifest()).map_err(|error| error.to_string())?;
        let started_ms = now_ms();
        let logit = detector.logit(&input).map_err(|error| error.to_string())?;
        outcome.latency_ms = now_ms() - started_ms;
        outcome.logit = Some(logit);
        outcome.difference = Some(f64::from(logit) - f64::from(outcome.expected));
        if sha256_of(&input) != self.input_sha256 {
            return Err("the network's input is another one".into());
        }
        if logit.to_bits() != outcome.expected.to_bits() {
            return Err(format!("the logit is {logit:?}, expected {:?}", outcome.expected));
        }
        let probability = probability_fake(logit, detector.manifest().stages[0].temperature);
        if probability.to_bits() != self.probability_fake.to_bits() {
            return Err(format!("P(fake) is {probability:?}, expected {:?}", self.probability_fake));
        }
        self.compare_others(detector)
    }

    /// Compares the stages behind the first one, as far as they are loaded, and the views.
    fn compare_others(&self, detector: &mut Detector) -> Result<(), String> {
        if self.stages.len() == 1 && self.uncertainty.is_none() {
            return Ok(());
        }
        let frame = self.picture.frame().map_err(|error| error.to_string())?;
        let examined = detector.examine(&frame, &Crop::centre_square(&frame));
        let examination = examined.map_err(|error| error.to_string())?;
        for (stage, answer) in self.stages.iter().zip(&examination.stages) {
            let (Some((given, _)), expected) = (answer, stage.value()?) else { continue };
            if given.logit.to_bits() != expected.to_bits() {
                let (name, logit) = (&stage.name, given.logit);
                return Err(format!("the logit of stage {name} is {logit:?}, expected {expected:?}"));
            }
        }
        match (self.uncertainty, examination.uncertainty) {
            (Some(expected), found) if found.map(f64::to_bits) != Some(expected.to_bits()) => {
                Err(format!("the uncertainty is {found:?}, expected {expected:?}"))
            }
            _ => Ok(()),
        }
    }
}

impl GoldenLogit {
    /// The float of `bits`.
    ///
    /// # Errors
    /// If they are no eight hexadecimal digits, no finite number, or not the one in decimal.
    fn value(&self) -> Result<f32, String> {
        let is_digit = |byte: u8| byte.is_ascii_hexdigit();
        let bits = Some(&self.bits).filter(|bits| bits.len() == 8 && bits.bytes().all(is_digit));
        let value = bits.and_then(|bits| u32::from_str_radix(bits, 16).ok()).map(f32::from_bits);
        match value {
            Some(value) if value.is_finite() && value == self.logit => Ok(value),
            Some(value) => Err(format!("bits {} are {value:?}, but logit is {:?}", self.bits, self.logit)),
            None => Err(format!("bits are {:?}, expected eight hexadecimal digits", self.bits)),
        }
    }
}

fn input(picture: &Pattern, manifest: &Manifest) -> Result<Tensor, Error> {
    let frame = picture.frame()?;
    let filter = &manifest.stages[FILTER];
    Ok(manifest.preprocess_of(filter).tensor(&frame, &Crop::centre_square(&frame)))
}

fn sha256_of(input: &Tensor) -> String {
    let bytes: Vec<u8> = input.values().iter().flat_map(|value| value.to_le_bytes()).collect();
    sha256_hex(&bytes)
}

fn refusal(detail: String) -> Error {
    Error::Golden { detail }
}
