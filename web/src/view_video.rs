//! The part of the document that shows a video: its boxes while it runs, its verdict, people and timeline afterwards.

use crate::state::{Picture, State, Task, clock, video_meaning};
use crate::text::names::{label, video_label, video_notice};
use crate::text::number::{percent, percent_of, range};
use crate::text::{text, text_with};
use crate::view::{MAX_NAME, ObjectUrl, View, name_of};
use engine::video::VideoReport;
use engine::video::report::{End, FaceSample, Sample};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, HtmlAnchorElement, HtmlProgressElement, HtmlVideoElement, MouseEvent};

const SVG: &str = "http://www.w3.org/2000/svg";
/// Size of the timeline's drawing.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 160.0;
/// Rows of the timeline's table; a longer one is thinned out.
const MAX_ROWS: usize = 120;
/// Ways in which lines differ besides their number.
const DASHES: [&str; 4] = ["", "8 4", "2 4", "10 3 2 3"];

impl View {
    /// The element that plays.
    ///
    /// # Errors
    /// If the document has none.
    pub fn video(&self) -> Result<HtmlVideoElement, JsValue> {
        self.typed("film-video")
    }

    /// Points the link of the report at `report`.
    ///
    /// # Errors
    /// If the browser makes no files in memory.
    pub fn set_video_report(&mut self, report: &VideoReport) -> Result<(), JsValue> {
        let file = ObjectUrl::of_json(report)?;
        self.typed::<HtmlAnchorElement>("film-save")?.set_href(file.address());
        self.video_file = Some(file);
        self.draw_timeline(report)
    }

    /// The media time under a click on the timeline.
    ///
    /// # Errors
    /// If the document has no timeline.
    pub fn time_at(&self, event: &MouseEvent, report: &VideoReport) -> Result<Option<f64>, JsValue> {
        let bounds = self.element("timeline")?.get_bounding_client_rect();
        let share = (f64::from(event.client_x()) - bounds.left()) / bounds.width();
        Ok((0.0..=1.0).contains(&share).then(|| share * length(report)))
    }

    /// Makes the document show the video of `state`, if there is one.
    pub(crate) fn render_film(&self, state: &State) -> Result<(), JsValue> {
        let is_watching = matches!(state.task, Task::Watching(_));
        let report = if let Task::Watched(report) = &state.task { Some(report) } else { None };
        self.show("film", is_watching || report.is_some())?;
        self.show("film-running", is_watching)?;
        self.show("film-result", report.is_some())?;
        let name = state
            .picture
            .as_ref()
            .map(|Picture { name, .. }| name.chars().take(MAX_NAME).collect::<String>());
        self.set_text("film-name", &name.unwrap_or_default())?;
        if let Task::Watching(watching) = &state.task {
            self.set_text("film-count", &watching.sentence())?;
            self.set_text(
                "film-stop",
                text(if watching.is_live { "film.stop.camera" } else { "film.stop" }),
            )?;
            let progress: HtmlProgressElement = self.typed("film-progress")?;
            let length_s = watching.media.and_then(|media| media.duration_s).filter(|_| !watching.is_live);
            match length_s {
                Some(length_s) => {
                    progress.set_max(length_s);
                    progress.set_value(watching.counts.time_s.min(length_s));
                }
                None => progress.remove_attribute("value")?,
            }
            return self.draw_boxes(watching.size, &watching.faces);
        }
        let Some(report) = report else { return self.draw_boxes([1, 1], &[]) };
        self.render_video_verdict(report)?;
        let time_s = self.video()?.current_time();
        // The last sample that is not later; those of the sampling's rates lie closer than a second.
        let sample = report.timeline.iter().take_while(|sample| sample.time_s <= time_s + 0.05).last();
        let faces =
            sample.filter(|sample| time_s - sample.time_s < 1.0).map_or(&[][..], |sample| &sample.faces);
        self.draw_boxes(report.media.size, faces)
    }

    fn render_video_verdict(&self, report: &VideoReport) -> Result<(), JsValue> {
        let verdict = report.verdict;
        self.element("film-result")?.set_attribute("data-label", &name_of(&verdict.label))?;
        self.set_text("film-label", video_label(verdict.label))?;
        self.set_text("film-meaning", video_meaning(verdict.label))?;
        self.set_text("film-coverage", &coverage(report))?;
        let people = report.tracks.iter().map(|track| {
            vec![
                person(track.id),
                label(track.verdict.label).to_owned(),
                percent(track.verdict.probability_fake),
                percent_of(track.verdict.fake_share, 0),
                range(&clock(track.span_s[0]), &clock(track.span_s[1])),
                track.samples.to_string(),
            ]
        });
        self.show("people", !report.tracks.is_empty())?;
        self.fill_table("people-rows", people.collect())?;
        let notices = self.element("film-notices")?;
        notices.set_text_content(None);
        for notice in &report.notices {
            let item = self.document().create_element("li")?;
            item.set_text_content(Some(video_notice(*notice)));
            notices.append_with_node_1(&item)?;
        }
        Ok(())
    }

    /// P(fake) of each person over time, on the bands of the thresholds; and the same as a table.
    pub(crate) fn draw_timeline(&self, report: &VideoReport) -> Result<(), JsValue> {
        let svg = self.element("timeline")?;
        svg.set_text_content(None);
        svg.set_attribute("viewBox", &format!("0 0 {WIDTH} {HEIGHT}"))?;
        let length_s = length(report);
        let x = |time_s: f64| time_s / length_s * WIDTH;
        let y = |probability: f64| (1.0 - probability) * HEIGHT;
        let bands = [
            ("band-real", 0.0, report.thresholds.lower),
            ("band-uncertain", report.thresholds.lower, report.thresholds.upper),
            ("band-fake", report.thresholds.upper, 1.0),
        ];
        for (class, low, high) in bands {
            let band = self.shape(&svg, "rect", class)?;
            for (name, value) in [("x", 0.0), ("width", WIDTH), ("y", y(high)), ("height", y(low) - y(high))]
            {
                band.set_attribute(name, &value.to_string())?;
            }
        }
        for cut_s in &report.cuts_s {
            let cut = self.shape(&svg, "line", "cut")?;
            for (name, value) in [("x1", x(*cut_s)), ("x2", x(*cut_s)), ("y1", 0.0), ("y2", HEIGHT)] {
                cut.set_attribute(name, &format!("{value:.1}"))?;
            }
        }
        for (number, track) in report.tracks.iter().enumerate() {
            let places: Vec<[f64; 2]> = report
                .timeline
                .iter()
                .filter_map(|sample| Some([x(sample.time_s), y(smoothed(sample, track.id)?)]))
                .collect();
            let points: Vec<String> = places.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
            let line = self.shape(&svg, "polyline", "person")?;
            line.set_attribute("points", &points.join(" "))?;
            line.set_attribute("stroke-dasharray", DASHES[number % DASHES.len()])?;
            let Some([left, top]) = places.first() else { continue };
            let text = self.shape(&svg, "text", "person-number")?;
            text.set_attribute("x", &format!("{:.1}", left + 4.0))?;
            text.set_attribute("y", &format!("{:.1}", (top - 6.0).max(14.0)))?;
            text.set_text_content(Some(&track.id.to_string()));
        }
        let step = report.timeline.len().div_ceil(MAX_ROWS).max(1);
        let rows = report.timeline.iter().step_by(step).flat_map(|sample| {
            sample.faces.iter().filter_map(|face| {
                let [smoothed, alone] =
                    [face.smoothed, face.probability_fake].map(|share| share.map(percent));
                Some(vec![clock(sample.time_s), person(face.track?), smoothed?, alone?])
            })
        });
        self.fill_table("timeline-rows", rows.collect())
    }

    /// A frame around each of `faces` in a picture of `size`, with its P(fake).
    fn draw_boxes(&self, [width, height]: [u32; 2], faces: &[FaceSample]) -> Result<(), JsValue> {
        let svg = self.element("film-boxes")?;
        svg.set_text_content(None);
        svg.set_attribute("viewBox", &format!("0 0 {width} {height}"))?;
        for face in faces {
            let class = if face.probability_fake.is_some() { "face" } else { "face unjudged" };
            let frame = self.shape(&svg, "rect", class)?;
            let region = face.region;
            let sides =
                [f64::from(region.x), f64::from(region.y), f64::from(region.width), f64::from(region.height)];
            for (name, value) in ["x", "y", "width", "height"].into_iter().zip(sides) {
                frame.set_attribute(name, &value.to_string())?;
            }
            let said = face.smoothed.or(face.probability_fake);
            let said = said.map_or_else(|| text("faces.not_judged").to_owned(), percent);
            let person = face.track.map(|track| format!("{track}: ")).unwrap_or_default();
            let text = self.shape(&svg, "text", "face-text")?;
            let size = f64::from(height.max(1)) / 18.0;
            text.set_attribute("x", &(sides[0] + size / 3.0).max(0.0).to_string())?;
            text.set_attribute("y", &(sides[1] + size * 1.2).max(size).to_string())?;
            text.set_attribute("font-size", &size.to_string())?;
            text.set_text_content(Some(&format!("{person}{said}")));
        }
        Ok(())
    }

    fn shape(&self, parent: &Element, name: &str, class: &str) -> Result<Element, JsValue> {
        let shape = self.document().create_element_ns(Some(SVG), name)?;
        shape.set_attribute("class", class)?;
        parent.append_with_node_1(shape.unchecked_ref())?;
        Ok(shape)
    }
}

/// What the timeline spans, in seconds.
fn length(report: &VideoReport) -> f64 {
    report.media.duration_s.unwrap_or(report.coverage.reached_s).max(1e-3)
}

fn smoothed(sample: &Sample, track: u32) -> Option<f64> {
    sample.faces.iter().find(|face| face.track == Some(track))?.smoothed
}

fn person(track: u32) -> String {
    text_with("film.person.number", &[("number", &track.to_string())])
}

/// How much of the video the verdict is of.
fn coverage(report: &VideoReport) -> String {
    let coverage = report.coverage;
    let [samples, judged] = [coverage.samples, coverage.samples_judged].map(|count| count.to_string());
    let reached = clock(coverage.reached_s);
    let values = [("samples", &samples[..]), ("judged", &judged), ("reached", &reached)];
    let said = match coverage.share.map(|share| percent_of(share, 0)) {
        None => text_with("film.coverage", &values),
        Some(share) => text_with("film.coverage.share", &[&values[..], &[("share", &share)]].concat()),
    };
    match coverage.end {
        End::Whole => said,
        End::Truncated | End::Full | End::Interrupted => text_with("film.part_only", &[("coverage", &said)]),
    }
}
