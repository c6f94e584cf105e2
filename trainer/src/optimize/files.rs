//! The files of a student: written together, each read back by the engine.

use super::config::Target;
use crate::config::RunConfig;
use crate::export::{ActivationBits, Metadata, onnx_bytes, tflite_bytes};
use crate::files::write_whole;
use crate::models::Model;
use crate::quantisation::Student;
use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use engine::Session;
use engine::bundle::FileEntry;
use prost::Message;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Largest difference between the engine's logit of an FP32 file and candle's, relative above 1.
const FLOAT_TOLERANCE: f32 = 1e-5;

/// One written file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileFigures {
    /// Its name in the network's folder.
    pub name: String,
    /// Its size on disk.
    pub bytes: u64,
    /// Lower-case hexadecimal SHA-256 of its content.
    pub sha256: String,
}

/// Every file of one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudentFiles {
    /// The teacher in floats.
    pub original: FileFigures,
    /// The student in integers, with the activations that it learned.
    pub optimized: FileFigures,
    /// The student in integers, with activations of eight bits and no limits between, for runtimes that fuse only that.
    pub eight_bit_activations: FileFigures,
    /// The student in floats: what its integers round.
    pub student_in_floats: FileFigures,
    /// The student in integers, with activations of eight bits, for LiteRT.
    pub tflite: FileFigures,
    /// The student in floats, for LiteRT.
    pub tflite_in_floats: FileFigures,
    /// Largest difference between the engine's logits of the files in floats and candle's.
    pub float_difference: f32,
}

/// What stands in the files' metadata.
pub(super) struct About<'a> {
    pub target: Target,
    pub run: &'a RunConfig,
    /// SHA-256 of the teacher's checkpoint.
    pub teacher: &'a str,
    /// `[1, 3, S, S]`: a picture as the network will see them, on which files are held to candle. Not a made one: what a
    /// network never met may lie where the last bits of a sum decide.
    pub picture: &'a Tensor,
}

impl About<'_> {
    fn metadata(&self, precision: &str, temperature: Option<f64>) -> Metadata {
        let mut metadata = [
            ("stage", self.target.name().to_owned()),
            ("network", self.run.network.clone()),
            ("precision", precision.to_owned()),
            (
                "input",
                "RGB, centre square, resized and normalised by ImageNet's mean and deviation".to_owned(),
            ),
            ("output", "logit; P(fake) = sigmoid(logit / temperature)".to_owned()),
            ("teacher_sha256", self.teacher.to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec();
        metadata.extend(temperature.map(|temperature| ("temperature".to_owned(), temperature.to_string())));
        metadata
    }
}

/// The FP32 file of `teacher` as it is, and the difference of its logit in the engine from candle's.
///
/// # Errors
/// If they differ by more than [`FLOAT_TOLERANCE`].
pub(super) fn original_file(about: &About, teacher: &Model) -> Result<(Vec<u8>, f32)> {
    let size = about.run.image_size as usize;
    let onnx = onnx_bytes(teacher, size, about.metadata("float32", None))?;
    let difference = float_difference(&onnx, &teacher.forward_t(about.picture, false)?, about.picture);
    Ok((onnx, difference.context("the export of the teacher is refused")?))
}

/// Writes the files of `student` into `folder`, beside `original`, the teacher's.
///
/// # Errors
/// If the file in floats does not give candle's logit in the engine, or one cannot be written whole.
pub(super) fn write_files(
    folder: &Path,
    about: &About,
    (original, original_difference): (&[u8], f32),
    student: &Student,
    temperature: f64,
) -> Result<StudentFiles> {
    let bits = student.config().activation_bits;
    let name = |kind: &str| format!("{}.{kind}.onnx", about.target.name());
    let tflite_name = |kind: &str| format!("{}.{kind}.tflite", about.target.name());
    let learned = match bits {
        ActivationBits::Seven => "int8, activations of seven bits",
        ActivationBits::Eight => "int8, activations of eight bits",
    };
    let metadata = |precision| about.metadata(precision, Some(temperature));
    let floats = student.float_file(metadata("float32, learned for int8"))?.encode_to_vec();
    let optimized = student.integer_file(bits, metadata(learned))?.encode_to_vec();
    let eight = student.integer_file(ActivationBits::Eight, metadata("int8, activations of eight bits"))?;
    let eight = eight.encode_to_vec();
    let (tflite, tflite_in_floats) = (tflite_bytes(&eight)?, tflite_bytes(&floats)?);
    let difference = float_difference(&floats, &student.forward_in_floats(about.picture)?, about.picture)
        .context("the export of the student is refused")?;
    let write = |name: String, content: &[u8]| -> Result<FileFigures> {
        write_whole(&folder.join(&name), content)?;
        let FileEntry { name, bytes, sha256 } = FileEntry::of(name, content);
        Ok(FileFigures { name, bytes, sha256 })
    };
    Ok(StudentFiles {
        original: write(name("float32"), original)?,
        optimized: write(name("int8"), &optimized)?,
        eight_bit_activations: write(name("int8-a8"), &eight)?,
        student_in_floats: write(name("student-float32"), &floats)?,
        tflite: write(tflite_name("int8"), &tflite)?,
        tflite_in_floats: write(tflite_name("student-float32"), &tflite_in_floats)?,
        float_difference: original_difference.max(difference),
    })
}

/// Difference of the engine's logit of `onnx` from candle's.
fn float_difference(onnx: &[u8], candle: &Tensor, picture: &Tensor) -> Result<f32> {
    let wanted = candle.to_device(&Device::Cpu)?.to_vec1::<f32>()?[0];
    let input = engine::Tensor::from_vec(picture.dims().to_vec(), picture.flatten_all()?.to_vec1()?);
    let found = Session::load(onnx)?.run(&input)?.values()[0];
    let difference = (found - wanted).abs() / wanted.abs().max(1.0);
    ensure!(
        difference <= FLOAT_TOLERANCE,
        "the engine gives logit {found}, candle {wanted}: the exported network is not the trained one"
    );
    Ok(difference)
}
