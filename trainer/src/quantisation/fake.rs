//! The executor that computes what the engine computes in integers, in floats that hold whole numbers.
//!
//! A quantised value is kept as steps from its zero, `q - z`, beside its scale. A layer multiplies steps by whole
//! weights; its sums are whole numbers below 2^24 and so exact in any order, and they come back to steps by one
//! multiplication and rounding, the formulas of docs/numerics.md. Gradients pass roundings straight through and reach
//! weights, biases and all scales (`ops::grid`).

use super::observer::Observer;
use super::student::{Point, Student, StudentLayer};
use crate::export::{MAX_BIAS, names};
use crate::models::{Attention, ConvKind, ConvNorm, Executor, Linear, Norm, PointConv, convolve};
use crate::ops::{Activation, Grid, Scaling, Window, attention, gate, mean_of_map, round_to_grid};
use candle_core::{Result, Tensor};
use std::collections::BTreeMap;

/// What is done at the values that may become bytes.
enum AtPoints<'a> {
    /// They become steps.
    Round,
    /// They become steps, which are kept.
    Record(Vec<(String, Tensor)>),
    /// Everything stays in floats.
    Pass,
    /// Everything stays in floats but the value of this name.
    Only(&'a str),
    /// Everything stays in floats, and ranges are observed.
    Watch(&'a mut BTreeMap<String, Observer>),
}

/// Executor over a [`Student`].
pub(super) struct FakeQuantise<'a> {
    student: &'a Student,
    names: names::Names,
    at_points: AtPoints<'a>,
}

/// A map `[C, H, W, N]` and its name in the exported graph.
#[derive(Clone)]
pub(super) struct Value {
    name: String,
    data: Data,
}

#[derive(Clone)]
enum Data {
    Floats(Tensor),
    /// Steps from the zero point, and the scale `[1]`.
    Steps(Tensor, Tensor),
}

/// What a layer gives before it is limited.
enum Raw {
    Floats(Tensor),
    /// Whole sums, and what one stands for in each output, `[C]`.
    Sums(Tensor, Tensor),
}

impl Value {
    /// What the value stands for.
    pub(super) fn floats(&self) -> Result<Tensor> {
        match &self.data {
            Data::Floats(floats) => Ok(floats.clone()),
            Data::Steps(steps, scale) => steps.broadcast_mul(scale),
        }
    }
}

impl<'a> FakeQuantise<'a> {
    pub(super) fn new(student: &'a Student) -> Self {
        FakeQuantise { student, names: Default::default(), at_points: AtPoints::Round }
    }

    /// One that keeps the steps of all points.
    pub(super) fn recording(student: &'a Student) -> Self {
        FakeQuantise { at_points: AtPoints::Record(Vec::new()), ..Self::new(student) }
    }

    /// One that computes in floats.
    pub(super) fn in_floats(student: &'a Student) -> Self {
        FakeQuantise { at_points: AtPoints::Pass, ..Self::new(student) }
    }

    /// One that computes in floats but rounds the value called `point`.
    pub(super) fn only_at(student: &'a Student, point: &'a str) -> Self {
        FakeQuantise { at_points: AtPoints::Only(point), ..Self::new(student) }
    }

    /// One that computes in floats and shows `observers` the values of their names.
    pub(super) fn watching(student: &'a Student, observers: &'a mut BTreeMap<String, Observer>) -> Self {
        FakeQuantise { at_points: AtPoints::Watch(observers), ..Self::new(student) }
    }

    /// The steps of all points so far, in their order.
    pub(super) fn into_recorded(self) -> Vec<(String, Tensor)> {
        match self.at_points {
            AtPoints::Record(recorded) => recorded,
            AtPoints::Round | AtPoints::Pass | AtPoints::Only(_) | AtPoints::Watch(_) => Vec::new(),
        }
    }

    /// The picture `maps` `[3, H, W, N]`, as the walk begins.
    pub(super) fn picture(&mut self, maps: Tensor) -> Result<Value> {
        self.settle("image".into(), Raw::Floats(maps), Activation::Identity)
    }

    /// The layer called `name` on `x`, with what limits its result.
    fn layer(
        &mut self,
        name: &str,
        (kind, window): (ConvKind, Window),
        activation: Activation,
        x: &Value,
    ) -> Result<Value> {
        let layer = self.student.layer(name)?;
        let rounds = matches!(self.at_points, AtPoints::Round | AtPoints::Record(_));
        let limit = layer.bits.limit().filter(|_| rounds);
        let raw = match (&x.data, limit, kind) {
            (Data::Steps(steps, scale), Some(limit), ConvKind::Dense | ConvKind::Depthwise) => {
                let scales = layer.log_scale.exp()?;
                let unit = scales.broadcast_mul(scale)?;
                let whole = Grid { scaling: Scaling::Over, limits: [-MAX_BIAS, MAX_BIAS] };
                let bias = round_to_grid(&layer.bias, &unit, whole)?;
                let sums = convolve(steps, &integers(layer, &scales, limit)?, kind, window)?;
                Raw::Sums(sums.broadcast_add(&column(&bias)?)?, unit)
            }
            _ => {
                let weight = match limit {
                    Some(limit) => dequantised(layer, limit)?,
                    None => layer.weight.clone(),
                };
                Raw::Floats(
                    convolve(&x.floats()?, &weight, kind, window)?.broadcast_add(&column(&layer.bias)?)?,
                )
            }
        };
        let mut result = self.names.next(name.to_owned());
        match activation {
            Activation::Identity => {}
            Activation::Relu => result = self.names.next(names::relu(name)),
            Activation::Relu6 => result = self.names.next(names::relu6(name)),
            Activation::Silu => {
                let y = self.settle(result, raw, Activation::Identity)?;
                return self.silu(&y);
            }
        }
        self.settle(result, raw, activation)
    }

    /// The value called `name` that `raw` becomes behind `activation`, which is a limit or nothing.
    fn settle(&mut self, name: String, raw: Raw, activation: Activation) -> Result<Value> {
        let Some(point) = self.point(&name) else {
            let floats = match raw {
                Raw::Floats(floats) => floats,
                Raw::Sums(sums, unit) => sums.broadcast_mul(&column(&unit)?)?,
            };
            let floats = match activation {
                Activation::Relu => floats.relu()?,
                Activation::Relu6 => floats.clamp(0f32, 6f32)?,
                Activation::Identity | Activation::Silu => floats,
            };
            if let AtPoints::Watch(observers) = &mut self.at_points
                && let Some(observer) = observers.get_mut(&name)
            {
                observer.watch(&floats)?;
            }
            return Ok(Value { name, data: Data::Floats(floats) });
        };
        let scale = point.log_scale.exp()?;
        let limits = self.limits(point, &scale, activation)?;
        let steps = match raw {
            Raw::Floats(floats) => round_to_grid(&floats, &scale, Grid { scaling: Scaling::Over, limits })?,
            Raw::Sums(sums, unit) => {
                let multiplier = unit.broadcast_div(&scale)?;
                round_to_grid(&sums, &multiplier, Grid { scaling: Scaling::Times, limits })?
            }
        };
        self.stepped(name, steps, scale)
    }

    /// The point called `name`, if the value is to become steps now.
    fn point(&self, name: &str) -> Option<&'a Point> {
        let is_rounded = match &self.at_points {
            AtPoints::Round | AtPoints::Record(_) => true,
            AtPoints::Only(point) => *point == name,
            AtPoints::Pass | AtPoints::Watch(_) => false,
        };
        self.student.point(name).filter(|_| is_rounded)
    }

    fn stepped(&mut self, name: String, steps: Tensor, scale: Tensor) -> Result<Value> {
        if let AtPoints::Record(recorded) = &mut self.at_points {
            recorded.push((name.clone(), steps.clone()));
        }
        Ok(Value { name, data: Data::Steps(steps, scale) })
    }

    /// Smallest and largest step of `point` behind `activation`.
    fn limits(&self, point: &Point, scale: &Tensor, activation: Activation) -> Result<[f32; 2]> {
        let zero = f32::from(point.zero_point);
        let (low, high) = (-zero, self.student.config().activation_bits.steps() - zero);
        Ok(match activation {
            Activation::Identity | Activation::Silu => [low, high],
            Activation::Relu => [0f32.max(low), high],
            Activation::Relu6 => {
                let six = (6.0 / scale.to_vec1::<f32>()?[0]).round_ties_even();
                [0f32.max(low), six.min(high)]
            }
        })
    }

    /// The value called `name` of `floats`.
    fn floats(&mut self, name: String, floats: Tensor) -> Result<Value> {
        let name = self.names.next(name);
        self.settle(name, Raw::Floats(floats), Activation::Identity)
    }

    /// The scale of the point called `name` and its limits, where values become steps.
    fn target(&self, name: &str) -> Result<Option<(Tensor, [f32; 2])>> {
        let Some(point) = self.point(name) else { return Ok(None) };
        let scale = point.log_scale.exp()?;
        let limits = self.limits(point, &scale, Activation::Identity)?;
        Ok(Some((scale, limits)))
    }
}

/// `[C]` as `[C, 1, 1, 1]`.
fn column(values: &Tensor) -> Result<Tensor> {
    values.reshape((values.elem_count(), 1, 1, 1))
}

/// The whole weights of `layer`, whose outputs lie on axis 0.
fn integers(layer: &StudentLayer, scales: &Tensor, limit: f32) -> Result<Tensor> {
    round_to_grid(&layer.weight, scales, Grid { scaling: Scaling::Over, limits: [-limit, limit] })
}

/// The weights of `layer` as its integers stand for them.
fn dequantised(layer: &StudentLayer, limit: f32) -> Result<Tensor> {
    let scales = layer.log_scale.exp()?;
    let weight = layer.weight.transpose(0, layer.output_axis)?.contiguous()?;
    let grid = Grid { scaling: Scaling::Over, limits: [-limit, limit] };
    let mut shape = vec![1; weight.rank()];
    shape[0] = scales.elem_count();
    let floats = round_to_grid(&weight, &scales, grid)?.broadcast_mul(&scales.reshape(shape)?)?;
    floats.transpose(0, layer.output_axis)?.contiguous()
}

impl Executor for FakeQuantise<'_> {
    type Value = Value;

    fn conv_norm(&mut self, layer: &ConvNorm, x: &Value) -> Result<Value> {
        self.layer(&layer.name, (layer.kind, layer.window), layer.activation, x)
    }

    fn add(&mut self, a: &Value, b: &Value) -> Result<Value> {
        let name = names::sum(&a.name);
        let (Data::Steps(x, of_x), Data::Steps(y, of_y)) = (&a.data, &b.data) else {
            return self.floats(name, (a.floats()? + b.floats()?)?);
        };
        let name = self.names.next(name);
        let Some((scale, limits)) = self.target(&name)? else {
            return self.settle(name, Raw::Floats((a.floats()? + b.floats()?)?), Activation::Identity);
        };
        let part = |steps: &Tensor, of: &Tensor| steps.broadcast_mul(&(of / &scale)?);
        let sum = (part(x, of_x)? + part(y, of_y)?)?;
        let one = scale.ones_like()?;
        let steps = round_to_grid(&sum, &one, Grid { scaling: Scaling::Times, limits })?;
        self.stepped(name, steps, scale)
    }

    fn point_conv(&mut self, layer: &PointConv, x: &Value) -> Result<Value> {
        self.layer(&layer.name, (ConvKind::Dense, Window::same(1, 1)), Activation::Identity, x)
    }

    fn silu(&mut self, x: &Value) -> Result<Value> {
        // The graph has a node for the sigmoid.
        let _ = self.names.next(names::sigmoid(&x.name));
        self.floats(names::silu(&x.name), x.floats()?.silu()?)
    }

    fn sigmoid(&mut self, x: &Value) -> Result<Value> {
        self.floats(names::sigmoid(&x.name), candle_nn::ops::sigmoid(&x.floats()?)?)
    }

    fn gate(&mut self, x: &Value, factor: &Value) -> Result<Value> {
        self.floats(names::gate(&x.name), gate(&x.floats()?, &factor.floats()?)?)
    }

    fn global_average_pool(&mut self, x: &Value) -> Result<Value> {
        let name = names::mean(&x.name);
        let Data::Steps(steps, of_x) = &x.data else {
            return self.floats(name, mean_of_map(&x.floats()?)?);
        };
        let name = self.names.next(name);
        let Some((scale, limits)) = self.target(&name)? else {
            return self.settle(name, Raw::Floats(mean_of_map(&x.floats()?)?), Activation::Identity);
        };
        let (_, h, w, _) = steps.dims4()?;
        // The mean times the number of pixels is a whole number again, up to what floats lose.
        let sums = (mean_of_map(steps)? * (h * w) as f64)?;
        let sums = (&sums + (sums.round()? - &sums)?.detach())?;
        let factor = (of_x / (&scale * (h * w) as f64)?)?;
        let steps = round_to_grid(&sums, &factor, Grid { scaling: Scaling::Times, limits })?;
        self.stepped(name, steps, scale)
    }

    fn linear(&mut self, layer: &Linear, x: &Value) -> Result<Value> {
        self.layer(&layer.name, (ConvKind::Dense, Window::same(1, 1)), Activation::Identity, x)
    }

    fn norm(&mut self, layer: &Norm, x: &Value) -> Result<Value> {
        self.layer(&layer.name, (ConvKind::Depthwise, Window::same(1, 1)), Activation::Identity, x)
    }

    fn attention(&mut self, layer: &Attention, [q, k, v]: [&Value; 3]) -> Result<Value> {
        let maps = [q.floats()?, k.floats()?, v.floats()?];
        let (_, h, w, _) = maps[0].dims4()?;
        let [q, k, v] = [&maps[0], &maps[1], &maps[2]];
        let seen = attention([q, k, v], layer.grouping, layer.bias([h, w])?.as_ref())?;
        self.floats(names::attention(&layer.name), seen)
    }

    fn concat(&mut self, maps: &[Value]) -> Result<Value> {
        let maps = maps.iter().map(Value::floats).collect::<Result<Vec<_>>>()?;
        self.floats(names::concatenation(), Tensor::cat(&maps, 0)?)
    }
}
