//! How each runtime loads and runs a model: one thread, and whatever it knows to make runs faster.

use crate::column::Runner;
use crate::model::Model;
use anyhow::{Context, Result, anyhow};
use engine::runtime::cpu::int8::Level;
use engine::{Session, Tensor};
use rten_tensor::AsView;
use std::path::Path;
use std::sync::Arc;

/// The engine with integer kernels of `level`.
///
/// # Errors
/// If it cannot load the file.
pub fn engine(model: &Model, level: Level) -> Result<Runner> {
    let mut session = Session::load_at(&model.onnx, level)?;
    let input = Tensor::from_vec(model.shape.clone(), model.input.clone());
    Ok(Box::new(move || Ok(session.run(&input)?.into_values())))
}

/// The library of onnxruntime.
pub struct Onnxruntime {
    environment: ort::environment::Environment,
}

impl Onnxruntime {
    /// Opens the library at `path`.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let advice = "run `cargo xtask setup`, which installs it";
        let path = path.with_context(|| format!("there is no library of onnxruntime: {advice}"))?;
        let environment = ort::init_from(path).with_context(|| advice.to_owned())?.build()?;
        Ok(Onnxruntime { environment })
    }

    /// onnxruntime on the processor, with all its optimisations.
    ///
    /// # Errors
    /// If it cannot load the file.
    pub fn load(&self, model: &Model) -> Result<Runner> {
        let mut session = self.session(&model.onnx)?;
        let input = ort::value::Tensor::from_array((model.shape.clone(), model.input.clone()))?;
        Ok(Box::new(move || {
            let outputs = session.run(ort::inputs![&input])?;
            let output = outputs.values().next().context("there is no output")?;
            Ok(output.try_extract_tensor::<f32>()?.1.to_vec())
        }))
    }

    fn session(&self, onnx: &[u8]) -> ort::Result<ort::session::Session> {
        let builder = ort::session::Session::builder(&self.environment)?;
        let builder = builder.with_intra_threads(1)?.with_inter_threads(1)?;
        let level = ort::session::builder::GraphOptimizationLevel::All;
        builder.with_optimization_level(level)?.commit_from_memory(onnx)
    }
}

/// tract; it has one thread as long as nobody gives it more.
///
/// # Errors
/// If it cannot load the file.
pub fn tract(model: &Model) -> Result<Runner> {
    use tract_onnx::prelude::*;
    let read = onnx().model_for_read(&mut model.onnx.as_slice())?;
    // Kept between runs, as its own benchmark does.
    let mut state = read.into_optimized()?.into_runnable()?.spawn()?;
    let input = Tensor::from_shape(&model.shape, &model.input)?.into_tvalue();
    Ok(Box::new(move || {
        let outputs = state.run(tvec![input.clone()])?;
        let output = outputs.first().context("there is no output")?;
        Ok(output.to_plain_array_view::<f32>()?.iter().copied().collect())
    }))
}

/// rten, with its weights packed when it loads.
///
/// # Errors
/// If it cannot load the file.
pub fn rten(model: &Model) -> Result<Runner> {
    let mut options = rten::ModelOptions::with_all_ops();
    let loaded = options.prepack_weights(true).load(model.onnx.clone())?;
    let pool = Arc::new(rten::ThreadPool::with_num_threads(1));
    let run = rten::RunOptions::default().with_thread_pool(Some(pool));
    let input = rten_tensor::Tensor::from_data(&model.shape, model.input.clone());
    Ok(Box::new(move || {
        let output = loaded.run_one(input.view().into(), Some(run.clone()))?;
        let output = rten_tensor::Tensor::<f32>::try_from(output).map_err(|error| anyhow!("{error}"))?;
        Ok(output.to_vec())
    }))
}
