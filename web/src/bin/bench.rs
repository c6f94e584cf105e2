//! The engine alone, for timing it beside another runtime; see `web/bench`.

use engine::{Session, Tensor};
use wasm_bindgen::prelude::*;

/// A model on the engine's CPU backend.
#[wasm_bindgen]
pub struct EngineBench {
    session: Session,
}

#[wasm_bindgen]
impl EngineBench {
    /// Loads an ONNX file.
    ///
    /// # Errors
    /// A JavaScript `Error` with the engine's reason.
    #[wasm_bindgen(constructor)]
    pub fn new(onnx: &[u8]) -> Result<EngineBench, JsError> {
        Ok(EngineBench { session: Session::load(onnx)? })
    }

    /// The output for `input`, both flat.
    ///
    /// # Errors
    /// A JavaScript `Error` if the input has another number of values than the model's.
    pub fn run(&mut self, input: Vec<f32>) -> Result<Vec<f32>, JsError> {
        let shape = self.session.input_shape().to_vec();
        let expected = shape.iter().product::<usize>();
        if input.len() != expected {
            return Err(JsError::new(&format!("the model takes {expected} values, got {}", input.len())));
        }
        Ok(self.session.run(&Tensor::from_vec(shape, input))?.into_values())
    }

    /// Shape of the input.
    #[wasm_bindgen(getter)]
    pub fn input_shape(&self) -> Vec<u32> {
        self.session.input_shape().iter().map(|&extent| extent as u32).collect()
    }
}

fn main() {}
