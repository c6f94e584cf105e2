//! A report in a file -> what is shown again. Anybody can write such a file.

use crate::download::describe;
use crate::message::Failure;
use engine::Report;
use engine::opened::MAX_BYTES;
use engine::video::VideoReport;
use js_sys::{JSON, Reflect};
use serde::de::DeserializeOwned;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

/// A report that says nothing that none can say.
pub enum SavedReport {
    /// On a picture.
    Picture(Box<Report>),
    /// On a video.
    Video(Box<VideoReport>),
}

/// Whether `file` calls itself JSON.
pub fn is_saved(file: &File) -> bool {
    file.type_() == "application/json" || file.name().to_lowercase().ends_with(".json")
}

/// The report in `file`.
///
/// # Errors
/// `report` if it is none, or none that this page reads.
pub async fn read(file: &File) -> Result<SavedReport, Failure> {
    if file.size() > MAX_BYTES as f64 {
        return Err(no_report(&format!("it has more than {MAX_BYTES} bytes")));
    }
    let text = JsFuture::from(file.text()).await.map_err(|error| no_report(&describe(&error)))?;
    // The browser's own reader: one of ours would be a tenth of the page.
    let value =
        JSON::parse(&text.as_string().unwrap_or_default()).map_err(|error| no_report(&describe(&error)))?;
    if !value.is_object() {
        return Err(no_report("it holds no object"));
    }
    if Reflect::has(&value, &"timeline".into()).unwrap_or(false) {
        let report: VideoReport = typed(value)?;
        report.check()?;
        return Ok(SavedReport::Video(Box::new(report)));
    }
    let report: Report = typed(value)?;
    report.check()?;
    Ok(SavedReport::Picture(Box::new(report)))
}

fn typed<T: DeserializeOwned>(value: JsValue) -> Result<T, Failure> {
    serde_wasm_bindgen::from_value(value).map_err(|error| no_report(&error.to_string()))
}

fn no_report(why: &str) -> Failure {
    let why: String = why.chars().take(200).collect();
    Failure::new("report", format!("this is no report that this page has saved ({why}); choose another file"))
}
