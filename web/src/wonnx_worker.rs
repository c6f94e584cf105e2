//! The worker of wonnx on WebGPU: a second opinion on the region that was judged, by the network in floats; and the benchmark.
//!
//! The engine computes the same file on the CPU beside it: without a referee a driver that computes wrong would not show.

use crate::download::{FLOAT_FOLDER, fetch_bundle};
use crate::message::{Failure, SecondOpinion, SecondRequest, SecondResponse};
use crate::timing::{Stopwatch, Subject, TimeRequest, TimeResponse, check_size, value};
use crate::wonnx_session::{WonnxError, WonnxSession};
use crate::worker::{bytes_of, listen, now_ms, post, read};
use engine::runtime::gpu::{Gpu, GpuError};
use engine::verdict::probability_fake;
use engine::{Crop, Detector, Frame};
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen_futures::spawn_local;
use web_sys::Blob;

/// Largest difference of two logits that the order of sums explains; a hundred times what was seen.
const MAX_DIFFERENCE: f32 = 1e-4;

/// Listens for requests of the page, which sends the next one after the answer.
pub fn start() {
    let timed: Rc<RefCell<Option<WonnxSession>>> = Rc::default();
    listen(move |request: SecondRequest| {
        let timed = timed.clone();
        spawn_local(async move {
            post(&match request {
                SecondRequest::Opinion { picture, crop } => match opinion(&picture, &crop).await {
                    Ok(opinion) => SecondResponse::Opinion(opinion),
                    Err(failure) => SecondResponse::Failed(failure),
                },
                SecondRequest::Time(request) => {
                    // Out of its place while it runs.
                    let mut session = timed.take();
                    let response = time(&mut session, request).await.into();
                    timed.replace(session);
                    SecondResponse::Time(response)
                }
            });
        });
    });
    post(&SecondResponse::Started);
}

async fn time(session: &mut Option<WonnxSession>, request: TimeRequest) -> Result<TimeResponse, Failure> {
    let (budget_ms, most_runs) = match request {
        TimeRequest::Load { file } => {
            check_size(&file)?;
            let onnx = bytes_of(&file).await?;
            let started_ms = now_ms();
            let gpu = Rc::new(Gpu::open().await.map_err(WonnxError::from)?);
            *session = Some(WonnxSession::load(&gpu, &onnx).await?);
            return Ok(TimeResponse::Loaded { load_ms: now_ms() - started_ms, sha256: None });
        }
        TimeRequest::Run { subject: Subject::File, budget_ms, most_runs } => (budget_ms, most_runs),
        TimeRequest::Run { .. } => return Err(Failure::new("subject", "wonnx runs files alone")),
    };
    let Some(session) = session else { return Err(Failure::new("file", "no file was loaded")) };
    let input: Vec<f32> = (0..session.input_len()).map(value).collect();
    let mut watch = Stopwatch::start(budget_ms, most_runs);
    let mut output = Vec::new();
    while watch.goes_on() {
        let started_ms = now_ms();
        output = session.run(&input).await?;
        watch.lap(started_ms);
    }
    Ok(TimeResponse::Timed(watch.finish(&output)))
}

async fn opinion(picture: &Blob, crop: &Crop) -> Result<SecondOpinion, Failure> {
    let bundle = fetch_bundle(FLOAT_FOLDER, &|_| {}).await?;
    let manifest = bundle.manifest();
    let frame = Frame::from_encoded(&read(picture).await?)?;
    let input = manifest.preprocess.tensor(&frame, crop);
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
