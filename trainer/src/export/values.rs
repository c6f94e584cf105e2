//! An exported network with further outputs for the meta-model: main directions of its embedding, and how badly it copies
//! the picture.

use super::onnx::{int, value_info};
use crate::pca::Pca;
use crate::regression::Scale;
use anyhow::{Context, Result, ensure};
use engine::runtime::proto::{FLOAT, GraphProto, ModelProto, NodeProto, TensorProto};
use nalgebra::DMatrix;
use prost::Message;
use std::collections::HashMap;

/// Name of the output with the reduced embedding, `[1, K]`.
pub const DIRECTIONS: &str = "directions";
/// Name of the output with the mean squared error of each copy in each channel, `[1, 3 * copies]`.
pub const COPY_ERRORS: &str = "copy_errors";
/// Name of the output with the whole embedding, `[1, D]`.
const EMBEDDING: &str = "embedding";

/// What embeddings are reduced by: standardised, then along their main directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Reduction {
    /// Of each value.
    pub scale: Scale,
    /// Of the standardised values.
    pub pca: Pca,
}

impl Reduction {
    /// The reduction of `embeddings` `[N, D]` to at most `directions` directions.
    pub fn fit(embeddings: &DMatrix<f64>, directions: usize) -> Self {
        let scale = Scale::of(embeddings);
        let mut pca = Pca::fit(&scale.apply(embeddings), 1.0);
        let kept = directions.min(pca.directions.nrows());
        pca.directions = pca.directions.rows(0, kept).into_owned();
        Reduction { scale, pca }
    }

    /// Weight `[D, K]`, row-major, and bias `[K]` of the one matrix product that does the same.
    fn product(&self) -> (Vec<f32>, Vec<f32>) {
        let (kept, count) = self.pca.directions.shape();
        let factor = |d: usize, k: usize| self.pca.directions[(k, d)] / self.scale.deviation[d];
        let weight = (0..count).flat_map(|d| (0..kept).map(move |k| factor(d, k) as f32)).collect();
        let offset = |k: usize| -> f64 {
            (0..count)
                .map(|d| self.scale.mean[d] * factor(d, k) + self.pca.mean[d] * self.pca.directions[(k, d)])
                .sum()
        };
        (weight, (0..kept).map(|k| -offset(k) as f32).collect())
    }
}

/// `onnx` with its embedding, what the last layer reads, as a second output.
///
/// # Errors
/// If it is no exported network.
pub fn with_embedding(onnx: &[u8]) -> Result<Vec<u8>> {
    let (mut model, embedding) = open(onnx)?;
    let graph = model.graph.get_or_insert_default();
    let width = graph.width(&embedding)?;
    // An output needs a node of its own: the embedding may live in bytes that were read as floats.
    let identity = (0..width).flat_map(|r| (0..width).map(move |c| f32::from(u8::from(r == c)))).collect();
    graph.add_product(EMBEDDING, &embedding, [width, width], identity, vec![0.0; width]);
    Ok(model.encode_to_vec())
}

/// `onnx` with the reduced embedding as a second output and, of a network that copies the picture, the copies' errors as a
/// third.
///
/// # Errors
/// If it is no exported network, or its embedding has another size than the reduction's.
pub fn with_values(onnx: &[u8], reduction: &Reduction) -> Result<Vec<u8>> {
    let (mut model, embedding) = open(onnx)?;
    let graph = model.graph.get_or_insert_default();
    let (kept, count) = reduction.pca.directions.shape();
    let width = graph.width(&embedding)?;
    ensure!(width == count, "the embedding has {width} values, the reduction is for {count}");
    let (weight, bias) = reduction.product();
    graph.add_product(DIRECTIONS, &embedding, [count, kept], weight, bias);
    graph.add_copy_errors()?;
    Ok(model.encode_to_vec())
}

/// The file's message, and the name of what its last layer reads.
fn open(onnx: &[u8]) -> Result<(ModelProto, String)> {
    let model = ModelProto::decode(onnx).context("no ONNX file")?;
    let graph = model.graph.as_ref().context("the ONNX file holds no graph")?;
    ensure!(graph.output.len() == 1, "it has {} outputs already", graph.output.len());
    let logit = graph.output.first().map(|output| output.name.as_str()).unwrap_or_default();
    let last = graph.node.iter().find(|node| node.output.iter().any(|output| output == logit));
    let last = last.filter(|node| node.op_type == "Gemm").context("its last layer is no Gemm")?;
    let embedding = last.input.first().context("its last layer reads nothing")?.clone();
    Ok((model, embedding))
}

/// What is added to a graph.
trait Additions {
    fn width(&self, embedding: &str) -> Result<usize>;
    fn add_product(&mut self, name: &str, of: &str, shape: [usize; 2], weight: Vec<f32>, bias: Vec<f32>);
    fn add_constant(&mut self, name: &str, shape: &[usize], values: Vec<f32>);
    fn add_node(&mut self, op: &str, inputs: &[&str], output: &str);
    fn add_copy_errors(&mut self) -> Result<()>;
    fn copies(&self) -> Vec<String>;
}

impl Additions for GraphProto {
    /// Number of values that the last layer reads, by the shape of its weight `[D, 1]`.
    fn width(&self, embedding: &str) -> Result<usize> {
        let last = self.node.iter().find(|node| {
            node.op_type == "Gemm" && node.input.first().is_some_and(|input| input == embedding)
        });
        let weight = last.and_then(|node| node.input.get(1)).context("its last layer has no weight")?;
        let makers: HashMap<&str, &NodeProto> = self
            .node
            .iter()
            .flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)))
            .collect();
        // Integers are read through DequantizeLinear.
        let name = makers.get(weight.as_str()).and_then(|node| node.input.first()).unwrap_or(weight);
        let tensor = self.initializer.iter().find(|tensor| tensor.name == *name);
        let dims = &tensor.with_context(|| format!("{name} is no constant"))?.dims;
        let size = dims.iter().product::<i64>();
        usize::try_from(size)
            .ok()
            .filter(|&size| size > 0)
            .with_context(|| format!("{name} has shape {dims:?}"))
    }

    fn add_product(&mut self, name: &str, of: &str, shape: [usize; 2], weight: Vec<f32>, bias: Vec<f32>) {
        let [weights, biases] = ["weight", "bias"].map(|part| format!("{name}.{part}"));
        self.add_constant(&weights, &shape, weight);
        self.add_constant(&biases, &shape[1..], bias);
        self.add_node("Gemm", &[of, &weights, &biases], name);
        self.output.push(value_info(name, &[1, shape[1]]));
    }

    fn add_constant(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        self.initializer.push(TensorProto {
            dims: shape.iter().map(|&extent| extent as i64).collect(),
            data_type: FLOAT,
            name: name.into(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
    }

    fn add_node(&mut self, op: &str, inputs: &[&str], output: &str) {
        self.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.into()],
            name: output.into(),
            op_type: op.into(),
            attribute: Vec::new(),
            domain: String::new(),
        });
    }

    /// Mean over the pixels of (copy - picture)^2, one value for each channel of each copy; nothing without copies.
    fn add_copy_errors(&mut self) -> Result<()> {
        let copies = self.copies();
        if copies.is_empty() {
            return Ok(());
        }
        let picture = self.input.first().context("it has no input")?.name.clone();
        let mut errors = Vec::new();
        for (index, copy) in copies.iter().enumerate() {
            let [difference, square, mean, flat] =
                ["difference", "square", "mean", "flat"].map(|part| format!("{COPY_ERRORS}.{index}.{part}"));
            self.add_node("Sub", &[copy, &picture], &difference);
            self.add_node("Mul", &[&difference, &difference], &square);
            self.add_node("GlobalAveragePool", &[&square], &mean);
            self.add_node("Flatten", &[&mean], &flat);
            errors.push(flat);
        }
        let inputs: Vec<&str> = errors.iter().map(String::as_str).collect();
        self.add_node("Concat", &inputs, COPY_ERRORS);
        if let Some(node) = self.node.last_mut() {
            node.attribute = vec![int("axis", 1)];
        }
        self.output.push(value_info(COPY_ERRORS, &[1, 3 * errors.len()]));
        Ok(())
    }

    /// Values that are copies of the picture: what transposed convolutions to three channels give, as the rest of the
    /// network reads it.
    fn copies(&self) -> Vec<String> {
        let channels = |node: &NodeProto| {
            // Of the bias, which is as long in integers as in floats.
            let bias = node.input.get(2)?;
            let made =
                self.node.iter().find(|node| node.output.contains(bias)).and_then(|node| node.input.first());
            let tensor = self.initializer.iter().find(|tensor| tensor.name == *made.unwrap_or(bias))?;
            tensor.dims.first().copied()
        };
        let is_copy = |node: &&NodeProto| node.op_type == "ConvTranspose" && channels(node) == Some(3);
        let readable = |node: &NodeProto| {
            let mut name = node.output.first()?.clone();
            // To the bytes' floats, where it is quantised.
            while let Some(next) = self.node.iter().find(|node| {
                matches!(node.op_type.as_str(), "Clip" | "QuantizeLinear" | "DequantizeLinear")
                    && node.input.first() == Some(&name)
            }) {
                name = next.output.first()?.clone();
                if next.op_type == "DequantizeLinear" {
                    break;
                }
            }
            Some(name)
        };
        self.node.iter().filter(is_copy).filter_map(readable).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{ActivationBits, onnx_bytes, quantise};
    use crate::features::forward;
    use crate::train::Network;
    use candle_core::Device;
    use engine::{Session, Tensor};

    const SIDE: usize = 64;

    fn picture(seed: usize) -> Tensor {
        let value = |i: usize| ((i * 37 + seed * 101) % 255) as f32 / 127.0 - 1.0;
        Tensor::from_vec(vec![1, 3, SIDE, SIDE], (0..3 * SIDE * SIDE).map(value).collect())
    }

    fn reduction(width: usize) -> Reduction {
        let rows = DMatrix::from_fn(20, width, |r, c| ((r * 31 + c * 17) % 23) as f64 / 7.0);
        Reduction::fit(&rows, 4)
    }

    #[test]
    fn the_values_are_those_of_the_embedding_and_the_logit_stays() -> Result<()> {
        for name in ["mobilenetv4-conv-small-narrow", "genconvit-tiny"] {
            let network = Network::new(name, 5, &Device::Cpu)?;
            let onnx = onnx_bytes(&network.model, SIDE, Vec::new())?;
            let seen: Vec<Tensor> = (0..2).map(picture).collect();
            let integers = quantise(&onnx, &seen, ActivationBits::Seven)?;
            for (file, is_float) in [(onnx, true), (integers, false)] {
                let plain = Session::load(&file)?.run(&seen[0])?;
                let whole = Session::load(&with_embedding(&file)?)?.run_all(&[&seen[0]])?;
                assert_eq!(whole[0].values()[0].to_bits(), plain.values()[0].to_bits(), "{name}");
                let width = whole[1].values().len();
                let reduction = reduction(width);
                let given = Session::load(&with_values(&file, &reduction)?)?.run_all(&[&seen[0]])?;
                assert_eq!(given[0].values()[0].to_bits(), plain.values()[0].to_bits(), "{name}");
                let embedding = whole[1].values().iter().map(|value| f64::from(*value));
                let row = DMatrix::from_row_iterator(1, width, embedding);
                let expected = reduction.pca.apply(&reduction.scale.apply(&row));
                for (value, expected) in given[1].values().iter().zip(expected.iter()) {
                    assert!(
                        (f64::from(*value) - expected).abs() < 1e-3 * expected.abs().max(1.0),
                        "{name}: {value} {expected}"
                    );
                }
                // The copies of a picture that a network never met magnify the last bits.
                if is_float && name != "genconvit-tiny" {
                    let shape = (1, 3, SIDE, SIDE);
                    let input =
                        candle_core::Tensor::from_vec(seen[0].values().to_vec(), shape, &Device::Cpu)?;
                    let (_, theirs) = forward(&network.model, &input)?;
                    let theirs: Vec<f32> = theirs.flatten_all()?.to_vec1()?;
                    assert!(
                        whole[1]
                            .values()
                            .iter()
                            .zip(&theirs)
                            .all(|(a, b)| (a - b).abs() < 1e-3 * b.abs().max(1.0))
                    );
                }
                // Two copies of three channels, none of them perfect.
                let errors = given.get(2).map(|errors| errors.values().to_vec());
                assert_eq!(errors.is_some(), name == "genconvit-tiny");
                assert!(
                    errors.is_none_or(|errors| errors.len() == 6 && errors.iter().all(|error| *error > 0.0))
                );
            }
        }
        Ok(())
    }

    #[test]
    fn what_is_no_network_of_ours_is_refused() -> Result<()> {
        assert!(with_embedding(b"\xff").is_err());
        let network = Network::new("mobilenetv4-conv-small-narrow", 5, &Device::Cpu)?;
        let onnx = onnx_bytes(&network.model, 32, Vec::new())?;
        let error = with_values(&onnx, &reduction(12)).unwrap_err().to_string();
        assert!(error.contains("768") && error.contains("12"), "{error}");
        assert!(with_embedding(&with_embedding(&onnx)?).unwrap_err().to_string().contains("outputs already"));
        Ok(())
    }
}
