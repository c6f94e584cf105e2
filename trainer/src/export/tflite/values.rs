//! The values of the ONNX graph as tensors of the network: in floats or bytes, their axes in the order that is wanted.

use super::model::{Element, Kind, Network, Operator, Quantisation, Tensor};
use super::order::{extents, lies_alike, permutation};
use super::source::{Ending, Scale, Source};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{HashMap, HashSet};

/// What an element is while it is computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Floats,
    Bytes,
}

/// A value of the ONNX graph.
#[derive(Debug, Clone)]
pub(super) struct Value {
    /// As ONNX counts the axes.
    pub(super) shape: Vec<usize>,
    /// How they lie.
    pub(super) order: Vec<usize>,
    pub(super) floats: Option<usize>,
    pub(super) bytes: Option<usize>,
}

/// The network as far as it is translated, and where the values of the graph are in it.
pub(super) struct Translator<'a> {
    pub(super) source: Source<'a>,
    pub(super) network: Network,
    pub(super) values: HashMap<String, Value>,
    /// Nodes that were translated with one before them.
    pub(super) done: HashSet<usize>,
    /// Weights that were written: a layer may be walked more than once.
    pub(super) weights: HashMap<(String, Vec<usize>), usize>,
    /// A tensor with its places in another order, or in floats.
    made: HashMap<(usize, Option<Vec<usize>>), usize>,
}

impl<'a> Translator<'a> {
    /// Nothing of `source` yet.
    pub(super) fn new(source: Source<'a>) -> Self {
        let (network, values, done, weights, made) = Default::default();
        Translator { source, network, values, done, weights, made }
    }
}

impl Translator<'_> {
    /// The value called `name`.
    pub(super) fn value(&self, name: &str) -> Result<&Value> {
        self.values.get(name).with_context(|| format!("nothing before it makes {name:?}"))
    }

    /// Index of the tensor that holds the value `name` in a form and order.
    pub(super) fn tensor_of(&mut self, name: &str, form: Form, order: &[usize]) -> Result<usize> {
        let value = self.value(name)?.clone();
        ensure!(value.order.len() == order.len(), "{name:?} has shape {:?}", value.shape);
        let given = match (form, value.floats, value.bytes) {
            (Form::Floats, Some(floats), _) => floats,
            (_, _, Some(bytes)) => bytes,
            (Form::Bytes, _, None) | (Form::Floats, None, None) => bail!("{name:?} has no bytes"),
        };
        let mut tensor = given;
        if value.order != order {
            // Bytes are moved before they are widened.
            tensor = self.in_order(tensor, name, &value, order);
        }
        if form == Form::Floats && self.network.tensors[tensor].element == Element::Byte {
            tensor = self.in_floats(tensor, name);
        }
        Ok(tensor)
    }

    fn in_order(&mut self, tensor: usize, name: &str, value: &Value, order: &[usize]) -> usize {
        let axes = permutation(&value.order, order);
        let key = (tensor, Some(axes.clone()));
        if let Some(&made) = self.made.get(&key) {
            return made;
        }
        let shape = extents(&value.shape, order);
        let name = format!("{name}/moved");
        let moved = if lies_alike(&value.shape, &value.order, order) {
            self.in_shape(tensor, &name, shape)
        } else {
            let constant = self.index_constant("axes", &axes);
            let moved = self.like(tensor, &name, shape);
            self.push(Kind::Transpose, vec![tensor, constant], moved)
        };
        self.made.insert(key, moved);
        moved
    }

    /// The tensor in floats.
    pub(super) fn in_floats(&mut self, tensor: usize, name: &str) -> usize {
        let key = (tensor, None);
        if let Some(&made) = self.made.get(&key) {
            return made;
        }
        let floats = self.floats(&format!("{name}/floats"), self.network.tensors[tensor].shape.clone());
        let floats = self.push(Kind::Dequantise, vec![tensor], floats);
        self.made.insert(key, floats);
        floats
    }

    pub(super) fn in_shape(&mut self, tensor: usize, name: &str, shape: Vec<usize>) -> usize {
        if self.network.tensors[tensor].shape == shape {
            return tensor;
        }
        let constant = self.index_constant("shape", &shape);
        let moved = self.like(tensor, name, shape);
        self.push(Kind::Reshape, vec![tensor, constant], moved)
    }

    /// Appends an operator that gives the value of `ending`, of `shape`, in a form and order.
    pub(super) fn result(
        &mut self,
        kind: Kind,
        inputs: Vec<usize>,
        ending: &Ending,
        form: Form,
        shape: Vec<usize>,
        order: &[usize],
    ) {
        let lie = extents(&shape, order);
        match &ending.bytes {
            Some((name, scale)) if form == Form::Bytes => {
                let bytes = self.bytes(name, lie, *scale);
                self.push(kind, inputs, bytes);
                self.keep(name, Form::Bytes, shape, order, bytes);
                self.done.extend(ending.quantise);
            }
            _ => {
                let floats = self.floats(&ending.floats, lie);
                self.push(kind, inputs, floats);
                self.keep(&ending.floats, Form::Floats, shape, order, floats);
            }
        }
    }

    /// Leaves out the node that limits the result: its operator does that itself.
    pub(super) fn take_limit(&mut self, ending: &Ending) {
        self.done.extend(ending.limit);
    }

    pub(super) fn keep(&mut self, name: &str, form: Form, shape: Vec<usize>, order: &[usize], tensor: usize) {
        let (floats, bytes) = match form {
            Form::Floats => (Some(tensor), None),
            Form::Bytes => (None, Some(tensor)),
        };
        self.values.insert(name.to_owned(), Value { shape, order: order.to_vec(), floats, bytes });
    }

    /// Appends an operator; returns `output`.
    pub(super) fn push(&mut self, kind: Kind, inputs: Vec<usize>, output: usize) -> usize {
        self.network.operators.push(Operator { kind, inputs, output });
        output
    }

    /// Appends a tensor.
    pub(super) fn tensor(&mut self, tensor: Tensor) -> usize {
        self.network.tensors.push(tensor);
        self.network.tensors.len() - 1
    }

    pub(super) fn floats(&mut self, name: &str, shape: Vec<usize>) -> usize {
        self.tensor(Tensor {
            name: name.into(),
            shape,
            element: Element::Float,
            quantisation: None,
            data: None,
        })
    }

    pub(super) fn bytes(
        &mut self,
        name: &str,
        shape: Vec<usize>,
        Scale { scale, zero_point }: Scale,
    ) -> usize {
        let quantisation = Some(Quantisation::whole(scale, zero_point));
        self.tensor(Tensor { name: name.into(), shape, element: Element::Byte, quantisation, data: None })
    }

    /// A tensor of the form and scale of another one.
    pub(super) fn like(&mut self, tensor: usize, name: &str, shape: Vec<usize>) -> usize {
        let Tensor { element, quantisation, .. } = self.network.tensors[tensor].clone();
        self.tensor(Tensor { name: name.into(), shape, element, quantisation, data: None })
    }

    /// A constant of floats of the shape `dims`, laid out in `order`.
    pub(super) fn constant(
        &mut self,
        name: &str,
        dims: &[usize],
        order: &[usize],
        values: Vec<f32>,
    ) -> usize {
        let data = laid_out(&values, dims, order).into_iter().flat_map(f32::to_le_bytes).collect();
        self.tensor(Tensor {
            name: name.into(),
            shape: extents(dims, order),
            element: Element::Float,
            quantisation: None,
            data: Some(data),
        })
    }

    /// A constant of indices or extents.
    pub(super) fn index_constant(&mut self, name: &str, values: &[usize]) -> usize {
        self.index_table(name, vec![values.len()], values)
    }

    /// A constant of indices or extents of a shape.
    pub(super) fn index_table(&mut self, name: &str, shape: Vec<usize>, values: &[usize]) -> usize {
        let data = values.iter().flat_map(|&value| (value as i32).to_le_bytes()).collect();
        self.tensor(Tensor {
            name: name.into(),
            shape,
            element: Element::Integer,
            quantisation: None,
            data: Some(data),
        })
    }
}

impl Value {
    /// Whether it is known in bytes alone.
    pub(super) fn is_bytes(&self) -> bool {
        self.floats.is_none() && self.bytes.is_some()
    }

    pub(super) fn form(&self) -> Form {
        if self.is_bytes() { Form::Bytes } else { Form::Floats }
    }
}

/// The elements of a constant of the shape `dims` with its axes in `order`.
pub(super) fn laid_out<T: Copy>(values: &[T], dims: &[usize], order: &[usize]) -> Vec<T> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    let mut places = vec![0];
    for &axis in order {
        let steps = (0..dims[axis]).map(|index| index * strides[axis]);
        places = places.iter().flat_map(|place| steps.clone().map(move |step| place + step)).collect();
    }
    places.into_iter().map(|place| values[place]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_laid_out_in_their_order() {
        let values = [1, 2, 3, 4, 5, 6];
        assert_eq!(laid_out(&values, &[2, 3], &[0, 1]), values);
        assert_eq!(laid_out(&values, &[2, 3], &[1, 0]), [1, 4, 2, 5, 3, 6]);
        assert_eq!(laid_out(&values, &[1, 2, 3, 1], &[2, 0, 3, 1]), [1, 4, 2, 5, 3, 6]);
        assert_eq!(laid_out(&[7], &[], &[]), [7]);
    }
}
