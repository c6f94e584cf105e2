//! The engine alone, for timing it beside other runtimes; see `web/bench`.

use engine::runtime::cpu::int8::Level;
use engine::{Session, Tensor};
use wasm_bindgen::prelude::*;

/// A model on the engine's CPU backend.
#[wasm_bindgen]
pub struct EngineBench {
    session: Session,
}

#[wasm_bindgen]
impl EngineBench {
    /// Loads an ONNX file for the integer instructions called `level`, the best ones if none are named.
    ///
    /// # Errors
    /// A JavaScript `Error` with the engine's reason, or if this build has no such level.
    #[wasm_bindgen(constructor)]
    pub fn new(onnx: &[u8], level: Option<String>) -> Result<EngineBench, JsError> {
        let level = match level {
            None => Level::best(),
            Some(name) => Level::available()
                .into_iter()
                .find(|level| level.name() == name)
                .ok_or_else(|| JsError::new(&format!("this build has no level {name:?}")))?,
        };
        Ok(EngineBench { session: Session::load_at(onnx, level)? })
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

/// Names of the integer instructions that this build has, the best last.
#[wasm_bindgen]
pub fn levels() -> Vec<String> {
    Level::available().into_iter().map(|level| level.name().to_owned()).collect()
}

fn main() {}
