//! The worker that gives one second opinion: the network in floats, which wonnx runs on WebGPU, on the region that was judged.
//!
//! The engine computes the same file on the CPU beside it: without a referee a driver that computes wrong would not show.

use crate::download::{FLOAT_FOLDER, fetch_bundle};
use crate::message::{Failure, SecondOpinion, SecondRequest, SecondResponse};
use crate::wonnx_session::{WonnxError, WonnxSession};
use crate::worker::{listen, now_ms, post, read};
use engine::runtime::gpu::{Gpu, GpuError};
use engine::verdict::probability_fake;
use engine::{Detector, Frame};
use std::rc::Rc;
use wasm_bindgen_futures::spawn_local;

/// Largest difference of two logits that the order of sums explains; a hundred times what was seen.
const MAX_DIFFERENCE: f32 = 1e-4;

/// Listens for the page's one request.
pub fn start() {
    listen(|request: SecondRequest| {
        spawn_local(async move {
            post(&match opinion(&request).await {
                Ok(opinion) => SecondResponse::Opinion(opinion),
                Err(failure) => SecondResponse::Failed(failure),
            });
        });
    });
    post(&SecondResponse::Started);
}

async fn opinion(request: &SecondRequest) -> Result<SecondOpinion, Failure> {
    let bundle = fetch_bundle(FLOAT_FOLDER, &|_| {}).await?;
    let manifest = bundle.manifest();
    let frame = Frame::from_encoded(&read(&request.picture).await?)?;
    let input = manifest.preprocess.tensor(&frame, &request.crop);
    // A manifest that was parsed has one stage, and lists its file.
    let stage = &manifest.stages[0];
    let onnx = bundle.content(&stage.file).unwrap_or_default();

    let started_ms = now_ms();
    let gpu = Rc::new(Gpu::open().await.map_err(WonnxError::from)?);
    let session = WonnxSession::load(&gpu, onnx).await?;
    let load_ms = now_ms() - started_ms;
    // The first run pays for what the browser left to do.
    logit(&session, input.values()).await?;
    let started_ms = now_ms();
    let logit = logit(&session, input.values()).await?;
    let latency_ms = now_ms() - started_ms;
    let cpu_logit = Detector::load(&bundle)?.logit(&input)?;
    check_difference(logit, cpu_logit)?;
    Ok(SecondOpinion {
        logit,
        cpu_logit,
        probability_fake: probability_fake(logit, stage.temperature),
        model: format!("{} {}", manifest.name, manifest.version),
        adapter: gpu.adapter().to_string(),
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

/// An error if wonnx's logit is not the one that the engine's CPU gives.
fn check_difference(logit: f32, cpu_logit: f32) -> Result<(), Failure> {
    if (logit - cpu_logit).abs() <= MAX_DIFFERENCE {
        return Ok(());
    }
    let message = format!(
        "wonnx gave the logit {logit} where {cpu_logit} is right: this graphics processor or its driver computes wrong"
    );
    Err(Failure::new("gpu_wrong", message))
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
    fn a_logit_that_is_not_the_cpus_is_refused() {
        assert_eq!(check_difference(-2.35, -2.350_05), Ok(()));
        for wrong in [-2.3502, 2.35, f32::NAN] {
            assert!(
                check_difference(wrong, -2.35).is_err_and(|failure| failure.code == "gpu_wrong"),
                "{wrong}"
            );
        }
    }
}
