//! The engine's worker under the clock.

use crate::message::Failure;
use crate::timing::{Stopwatch, Subject, TimeRequest, TimeResponse, check_size, value};
use crate::worker::{Engine, bytes_of, now_ms};
use engine::bundle::sha256_hex;
use engine::pattern::{Pattern, PatternKind};
use engine::runtime::gpu::GpuSession;
use engine::{Crop, Error, Session, Tensor};

/// What a camera gives.
const FRAME: Pattern = Pattern { kind: PatternKind::Waves, width: 640, height: 480, seed: 1 };

/// A file that is not of the bundle.
pub(crate) struct TimedFile {
    cpu: Session,
    gpu: Option<GpuSession>,
    input: Tensor,
}

impl Engine {
    /// Answers the benchmark.
    pub(crate) async fn time(&mut self, request: TimeRequest) -> TimeResponse {
        match request {
            TimeRequest::Load { file } => self.load_file(&file).await,
            TimeRequest::Run { subject, budget_ms, most_runs } => {
                self.run_timed(subject, Stopwatch::start(budget_ms, most_runs)).await
            }
        }
        .into()
    }

    async fn load_file(&mut self, file: &web_sys::Blob) -> Result<TimeResponse, Failure> {
        check_size(file)?;
        let onnx = bytes_of(file).await?;
        let started_ms = now_ms();
        let refused = |source| Error::Model { file: "of yours".into(), source };
        let cpu = Session::load_fastest(&onnx, &now_ms).map_err(refused)?;
        let shape = cpu.input_shape().to_vec();
        let input = Tensor::from_vec(shape.clone(), (0..shape.iter().product()).map(value).collect());
        let gpu = self.accelerator.load_file(&onnx).await?;
        let load_ms = now_ms() - started_ms;
        self.timed_file = Some(TimedFile { cpu, gpu, input });
        Ok(TimeResponse::Loaded { load_ms, sha256: Some(sha256_hex(&onnx)) })
    }

    async fn run_timed(&mut self, subject: Subject, mut watch: Stopwatch) -> Result<TimeResponse, Failure> {
        let mut output = Vec::new();
        match subject {
            Subject::Stage(stage) => {
                let input = self.input_of(stage).await?;
                while watch.goes_on() {
                    let started_ms = now_ms();
                    let outputs = match self.accelerator.run(stage, &input).await {
                        Some((outputs, _)) => outputs,
                        None => self.detector.run(stage, &input)?,
                    };
                    watch.lap(started_ms);
                    output = outputs.first().map(|output| output.values().to_vec()).unwrap_or_default();
                }
            }
            Subject::Faces => {
                let frame = FRAME.frame()?;
                let missing = || Failure::new("faces", "this site has no face detector");
                let faces = self.faces.as_mut().ok_or_else(missing)?;
                while watch.goes_on() {
                    let started_ms = now_ms();
                    output = vec![faces.faces(&frame)?.found as f32];
                    watch.lap(started_ms);
                }
            }
            Subject::Picture(picture) => {
                while watch.goes_on() {
                    let started_ms = now_ms();
                    let report = self.judge(&picture).await?;
                    watch.lap(started_ms);
                    output = vec![report.verdict.probability_fake as f32];
                }
            }
            Subject::File => {
                let missing = || Failure::new("file", "no file was loaded");
                let TimedFile { cpu, gpu, input } = self.timed_file.as_mut().ok_or_else(missing)?;
                while watch.goes_on() {
                    let started_ms = now_ms();
                    let result = match gpu {
                        Some(gpu) => {
                            gpu.run(input).await.map_err(|error| Failure::new("gpu", error.to_string()))?
                        }
                        None => cpu.run(input).map_err(|error| Failure::new("model", error.to_string()))?,
                    };
                    watch.lap(started_ms);
                    output = result.into_values();
                }
            }
        }
        Ok(TimeResponse::Timed(watch.finish(&output)))
    }

    /// An input for the network of `stage`, which is fetched if it has to be.
    async fn input_of(&mut self, stage: usize) -> Result<Tensor, Failure> {
        if !self.has(stage).await {
            return Err(Failure::new("stage", "its network is not there"));
        }
        let manifest = self.detector.manifest();
        let described =
            manifest.stages.get(stage).ok_or_else(|| Failure::new("stage", "there is no such stage"))?;
        let frame = FRAME.frame()?;
        Ok(manifest.preprocess_of(described).tensor(&frame, &Crop::centre_square(&frame)))
    }
}
