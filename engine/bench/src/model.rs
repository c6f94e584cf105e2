//! The files that all runtimes read, with the input that all are given.

use anyhow::{Context, Result};
use engine::Session;
use sha2::{Digest, Sha256};
use std::path::Path;

/// An ONNX file with one input and one output.
pub struct Model {
    /// Name of the file without its ending.
    pub name: &'static str,
    /// The file.
    pub onnx: Vec<u8>,
    /// Shape of the input, `[1, C, H, W]`.
    pub shape: Vec<usize>,
    /// The input.
    pub input: Vec<f32>,
}

/// The three forms of a network.
pub struct Models {
    /// In floats.
    pub float: Model,
    /// In integers with seven-bit activations.
    pub int8: Model,
    /// In integers with eight-bit activations, the form that onnxruntime fuses.
    pub fused: Model,
}

impl Models {
    /// The files of `folder`.
    ///
    /// # Errors
    /// If one cannot be read, or the engine cannot load it.
    pub fn read(folder: &Path) -> Result<Self> {
        let read = |name| Model::read(folder, name);
        Ok(Models { float: read("float")?, int8: read("int8")?, fused: read("int8-fused")? })
    }

    /// All of them.
    pub fn all(&self) -> [&Model; 3] {
        [&self.float, &self.int8, &self.fused]
    }
}

impl Model {
    fn read(folder: &Path, name: &'static str) -> Result<Self> {
        let path = folder.join(format!("{name}.onnx"));
        let onnx = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let session = Session::load(&onnx).with_context(|| format!("in {}", path.display()))?;
        let shape = session.input_shape().to_vec();
        // Values that run through the range of normalised pictures, the same as in the page's benchmark.
        let input =
            (0..shape.iter().product::<usize>()).map(|i| (2.0 * (i as f64 * 0.37).sin()) as f32).collect();
        Ok(Model { name, onnx, shape, input })
    }

    /// SHA-256 of the file, in hexadecimal digits.
    pub fn sha256(&self) -> String {
        Sha256::digest(&self.onnx).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
