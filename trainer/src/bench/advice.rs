//! What to do, derived from figures by rules.
//!
//! | rule | says |
//! |---|---|
//! | every bundle's networks stay below [`MOBILE_MB`] | how many are mobile-ready |
//! | largest AUC / (median ms / 100), where both are known | which bundle trades best |
//! | interval of the AUC and that of trivial cues overlap | the network is not shown to know more than they do |
//! | ECE of [`MAX_ECE`] and more | fit the temperature anew |
//! | leakage of [`MAX_LEAKAGE`] and more | lower what passes as real |
//! | filtration of [`MIN_FILTRATION`] and less, in a cascade | the filter saves little |
//! | the cascade spends more multiply-adds than all stages | views cost more than the routing saves |
//! | integers lose [`MAX_DEGRADATION_PERCENT`] and more of the AUC | learn in integers |
//! | a simulation does not count | why, and to measure again |
//! | a simulated picture's median is less than half of what the rate says, or more than twice | the machine was busy: measure again |
//! | the slowest simulated picture takes [`PHONE_PICTURE_MS`] and more at its 90th percentile | a phone may feel slow |
//! | a change at any strength costs [`FRAGILE`] of AUC and more | train with that change |

use super::mobile::MobileReport;
use super::report::{BenchReport, SubjectReport};
use crate::cascade::{MAX_LEAKAGE, MIN_FILTRATION};

/// Largest sum of a mobile bundle's networks, in megabytes (the original's limit).
pub const MOBILE_MB: f64 = 100.0;
/// Expected calibration error that the seed's target stays below.
pub const MAX_ECE: f64 = 0.05;
/// Loss of AUC that the seed's target stays below, in percent of the AUC.
pub const MAX_DEGRADATION_PERCENT: f64 = 2.0;
/// Longest simulated time of a picture, in milliseconds: after a second who waits thinks of something else
/// (<https://www.nngroup.com/articles/response-times-3-important-limits/>).
pub const PHONE_PICTURE_MS: f64 = 1000.0;
/// Loss of AUC at which a change counts as one that the network cannot take.
pub const FRAGILE: f64 = 0.05;

/// One sentence for each rule that has something to say of `report`.
pub fn recommendations(report: &BenchReport) -> Vec<String> {
    let results = &report.detailed_results;
    let mut said = Vec::new();
    let small = results.iter().filter(|result| result.performance.model_size_mb < MOBILE_MB).count();
    said.push(if small == results.len() {
        format!("All {small} bundles are mobile-ready: their networks stay below {MOBILE_MB:.0} MB.")
    } else {
        format!("{small} of {} bundles stay below {MOBILE_MB:.0} MB.", results.len())
    });
    said.extend(best_trade(results));
    results.iter().for_each(|result| said.extend(of_subject(result)));
    let degradation =
        report.comparison.as_ref().and_then(|comparison| comparison.accuracy_degradation_percent);
    if let Some(degradation) = degradation.filter(|percent| *percent >= MAX_DEGRADATION_PERCENT) {
        said.push(format!(
            "Integers lose {degradation:.2} % of the AUC, less than {MAX_DEGRADATION_PERCENT} % were asked for: learn in \
             integers (`aware optimize`), or give more layers eight bits."
        ));
    }
    said.extend(report.mobile_compatibility.iter().flat_map(of_phone));
    said
}

fn of_phone(mobile: &MobileReport) -> Vec<String> {
    let mut said = Vec::new();
    for run in &mobile.runs {
        if let Some(why) = run.why_not() {
            said.push(format!("Simulated {}: does not count; measure it again. {why}", run.simulated));
        }
        let pictures = run.figures.iter().filter(|figures| figures.subject == "picture");
        for (figures, slowdown) in pictures.filter_map(|figures| Some((figures, figures.slowdown?))) {
            if !(0.5..=2.0).contains(&(slowdown / run.rate)) {
                said.push(format!(
                    "Simulated {}: a picture takes {slowdown:.1} times as long: something else kept this machine busy; measure \
                     again when nothing does.",
                    figures.simulated
                ));
            }
        }
    }
    let slowest =
        mobile.runs.iter().rev().find_map(|run| run.figures.iter().find(|f| f.subject == "picture"));
    if let Some(figures) = slowest.filter(|figures| figures.p90_ms >= PHONE_PICTURE_MS) {
        said.push(format!(
            "Simulated {}: one picture in ten takes {:.0} ms and more, less than {PHONE_PICTURE_MS:.0} were asked for: a \
             smaller filter, or fewer stages on phones.",
            figures.simulated, figures.p90_ms
        ));
    }
    said
}

fn best_trade(results: &[SubjectReport]) -> Option<String> {
    let trade = |result: &SubjectReport| {
        let performance = &result.performance;
        Some(performance.auc? / (performance.median_inference_time_ms? / 100.0))
    };
    let known: Vec<(f64, &str)> =
        results.iter().filter_map(|result| Some((trade(result)?, result.name.as_str()))).collect();
    let best = known.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    (known.len() > 1)
        .then(|| format!("Best accuracy-speed tradeoff: {} (AUC / (ms / 100) = {:.1}).", best.1, best.0))
}

fn of_subject(result: &SubjectReport) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |text: String| said.push(format!("{}: {text}", result.name));
    if let Some(all) = result.all() {
        let intervals = all.metrics.auc_interval.zip(all.trivial_cues_auc_interval);
        if let Some(([low, _], [_, high])) = intervals.filter(|([low, _], [_, high])| low <= high) {
            say(format!(
                "its AUC may be as low as {low:.3}, and trivial cues may reach {high:.3}: it is not shown that the \
                 network knows more than how the sets were collected. Test on sets that it never saw."
            ));
        }
        if all.metrics.ece >= MAX_ECE {
            say(format!(
                "ECE {:.3}, less than {MAX_ECE} was asked for: fit the temperature on pictures like these.",
                all.metrics.ece
            ));
        }
    }
    if let Some(accuracy) = &result.accuracy {
        let cascade = &accuracy.cascade;
        if let Some(leakage) = cascade.leakage.filter(|leakage| *leakage >= MAX_LEAKAGE) {
            say(format!(
                "the filter alone calls {:.1} % of the fakes real, less than {:.0} % were asked for: lower what passes as real.",
                100.0 * leakage,
                100.0 * MAX_LEAKAGE
            ));
        }
        let is_cascade = result.stages.len() > 1;
        if let Some(filtration) =
            cascade.filtration.filter(|filtration| is_cascade && *filtration <= MIN_FILTRATION)
        {
            say(format!(
                "the filter answers {:.1} % alone, more than {:.0} % were asked for.",
                100.0 * filtration,
                100.0 * MIN_FILTRATION
            ));
        }
        if let Some(saved) = cascade.multiply_adds_saved.filter(|saved| is_cascade && *saved < 0.0) {
            say(format!(
                "the cascade spends {:.1} % more multiply-adds than all stages: views cost more than the routing saves.",
                -100.0 * saved
            ));
        }
    }
    for curve in &result.robustness {
        let losses = curve.points.iter().filter_map(|point| Some((curve.unchanged.auc? - point.auc?, point)));
        if let Some((loss, point)) =
            losses.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(loss, _)| *loss >= FRAGILE)
        {
            say(format!(
                "{} ({} {}) costs {loss:.3} of AUC: train with it.",
                curve.change, curve.unit, point.strength
            ));
        }
    }
    said
}
