//! Layers with weights: convolutions and fully connected ones.

use super::model::{Element, Kind, Padding, Quantisation, Tensor, Window};
use super::order::{CHANNELS_LAST, counted};
use super::source::{Ending, input, int, ints};
use super::values::{Form, Translator, Value, laid_out};
use super::weight::{Values, Weight};
use anyhow::{Result, bail, ensure};
use engine::runtime::proto::NodeProto;

/// `[O, I, H, W]` -> `[O, H, W, I]`
const DENSE: [usize; 4] = [0, 2, 3, 1];
/// `[C, 1, H, W]` -> `[1, H, W, C]`
const DEPTHWISE: [usize; 4] = [1, 2, 3, 0];
/// `[I, O, H, W]` -> `[O, H, W, I]`
const TRANSPOSED: [usize; 4] = [1, 2, 3, 0];

/// A layer's inputs and what follows it.
struct Layer {
    data: String,
    value: Value,
    weight: Weight,
    bias: Weight,
    form: Form,
    ending: Ending,
}

impl Translator<'_> {
    pub(super) fn convolution(&mut self, node: &NodeProto) -> Result<()> {
        let layer = self.layer(node)?;
        let &[n, c, h, w] = &layer.value.shape[..] else { bail!("its input is no map") };
        let &[cout, cin, down, right] = &layer.weight.dims[..] else { bail!("its weight has not four axes") };
        let group = usize::try_from(int(node, "group", 1)).unwrap_or(0);
        let (strides, pads) = geometry(node)?;
        let kernel = [down, right];
        let axes = [(0, h), (1, w)].map(|(axis, extent)| Axis {
            extent,
            kernel: kernel[axis],
            stride: strides[axis],
            pads: [pads[axis], pads[axis + 2]],
        });
        ensure!(
            axes.iter().all(Axis::is_valid),
            "kernel {kernel:?}, strides {strides:?}, pads {pads:?} on {h} x {w}"
        );
        let mut x = self.tensor_of(&layer.data, layer.form, &CHANNELS_LAST)?;
        let padding = if axes.iter().all(|axis| axis.pads == [0, 0]) {
            Padding::Valid
        } else if axes.iter().all(|axis| axis.pads == axis.same()) {
            Padding::Same
        } else {
            x = self.padded(x, &layer.data, &axes, [n, c]);
            Padding::Valid
        };
        let window = Window { padding, strides, activation: layer.ending.activation };
        let (kind, order) = if group == 1 && cin == c {
            (Kind::Conv(window), DENSE)
        } else if group == c && cin == 1 && c > 0 && cout % c == 0 {
            (Kind::DepthwiseConv { window, multiplier: cout / c }, DEPTHWISE)
        } else {
            bail!("{group} groups of {c} channels, TFLite export knows one and as many as channels")
        };
        let [weight, bias] = self.weights(node, &layer, &order)?;
        let shape = vec![n, cout, axes[0].outputs(), axes[1].outputs()];
        self.take_limit(&layer.ending);
        self.result(kind, vec![x, weight, bias], &layer.ending, layer.form, shape, &CHANNELS_LAST);
        Ok(())
    }

    pub(super) fn transposed_convolution(&mut self, node: &NodeProto) -> Result<()> {
        let layer = self.layer(node)?;
        let &[n, c, h, w] = &layer.value.shape[..] else { bail!("its input is no map") };
        let &[cin, cout, down, right] = &layer.weight.dims[..] else { bail!("its weight has not four axes") };
        let (strides, pads) = geometry(node)?;
        let group = int(node, "group", 1);
        let extra = ints(node, "output_padding", &[0, 0])?;
        ensure!(cin == c && group == 1, "{group} groups, {cin} inputs of {c} channels");
        ensure!(
            strides == [down, right] && pads == [0; 4] && extra == [0, 0],
            "TFLite export knows transposed convolutions that make separate windows only"
        );
        let shape = vec![n, cout, h * down, w * right];
        let x = self.tensor_of(&layer.data, layer.form, &CHANNELS_LAST)?;
        let extents = self.index_constant("shape", &[n, shape[2], shape[3], cout]);
        let [weight, bias] = self.weights(node, &layer, &TRANSPOSED)?;
        let window = Window { padding: Padding::Valid, strides, activation: layer.ending.activation };
        self.take_limit(&layer.ending);
        let inputs = vec![extents, weight, x, bias];
        self.result(Kind::TransposeConv(window), inputs, &layer.ending, layer.form, shape, &CHANNELS_LAST);
        Ok(())
    }

    pub(super) fn fully_connected(&mut self, node: &NodeProto) -> Result<()> {
        let layer = self.layer(node)?;
        let is_turned = int(node, "transB", 0) != 0;
        let order = if is_turned { [0, 1] } else { [1, 0] };
        let (&[n, inputs], [rows, columns]) =
            (&layer.value.shape[..], order.map(|axis| layer.weight.dims.get(axis)))
        else {
            bail!("its input has shape {:?}", layer.value.shape)
        };
        let (Some(&outputs), Some(&columns), 2) = (rows, columns, layer.weight.dims.len()) else {
            bail!("its weight has shape {:?}", layer.weight.dims)
        };
        let factors =
            ["alpha", "beta"].map(|name| node.attribute.iter().find(|a| a.name == name).map_or(1.0, |a| a.f));
        ensure!(
            columns == inputs && int(node, "transA", 0) == 0 && factors == [1.0, 1.0],
            "a product of other factors than a row and a matrix"
        );
        let x = self.tensor_of(&layer.data, layer.form, &counted(2))?;
        let [weight, bias] = self.weights(node, &layer, &order)?;
        self.take_limit(&layer.ending);
        let kind = Kind::FullyConnected(layer.ending.activation);
        self.result(kind, vec![x, weight, bias], &layer.ending, layer.form, vec![n, outputs], &counted(2));
        Ok(())
    }

    fn layer(&self, node: &NodeProto) -> Result<Layer> {
        let data = input(node, 0)?.to_owned();
        let value = self.value(&data)?.clone();
        let [weight, bias] = [self.source.weight(input(node, 1)?)?, self.source.weight(input(node, 2)?)?];
        let ending = self.source.ending(node)?;
        let is_scaled = |weight: &Weight| matches!(weight.values, Values::Scaled { .. });
        let in_bytes = value.is_bytes() && is_scaled(&weight) && is_scaled(&bias) && ending.bytes.is_some();
        let form = if in_bytes { Form::Bytes } else { Form::Floats };
        Ok(Layer { data, value, weight, bias, form, ending })
    }

    /// Tensors of weight, its axes in `order`, and bias.
    fn weights(&mut self, node: &NodeProto, layer: &Layer, order: &[usize]) -> Result<[usize; 2]> {
        let [name, bias_name] = [input(node, 1)?, input(node, 2)?];
        let key = (name.to_owned(), order.to_vec());
        let mut weight = match self.weights.get(&key) {
            Some(&weight) => weight,
            None => self.weight(name, &layer.weight, order)?,
        };
        self.weights.insert(key, weight);
        if layer.form == Form::Floats && matches!(layer.weight.values, Values::Scaled { .. }) {
            // Floats between floats, kept as bytes in the file.
            weight = self.in_floats(weight, name);
        }
        let outputs = layer.bias.dims.iter().product();
        let bias = match &layer.bias.values {
            Values::Scaled { integers, scales, .. } if layer.form == Form::Bytes => self.tensor(Tensor {
                name: bias_name.into(),
                shape: vec![outputs],
                element: Element::Integer,
                quantisation: Some(Quantisation::per_axis(scales.clone(), 0)),
                data: Some(integers.iter().flat_map(|value| value.to_le_bytes()).collect()),
            }),
            _ => self.constant(bias_name, &[outputs], &[0], layer.bias.floats()),
        };
        Ok([weight, bias])
    }

    /// The constant `weight` with its axes in `order`.
    fn weight(&mut self, name: &str, weight: &Weight, order: &[usize]) -> Result<usize> {
        let (integers, scales, axis) = match &weight.values {
            Values::Floats(floats) => return Ok(self.constant(name, &weight.dims, order, floats.clone())),
            Values::Scaled { integers, scales, axis } => (integers, scales, axis),
        };
        let bytes = laid_out(integers, &weight.dims, order);
        let data = bytes.iter().map(|&value| i8::try_from(value).map(|byte| byte as u8));
        let axis = order.iter().position(|other| other == axis).unwrap_or(0);
        Ok(self.tensor(Tensor {
            name: name.into(),
            shape: order.iter().map(|&axis| weight.dims[axis]).collect(),
            element: Element::Byte,
            quantisation: Some(Quantisation::per_axis(scales.clone(), axis)),
            data: Some(data.collect::<Result<_, _>>()?),
        }))
    }

    /// The map with zeros around it, for bytes its zero point.
    fn padded(&mut self, x: usize, name: &str, axes: &[Axis; 2], [n, c]: [usize; 2]) -> usize {
        let [[top, bottom], [left, right]] = [axes[0].pads, axes[1].pads];
        let table = self.index_table("pads", vec![4, 2], &[0, 0, top, bottom, left, right, 0, 0]);
        let shape = vec![n, axes[0].extent + top + bottom, axes[1].extent + left + right, c];
        let padded = self.like(x, &format!("{name}/padded"), shape);
        self.push(Kind::Pad, vec![x, table], padded)
    }
}

/// A window along one axis of a map.
struct Axis {
    extent: usize,
    kernel: usize,
    stride: usize,
    /// Before and behind.
    pads: [usize; 2],
}

impl Axis {
    fn is_valid(&self) -> bool {
        self.stride > 0 && self.kernel > 0 && self.extent + self.pads[0] + self.pads[1] >= self.kernel
    }

    fn outputs(&self) -> usize {
        (self.extent + self.pads[0] + self.pads[1] - self.kernel) / self.stride + 1
    }

    /// The zeros of `Padding.SAME`: as many as make `ceil(extent / stride)` outputs, the odd one behind.
    fn same(&self) -> [usize; 2] {
        let reach = (self.extent.div_ceil(self.stride) - 1) * self.stride + self.kernel;
        let zeros = reach.saturating_sub(self.extent);
        [zeros / 2, zeros - zeros / 2]
    }
}

/// Strides down and right; zeros above, left, below, right.
fn geometry(node: &NodeProto) -> Result<([usize; 2], [usize; 4])> {
    let (strides, pads) = (ints(node, "strides", &[1, 1])?, ints(node, "pads", &[0; 4])?);
    ensure!(ints(node, "dilations", &[1, 1])? == [1, 1], "it is dilated");
    let auto_pad = node.attribute.iter().find(|attribute| attribute.name == "auto_pad");
    ensure!(auto_pad.is_none_or(|attribute| attribute.s == b"NOTSET"), "its padding is not written out");
    match (&strides[..], &pads[..]) {
        (&[down, right], &[top, left, bottom, behind]) => Ok(([down, right], [top, left, bottom, behind])),
        _ => bail!("its strides are {strides:?}, its pads {pads:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in `ops::tensorflows_padding_puts_the_odd_zero_behind`.
    #[test]
    fn same_puts_the_odd_zero_behind() {
        for (kernel, stride, extent, pads) in
            [(3, 1, 7, [1, 1]), (3, 2, 7, [1, 1]), (3, 2, 8, [0, 1]), (5, 2, 8, [1, 2]), (1, 2, 8, [0, 0])]
        {
            assert_eq!(
                Axis { extent, kernel, stride, pads }.same(),
                pads,
                "{kernel} by {stride} on {extent}"
            );
        }
    }
}
