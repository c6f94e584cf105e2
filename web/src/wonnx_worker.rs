//! The worker that gives one second opinion: the same network on the same input, by wonnx on WebGPU.

use crate::download::{BUNDLE_FOLDER, fetch_bundle};
use crate::message::{Failure, SecondOpinion, SecondRequest, SecondResponse};
use crate::wonnx_session::{WonnxError, WonnxSession};
use crate::worker::{listen, now_ms, post};
use engine::bundle::FileEntry;
use engine::runtime::gpu::{AdapterSummary, Gpu, GpuError};
use engine::verdict::probability_fake;
use std::rc::Rc;
use wasm_bindgen_futures::spawn_local;

/// Listens for the page's one request.
pub fn start() {
    listen(|request: SecondRequest| {
        spawn_local(async move {
            post(&match opinion(&request.input.to_vec()).await {
                Ok(opinion) => SecondResponse::Opinion(opinion),
                Err(failure) => SecondResponse::Failed(failure),
            });
        });
    });
    post(&SecondResponse::Started);
}

async fn opinion(input: &[f32]) -> Result<SecondOpinion, Failure> {
    let bundle = fetch_bundle(BUNDLE_FOLDER, &|_| {}).await?;
    let manifest = bundle.manifest();
    // A manifest that was parsed has one stage, and lists its file.
    let stage = &manifest.stages[0];
    let onnx = bundle.content(&stage.file).unwrap_or_default();

    let started_ms = now_ms();
    let gpu = Rc::new(Gpu::open().await.map_err(WonnxError::from)?);
    let session = WonnxSession::load(&gpu, onnx).await?;
    let load_ms = now_ms() - started_ms;
    // The first run pays for what the browser left to do.
    logit(&session, input).await?;
    let started_ms = now_ms();
    let logit = logit(&session, input).await?;
    let latency_ms = now_ms() - started_ms;
    Ok(SecondOpinion {
        logit,
        probability_fake: probability_fake(logit, stage.temperature),
        sha256: FileEntry::of("", onnx).sha256,
        adapter: describe_adapter(gpu.adapter()),
        is_fallback: gpu.adapter().is_software,
        load_ms,
        latency_ms,
    })
}

async fn logit(session: &WonnxSession, input: &[f32]) -> Result<f32, Failure> {
    match session.run(input).await?.as_slice() {
        &[logit] => Ok(logit),
        values => {
            Err(Failure::new("model", format!("the network gave {} values, expected one", values.len())))
        }
    }
}

/// What the browser tells of an adapter, in one line.
fn describe_adapter(adapter: &AdapterSummary) -> String {
    let words = [&adapter.vendor, &adapter.architecture, &adapter.description];
    let words: Vec<&str> = words.into_iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "not named by the browser".into() } else { words.join(" ") }
}

impl From<WonnxError> for Failure {
    fn from(error: WonnxError) -> Self {
        let code = match error {
            WonnxError::Gpu(GpuError::Unavailable { .. }) => "no_adapter",
            WonnxError::Model(_) => "model",
            WonnxError::Gpu(_) => "gpu",
            WonnxError::InputLength { .. } => "input",
            WonnxError::Run(_) => "run",
            WonnxError::NotFinite { .. } => "numeric",
        };
        Failure::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_without_a_name_is_said_to_have_none() {
        assert_eq!(describe_adapter(&AdapterSummary::default()), "not named by the browser");
        let adapter =
            AdapterSummary { vendor: "intel".into(), architecture: "xe".into(), ..Default::default() };
        assert_eq!(describe_adapter(&adapter), "intel xe");
    }
}
