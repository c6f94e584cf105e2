//! Results -> tables and curves.

use super::options::mode_name;
use super::page::{FLOATS, State, Task};
use super::place::Place;
use super::runner::subject_title;
use super::view_environment::environment;
use crate::text::document::{Part, elements, say};
use crate::text::names;
use crate::text::number::{decimal, milliseconds, percent_of, range};
use crate::text::{text, text_with};
use crate::view::{MAX_NAME, ObjectUrl, View, sentence};
use engine::benchmark::report::Mode;
use engine::benchmark::{BenchmarkReport, Cell, Summary};
use wasm_bindgen::JsValue;
use web_sys::{Element, HtmlAnchorElement, HtmlInputElement, HtmlProgressElement};

const SVG: &str = "http://www.w3.org/2000/svg";
/// Size of a curve, in its own units.
const CURVE: [f64; 2] = [120.0, 24.0];
/// Size of a bar, in its own units.
const BAR: [f64; 2] = [100.0, 6.0];
/// Column of the 90th percentile.
const HEADLINE: usize = 1;

/// The part of the document that belongs to the benchmark.
pub struct BenchmarkView {
    view: View,
    file: Option<ObjectUrl>,
    /// Whether it is on the screen.
    pub is_here: bool,
}

impl BenchmarkView {
    /// That of this window.
    ///
    /// # Errors
    /// If there is no document.
    pub fn attach() -> Result<Self, JsValue> {
        Ok(BenchmarkView { view: View::attach()?, file: None, is_here: false })
    }

    /// The element with this id.
    ///
    /// # Errors
    /// If the document has none.
    pub fn element(&self, id: &str) -> Result<Element, JsValue> {
        self.view.element(id)
    }

    /// The input with this id.
    ///
    /// # Errors
    /// If the document has none.
    pub fn input(&self, id: &str) -> Result<HtmlInputElement, JsValue> {
        self.view.typed(id)
    }

    /// The boxes that say what is measured.
    ///
    /// # Errors
    /// If the document has none.
    pub fn choices(&self) -> Result<Vec<HtmlInputElement>, JsValue> {
        let boxes = self
            .view
            .document()
            .query_selector_all("[name=bench-mode], [name=bench-place], #bench-compare")?;
        Ok(elements(&boxes))
    }

    /// Mode, places and whether a file is compared, as the boxes say.
    ///
    /// # Errors
    /// If the document has none.
    pub fn chosen(&self) -> Result<(String, Vec<String>, bool), JsValue> {
        let checked: Vec<HtmlInputElement> =
            self.choices()?.into_iter().filter(HtmlInputElement::checked).collect();
        let values = |name: &str| {
            let of_name = checked.iter().filter(|input| input.name() == name);
            of_name.map(HtmlInputElement::value).collect::<Vec<String>>()
        };
        let compare = checked.iter().any(|input| input.id() == "bench-compare");
        Ok((values("bench-mode").concat(), values("bench-place"), compare))
    }

    /// Points the link at the file of a new result.
    ///
    /// # Errors
    /// If the browser makes no files in memory.
    pub fn set_report(&mut self, report: &BenchmarkReport) -> Result<(), JsValue> {
        let file = self.file.insert(ObjectUrl::of_json(report)?);
        self.view.typed::<HtmlAnchorElement>("bench-save")?.set_href(file.address());
        Ok(())
    }

    /// Makes the document show `state`.
    ///
    /// # Errors
    /// If the document is not the one of `index.html`.
    pub fn render(&self, state: &State) -> Result<(), JsValue> {
        self.render_route()?;
        let is_running = matches!(state.task, Task::Running(_));
        let name = match (&state.task, &state.report) {
            (Task::Running(_), _) => "running",
            (Task::Failed(_), _) => "error",
            (Task::Idle, Some(_)) => "done",
            (Task::Idle, None) => "idle",
        };
        self.element("bench")?.set_attribute("data-state", name)?;
        for input in self.choices()? {
            let value = input.value();
            input.set_checked(match input.name().as_str() {
                "bench-mode" => value == mode_name(state.options.mode),
                "bench-place" => state.options.places.iter().any(|place| place.name() == value),
                _ => state.options.compare,
            });
            input.set_disabled(is_running);
        }
        for id in ["bench-file", "bench-import"] {
            self.input(id)?.set_disabled(is_running);
        }
        let own = state.own_file.as_ref().map(|file| file.1.chars().take(MAX_NAME).collect::<String>());
        let own = own.map(|name| text_with("bench.own.runs", &[("name", &name)])).unwrap_or_default();
        self.view.set_text("bench-file-name", &own)?;
        self.view.show("bench-start", !is_running)?;
        self.view.show("bench-stop", is_running)?;
        self.view.show("bench-progress", is_running)?;
        let status = match &state.task {
            Task::Running(progress) => {
                self.view.typed::<HtmlProgressElement>("bench-progress")?.set_value(progress.share);
                &progress.doing
            }
            Task::Idle if state.report.is_some() => text("bench.measured"),
            _ => "",
        };
        self.view.set_text("bench-status", status)?;
        let failure = match &state.task {
            Task::Failed(failure) => Some(failure),
            _ => None,
        };
        self.view.show("bench-error", failure.is_some())?;
        if let Some(failure) = failure {
            self.element("bench-error")?.set_attribute("data-code", &failure.code)?;
            self.view.set_failure("bench-error-message", failure)?;
        }
        let simulated = state.report.as_ref().map_or(&state.options.simulated, |report| &report.simulated);
        self.view.show("bench-simulated", simulated.is_some())?;
        self.view.set_text("bench-simulated-text", simulated.as_deref().unwrap_or_default())?;
        self.view.show("bench-result", state.report.is_some() && !is_running)?;
        match &state.report {
            Some(report) if !is_running => self.render_report(report, state.other.as_ref()),
            _ => Ok(()),
        }
    }

    fn render_route(&self) -> Result<(), JsValue> {
        self.view.show("app", !self.is_here)?;
        self.view.show("bench", self.is_here)?;
        for (id, is_current) in [("to-detect", !self.is_here), ("to-benchmark", self.is_here)] {
            match is_current {
                true => self.element(id)?.set_attribute("aria-current", "page")?,
                false => self.element(id)?.remove_attribute("aria-current")?,
            }
        }
        Ok(())
    }

    fn render_report(
        &self,
        report: &BenchmarkReport,
        other: Option<&BenchmarkReport>,
    ) -> Result<(), JsValue> {
        let result = self.element("bench-result")?;
        result.set_attribute("data-valid", &report.is_valid().to_string())?;
        let first = report.cells.iter().find_map(|cell| Some((cell, cell.summary.as_ref()?)));
        if let Some((cell, summary)) = first {
            let time = milliseconds(summary.p90_ms);
            self.view.set_text("bench-title", &text_with("bench.headline.title", &[("time", &time)]))?;
            self.view.set_text("bench-headline", &headline(report, cell, summary))?;
        }
        let peer = beside_peer(report);
        self.view.show("bench-peer", peer.is_some())?;
        self.view.set_text("bench-peer", &peer.unwrap_or_default())?;
        self.view.set_text("bench-golden", &golden(report))?;
        self.view.show("bench-invalid", !report.is_valid())?;
        let reasons = self.emptied("bench-reasons")?;
        for reason in &report.invalid {
            self.append(&reasons, "li", names::reason(*reason))?;
        }
        self.view.show("bench-other", other.is_some())?;
        let rows = self.emptied("bench-rows")?;
        for cell in &report.cells {
            // Bars show the same thing in several places.
            let same = report.cells.iter().filter(|other| other.subject == cell.subject);
            let longest = same.filter_map(|cell| Some(cell.summary.as_ref()?.p90_ms)).fold(0.0, f64::max);
            self.append_cell(&rows, cell, longest, other)?;
        }
        self.render_cold(report)?;
        self.render_environment(report, other)
    }

    fn append_cell(
        &self,
        rows: &Element,
        cell: &Cell,
        longest: f64,
        other: Option<&BenchmarkReport>,
    ) -> Result<(), JsValue> {
        let row = self.append(rows, "tr", "")?;
        row.set_attribute("data-cell", &format!("{} {}", cell.subject, cell.place))?;
        let head = self.append(&row, "th", &format!("{}, ", subject_title(&cell.subject)))?;
        head.set_attribute("scope", "row")?;
        self.append(&head, "span", &place_title(&cell.place))?.set_attribute("class", "fine")?;
        let Some(summary) = &cell.summary else {
            let cell = match cell.problem.as_deref() {
                Some(problem) => self.append_english(&row, "td", &sentence(problem))?,
                None => self.append(&row, "td", text("bench.not_measured.sentence"))?,
            };
            return cell.set_attribute("colspan", if other.is_some() { "8" } else { "7" });
        };
        let number = |value: f64| decimal(value, 2);
        let steady = match summary.spread.map(|spread| percent_of(spread, 0)) {
            None => text("bench.steady.few").into(),
            Some(share) if summary.is_unstable() => text_with("bench.steady.no", &[("share", &share)]),
            Some(share) => text_with("bench.steady.yes", &[("share", &share)]),
        };
        let texts = [
            number(summary.p50_ms),
            number(summary.p90_ms),
            number(summary.p99_ms),
            range(&number(summary.min_ms), &number(summary.max_ms)),
            summary.runs.to_string(),
            steady,
        ];
        for (at, text) in texts.iter().enumerate() {
            let data = self.append(&row, "td", text)?;
            if at == HEADLINE {
                self.append_bar(&data, summary.p90_ms / longest.max(f64::MIN_POSITIVE))?;
            }
        }
        let curve = self.append(&row, "td", "")?;
        self.append_curve(&curve, &summary.course_ms)?;
        if let Some(other) = other {
            let theirs = other.cell(&cell.place, &cell.subject).and_then(|cell| cell.summary.as_ref());
            let said = theirs.map_or_else(
                || text("bench.not_in_other").into(),
                |theirs| {
                    let [time, times] = [theirs.p90_ms, theirs.p90_ms / summary.p90_ms].map(number);
                    text_with("bench.other.times", &[("time", &time), ("times", &times)])
                },
            );
            self.append(&row, "td", &said)?;
        }
        Ok(())
    }

    /// A bar of `share` of its column.
    fn append_bar(&self, to: &Element, share: f64) -> Result<(), JsValue> {
        let [width, height] = BAR;
        let document = self.view.document();
        let svg = document.create_element_ns(Some(SVG), "svg")?;
        svg.set_attribute("viewBox", &format!("0 0 {width} {height}"))?;
        svg.set_attribute("class", "bar")?;
        svg.set_attribute("aria-hidden", "true")?;
        let bar = document.create_element_ns(Some(SVG), "rect")?;
        bar.set_attribute("width", &format!("{:.1}", width * share.clamp(0.01, 1.0)))?;
        bar.set_attribute("height", &height.to_string())?;
        svg.append_with_node_1(&bar)?;
        to.append_with_node_1(&svg)
    }

    /// A curve of times in their order, from zero up.
    fn append_curve(&self, to: &Element, course_ms: &[f64]) -> Result<(), JsValue> {
        let [width, height] = CURVE;
        let document = self.view.document();
        let svg = document.create_element_ns(Some(SVG), "svg")?;
        svg.set_attribute("viewBox", &format!("0 0 {width} {height}"))?;
        svg.set_attribute("class", "curve")?;
        svg.set_attribute("aria-hidden", "true")?;
        let line = document.create_element_ns(Some(SVG), "polyline")?;
        line.set_attribute("points", &points(course_ms))?;
        svg.append_with_node_1(&line)?;
        to.append_with_node_1(&svg)
    }

    fn render_cold(&self, report: &BenchmarkReport) -> Result<(), JsValue> {
        let rows = self.emptied("bench-cold")?;
        for place in &report.places {
            let row = self.append(&rows, "tr", "")?;
            self.append(&row, "th", &place_title(&place.place))?.set_attribute("scope", "row")?;
            match (&place.cold, &place.problem) {
                (_, Some(problem)) => {
                    self.append_english(&row, "td", &sentence(problem))?.set_attribute("colspan", "5")?
                }
                (None, None) => {
                    self.append(&row, "td", text("bench.not_measured"))?.set_attribute("colspan", "5")?
                }
                (Some(cold), None) => {
                    let gpu = cold.gpu_ms.map_or("–".into(), |gpu_ms| format!("{gpu_ms:.0}"));
                    let [start, fetch, load] =
                        [cold.start_ms, cold.fetch_ms, cold.load_ms].map(|time_ms| format!("{time_ms:.0}"));
                    for text in [start, fetch, load, gpu, decimal(cold.first_run_ms, 1)] {
                        self.append(&row, "td", &text)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn render_environment(
        &self,
        report: &BenchmarkReport,
        other: Option<&BenchmarkReport>,
    ) -> Result<(), JsValue> {
        let list = self.emptied("bench-environment")?;
        for (name, value) in environment(report) {
            let row = self.append(&list, "div", "")?;
            self.append(&row, "dt", name)?;
            self.append(&row, "dd", &value)?;
        }
        for (name, value) in other.map(environment).unwrap_or_default() {
            let row = self.append(&list, "div", "")?;
            self.append(&row, "dt", &text_with("bench.device.other", &[("name", name)]))?;
            self.append(&row, "dd", &value)?;
        }
        Ok(())
    }

    fn emptied(&self, id: &str) -> Result<Element, JsValue> {
        let element = self.element(id)?;
        element.set_text_content(None);
        Ok(element)
    }

    fn append(&self, to: &Element, name: &str, text: &str) -> Result<Element, JsValue> {
        let element = self.view.document().create_element(name)?;
        if !text.is_empty() {
            element.set_text_content(Some(text));
        }
        to.append_with_node_1(&element)?;
        Ok(element)
    }

    /// What a report says: its words are English.
    fn append_english(&self, to: &Element, name: &str, text: &str) -> Result<Element, JsValue> {
        let element = self.append(to, name, "")?;
        say(&element, "{text}", &[("text", Part::English(text))])?;
        Ok(element)
    }
}

fn headline(report: &BenchmarkReport, cell: &Cell, summary: &Summary) -> String {
    let [subject, place] = [subject_title(&cell.subject), place_title(&cell.place)];
    let what = text_with("bench.subject.at", &[("subject", &subject), ("place", &place)]);
    match (report.settings.mode, summary.ends_ms) {
        (Mode::Sustained, Some([first_ms, last_ms])) => {
            let [first, last] = [first_ms, last_ms].map(milliseconds);
            let share = percent_of(first_ms / last_ms, 0);
            let values = [("what", &what[..]), ("first", &first), ("last", &last), ("share", &share)];
            text_with("bench.headline.sustained", &values)
        }
        _ => text_with("bench.headline", &[("what", &what), ("time", &milliseconds(summary.p50_ms))]),
    }
}

/// The bundle's network in integers beside onnxruntime's run of the same network in floats, by medians.
fn beside_peer(report: &BenchmarkReport) -> Option<String> {
    if report.file.as_ref().is_none_or(|file| file.what != FLOATS) {
        return None;
    }
    let theirs = report.cell(Place::Onnxruntime.name(), "file")?.summary.as_ref()?;
    let ours = report.cells.iter().find(|cell| cell.place.starts_with("cpu"))?.summary.as_ref()?;
    Some(text_with("bench.beside", &[("times", &decimal(theirs.p50_ms / ours.p50_ms, 1))]))
}

fn golden(report: &BenchmarkReport) -> String {
    let places = report.places.iter().filter_map(|place| Some((place, place.golden_passed?)));
    let texts = places.map(|(place, passed)| {
        let key = if passed { "bench.golden.right" } else { "bench.golden.wrong" };
        text_with(key, &[("place", &place_title(&place.place))])
    });
    let texts: Vec<String> = texts.collect();
    match texts.is_empty() {
        true => text("bench.golden.none").into(),
        false => text_with("bench.golden", &[("places", &texts.join("; "))]),
    }
}

/// The place's name for people; of places that are not known, the name itself.
fn place_title(name: &str) -> String {
    Place::of(name).map_or_else(|| name.to_owned(), |place| place.title().to_owned())
}

/// The points of a curve through `values`, which stand at equal distances; zero lies below.
fn points(values: &[f64]) -> String {
    let [width, height] = CURVE;
    let largest = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let step = width / (values.len().max(2) - 1) as f64;
    let point = |(at, value): (usize, &f64)| {
        format!("{:.1},{:.1}", at as f64 * step, height * (1.0 - value / largest))
    };
    values.iter().enumerate().map(point).collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_begins_at_the_left_and_its_largest_value_is_at_the_top() {
        assert_eq!(points(&[1.0, 2.0]), "0.0,12.0 120.0,0.0");
        assert_eq!(points(&[3.0]), "0.0,0.0");
        assert_eq!(points(&[]), "");
    }
}
