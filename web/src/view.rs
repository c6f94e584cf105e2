//! The document: state in, text and attributes out.
//!
//! Whatever was not written by this project, from file names to error messages, is set as text and never as
//! markup.

use crate::message::{Failure, ModelCard, SecondOpinion};
use crate::samples::Sample;
use crate::state::{Model, Phase, Picture, Second, State, Task, meaning, megabytes, next_step};
use crate::text::document::{Part, elements, say, translate};
use crate::text::names::{self, label, notice, truth};
use crate::text::number::{all_digits, decimal, figures, milliseconds, percent, percent_of, size};
use crate::text::{is_english, text, text_with};
use engine::{Label, Report};
use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    Blob, BlobPropertyBag, Document, Element, HtmlAnchorElement, HtmlButtonElement, HtmlElement,
    HtmlImageElement, HtmlInputElement, HtmlProgressElement, Url,
};

/// Longest file name that is shown, in characters.
pub(crate) const MAX_NAME: usize = 120;

/// The document of `index.html`.
pub struct View {
    document: Document,
    /// What the preview and the report's link point at.
    result_files: Option<[ObjectUrl; 2]>,
    /// What the link of a video's report points at.
    pub(crate) video_file: Option<ObjectUrl>,
    /// What the link of the visit's reports points at.
    pub(crate) history_file: Option<ObjectUrl>,
}

impl View {
    /// The document of this window.
    ///
    /// # Errors
    /// If there is none.
    pub fn attach() -> Result<Self, JsValue> {
        let document =
            web_sys::window().and_then(|window| window.document()).ok_or("there is no document")?;
        Ok(View { document, result_files: None, video_file: None, history_file: None })
    }

    /// The document itself.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The element with this id.
    ///
    /// # Errors
    /// If the document has none.
    pub fn element(&self, id: &str) -> Result<Element, JsValue> {
        self.document.get_element_by_id(id).ok_or_else(|| format!("index.html has no #{id}").into())
    }

    /// The file picker.
    ///
    /// # Errors
    /// If the document has none.
    pub fn input(&self) -> Result<HtmlInputElement, JsValue> {
        self.typed("picture")
    }

    /// Points preview and report's link at the files of a new result; a report that was opened has no picture.
    ///
    /// # Errors
    /// If the browser makes no files in memory.
    pub fn set_result_files(&mut self, picture: Option<&Blob>, report: &Report) -> Result<(), JsValue> {
        let nothing = Blob::new()?;
        let picture = picture.unwrap_or(&nothing);
        // A raster type, whatever the file calls itself: the browser then looks at the bytes and never reads SVG.
        let picture = picture.slice_with_f64_and_f64_and_content_type(0.0, picture.size(), "image/jpeg")?;
        let [picture, json] =
            self.result_files.insert([ObjectUrl::new(&picture)?, ObjectUrl::of_json(report)?]);
        let (picture, json) = (picture.0.clone(), json.0.clone());
        self.typed::<HtmlImageElement>("preview-image")?.set_src(&picture);
        self.typed::<HtmlAnchorElement>("save")?.set_href(&json);
        Ok(())
    }

    /// A new button for `sample`, in the list of samples.
    ///
    /// # Errors
    /// If the document has no such list.
    pub fn add_sample(&self, number: u32, sample: &Sample) -> Result<HtmlButtonElement, JsValue> {
        let image: HtmlImageElement = self.document.create_element("img")?.unchecked_into();
        image.set_src(&sample.path());
        image.set_alt("");
        let text = self.document.create_element("span")?;
        text.set_text_content(Some(&sample_name(number)));
        let button: HtmlButtonElement = self.document.create_element("button")?.unchecked_into();
        button.set_type("button");
        button.set_attribute("data-sample", &sample.file)?;
        button.append_with_node_2(&image, &text)?;
        let item = self.document.create_element("li")?;
        item.append_with_node_1(&button)?;
        self.element("sample-list")?.append_with_node_1(&item)?;
        self.show("samples", true)?;
        Ok(button)
    }

    /// Says what stands in the document, besides what a state shows, in the language that is spoken.
    ///
    /// # Errors
    /// If the document is not the one of `index.html`.
    pub fn translate(&self) -> Result<(), JsValue> {
        translate(&self.document)?;
        let samples: Vec<Element> = elements(&self.document.query_selector_all("#sample-list span")?);
        (1..).zip(samples).for_each(|(number, text)| text.set_text_content(Some(&sample_name(number))));
        Ok(())
    }

    /// Makes the document show `state`.
    ///
    /// # Errors
    /// If the document is not the one of `index.html`.
    pub fn render(&mut self, state: &State) -> Result<(), JsValue> {
        self.render_history(&state.history)?;
        self.show("queue-stop", state.waiting > 0)?;
        let phase = state.phase();
        let came = self.element("app")?.get_attribute("data-state").as_deref() != Some(phase.name());
        self.element("app")?.set_attribute("data-state", phase.name())?;
        self.set_text("status", &state.sentence())?;
        self.render_progress(state)?;
        self.render_failure(state.failure(), state.can_retry())?;
        if let Model::Ready(card) = &state.model {
            self.render_model(card)?;
            self.show("device", card.has_golden)?;
            self.render_gpu(state.gpu.as_ref())?;
            self.render_check(&state.check)?;
        }
        self.show("result", phase == Phase::Result)?;
        if let (Task::Judged(report), Some(picture)) = (&state.task, &state.picture) {
            self.render_verdict(report)?;
            self.render_picture(report, picture)?;
            self.render_numbers(report)?;
            self.render_stages(report)?;
            self.render_faces(report)?;
            self.render_heat(&state.heat, report)?;
            self.render_second(state)?;
        }
        self.render_film(state)?;
        self.render_offline(state.offline)?;
        let shown = match phase {
            Phase::Result | Phase::Error => Some(phase.name()),
            Phase::Watching | Phase::Watched => Some("film"),
            Phase::Loading | Phase::Idle | Phase::Judging => None,
        };
        if let Some(shown) = shown.filter(|_| came) {
            self.element(shown)?.scroll_into_view();
        }
        Ok(())
    }

    fn render_progress(&self, state: &State) -> Result<(), JsValue> {
        let phase = state.phase();
        self.show("working", matches!(phase, Phase::Loading | Phase::Judging))?;
        self.show("stop-loading", phase == Phase::Loading)?;
        let progress: HtmlProgressElement = self.typed("progress")?;
        match state.model {
            Model::Loading(loading) if loading.total > 0 => {
                progress.set_max(loading.total as f64);
                progress.set_value(loading.received as f64);
                self.set_text("progress-bytes", &megabytes(loading))
            }
            _ => {
                // Without a value the bar says "going on" and no more.
                progress.remove_attribute("value")?;
                self.set_text("progress-bytes", "")
            }
        }
    }

    fn render_failure(&self, failure: Option<&Failure>, can_retry: bool) -> Result<(), JsValue> {
        self.show("error", failure.is_some())?;
        self.show("retry", can_retry)?;
        let Some(failure) = failure else { return self.element("error")?.remove_attribute("data-code") };
        self.element("error")?.set_attribute("data-code", &failure.code)?;
        self.set_text("error-code", &failure.code)?;
        self.set_failure("error-message", failure)
    }

    fn render_model(&self, card: &ModelCard) -> Result<(), JsValue> {
        self.show("model", true)?;
        self.set_text("model-name", &format!("{} {}", card.name, card.version))?;
        self.set_text("model-licence", &card.licence)?;
        self.show("model-quality", card.quality.is_some())?;
        let Some(quality) = card.quality else { return Ok(()) };
        self.set_text("model-pictures", &quality.pictures.to_string())?;
        self.set_text("model-accuracy", &percent_of(quality.accuracy, 0))?;
        self.set_text("model-auc", &decimal(quality.auc, 2))
    }

    fn render_verdict(&self, report: &Report) -> Result<(), JsValue> {
        let verdict = &report.verdict;
        self.element("result")?.set_attribute("data-label", &name_of(&verdict.label))?;
        self.element("result")?.set_attribute("data-probability", &plain_digits(verdict.probability_fake))?;
        self.set_text("label", label(verdict.label))?;
        self.set_text("percent", &percent(verdict.probability_fake))?;
        self.set_text("meaning", meaning(verdict.label))?;
        self.set_text("next-step", next_step(verdict.label))?;
        let notices = self.element("notices")?;
        notices.set_text_content(None);
        for limit in &report.notices {
            let item = self.document.create_element("li")?;
            item.set_text_content(Some(notice(*limit)));
            notices.append_with_node_1(&item)?;
        }
        let (lower, upper) = (report.thresholds.lower * 100.0, report.thresholds.upper * 100.0);
        self.set_span("scale-real", 0.0, lower)?;
        self.set_span("scale-uncertain", lower, upper)?;
        self.set_span("scale-fake", upper, 100.0)?;
        // A bundle that is sure of nothing on one side does not say so there.
        let real = if lower > 0.0 { text("verdict.surely_real") } else { label(Label::Real) };
        let fake = if upper < 100.0 { text("verdict.surely_fake") } else { label(Label::Fake) };
        self.set_text("scale-real-end", real)?;
        self.set_text("scale-fake-end", fake)?;
        let needle = verdict.probability_fake * 100.0;
        self.set_span("scale-needle", needle.clamp(0.5, 99.5) - 0.5, needle.clamp(0.5, 99.5) + 0.5)
    }

    fn render_picture(&self, report: &Report, picture: &Picture) -> Result<(), JsValue> {
        self.set_text("file-name", &picture.name.chars().take(MAX_NAME).collect::<String>())?;
        let [width, height] = report.picture_size;
        self.element("crop")?.set_attribute("viewBox", &format!("0 0 {width} {height}"))?;
        let crop = report.crop;
        for (name, value) in [("x", crop.x), ("y", crop.y), ("width", crop.side), ("height", crop.side)] {
            self.element("crop-square")?.set_attribute(name, &value.to_string())?;
        }
        self.show("opened", picture.is_report)?;
        for id in ["preview-figure", "private", "explain", "second", "print-choice"] {
            self.show(id, !picture.is_report)?;
        }
        self.show("truth", picture.sample.is_some())?;
        let Some(sample) = &picture.sample else { return Ok(()) };
        self.set_text("truth-label", truth(sample.truth))?;
        self.set_text("truth-credit", &sample.credit)
    }

    fn render_numbers(&self, report: &Report) -> Result<(), JsValue> {
        let crop = report.crop;
        let Some(stage) = report.stages.iter().find(|stage| stage.name == report.verdict.decided_by) else {
            return Err("the report names no stage that decided".into());
        };
        let rows = [
            ("number-probability", all_digits(report.verdict.probability_fake)),
            ("number-logit", figures(&stage.logit.to_string())),
            (
                "number-lower",
                text_with("numbers.or_less", &[("number", &all_digits(report.thresholds.lower))]),
            ),
            (
                "number-upper",
                text_with("numbers.or_more", &[("number", &all_digits(report.thresholds.upper))]),
            ),
            ("number-prepare", milliseconds(report.prepare_ms)),
            ("number-network", milliseconds(stage.latency_ms)),
            ("number-total", milliseconds(report.total_ms)),
            ("number-backend", stage.backend.clone()),
            ("number-model", format!("{} {}", report.model.name, report.model.version)),
            ("number-sha256", stage.sha256.clone()),
            ("number-engine", report.engine_version.clone()),
            ("number-picture", text_with("numbers.picture.size", &[("size", &size(report.picture_size))])),
            (
                "number-crop",
                text_with(
                    "numbers.crop.size",
                    &[
                        ("size", &size([crop.side; 2])),
                        ("x", &crop.x.to_string()),
                        ("y", &crop.y.to_string()),
                    ],
                ),
            ),
        ];
        rows.iter().try_for_each(|(id, text)| self.set_text(id, text))
    }

    fn render_second(&self, state: &State) -> Result<(), JsValue> {
        let second = &state.second;
        let name = match second {
            Second::Off => "off",
            Second::Running => "running",
            Second::Done(_) => "done",
            Second::Failed(_) => "error",
        };
        self.element("second-opinion")?.set_attribute("data-state", name)?;
        self.show("second-opinion", *second != Second::Off)?;
        self.typed::<HtmlButtonElement>("second")?.set_disabled(matches!(second, Second::Running));
        self.set_text("second-status", &state.second_sentence())?;
        self.show("second-numbers", matches!(second, Second::Done(_)))?;
        self.show("second-error", matches!(second, Second::Failed(_)))?;
        match second {
            Second::Done(opinion) => self.render_opinion(opinion),
            Second::Failed(failure) => {
                self.element("second-error")?.set_attribute("data-code", &failure.code)?;
                self.set_failure("second-message", failure)
            }
            Second::Off | Second::Running => Ok(()),
        }
    }

    fn render_opinion(&self, opinion: &SecondOpinion) -> Result<(), JsValue> {
        let difference = f64::from(opinion.logit) - f64::from(opinion.cpu_logit);
        let adapter = match opinion.is_fallback {
            true => text_with("second.adapter.software", &[("adapter", &opinion.adapter)]),
            false => opinion.adapter.clone(),
        };
        let rows = [
            ("second-probability", all_digits(opinion.probability_fake)),
            ("second-logit", figures(&opinion.logit.to_string())),
            ("second-cpu", figures(&opinion.cpu_logit.to_string())),
            ("second-difference", figures(&format!("{difference:e}"))),
            ("second-model", opinion.model.clone()),
            ("second-adapter", adapter),
            ("second-load", milliseconds(opinion.load_ms)),
            ("second-latency", milliseconds(opinion.latency_ms)),
        ];
        rows.iter().try_for_each(|(id, text)| self.set_text(id, text))
    }

    pub(crate) fn typed<T: JsCast>(&self, id: &str) -> Result<T, JsValue> {
        self.element(id)?.dyn_into().map_err(|_| format!("#{id} is another kind of element").into())
    }

    /// Sets the text if it is another one: screen readers announce what is set.
    pub(crate) fn set_text(&self, id: &str, text: &str) -> Result<(), JsValue> {
        let element = self.element(id)?;
        if element.text_content().as_deref() != Some(text) {
            element.set_text_content(Some(text));
        }
        Ok(())
    }

    /// Says why there is no answer; what has no words in the visitor's language is marked as English.
    pub(crate) fn set_failure(&self, id: &str, failure: &Failure) -> Result<(), JsValue> {
        let element = self.element(id)?;
        let (part, detail) = names::failure(failure);
        let said = sentence(names::failure_text(failure));
        match (part, detail.map(sentence)) {
            (Part::English(_), _) if !is_english() => {
                say(&element, "{text}", &[("text", Part::English(&said))])
            }
            (_, Some(detail)) => {
                let parts = [("text", Part::Said(&said)), ("detail", Part::English(&detail))];
                say(&element, text("failure.detail"), &parts)
            }
            _ => say(&element, "{text}", &[("text", Part::Said(&said))]),
        }
    }

    pub(crate) fn show(&self, id: &str, shown: bool) -> Result<(), JsValue> {
        self.typed::<HtmlElement>(id).map(|element| element.set_hidden(!shown))
    }

    /// Lets a rectangle of the scale reach from `start` to `end`, in percent.
    fn set_span(&self, id: &str, start: f64, end: f64) -> Result<(), JsValue> {
        self.element(id)?.set_attribute("x", &start.to_string())?;
        self.element(id)?.set_attribute("width", &(end - start).to_string())
    }
}

/// Marks the page as a place to drop a file on.
pub fn set_dragging(document: &Document, dragging: bool) {
    if let Some(body) = document.body() {
        // Refused are only empty words and words with spaces.
        let _ = body.class_list().toggle_with_force("dragging", dragging);
    }
}

/// A file in memory under an address that only this page has; revoked when dropped.
pub(crate) struct ObjectUrl(String);

impl ObjectUrl {
    pub(crate) fn new(blob: &Blob) -> Result<Self, JsValue> {
        Url::create_object_url_with_blob(blob).map(ObjectUrl)
    }

    pub(crate) fn of_json(value: &impl serde::Serialize) -> Result<Self, JsValue> {
        let json = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
        Self::of_text(&json, "application/json")
    }

    pub(crate) fn of_text(text: &str, mime: &str) -> Result<Self, JsValue> {
        let properties = BlobPropertyBag::new();
        properties.set_type(mime);
        Self::new(&Blob::new_with_str_sequence_and_options(&Array::of1(&text.into()), &properties)?)
    }

    pub(crate) fn address(&self) -> &str {
        &self.0
    }
}

impl Drop for ObjectUrl {
    fn drop(&mut self) {
        // An address that is gone already needs no revoking.
        let _ = Url::revoke_object_url(&self.0);
    }
}

/// All digits, as the command line's JSON has them, whatever the language is.
pub(crate) fn plain_digits(value: f64) -> String {
    serde_json::to_string(&value).unwrap_or_default()
}

/// The name of `value` in reports, for style sheet and tests.
pub(crate) fn name_of(value: &impl serde::Serialize) -> String {
    let name = serde_json::to_value(value).ok();
    name.as_ref().and_then(|name| name.as_str()).unwrap_or_default().to_owned()
}

/// What the sample of this number is called.
pub(crate) fn sample_name(number: u32) -> String {
    text_with("samples.number", &[("number", &number.to_string())])
}

/// `message` with a capital letter and a full stop.
pub(crate) fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first: String = letters.next().map(|letter| letter.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_sentences() {
        assert_eq!(sentence("the file is empty"), "The file is empty.");
        assert_eq!(sentence(""), ".");
    }
}
