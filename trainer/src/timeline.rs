//! A video's report as a picture: P(fake) of each person over time, scenes, motion and quality.

use crate::figure::{Axis, BLUE, Figure, INK, Mark, ORANGE, PURPLE, Panel, Series, TEAL};
use engine::video::VideoReport;
use engine::video::report::{FaceSample, Sample};
use engine::video::verdict::VideoLabel;
use plotters::style::RGBColor;

/// People that get a line of their own; the others are many and small.
const MAX_LINES: usize = 6;
const COLOURS: [RGBColor; 4] = [BLUE, ORANGE, TEAL, PURPLE];

/// The plot of `report`; `title` is what it is of.
pub fn timeline(report: &VideoReport, title: &str) -> Figure {
    let coverage = &report.coverage;
    let mut caption = vec![text_of(report)];
    caption.push(format!(
        "{} samples, {} of them judged, up to {:.2} s{}",
        coverage.samples,
        coverage.samples_judged,
        coverage.reached_s,
        coverage.share.map_or(String::new(), |share| format!(", {:.0} % of the length", share * 100.0))
    ));
    caption.extend(report.notices.iter().map(|notice| notice.text().to_owned()));
    Figure {
        title: title.to_owned(),
        caption,
        panels: vec![probability(report), consistency(report), motion(report), quality(report)],
    }
}

/// The verdict as a line for people.
pub fn text_of(report: &VideoReport) -> String {
    let label = match report.verdict.label {
        VideoLabel::Real => "REAL",
        VideoLabel::Fake => "FAKE",
        VideoLabel::Uncertain => "UNCERTAIN",
        VideoLabel::Undetermined => "UNDETERMINED",
    };
    let people = match report.tracks.len() {
        1 => "1 person".to_owned(),
        count => format!("{count} people"),
    };
    let decided = report.verdict.decided_by.map_or(String::new(), |id| format!(", decided by person {id}"));
    format!("{label}  confidence {:.3}  {people}{decided}", report.verdict.confidence)
}

fn end_s(report: &VideoReport) -> f64 {
    report.media.duration_s.unwrap_or(report.coverage.reached_s).max(report.coverage.reached_s).max(0.1)
}

fn panel(report: &VideoReport, y: Axis, mut marks: Vec<Mark>) -> Panel {
    let cut = |time_s: &f64| {
        let points = vec![(*time_s, y.from), (*time_s, y.to)];
        Mark::Dashes(Series { name: String::new(), colour: INK, points })
    };
    marks.extend(report.cuts_s.iter().map(cut));
    Panel { x: Axis::new("seconds", 0.0, end_s(report)), y: Axis { ticks: 5, ..y }, marks }
}

/// Of each person's faces what `value` gives.
fn lines(report: &VideoReport, value: impl Fn(&FaceSample) -> Option<f64>) -> Vec<Mark> {
    let mut people: Vec<_> = report.tracks.iter().collect();
    people.sort_by_key(|track| std::cmp::Reverse(track.samples));
    let line = |(track, colour): (&&engine::video::report::Track, &RGBColor)| {
        let of_person = |sample: &Sample| {
            let face = sample.faces.iter().find(|face| face.track == Some(track.id))?;
            Some((sample.time_s, value(face)?))
        };
        let points = report.timeline.iter().filter_map(of_person).collect();
        Mark::Line(Series { name: format!("person {}", track.id), colour: *colour, points })
    };
    people.iter().take(MAX_LINES).zip(COLOURS.iter().cycle()).map(line).collect()
}

fn unnamed(marks: Vec<Mark>) -> Vec<Mark> {
    let unnamed = |mark| match mark {
        Mark::Line(series) => Mark::Line(Series { name: String::new(), ..series }),
        mark => mark,
    };
    marks.into_iter().map(unnamed).collect()
}

fn probability(report: &VideoReport) -> Panel {
    let mut marks = lines(report, |face| face.smoothed);
    for threshold in [report.thresholds.lower, report.thresholds.upper] {
        let points = vec![(0.0, threshold), (end_s(report), threshold)];
        marks.push(Mark::Dashes(Series { name: String::new(), colour: INK, points }));
    }
    panel(report, Axis::share("P(fake), smoothed"), marks)
}

fn consistency(report: &VideoReport) -> Panel {
    let marks = lines(report, |face| face.consistency.map(|consistency| consistency.0));
    panel(report, Axis::share("consistency"), unnamed(marks))
}

fn motion(report: &VideoReport) -> Panel {
    let moved = |sample: &Sample| Some((sample.time_s, sample.motion?.mean * 100.0));
    let points: Vec<_> = report.timeline.iter().filter_map(moved).collect();
    let most = points.iter().map(|point| point.1).fold(1.0, f64::max);
    let series = Series { name: String::new(), colour: TEAL, points };
    panel(report, Axis::new("motion, % of a side", 0.0, most), vec![Mark::Line(series)])
}

fn quality(report: &VideoReport) -> Panel {
    let marks = lines(report, |face| face.quality.map(|quality| quality.overall));
    panel(report, Axis::share("quality"), unnamed(marks))
}
