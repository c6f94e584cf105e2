//! The engine's GPU backend and wonnx on one device, for timing them beside other runtimes; see `web/bench`.

use engine::Tensor;
use engine::runtime::gpu::{Gpu, GpuSession, Products, choice};
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use web::wonnx_session::WonnxSession;

/// A device that both run on.
#[wasm_bindgen]
pub struct BenchDevice {
    gpu: Rc<Gpu>,
}

#[wasm_bindgen]
impl BenchDevice {
    /// Opens the best adapter.
    ///
    /// # Errors
    /// A JavaScript `Error` with the reason.
    pub async fn open() -> Result<BenchDevice, JsError> {
        Ok(BenchDevice { gpu: Rc::new(Gpu::open().await?) })
    }

    /// The adapter in the browser's words.
    #[wasm_bindgen(getter)]
    pub fn adapter(&self) -> String {
        self.gpu.adapter().to_string()
    }

    /// Names of the ways in which it multiplies.
    pub fn variants(&self) -> Vec<String> {
        choice::variants(&self.gpu).into_iter().map(|products| name(products).to_owned()).collect()
    }

    /// Loads an ONNX file onto the engine's backend.
    ///
    /// # Errors
    /// A JavaScript `Error` with the reason.
    pub async fn load(&self, onnx: Vec<u8>, variant: String) -> Result<GpuBench, JsError> {
        let products = choice::variants(&self.gpu).into_iter().find(|products| name(*products) == variant);
        let products = products.ok_or_else(|| JsError::new(&format!("there is no variant {variant:?}")))?;
        Ok(GpuBench { session: GpuSession::load(&self.gpu, &onnx, products).await? })
    }

    /// Loads an ONNX file of floats into wonnx.
    ///
    /// # Errors
    /// A JavaScript `Error` with the reason.
    pub async fn load_wonnx(&self, onnx: Vec<u8>) -> Result<WonnxBench, JsError> {
        Ok(WonnxBench { session: WonnxSession::load(&self.gpu, &onnx).await? })
    }
}

fn name(products: Products) -> &'static str {
    match products {
        Products::Dot => "i8-dot",
        Products::F32 => "f32",
    }
}

/// A model on the engine's GPU backend.
#[wasm_bindgen]
pub struct GpuBench {
    session: GpuSession,
}

#[wasm_bindgen]
impl GpuBench {
    /// Shape of the input.
    #[wasm_bindgen(getter)]
    pub fn input_shape(&self) -> Vec<u32> {
        self.session.program().inputs[0].iter().map(|&extent| extent as u32).collect()
    }

    /// Kernels that a run launches.
    #[wasm_bindgen(getter)]
    pub fn launches(&self) -> usize {
        self.session.program().launches.len()
    }

    /// Bytes of the device's memory.
    #[wasm_bindgen(getter)]
    pub fn memory_bytes(&self) -> f64 {
        self.session.memory_bytes() as f64
    }

    /// The output for `input`, both flat.
    ///
    /// # Errors
    /// A JavaScript `Error` with the reason.
    pub async fn run(&self, input: Vec<f32>) -> Result<Vec<f32>, JsError> {
        Ok(self.session.run(&self.tensor(input)?).await?.into_values())
    }

    /// Milliseconds of a run by the device's clock; nothing where it shows none.
    ///
    /// # Errors
    /// A JavaScript `Error` with the reason.
    pub async fn device_ms(&self, input: Vec<f32>) -> Result<Option<f64>, JsError> {
        let times = self.session.profile(&[&self.tensor(input)?]).await?;
        Ok(times.map(|times| times.iter().sum()))
    }

    fn tensor(&self, input: Vec<f32>) -> Result<Tensor, JsError> {
        let shape = self.session.program().inputs[0].clone();
        let expected = shape.iter().product::<usize>();
        if input.len() != expected {
            return Err(JsError::new(&format!("the model takes {expected} values, got {}", input.len())));
        }
        Ok(Tensor::from_vec(shape, input))
    }
}

/// A model in wonnx.
#[wasm_bindgen]
pub struct WonnxBench {
    session: WonnxSession,
}

#[wasm_bindgen]
impl WonnxBench {
    /// The output for `input`, both flat.
    ///
    /// # Errors
    /// A JavaScript `Error` with the reason.
    pub async fn run(&self, input: Vec<f32>) -> Result<Vec<f32>, JsError> {
        Ok(self.session.run(&input).await?)
    }
}

fn main() {}
