//! Runs an ONNX file on given values, for comparison with other runtimes.
//!
//!     run_onnx MODEL FOLDER
//!
//! The folder holds the inputs as input_0.f32, input_1.f32 and so on, in the file's order: little-endian floats, as many as
//! the file's shapes say. The outputs go beside them as output_0.f32 and so on.

use engine::{Session, Tensor};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder] = &arguments[..] else {
        eprintln!("usage: run_onnx MODEL FOLDER");
        return ExitCode::from(2);
    };
    match run(Path::new(model), Path::new(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(model: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut session = Session::load(&std::fs::read(model)?)?;
    let shapes: Vec<Vec<usize>> = session.plan().inputs.iter().map(|end| end.shape.clone()).collect();
    let mut inputs = Vec::new();
    for (index, shape) in shapes.into_iter().enumerate() {
        let bytes = std::fs::read(folder.join(format!("input_{index}.f32")))?;
        let values: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let expected = shape.iter().product::<usize>();
        if values.len() != expected {
            return Err(format!("input {index} has {} values, expected {expected}", values.len()).into());
        }
        inputs.push(Tensor::from_vec(shape, values));
    }
    for (index, output) in session.run_all(&inputs.iter().collect::<Vec<_>>())?.iter().enumerate() {
        let bytes: Vec<u8> = output.values().iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(folder.join(format!("output_{index}.f32")), bytes)?;
    }
    Ok(())
}
