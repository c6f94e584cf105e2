//! The GPU beside the CPU, in the engine's worker: used where it is right and faster, left where it is not.
//!
//! 1. Is there an adapter? One in software is never faster than the CPU: it is used by force only.
//! 2. Is it faster? Every variant and the CPU run a row of layers ([`Choice`]); the choice is kept by adapter, engine and
//!    network ([`crate::choices`]).
//! 3. Is it right? The golden vectors of the bundle run on it: one other bit, and it is not used.
//!
//! From then on every answer may still fail: an error or a lost device is no answer, and the CPU gives one ([`Trust`]).

use crate::choices;
use crate::message::{Failure, GpuState};
use crate::worker::now_ms;
use engine::bundle::Stage;
use engine::cascade::FILTER;
use engine::golden::GoldenVector;
use engine::manifest::Role;
use engine::runtime::gpu::{Choice, Gpu, GpuError, GpuSession, Place, Products, Remedy, Trust, choice};
use engine::{Bundle, Crop, Golden, Manifest, Tensor};
use std::collections::HashMap;
use std::rc::Rc;

/// Golden vectors that the GPU must give before it is used: each takes a run.
const VECTORS: usize = 2;

/// What the visitor wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// Whatever is the fastest.
    #[default]
    Fastest,
    /// The CPU alone.
    Cpu,
    /// The GPU even if it is slower, or software; never if it is wrong.
    Gpu,
}

impl Wish {
    /// The wish of that name in an address.
    pub fn of(name: &str) -> Wish {
        match name {
            "cpu" => Wish::Cpu,
            "gpu" => Wish::Gpu,
            _ => Wish::Fastest,
        }
    }
}

/// What may run on the GPU, and what it must give there.
#[derive(Default)]
pub struct Networks {
    manifest: Option<Manifest>,
    golden: Option<Golden>,
    /// The ONNX file of each stage; empty where it has not arrived.
    files: Vec<Vec<u8>>,
}

impl Networks {
    /// The networks of `bundle` that have arrived.
    pub fn of(bundle: &Bundle, golden: Option<&Golden>) -> Self {
        let manifest = bundle.manifest();
        let content = |stage: &Stage| bundle.content(&stage.file).unwrap_or_default().to_vec();
        let files = manifest.stages.iter().map(content).collect();
        Networks { manifest: Some(manifest.clone()), golden: golden.cloned(), files }
    }

    /// Of the filter's file.
    fn sha256(&self) -> &str {
        let file = |manifest: &'_ Manifest| manifest.stages.get(FILTER).map(|stage| stage.file.clone());
        let entry = self.manifest.as_ref().and_then(|manifest| manifest.file(&file(manifest)?));
        entry.map_or("", |entry| &entry.sha256)
    }

    /// Inputs of the network of `stage`, and the logits that it must give; none for a meta-model.
    fn vectors(&self, stage: usize) -> Vec<(Tensor, f32)> {
        let (Some(manifest), Some(golden)) = (&self.manifest, &self.golden) else { return Vec::new() };
        let described = manifest.stages.get(stage).filter(|stage| stage.role != Role::Meta);
        let Some(described) = described else { return Vec::new() };
        let preprocess = manifest.preprocess_of(described);
        let pair = |vector: &GoldenVector| {
            let frame = vector.picture.frame().ok()?;
            let input = preprocess.tensor(&frame, &Crop::centre_square(&frame));
            Some((input, vector.stages.get(stage)?.logit))
        };
        golden.vectors.iter().take(VECTORS).filter_map(pair).collect()
    }
}

/// The GPU, if it is used.
pub struct Accelerator {
    networks: Networks,
    products: Products,
    loaded: Option<Loaded>,
    trust: Trust,
    state: GpuState,
}

/// Networks on a device.
struct Loaded {
    gpu: Rc<Gpu>,
    sessions: HashMap<usize, GpuSession>,
}

impl Accelerator {
    /// Nothing but the CPU, because of `reason`.
    pub fn none(reason: impl Into<String>) -> Self {
        Accelerator {
            networks: Networks::default(),
            products: Products::Dot,
            loaded: None,
            trust: Trust::default(),
            state: GpuState {
                place: Place::Cpu.to_string(),
                reason: Some(reason.into()),
                ..GpuState::default()
            },
        }
    }

    /// Finds out whether `networks` run on the GPU.
    pub async fn open(networks: Networks, wish: Wish) -> Self {
        if wish == Wish::Cpu {
            return Self::none("the CPU was asked for");
        }
        let mut accelerator = Self::none("");
        accelerator.networks = networks;
        if let Err(error) = accelerator.prepare(wish).await {
            accelerator.leave(&error);
        }
        accelerator
    }

    /// Takes the file of `stage`, which has arrived.
    pub fn take(&mut self, stage: usize, onnx: &[u8]) {
        if let Some(file) = self.networks.files.get_mut(stage) {
            *file = onnx.to_vec();
        }
    }

    /// What the page may show.
    pub fn state(&self) -> &GpuState {
        &self.state
    }

    /// What the network of `stage` gives for `input`, and what ran it; nothing if the CPU has to.
    pub async fn run(&mut self, stage: usize, input: &Tensor) -> Option<(Vec<Tensor>, String)> {
        loop {
            self.loaded.as_ref()?;
            match self.try_run(stage, input).await {
                Ok(outputs) => return Some((outputs, Place::Gpu(self.products).to_string())),
                // The CPU refuses it too, or there is no kernel for one of its steps: the others stay.
                Err(GpuError::Step { .. } | GpuError::Model(_)) => return None,
                Err(error) => match self.trust.failed(&error, now_ms()) {
                    Remedy::LeaveToCpu => self.leave(&error),
                    Remedy::Reopen => {
                        self.state.replaced += 1;
                        if let Err(error) = self.reopen().await {
                            self.leave(&error);
                        }
                    }
                },
            }
        }
    }

    /// The network of `onnx` on the GPU, beside those of the bundle; nothing where the GPU is not used.
    ///
    /// # Errors
    /// As [`GpuSession::load`].
    pub async fn load_file(&self, onnx: &[u8]) -> Result<Option<GpuSession>, Failure> {
        let Some(loaded) = &self.loaded else { return Ok(None) };
        let session = GpuSession::load(&loaded.gpu, onnx, self.products).await;
        session.map(Some).map_err(|error| Failure::new("gpu", error.to_string()))
    }

    async fn prepare(&mut self, wish: Wish) -> Result<(), GpuError> {
        let gpu = Rc::new(Gpu::open().await?);
        let adapter = gpu.adapter().clone();
        self.state.adapter = Some(adapter.clone());
        if adapter.is_software && wish != Wish::Gpu {
            let detail = "the adapter is software, which the CPU is faster than".into();
            return Err(GpuError::Unavailable { detail });
        }
        let place = match choice::variants(&gpu)[..] {
            // Nothing to choose: it is wanted, and there is one way. In software even a row of layers takes long.
            [first, ..] if wish == Wish::Gpu && adapter.is_software => Place::Gpu(first),
            _ => self.choose(&gpu, wish).await,
        };
        let Place::Gpu(products) = place else {
            return Err(GpuError::Unavailable { detail: "the CPU is faster here".into() });
        };
        self.products = products;
        self.load(gpu).await
    }

    /// The fastest place: measured, or remembered.
    async fn choose(&mut self, gpu: &Rc<Gpu>, wish: Wish) -> Place {
        let network = self.networks.sha256();
        let adapter = gpu.adapter();
        let version = env!("CARGO_PKG_VERSION");
        let key = format!(
            "{}/{}/{}/{version}/{network}",
            adapter.vendor, adapter.architecture, adapter.description
        );
        let (choice, is_remembered) = match choices::load(&key).await {
            Some(choice) => (choice, true),
            None => (Choice::measure(gpu, &now_ms).await, false),
        };
        if !is_remembered {
            choices::save(&key, &choice).await;
        }
        let fastest_on_gpu = choice.times_ms.iter().filter(|time| time.0 != Place::Cpu);
        let fastest_on_gpu = fastest_on_gpu.min_by(|a, b| a.1.total_cmp(&b.1)).map(|time| time.0);
        let place = if wish == Wish::Gpu { fastest_on_gpu.unwrap_or(choice.place) } else { choice.place };
        self.state.times_ms =
            choice.times_ms.iter().map(|(place, time_ms)| (place.to_string(), *time_ms)).collect();
        self.state.is_remembered = is_remembered;
        place
    }

    /// Puts the filter onto `gpu` and runs its golden vectors there.
    async fn load(&mut self, gpu: Rc<Gpu>) -> Result<(), GpuError> {
        self.loaded = Some(Loaded { gpu, sessions: HashMap::new() });
        self.test(FILTER).await?;
        self.state.place = Place::Gpu(self.products).to_string();
        self.state.reason = None;
        Ok(())
    }

    async fn reopen(&mut self) -> Result<(), GpuError> {
        self.loaded = None;
        let gpu = Gpu::open().await?;
        self.load(Rc::new(gpu)).await
    }

    /// Whether the network of `stage` gives its golden logits; without any nobody can tell, and it is not used.
    async fn test(&mut self, stage: usize) -> Result<(), GpuError> {
        let vectors = self.networks.vectors(stage);
        if vectors.is_empty() {
            let detail = "the model has no golden vectors for it".into();
            return Err(GpuError::Step { step: format!("stage {stage}"), detail });
        }
        for (input, wanted) in vectors {
            let outputs = self.session_run(stage, &input).await?;
            let logit =
                outputs.first().and_then(|output| output.values().first().copied()).unwrap_or(f32::NAN);
            if logit.to_bits() != wanted.to_bits() {
                return Err(GpuError::Wrong {
                    detail: format!("{logit} where the model's maker had {wanted}"),
                });
            }
        }
        Ok(())
    }

    async fn try_run(&mut self, stage: usize, input: &Tensor) -> Result<Vec<Tensor>, GpuError> {
        let is_new = self.loaded.as_ref().is_some_and(|loaded| !loaded.sessions.contains_key(&stage));
        if is_new {
            self.test(stage).await?;
        }
        let outputs = self.session_run(stage, input).await?;
        match outputs.iter().flat_map(|output| output.values()).all(|value| value.is_finite()) {
            true => Ok(outputs),
            false => Err(GpuError::Wrong { detail: "an output is not finite".into() }),
        }
    }

    async fn session_run(&mut self, stage: usize, input: &Tensor) -> Result<Vec<Tensor>, GpuError> {
        let gone = || GpuError::Unavailable { detail: "it is not loaded".into() };
        let loaded = self.loaded.as_mut().ok_or_else(gone)?;
        if !loaded.sessions.contains_key(&stage) {
            let onnx = self.networks.files.get(stage).filter(|file| !file.is_empty()).ok_or_else(gone)?;
            let session = GpuSession::load(&loaded.gpu, onnx, self.products).await?;
            loaded.sessions.insert(stage, session);
        }
        loaded.sessions.get(&stage).ok_or_else(gone)?.run_all(&[input]).await
    }

    /// Leaves everything to the CPU from now on.
    fn leave(&mut self, error: &GpuError) {
        self.trust.failed(error, now_ms());
        self.state.has_failed |=
            matches!(error, GpuError::Fault { .. } | GpuError::Lost { .. } | GpuError::Wrong { .. });
        self.loaded = None;
        self.state.place = Place::Cpu.to_string();
        self.state.reason = Some(error.to_string());
    }
}
