//! An FP32 ONNX file that `aware export` or `aware bundle` wrote -> a network to go on from.
//!
//! The file has its batch norms in its convolutions. They come back as batch norms that change nothing (mean 0, variance 1),
//! so that the network gives the file's logit; their moments are not those of the maps, so `aware optimize` must not
//! estimate them anew (`"reestimation_batches": 0`).

use crate::export::{layer_of, names};
use crate::models::{ConvNorm, Executor, Linear, Model, PointConv};
use crate::tensors::{TensorsError, check_fit};
use anyhow::{Context, Result, ensure};
use candle_core::{Tensor, Var};
use engine::runtime::proto::{FLOAT, GraphProto, ModelProto, TensorProto};
use prost::Message;
use std::collections::HashMap;

/// Sets the weights of `model` to those of the ONNX file `bytes`, whose layers must be named and shaped as its own.
///
/// # Errors
/// If the engine would not run the file, a layer is missing, left over or of another shape, or the network has layers that
/// no file in floats gives back; then some may be set.
pub fn take_onnx(model: &Model, bytes: &[u8]) -> Result<()> {
    // Checked for sizes and shapes before anything is made of it.
    engine::Session::load(bytes).context("not an ONNX file that the engine runs")?;
    let file = ModelProto::decode(bytes).context("not an ONNX file")?;
    let graph = file.graph.context("the file holds no graph")?;
    let mut executor = Unfold { constants: floats(&graph)?, taken: Vec::new() };
    model.run(&mut executor, &())?;
    let left: Vec<String> = graph
        .node
        .iter()
        .filter_map(layer_of)
        .filter(|name| !executor.taken.iter().any(|taken| taken == name))
        .map(str::to_owned)
        .collect();
    ensure!(left.is_empty(), TensorsError::extra(left));
    Ok(())
}

fn floats(graph: &GraphProto) -> Result<HashMap<String, Floats>> {
    let of = |tensor: &TensorProto| {
        let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let dims: Vec<usize> = tensor.dims.iter().map(|&extent| extent.max(0) as usize).collect();
        let values: Vec<f32> = tensor.raw_data.chunks_exact(4).map(value).collect();
        ensure!(
            values.len() == dims.iter().product::<usize>(),
            "{:?} has no raw data of its shape",
            tensor.name
        );
        Ok((tensor.name.clone(), (dims, values)))
    };
    graph.initializer.iter().filter(|tensor| tensor.data_type == FLOAT).map(of).collect()
}

/// Extents and values of a constant.
type Floats = (Vec<usize>, Vec<f32>);

/// Executor that sets every layer it meets.
struct Unfold {
    constants: HashMap<String, Floats>,
    taken: Vec<String>,
}

impl Unfold {
    fn constant(&self, name: String, like: &[usize]) -> candle_core::Result<Tensor> {
        let Some((dims, values)) = self.constants.get(&name) else {
            return Err(candle_core::Error::wrap(TensorsError::Missing { name }));
        };
        check_fit(&name, dims, safetensors::Dtype::F32, like).map_err(candle_core::Error::wrap)?;
        Tensor::from_slice(values, dims.as_slice(), &candle_core::Device::Cpu)
    }

    fn set(&self, variable: &Tensor, value: &Tensor) -> candle_core::Result<()> {
        Var::from_tensor(variable)?.set(&value.to_device(variable.device())?)
    }
}

impl Executor for Unfold {
    type Value = ();

    fn conv_norm(&mut self, layer: &ConvNorm, _: &()) -> candle_core::Result<()> {
        if layer.layer_scale.is_some() {
            candle_core::bail!("{}: a layer scale cannot be told from the weights in a file", layer.name);
        }
        let weight = self.constant(names::weight(&layer.name), layer.weight.dims())?;
        let bias = self.constant(names::bias(&layer.name), layer.beta.dims())?;
        self.set(&layer.weight, &weight)?;
        self.set(&layer.beta, &bias)?;
        self.set(&layer.running_mean, &bias.zeros_like()?)?;
        self.set(&layer.running_variance, &bias.ones_like()?)?;
        // Divided by the same root when it is folded: exactly 1.
        self.set(&layer.gamma, &(bias.ones_like()? + layer.epsilon)?.sqrt()?)?;
        self.taken.push(layer.name.clone());
        Ok(())
    }

    fn add(&mut self, _: &(), _: &()) -> candle_core::Result<()> {
        Ok(())
    }

    fn point_conv(&mut self, layer: &PointConv, _: &()) -> candle_core::Result<()> {
        candle_core::bail!("{}: this kind of network is not read from a file in floats", layer.name)
    }

    fn silu(&mut self, _: &()) -> candle_core::Result<()> {
        Ok(())
    }

    fn sigmoid(&mut self, _: &()) -> candle_core::Result<()> {
        Ok(())
    }

    fn gate(&mut self, _: &(), _: &()) -> candle_core::Result<()> {
        Ok(())
    }

    fn global_average_pool(&mut self, _: &()) -> candle_core::Result<()> {
        Ok(())
    }

    fn linear(&mut self, layer: &Linear, _: &()) -> candle_core::Result<()> {
        let (cout, cin) = layer.weight.dims2()?;
        // Transposed in the file.
        let weight = self.constant(names::weight(&layer.name), &[cin, cout])?;
        let bias = self.constant(names::bias(&layer.name), layer.bias.dims())?;
        self.set(&layer.weight, &weight.t()?.contiguous()?)?;
        self.set(&layer.bias, &bias)?;
        self.taken.push(layer.name.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::onnx_bytes;
    use crate::train::Network;
    use candle_core::Device;

    #[test]
    fn a_written_file_comes_back_with_its_logit() -> Result<()> {
        for preset in ["mobilenetv4-conv-small-narrow", "efficientnetv2-lite"] {
            let written = Network::new(preset, 3, &Device::Cpu)?;
            let read = Network::new(preset, 4, &Device::Cpu)?;
            take_onnx(&read.model, &onnx_bytes(&written.model, 64, Vec::new())?)?;
            let values: Vec<f32> = (0..2 * 3 * 64 * 64).map(|i| (i as f32 * 0.37).sin() * 2.0).collect();
            let picture = Tensor::from_vec(values, (2, 3, 64, 64), &Device::Cpu)?;
            let logits = |network: &Network| network.model.forward_t(&picture, false)?.to_vec1::<f32>();
            for (a, b) in logits(&written)?.iter().zip(logits(&read)?) {
                // The same values, multiplied in another order.
                assert!((a - b).abs() <= 1e-4 * a.abs().max(1.0), "{preset}: {a}, {b}");
            }
            assert_eq!(onnx_bytes(&read.model, 64, Vec::new())?, onnx_bytes(&written.model, 64, Vec::new())?);
        }
        Ok(())
    }

    #[test]
    fn files_of_other_networks_are_refused() -> Result<()> {
        let narrow = Network::new("mobilenetv4-conv-small-narrow", 3, &Device::Cpu)?;
        let wide = Network::new("mobilenetv4-conv-small", 3, &Device::Cpu)?;
        let file = onnx_bytes(&wide.model, 64, Vec::new())?;
        let error = format!("{:#}", take_onnx(&narrow.model, &file).unwrap_err());
        assert!(error.contains("conv_head"), "{error}");
        assert!(take_onnx(&narrow.model, b"no file").is_err());
        Ok(())
    }
}
