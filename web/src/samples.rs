//! Pictures to try, listed in `models/samples/samples.json` beside them.

use serde::Deserialize;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, Response};

const FOLDER: &str = "models/samples";
/// More would not be a choice any more.
const MAX_SAMPLES: usize = 12;

/// A picture of known origin.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Sample {
    /// Plain file name in the folder of the samples.
    pub file: String,
    /// What it is known to be.
    pub truth: Truth,
    /// Where it comes from, and its terms.
    pub credit: String,
}

/// What a sample is known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// A photograph.
    Real,
    /// Generated or altered.
    Fake,
}

impl Sample {
    /// Where the picture is, relative to the page.
    pub fn path(&self) -> String {
        format!("{FOLDER}/{}", self.file)
    }

    /// The encoded picture.
    ///
    /// # Errors
    /// What the browser or the server answered.
    pub async fn fetch(&self) -> Result<Blob, JsValue> {
        fetch_blob(&self.path()).await
    }
}

/// The file at `path`, relative to the page.
///
/// # Errors
/// What the browser or the server answered.
pub async fn fetch_blob(path: &str) -> Result<Blob, JsValue> {
    JsFuture::from(fetch(path).await?.blob()?).await?.dyn_into()
}

/// The samples of this site; none if it has no list, or one that is not understood.
pub async fn fetch_samples() -> Vec<Sample> {
    fetch_list().await.map(|json| parse(&json)).unwrap_or_default()
}

async fn fetch_list() -> Result<String, JsValue> {
    let text = JsFuture::from(fetch(&format!("{FOLDER}/samples.json")).await?.text()?).await?;
    Ok(text.as_string().unwrap_or_default())
}

async fn fetch(path: &str) -> Result<Response, JsValue> {
    let window = web_sys::window().ok_or("there is no window")?;
    let response: Response = JsFuture::from(window.fetch_with_str(path)).await?.dyn_into()?;
    if response.status() == 200 {
        Ok(response)
    } else {
        Err(format!("the server answered {}", response.status()).into())
    }
}

fn parse(json: &str) -> Vec<Sample> {
    // As everything else here is read: each way of reading adds to the page.
    let samples: serde_json::Value = serde_json::from_slice(json.as_bytes()).unwrap_or_default();
    let samples: Vec<Sample> = serde_json::from_value(samples).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let ok = |sample: &Sample| !sample.file.starts_with('.') && sample.file.chars().all(plain);
    samples.into_iter().filter(ok).take(MAX_SAMPLES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_paths_in_it_are_not() {
        let json = r#"[{"file":"real-1.png","truth":"real","credit":"own work"},
                       {"file":"../../secret","truth":"fake","credit":""},
                       {"file":".hidden","truth":"fake","credit":""}]"#;
        let samples = parse(json);
        assert_eq!(samples.len(), 1);
        assert_eq!(samples[0].path(), "models/samples/real-1.png");
        assert_eq!(samples[0].truth, Truth::Real);
    }

    #[test]
    fn what_is_no_list_gives_no_samples() {
        for json in ["", "<!doctype html>", "{}", r#"[{"file":"a.png","truth":"maybe","credit":""}]"#] {
            assert_eq!(parse(json), [], "{json}");
        }
    }
}
