//! What a network is worth on a set that it never saw: each set is left out once.
//!
//! A set of one class is judged, but trained on in no fold: all of its pictures would have the same label,
//! so that whatever tells the set from the others would be learned as what tells fakes. The exception are sets of real
//! pictures in a run that makes a fake of each of them.

use crate::checkpoint::Checkpoint;
use crate::config::RunConfig;
use crate::dataset::{Sample, Split, read_manifest};
use crate::evaluate::{Reading, SetReport, number, with_interval};
use crate::figure::{Axis, BLUE, Figure, INK, Mark, ORANGE, Panel, Series, TEAL};
use crate::files::{write_json, write_whole};
use crate::judge::Judge;
use crate::metrics::Scored;
use crate::page::Page;
use crate::report_page::folder_name;
use crate::scores::{ScoreRow, write_scores};
use crate::train::{AucWithInterval, RunFolder, Span, Start, select, train};
use anyhow::{Context, Result, bail};
use candle_core::Device;
use indicatif::ProgressBar;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// One set that was left out.
#[derive(Debug, Clone, Serialize)]
pub struct Fold {
    /// The set.
    pub left_out: String,
    /// The sets that were trained on, by name; empty if nothing was.
    pub trained_on: Vec<String>,
    /// What became of it; or why nothing was trained.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of a fold.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was trained and judged.
    Judged(Box<FoldReport>),
    /// It was not, for this reason.
    LeftAlone(String),
}

/// A network on a set that it never saw.
#[derive(Debug, Clone, Serialize)]
pub struct FoldReport {
    /// All pictures of the set; without AUC if it has one class.
    pub left_out: SetReport,
    /// What the network calls its pictures.
    pub called: Called,
    /// What the control calls them.
    pub trivial_cues_called_fake: f64,
    /// AUC on the test split of the sets that were trained on.
    pub in_domain: AucWithInterval,
    /// The control there.
    pub in_domain_trivial_cues: AucWithInterval,
}

/// Shares of all pictures of a set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Called {
    /// P(fake) at least 0.5.
    pub fake: f64,
    /// P(fake) at least the run's upper threshold.
    pub surely_fake: f64,
    /// P(fake) at most the run's lower threshold.
    pub surely_real: f64,
}

/// Trains and judges each fold of `config`'s sets in `folder`, and writes folds.json and report.html there,
/// anew after each fold. What is trained already is not trained again.
///
/// # Errors
/// If the manifest holds fewer than two sets, or a training fails.
pub fn leave_one_out(
    config: &RunConfig,
    folder: &Path,
    device: &Device,
    bar: &ProgressBar,
) -> Result<Vec<Fold>> {
    let samples = select(read_manifest(&config.manifest)?, &config.datasets)?;
    let mut sets: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for sample in samples {
        sets.entry(sample.dataset.clone()).or_default().push(sample);
    }
    if sets.len() < 2 {
        bail!("{} holds one set; leaving it out leaves nothing", config.manifest.display());
    }
    let mut folds = Vec::new();
    for (number, (set, samples)) in sets.iter().enumerate() {
        let teaches = |samples: &[Sample]| {
            has_both_classes(samples) || (has_real_alone(samples) && config.augment.pairs_all())
        };
        let others = || sets.iter().filter(|(name, others)| *name != set && teaches(others));
        let trained_on: Vec<String> = others().map(|(name, _)| name.clone()).collect();
        let lacks_a_class = |split: &Split| {
            !has_both_classes(
                others().flat_map(|(_, samples)| samples).filter(|sample| sample.split == *split),
            )
        };
        // The sets that teach nothing share the network that all the others made.
        let name =
            if teaches(samples) { format!("without-{}", folder_name(set, number)) } else { "on-all".into() };
        bar.set_message(name.clone());
        bar.suspend(|| eprintln!("{} of {}: {set} left out, {name}", number + 1, sets.len()));
        let lacking = [Split::Train, Split::Val, Split::Test].into_iter().find(lacks_a_class);
        let outcome = if let Some(split) = lacking {
            Outcome::LeftAlone(format!(
                "the other sets of both classes lack one in the {} split",
                split.name()
            ))
        } else {
            let run = RunFolder::new(folder.join(&name));
            train_once(&RunConfig { datasets: trained_on.clone(), ..config.clone() }, &run, device, bar)
                .with_context(|| format!("in the fold {name}"))?;
            let (report, rows) = judge(&run, samples)?;
            write_scores(&folder.join(format!("{}.csv", folder_name(set, number))), &rows)?;
            Outcome::Judged(Box::new(report))
        };
        folds.push(Fold { left_out: set.clone(), trained_on, outcome });
        write_json(&folder.join("folds.json"), &folds)?;
        write_whole(&folder.join("report.html"), page(&folds)?.html().as_bytes())?;
        write_whole(&folder.join("folds.svg"), figure(&folds).svg()?.as_bytes())?;
    }
    Ok(folds)
}

fn has_both_classes<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> bool {
    let mut samples = samples.into_iter().map(Sample::is_fake);
    samples.next().is_some_and(|first| samples.any(|other| other != first))
}

fn has_real_alone(samples: &[Sample]) -> bool {
    samples.iter().all(|sample| !sample.is_fake())
}

/// Trains the run, or what of it is left.
fn train_once(config: &RunConfig, run: &RunFolder, device: &Device, bar: &ProgressBar) -> Result<()> {
    let mut start = Start::Fresh;
    if run.last().exists() {
        let progress = Checkpoint::read(&run.last())?.progress;
        if progress.config == *config && progress.epochs_done >= config.epochs && run.metrics().exists() {
            return Ok(());
        }
        start = Start::Resume;
    }
    train(config, run, Span { start, stop_after: None, device: device.clone() }, bar)?;
    Ok(())
}

/// The network of `run` on `samples`.
fn judge(run: &RunFolder, samples: &[Sample]) -> Result<(FoldReport, Vec<ScoreRow>)> {
    let judge = Judge::open(run)?;
    let metrics = &judge.metrics;
    let rows = judge.score(samples.to_vec())?;
    let threshold = metrics.cascade.as_ref().map(|chosen| chosen.threshold);
    let reading = Reading { temperature: metrics.temperature, split: Split::Test, threshold };
    let scored: Vec<Scored> = rows.iter().map(|row| row.probability(metrics.temperature)).collect();
    let control: Vec<Scored> = rows.iter().filter_map(ScoreRow::control).collect();
    let share = |scored: &[Scored], wanted: &dyn Fn(f64) -> bool| {
        scored.iter().filter(|s| wanted(s.score)).count() as f64 / scored.len().max(1) as f64
    };
    let of_all = |sets: &BTreeMap<String, AucWithInterval>| {
        sets.get("all").cloned().unwrap_or(AucWithInterval { auc: None, auc_interval: None })
    };
    let in_domain = metrics.test.get("all");
    let report = FoldReport {
        left_out: SetReport::of(&rows.iter().collect::<Vec<_>>(), &reading),
        called: Called {
            fake: share(&scored, &|p| p >= 0.5),
            surely_fake: share(&scored, &|p| p >= metrics.thresholds.upper),
            surely_real: share(&scored, &|p| p <= metrics.thresholds.lower),
        },
        trivial_cues_called_fake: share(&control, &|p| p >= 0.5),
        in_domain: AucWithInterval {
            auc: in_domain.and_then(|metrics| metrics.auc),
            auc_interval: in_domain.and_then(|metrics| metrics.auc_interval),
        },
        in_domain_trivial_cues: of_all(&metrics.test_trivial_cues),
    };
    Ok((report, rows))
}

/// Columns of [`table`].
const HEAD: [&str; 10] = [
    "left out",
    "real",
    "fake",
    "AUC",
    "trivial cues",
    "called fake",
    "surely fake",
    "surely real",
    "in domain: AUC",
    "trivial cues",
];

/// One row a fold.
fn table(folds: &[Fold]) -> Vec<Vec<String>> {
    let row = |fold: &Fold| {
        let mut cells = vec![fold.left_out.clone()];
        match &fold.outcome {
            Outcome::LeftAlone(reason) => cells.push(reason.clone()),
            Outcome::Judged(judged) => {
                let report = &judged.left_out;
                cells.extend([report.metrics.real.to_string(), report.metrics.fake.to_string()]);
                let auc = with_interval(report.metrics.auc, report.metrics.auc_interval);
                let has_auc = report.metrics.auc.is_some();
                cells.push(if has_auc { auc } else { "one class".into() });
                cells.push(match has_auc {
                    true => with_interval(report.trivial_cues_auc, report.trivial_cues_auc_interval),
                    false => format!("called fake: {:.4}", judged.trivial_cues_called_fake),
                });
                let called = judged.called;
                cells.extend([called.fake, called.surely_fake, called.surely_real].map(|v| number(Some(v))));
                cells.extend(
                    [&judged.in_domain, &judged.in_domain_trivial_cues]
                        .map(|auc| with_interval(auc.auc, auc.auc_interval)),
                );
            }
        }
        cells
    };
    folds.iter().map(row).collect()
}

/// `folds` as lines for a terminal.
pub fn text(folds: &[Fold]) -> String {
    let mut text = String::new();
    for (cells, fold) in table(folds).iter().zip(folds) {
        text += &format!("{}, trained on {}\n", cells[0], fold.trained_on.join(", "));
        for (name, cell) in HEAD.iter().zip(cells).skip(1) {
            text += &format!("  {name:15} {cell}\n");
        }
    }
    text
}

fn page(folds: &[Fold]) -> Result<Page> {
    let mut page = Page::new("Each set left out once");
    page.paragraph(
        "Each row is a network that never saw the set, judged on all of its pictures. \"In domain\" is the same network \
         on the test split of the sets that it was trained on. The trivial cues are the control: a regression on size, \
         compression, colours and sharpness. A set of one class has no AUC, and no fold is trained on it.",
    );
    page.table(&HEAD, &table(folds));
    for fold in folds {
        page.paragraph(&format!(
            "{} was judged by a network trained on: {}",
            fold.left_out,
            fold.trained_on.join(", ")
        ));
    }
    page.plots([&figure(folds)])?;
    Ok(page)
}

/// AUCs with their intervals, a line for each set.
fn figure(folds: &[Fold]) -> Figure {
    let rows = folds.len() as f64;
    let mut marks = vec![Mark::Dashes(Series {
        name: "chance".into(),
        colour: INK,
        points: vec![(0.5, 0.0), (0.5, rows)],
    })];
    let kinds = [("left out", ORANGE), ("left out, trivial cues", TEAL), ("in domain", BLUE)];
    let mut dots = kinds.map(|(name, colour)| Series { name: name.into(), colour, points: Vec::new() });
    for (number, fold) in folds.iter().enumerate() {
        // The first set at the top.
        let y = rows - number as f64 - 0.4;
        let Outcome::Judged(judged) = &fold.outcome else { continue };
        let report = &judged.left_out;
        let what = if report.metrics.auc.is_some() { "" } else { " (one class)" };
        marks.push(Mark::Word { at: (0.15, y + 0.12), text: format!("{}{what}", fold.left_out) });
        let values = [
            (report.metrics.auc, report.metrics.auc_interval),
            (report.trivial_cues_auc, report.trivial_cues_auc_interval),
            (judged.in_domain.auc, judged.in_domain.auc_interval),
        ];
        for (place, (auc, interval)) in values.into_iter().enumerate() {
            let y = y - 0.18 * place as f64;
            dots[place].points.extend(auc.map(|auc| (auc, y)));
            if let Some([low, high]) = interval {
                let points = vec![(low, y), (high, y)];
                marks.push(Mark::Line(Series { name: String::new(), colour: dots[place].colour, points }));
            }
        }
    }
    marks.extend(dots.map(Mark::Dots));
    Figure {
        title: "Each set left out once".into(),
        caption: vec!["AUC with its 95 % bootstrap interval; all pictures of the set left out".into()],
        panels: vec![Panel {
            x: Axis::share("AUC"),
            y: Axis { ticks: 0, ..Axis::new("", 0.0, rows.max(1.0)) },
            marks,
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Augment;
    use crate::dataset::write_manifest;
    use engine::crop::CropKind;

    #[test]
    fn what_cannot_be_trained_is_left_alone_with_its_reason() -> Result<()> {
        let sample = |dataset: &str, label, split| Sample {
            image_path: format!("{dataset}-{label}-{split:?}.png").into(),
            label,
            dataset: dataset.into(),
            split,
            group: format!("{label}-{split:?}"),
            dhash: String::new(),
            face: None,
            crop: CropKind::default(),
        };
        let mut samples = vec![sample("reals", 0, Split::Train), sample("fakes", 1, Split::Train)];
        for split in [Split::Train, Split::Val] {
            samples.extend([sample("both", 0, split), sample("both", 1, split)]);
        }
        let folder = std::env::temp_dir().join(format!("aware-left-out-{}", std::process::id()));
        let manifest = folder.join("manifest.csv");
        write_manifest(&manifest, &samples)?;
        let config = RunConfig { manifest, ..RunConfig::default() };
        let folds = leave_one_out(&config, &folder.join("folds"), &Device::Cpu, &ProgressBar::hidden())?;
        let reason = |name: &str| {
            let fold = folds.iter().find(|fold| fold.left_out == name).unwrap();
            let Outcome::LeftAlone(reason) = &fold.outcome else { panic!("{name} was trained") };
            reason.clone()
        };
        assert!(reason("both").contains("train split"), "{}", reason("both"));
        assert!(reason("reals").contains("test split"), "{}", reason("reals"));
        assert!(text(&folds).contains(&reason("fakes")));
        // Real pictures alone teach nothing, unless a fake is made of each of them.
        let taught_by = |folds: &[Fold], name: &str| {
            folds.iter().find(|fold| fold.left_out == name).unwrap().trained_on.clone()
        };
        assert!(taught_by(&folds, "both").is_empty());
        let augment = Augment { self_blend: 0.5, composite: 0.5, ..Augment::default() };
        let paired = RunConfig { augment, ..config.clone() };
        let folds = leave_one_out(&paired, &folder.join("paired"), &Device::Cpu, &ProgressBar::hidden())?;
        assert_eq!(taught_by(&folds, "both"), ["reals"]);
        assert_eq!(taught_by(&folds, "fakes"), ["both", "reals"]);
        assert_eq!(taught_by(&folds, "reals"), ["both"]);
        let alone = RunConfig { datasets: vec!["both".into()], ..config };
        let error =
            leave_one_out(&alone, &folder.join("alone"), &Device::Cpu, &ProgressBar::hidden()).unwrap_err();
        assert!(error.to_string().contains("one set"), "{error}");
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }
}
