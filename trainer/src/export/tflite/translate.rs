//! ONNX graph -> network of TFLite, node by node.
//!
//! Values between integer layers are bytes, everything else is floats; `DEQUANTIZE` and `QUANTIZE` stand where the two
//! meet. A layer is one of bytes where the file says bytes before it, integers for its weights and bytes behind it.

use super::model::{Activation, Kind, Network, Quantisation};
use super::order::{CHANNELS_LAST, counted, extents, permutation, reshaped};
use super::source::{Scale, Source, index_of, input, int, ints, output};
use super::values::{Form, Translator, Value};
use anyhow::{Context, Result, bail, ensure};
use engine::runtime::proto::{GraphProto, NodeProto, ValueInfoProto};

/// The network of `graph`, which has one input and one output.
///
/// # Errors
/// If a node is of another kind or form than those our files have.
pub(super) fn translate(graph: &GraphProto) -> Result<Network> {
    let ([image], [logit]) = (&graph.input[..], &graph.output[..]) else {
        bail!("{} inputs and {} outputs, expected one each", graph.input.len(), graph.output.len())
    };
    let mut translator = Translator::new(Source::new(graph));
    let shape = shape(image)?;
    ensure!(shape.len() == 4, "the input has shape {shape:?}, expected a picture");
    let input = translator.floats(&image.name, extents(&shape, &CHANNELS_LAST));
    translator.network.input = input;
    translator.keep(&image.name, Form::Floats, shape, &CHANNELS_LAST, input);
    for (index, node) in graph.node.iter().enumerate() {
        if !translator.done.contains(&index) {
            translator.node(node).with_context(|| format!("{:?} ({})", node.name, node.op_type))?;
        }
    }
    let rank = translator.value(&logit.name)?.shape.len();
    translator.network.output = translator.tensor_of(&logit.name, Form::Floats, &counted(rank))?;
    Ok(translator.network)
}

impl Translator<'_> {
    fn node(&mut self, node: &NodeProto) -> Result<()> {
        match node.op_type.as_str() {
            "QuantizeLinear" => self.quantise(node),
            "DequantizeLinear" => self.dequantise(node),
            "Conv" => self.convolution(node),
            "ConvTranspose" => self.transposed_convolution(node),
            "Gemm" => self.fully_connected(node),
            "Add" => self.of_two(node, Kind::Add),
            "Mul" => self.of_two(node, Kind::Mul),
            "MatMul" => self.product(node),
            "GlobalAveragePool" => self.mean(node),
            "Concat" => self.concatenation(node),
            "Relu" | "Clip" => match self.source.activation(node) {
                Some(Activation::Relu) => self.of_one(node, Kind::Relu),
                Some(Activation::Relu6) => self.of_one(node, Kind::Relu6),
                _ => bail!(
                    "its limits are not those of RELU or RELU6; seven-bit files have them, eight-bit files do not"
                ),
            },
            "Sigmoid" => self.of_one(node, Kind::Logistic),
            "Softmax" => self.softmax(node),
            "Reshape" => {
                let extents = self.source.integers(input(node, 1)?)?;
                let shape = extents.iter().map(|&extent| usize::try_from(extent)).collect::<Result<_, _>>();
                self.reshape(node, shape.with_context(|| format!("its shape is {extents:?}"))?)
            }
            "Flatten" => {
                let shape = &self.value(input(node, 0)?)?.shape;
                ensure!(int(node, "axis", 1) == 1 && !shape.is_empty(), "its axis is not 1");
                let shape = vec![shape[0], shape[1..].iter().product()];
                self.reshape(node, shape)
            }
            "Transpose" => self.transpose(node),
            _ => bail!("TFLite export does not know this operator"),
        }
    }

    fn quantise(&mut self, node: &NodeProto) -> Result<()> {
        let (from, to) = (input(node, 0)?, self.source.scale(node)?);
        let value = self.value(from)?.clone();
        let form = value.form();
        let tensor = self.tensor_of(from, form, &value.order)?;
        let bytes = self.scaled(tensor, output(node)?, to);
        self.keep(output(node)?, Form::Bytes, value.shape, &value.order, bytes);
        Ok(())
    }

    /// The tensor in bytes of the scale `to`, called `name` if it is another one.
    fn scaled(&mut self, tensor: usize, name: &str, to: Scale) -> usize {
        let quantisation = Quantisation::whole(to.scale, to.zero_point);
        if self.network.tensors[tensor].quantisation.as_ref() == Some(&quantisation) {
            return tensor;
        }
        let bytes = self.bytes(name, self.network.tensors[tensor].shape.clone(), to);
        self.push(Kind::Quantise, vec![tensor], bytes)
    }

    /// A value that is read from constants is no node here; of others the bytes are kept until floats are wanted.
    fn dequantise(&mut self, node: &NodeProto) -> Result<()> {
        let from = input(node, 0)?;
        if self.source.is_constant(from) {
            return Ok(());
        }
        let Scale { scale, zero_point } = self.source.scale(node)?;
        let value = self.value(from)?.clone();
        let bytes = value.bytes.context("it reads floats")?;
        let found = self.network.tensors[bytes].quantisation.as_ref();
        ensure!(
            found == Some(&Quantisation::whole(scale, zero_point)),
            "its scale is another one than that of the bytes that it reads"
        );
        self.values.insert(output(node)?.to_owned(), value);
        Ok(())
    }

    fn of_one(&mut self, node: &NodeProto, kind: Kind) -> Result<()> {
        let value = self.value(input(node, 0)?)?.clone();
        let x = self.tensor_of(input(node, 0)?, Form::Floats, &value.order)?;
        let y = self.floats(output(node)?, extents(&value.shape, &value.order));
        self.push(kind, vec![x], y);
        self.keep(output(node)?, Form::Floats, value.shape, &value.order, y);
        Ok(())
    }

    fn softmax(&mut self, node: &NodeProto) -> Result<()> {
        let name = input(node, 0)?;
        let rank = self.value(name)?.shape.len();
        ensure!(index_of(int(node, "axis", -1), rank)? + 1 == rank, "it is not along the last axis");
        let order = counted(rank);
        let x = self.tensor_of(name, Form::Floats, &order)?;
        let shape = self.value(name)?.shape.clone();
        let y = self.floats(output(node)?, shape.clone());
        self.push(Kind::Softmax, vec![x], y);
        self.keep(output(node)?, Form::Floats, shape, &order, y);
        Ok(())
    }

    /// A sum or product of two values, one of which may be a constant, each as long as the other or 1 along each axis.
    fn of_two(&mut self, node: &NodeProto, kind: Kind) -> Result<()> {
        let names = [input(node, 0)?, input(node, 1)?];
        let ending = self.source.unlimited_ending(node)?;
        let values: Vec<Value> = names.iter().filter_map(|name| self.values.get(*name)).cloned().collect();
        let order = match &values[..] {
            [a, b] if a.shape.len() == b.shape.len() => a.order.clone(),
            [a, b] => counted(a.shape.len().max(b.shape.len())),
            [a] => a.order.clone(),
            _ => bail!("it reads no value"),
        };
        let in_bytes = match &values[..] {
            [a, b] => {
                kind == Kind::Add
                    && a.is_bytes()
                    && b.is_bytes()
                    && a.shape == b.shape
                    && ending.bytes.is_some()
            }
            _ => false,
        };
        let form = if in_bytes { Form::Bytes } else { Form::Floats };
        let mut inputs = Vec::new();
        let mut shape = vec![1; order.len()];
        for name in names {
            let extents = if self.values.contains_key(name) {
                inputs.push(self.tensor_of(name, form, &order)?);
                self.value(name)?.shape.clone()
            } else {
                let (dims, values) = self.source.floats(name)?;
                ensure!(dims.len() <= order.len(), "its constant has more axes than its value");
                let dims = [vec![1; order.len() - dims.len()], dims].concat();
                inputs.push(self.constant(name, &dims, &order, values));
                dims
            };
            for (longest, extent) in shape.iter_mut().rev().zip(extents.iter().rev()) {
                *longest = (*longest).max(*extent);
            }
        }
        self.result(kind, inputs, &ending, form, shape, &order);
        Ok(())
    }

    fn product(&mut self, node: &NodeProto) -> Result<()> {
        let names = [input(node, 0)?, input(node, 1)?];
        let mut inputs = Vec::new();
        for name in names {
            let rank = self.value(name)?.shape.len();
            inputs.push(self.tensor_of(name, Form::Floats, &counted(rank))?);
        }
        let (a, b) = (&self.value(names[0])?.shape, &self.value(names[1])?.shape);
        let rank = a.len();
        ensure!(
            rank == b.len() && rank >= 2 && a[..rank - 2] == b[..rank - 2] && a[rank - 1] == b[rank - 2],
            "its factors are {a:?} and {b:?}"
        );
        let shape = [&a[..rank - 1], &b[rank - 1..]].concat();
        let y = self.floats(output(node)?, shape.clone());
        self.push(Kind::BatchMatMul, inputs, y);
        self.keep(output(node)?, Form::Floats, shape, &counted(rank), y);
        Ok(())
    }

    fn mean(&mut self, node: &NodeProto) -> Result<()> {
        let name = input(node, 0)?;
        let ending = self.source.unlimited_ending(node)?;
        let value = self.value(name)?.clone();
        let &[n, c, ..] = &value.shape[..] else { bail!("its input is no map") };
        let form = if value.is_bytes() && ending.bytes.is_some() { Form::Bytes } else { Form::Floats };
        let x = self.tensor_of(name, form, &CHANNELS_LAST)?;
        // Height and width.
        let axes = self.index_constant("mean.axes", &[1, 2]);
        self.result(Kind::Mean, vec![x, axes], &ending, form, vec![n, c, 1, 1], &CHANNELS_LAST);
        Ok(())
    }

    fn concatenation(&mut self, node: &NodeProto) -> Result<()> {
        let first = self.value(input(node, 0)?)?.clone();
        let axis = index_of(int(node, "axis", 0), first.shape.len())?;
        let ending = self.source.unlimited_ending(node)?;
        let mut are_bytes = true;
        let mut shape = first.shape.clone();
        shape[axis] = 0;
        for name in &node.input {
            let value = self.value(name)?;
            are_bytes &= value.is_bytes();
            shape[axis] += value.shape[axis];
        }
        let scale = ending.bytes.clone().filter(|_| are_bytes);
        let form = if scale.is_some() { Form::Bytes } else { Form::Floats };
        let mut inputs = Vec::new();
        for name in &node.input {
            let tensor = self.tensor_of(name, form, &first.order)?;
            // All bytes of a concatenation have one scale.
            inputs.push(match &scale {
                Some((bytes, scale)) => self.scaled(tensor, &format!("{bytes}/{name}"), *scale),
                None => tensor,
            });
        }
        let place = first.order.iter().position(|&other| other == axis).unwrap_or(axis);
        self.result(Kind::Concatenation { axis: place }, inputs, &ending, form, shape, &first.order);
        Ok(())
    }

    fn reshape(&mut self, node: &NodeProto, shape: Vec<usize>) -> Result<()> {
        let (name, to) = (input(node, 0)?, output(node)?);
        let value = self.value(name)?.clone();
        let elements = |shape: &[usize]| shape.iter().product::<usize>();
        ensure!(elements(&value.shape) == elements(&shape), "{:?} cannot be {shape:?}", value.shape);
        let form = value.form();
        let (from, order) = match reshaped(&value.shape, &value.order, &shape) {
            Some(order) => (value.order.clone(), order),
            None => (counted(value.shape.len()), counted(shape.len())),
        };
        let tensor = self.tensor_of(name, form, &from)?;
        let moved = self.in_shape(tensor, to, extents(&shape, &order));
        self.keep(to, form, shape, &order, moved);
        Ok(())
    }

    fn transpose(&mut self, node: &NodeProto) -> Result<()> {
        let value = self.value(input(node, 0)?)?;
        let rank = value.shape.len();
        let axes = ints(node, "perm", &counted(rank).into_iter().rev().collect::<Vec<_>>())?;
        let mut sorted = axes.clone();
        sorted.sort_unstable();
        ensure!(sorted == counted(rank), "its axes are {axes:?} of {rank}");
        // What was axis `axes[i]` is called `i`.
        let moved = Value {
            shape: extents(&value.shape, &axes),
            order: permutation(&axes, &value.order),
            ..value.clone()
        };
        self.values.insert(output(node)?.to_owned(), moved);
        Ok(())
    }
}

fn shape(value: &ValueInfoProto) -> Result<Vec<usize>> {
    let tensor = value.r#type.as_ref().and_then(|of| of.tensor_type.as_ref());
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    let extents = shape.into_iter().flat_map(|shape| &shape.dim).map(|dim| {
        let extent = dim.dim_value.and_then(|extent| usize::try_from(extent).ok());
        extent.with_context(|| format!("{:?} has no fixed shape", value.name))
    });
    extents.collect()
}
