//! Networks -> a cascade: temperatures, thresholds and meta-model fitted on the validation split, judged once on the test
//! split, written as a bundle.

use crate::answers::{Part, answers};
use crate::bundle::Existing;
use crate::cascade::{Selection, select_threshold};
use crate::cascade_report::{Fit, Report, Sources, judge};
use crate::dataset::{Sample, Split, read_manifest};
use crate::decider::{Decider, Word};
use crate::deployment::DeploymentConfig;
use crate::export::{CascadeContent, network_format, trees_bytes, write_cascade};
use crate::files::{read_limited, write_json, write_whole};
use crate::loader::Loader;
use crate::metrics::Scored;
use crate::stacking::{SearchConfig, Stacked, Table, Trial, scored, stack};
use crate::temperature::fit_temperature;
use crate::train::select;
use crate::trivial::Control;
use anyhow::{Context, Result, ensure};
use engine::bundle::{Loading, Role, Stage, sha256_hex};
use engine::uncertainty::Uncertainty;
use engine::verdict::probability_fake;
use engine::{Detector, Thresholds};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Share of the sure answers that must be right, as for a network alone.
const WANTED_PRECISION: f64 = 0.90;
/// Largest file of answers that is read again.
const MAX_TABLE_BYTES: u64 = 1 << 30;
/// Seed of every bootstrap here.
const SEED: u64 = 1;

/// What becomes a cascade, and how.
#[derive(Debug, Clone)]
pub struct CascadePlan {
    /// The manifest of pictures.
    pub pictures: PathBuf,
    /// Data sets in it; all if empty.
    pub datasets: Vec<String>,
    /// Bundle or ONNX file of the filter.
    pub filter: PathBuf,
    /// Bundles or ONNX files of the experts.
    pub experts: Vec<PathBuf>,
    /// Least side of a crop, in pixels, that the experts are asked about; that of the filter's input if absent, since a smaller
    /// crop holds nothing for them that the filter did not see.
    pub min_side: Option<u32>,
    /// Main directions of each expert's embedding that the meta-model sees, at most.
    pub directions: usize,
    /// How the meta-model is looked for.
    pub search: SearchConfig,
    /// How uncertainty is measured and counted.
    pub uncertainty: Uncertainty,
    /// Folder for what can be resumed, and for the report.
    pub work: PathBuf,
}

/// What the bundle is called, and where it goes.
#[derive(Debug, Clone)]
pub struct Naming {
    /// Name of the bundle.
    pub name: String,
    /// Version of the bundle.
    pub version: String,
    /// Terms of the weights.
    pub licence: String,
    /// Model card in Markdown.
    pub card: Vec<u8>,
    /// Folder of the bundle.
    pub folder: PathBuf,
    /// What may lie there.
    pub existing: Existing,
}

/// Fits, writes and judges the cascade of `plan`.
///
/// # Errors
/// If pictures or networks do not load, there is too little to fit on, or a file cannot be written.
pub fn fit_cascade(
    plan: &CascadePlan,
    naming: &Naming,
    deployment: &DeploymentConfig,
    bar: &ProgressBar,
) -> Result<Report> {
    plan.uncertainty.check()?;
    plan.search.check()?;
    let samples = select(read_manifest(&plan.pictures)?, &plan.datasets)?;
    let of = |split: Split| -> Vec<Sample> {
        samples.iter().filter(|sample| sample.split == split).cloned().collect()
    };
    let (train, val, test) = (of(Split::Train), of(Split::Val), of(Split::Test));
    ensure!(!plan.experts.is_empty(), "a cascade needs an expert");
    std::fs::create_dir_all(&plan.work).with_context(|| format!("cannot make {}", plan.work.display()))?;

    let mut parts = parts(plan, &train, bar)?;
    let tables = Tables { plan, parts: &parts, bar };
    let val_table = tables.of(Split::Val, &val)?;
    bar.set_message("test split");
    let test_table = tables.of(Split::Test, &test)?;
    let fit = fit(plan, &val_table, &parts, bar)?;

    let sources: Vec<String> = parts.iter().map(|part| part.name.clone()).collect();
    if !fit.decider.is_meta() {
        // Nobody reads the values that were added for the meta-model.
        parts[1].onnx = Part::read(&plan.experts[0])?.onnx;
    }
    let content = content(plan, naming, &parts, &fit, &val_table)?;
    let manifest = write_cascade(content.clone(), deployment, naming.existing, &naming.folder)?;
    let mut detector = Detector::load(&crate::bundle::read_bundle(&naming.folder)?)?;
    let controls = Control::fit(&Loader::new(train, parts[0].preprocess.clone()))?
        .scores(&Loader::new(test.clone(), parts[0].preprocess.clone()))?;
    let about =
        Sources { names: &sources, val: &val_table, test: &test_table, samples: &test, controls: &controls };
    let report = judge(&fit, &about, &mut detector, SEED)?;
    report.write(&plan.work)?;

    // The figures go into the bundle, whose networks and thresholds stay as they were judged.
    let training = serde_json::json!({
        "network": sources.join(" + "),
        "datasets": plan.datasets,
        "test": { "all": report.cascade },
        "cascade": report.summary(),
    });
    let content = CascadeContent { training, ..content };
    let again = write_cascade(content, deployment, Existing::Replace, &naming.folder)?;
    ensure!(again.stages == manifest.stages, "the bundle changed while its figures were written");
    Ok(report)
}

/// The networks, the experts with the values that the meta-model reads.
fn parts(plan: &CascadePlan, train: &[Sample], bar: &ProgressBar) -> Result<Vec<Part>> {
    let mut parts = vec![Part { name: "stage1".into(), ..Part::read(&plan.filter)? }];
    for path in &plan.experts {
        let part = Part::read(path)?;
        let key = sha256_hex(
            &[part.onnx.as_slice(), &plan.directions.to_le_bytes(), digest(train).as_bytes()].concat(),
        );
        let kept = plan.work.join(format!("{}-{}.onnx", part.name, &key[..16]));
        let part = match read_limited(&kept, engine::runtime::onnx::MAX_BYTES as u64) {
            Ok(onnx) => Part { onnx, ..part },
            Err(_) => {
                let part = part.with_values(train, plan.directions, bar)?;
                write_whole(&kept, &part.onnx)?;
                part
            }
        };
        ensure!(parts.iter().all(|other| other.name != part.name), "two networks are called {:?}", part.name);
        parts.push(part);
    }
    Ok(parts)
}

/// What tells one list of pictures from another.
fn digest(samples: &[Sample]) -> String {
    let lines: Vec<String> =
        samples.iter().map(|sample| format!("{} {} {}", sample.name(), sample.label, sample.dhash)).collect();
    sha256_hex(lines.join("\n").as_bytes())
}

/// Answers of the networks, kept in the work folder.
struct Tables<'a> {
    plan: &'a CascadePlan,
    parts: &'a [Part],
    bar: &'a ProgressBar,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
    table: Table,
}

impl Tables<'_> {
    fn of(&self, split: Split, samples: &[Sample]) -> Result<Table> {
        ensure!(!samples.is_empty(), "the {} split is empty", split.name());
        let path = self.plan.work.join(format!("answers-{}.json", split.name()));
        let networks = self.parts.iter().map(|part| sha256_hex(&part.onnx));
        let temperature = self.parts[0].temperature.to_string();
        let views = serde_json::to_string(&self.plan.uncertainty.views)?;
        let key: Vec<String> = networks.chain([digest(samples), temperature, views]).collect();
        let key = sha256_hex(key.join("\n").as_bytes());
        if let Ok(kept) = read_json::<Kept>(&path)
            && kept.key == key
        {
            return Ok(kept.table);
        }
        let table = answers(samples, self.parts, &self.plan.uncertainty.views, self.bar)?;
        let kept = Kept { key, table };
        write_json(&path, &kept)?;
        Ok(kept.table)
    }
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    Ok(serde_json::from_slice(&read_limited(path, MAX_TABLE_BYTES)?)?)
}

/// Everything that is fitted, on the validation split alone.
fn fit(plan: &CascadePlan, val: &Table, parts: &[Part], bar: &ProgressBar) -> Result<Fit> {
    bar.set_message("meta-model");
    let stacked = stack_resumably(plan, val)?;
    let logits = |stage: usize| -> Vec<Scored> {
        let column = val.columns.iter().position(|column| column.stage == stage).unwrap_or(0);
        scored(val, &val.rows.iter().map(|row| row.values[column]).collect::<Vec<_>>())
    };
    let mut temperatures: Vec<f64> = (0..parts.len()).map(|stage| fit_temperature(&logits(stage))).collect();
    // The answers' distances between views are in its own units.
    temperatures[0] = parts[0].temperature;
    let meta_logits = scored(val, &stacked.out_of_fold);
    let meta_temperature = fit_temperature(&meta_logits);
    let probabilities = |logits: &[Scored], temperature: f64| -> Vec<Scored> {
        let one = |s: &Scored| Scored { score: probability_fake(s.score as f32, temperature), ..*s };
        logits.iter().map(one).collect()
    };
    let (sets, judged_by) = (val.sets(), plan.search.judged_by);
    let min_side = plan.min_side.unwrap_or(parts[0].preprocess.size);
    // A meta-model that knows no more than the only expert is one stage too many.
    let expert = logits(1);
    let expert_auc = judged_by.auc(&sets, &expert);
    let knows_more = parts.len() > 2 || expert_auc.is_none_or(|auc| stacked.best.auc > auc);
    let (word, last) = if knows_more {
        let ensemble = stacked.ensemble.clone().cooled(meta_temperature);
        (Word::Meta(ensemble), probabilities(&meta_logits, meta_temperature))
    } else {
        let column =
            val.columns.iter().position(|column| column.stage == 1).context("the expert gave nothing")?;
        (Word::Expert { column, temperature: temperatures[1] }, probabilities(&expert, temperatures[1]))
    };
    let decider = Decider { word, min_side, filter_temperature: temperatures[0] };
    // Thresholds of the last word are fitted on what it is asked about.
    let rows = val.rows.iter().zip(sets.iter().copied().zip(last)).filter(|(row, _)| decider.is_asked(row));
    let (asked_sets, last): (Vec<&str>, Vec<Scored>) = rows.map(|(_, pair)| pair).unzip();
    let filter = probabilities(&logits(0), temperatures[0]);
    let groups: Vec<&str> = val.rows.iter().map(|row| row.source.as_str()).collect();
    let selection = select_threshold(&filter, &groups, SEED);
    let sure = judged_by.thresholds(&sets, &filter, WANTED_PRECISION);
    Ok(Fit {
        filter: filter_thresholds(sure, selection.as_ref()),
        selection,
        last: judged_by.thresholds(&asked_sets, &last, WANTED_PRECISION),
        decider,
        expert_auc,
        stacked,
        temperatures,
        meta_temperature,
        uncertainty: plan.uncertainty.clone(),
    })
}

/// Where the filter answers alone: where it is `sure`, and on the side of the reals never above the threshold that keeps
/// leakage within its limit, if there is one.
fn filter_thresholds(sure: Thresholds, selection: Option<&Selection>) -> Thresholds {
    let lower = selection.map_or(sure.lower, |selection| sure.lower.min(selection.threshold));
    Thresholds { lower, ..sure }
}

/// The meta-model, with trials kept line by line.
fn stack_resumably(plan: &CascadePlan, val: &Table) -> Result<Stacked> {
    let key =
        sha256_hex(&serde_json::to_vec(&(val, plan.search.folds, plan.search.seed, plan.search.judged_by))?);
    let path = plan.work.join(format!("trials-{}.jsonl", &key[..16]));
    let text = read_limited(&path, MAX_TABLE_BYTES).unwrap_or_default();
    // A line that was broken off is tried again.
    let done: Vec<Trial> =
        text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let lines = done.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    let lines = Mutex::new(lines);
    let keep = |trial: &Trial| -> Result<()> {
        let mut lines = lines.lock().map_err(|_| anyhow::anyhow!("a trial panicked"))?;
        lines.push(serde_json::to_string(trial)?);
        write_whole(&path, (lines.join("\n") + "\n").as_bytes())
    };
    stack(val, &plan.search, &done, &keep)
}

/// The stages with what was fitted.
fn content(
    plan: &CascadePlan,
    naming: &Naming,
    parts: &[Part],
    fit: &Fit,
    val: &Table,
) -> Result<CascadeContent> {
    let mut stages = Vec::new();
    for (index, (part, temperature)) in parts.iter().zip(&fit.temperatures).enumerate() {
        let (role, loading) = match index {
            0 => (Role::Filter, Loading::Eager),
            _ => (Role::Expert, Loading::Lazy),
        };
        let own = (part.preprocess != parts[0].preprocess).then(|| part.preprocess.clone());
        let stage = Stage {
            // With the values that were added, which are floats.
            format: Some(network_format(&part.onnx, part.preprocess.size)?),
            role,
            loading,
            preprocess: own,
            thresholds: (index == 0).then_some(fit.filter),
            min_side: (index > 0).then_some(fit.decider.min_side),
            ..Stage::filter(&part.name, format!("{}.onnx", part.name), *temperature)
        };
        stages.push((stage, part.onnx.clone()));
    }
    if let Word::Meta(ensemble) = &fit.decider.word {
        let names: Vec<String> = val.columns.iter().map(|column| column.name.clone()).collect();
        let meta =
            Stage { role: Role::Meta, loading: Loading::Lazy, ..Stage::filter("meta", "meta.onnx", 1.0) };
        stages.push((meta, trees_bytes(ensemble, &names, Vec::new())?));
    }
    Ok(CascadeContent {
        name: naming.name.clone(),
        version: naming.version.clone(),
        licence: naming.licence.clone(),
        card: naming.card.clone(),
        preprocess: parts[0].preprocess.clone(),
        thresholds: fit.last,
        uncertainty: plan.uncertainty.clone(),
        stages,
        training: serde_json::Value::Null,
    })
}
