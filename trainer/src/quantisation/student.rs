//! A network whose batch norms are folded and whose scales are learned beside its weights.

use super::fake::FakeQuantise;
use super::observer::Observer;
use crate::export::{
    ActivationBits, LayerScheme, Metadata, Parameters, Range, Scheme, WeightBits, covering_scale,
    layer_inputs, nearest_scale, onnx_model, points, quantised,
};
use crate::models::{Folded, FoldedLayer, Model};
use crate::ops::{Grid, Scaling, round_to_grid};
use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor, Var};
use candle_nn::VarMap;
use engine::runtime::proto::ModelProto;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Where the zero of an activation lies among its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SymmetryOfActivations {
    /// Where its range puts it.
    #[default]
    Asymmetric,
    /// In the middle, if it has values below 0.
    Symmetric,
}

/// Choices that a student keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudentConfig {
    /// Width and height of its input, in pixels.
    pub image_size: usize,
    /// Bits of every activation.
    pub activation_bits: ActivationBits,
    /// Where zeros lie.
    pub symmetry: SymmetryOfActivations,
}

/// Variables of one layer.
#[derive(Debug, Clone)]
pub(super) struct StudentLayer {
    /// In the shape of [`FoldedLayer::weight`].
    pub weight: Tensor,
    /// `[C_out]`
    pub bias: Tensor,
    /// Logarithm of the scale of each output, `[C_out]`: a step of learning then changes every scale by the same share.
    pub log_scale: Tensor,
    /// How the weights are kept.
    pub bits: WeightBits,
    /// The axis of the outputs in the weight.
    pub output_axis: usize,
}

/// A value that becomes bytes.
#[derive(Debug, Clone)]
pub(super) struct Point {
    /// Logarithm of the scale, `[1]`.
    pub log_scale: Tensor,
    /// The byte that stands for 0.
    pub zero_point: u8,
}

/// A network on its way into integers.
pub struct Student {
    /// Topology, and the tables of attention, which are not learned.
    model: Model,
    config: StudentConfig,
    /// `LAYER.weight` and `LAYER.bias`.
    pub weights: VarMap,
    /// Logarithms of scales: `layer.LAYER` of weights, `point.VALUE` of activations.
    pub scales: VarMap,
    layers: BTreeMap<String, StudentLayer>,
    points: BTreeMap<String, Point>,
}

impl Student {
    /// The student of `teacher` with weights of `bits`, eight where a layer is not listed, and activations in the ranges
    /// that `observers` saw (see [`Student::observe`]).
    ///
    /// # Errors
    /// If a range collapsed: a value that was always 0 in every picture has no scale.
    pub fn new(
        teacher: &Model,
        config: StudentConfig,
        bits: &BTreeMap<String, WeightBits>,
        observers: &BTreeMap<String, Observer>,
    ) -> Result<Self> {
        let folded = Folded::of(teacher)?;
        if let Some(name) = bits.keys().find(|name| !folded.0.contains_key(*name)) {
            bail!("the strategy names the layer {name:?}, which the network has not");
        }
        let mut student = Self::without_points(teacher, &folded, config, |name| {
            bits.get(name).copied().unwrap_or(WeightBits::Eight)
        })?;
        for point in student.point_names(&student.bits())? {
            let observer = observers.get(&point).with_context(|| format!("{point:?} was not observed"))?;
            student.add_point(&point, observer)?;
        }
        Ok(student)
    }

    /// `teacher` with its batch norms folded, computed in floats.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn in_floats(teacher: &Model, config: StudentConfig) -> Result<Self> {
        Self::without_points(teacher, &Folded::of(teacher)?, config, |_| WeightBits::Float)
    }

    fn without_points(
        teacher: &Model,
        folded: &Folded,
        config: StudentConfig,
        bits: impl Fn(&str) -> WeightBits,
    ) -> Result<Self> {
        let mut student = Student {
            model: teacher.clone(),
            config,
            weights: VarMap::new(),
            scales: VarMap::new(),
            layers: BTreeMap::new(),
            points: BTreeMap::new(),
        };
        for (name, layer) in &folded.0 {
            student.add_layer(name, layer, bits(name))?;
        }
        Ok(student)
    }

    /// What every value that may become bytes is, as `pictures` `[N, 3, H, W]` flow through `teacher` in floats.
    ///
    /// # Errors
    /// Those of the pictures and of a forward pass; if there are none.
    pub fn observe(
        teacher: &Model,
        config: StudentConfig,
        pictures: impl Iterator<Item = Result<Tensor>>,
    ) -> Result<BTreeMap<String, Observer>> {
        let floats = Student::in_floats(teacher, config)?;
        let mut observers: BTreeMap<String, Observer> = BTreeMap::new();
        let all = floats.bits().into_keys().map(|name| (name, WeightBits::Eight)).collect();
        for name in floats.point_names(&all)? {
            observers.insert(name, Observer::default());
        }
        let mut seen = 0;
        for batch in pictures {
            let batch = batch?;
            seen += batch.dim(0)?;
            let mut executor = FakeQuantise::watching(&floats, &mut observers);
            let picture = executor.picture(maps(&batch, teacher.device())?)?;
            teacher.run(&mut executor, &picture)?;
        }
        ensure!(seen > 0, "there are no pictures to observe ranges on");
        Ok(observers)
    }

    /// The student's choices.
    pub fn config(&self) -> StudentConfig {
        self.config
    }

    /// The network's layers and tables; its own weights are the teacher's.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Bits of each layer's weights.
    pub fn bits(&self) -> BTreeMap<String, WeightBits> {
        self.layers.iter().map(|(name, layer)| (name.clone(), layer.bits)).collect()
    }

    /// The byte that stands for 0 at each point.
    pub fn zero_points(&self) -> BTreeMap<String, u8> {
        self.points.iter().map(|(name, point)| (name.clone(), point.zero_point)).collect()
    }

    /// Number of weights of the layer called `name`; 0 if there is none.
    pub fn weight_count(&self, name: &str) -> usize {
        self.layers.get(name).map_or(0, |layer| layer.weight.elem_count())
    }

    /// Logits `[N]` of normalised RGB `pictures` `[N, 3, H, W]`, computed as the engine computes the integer file.
    ///
    /// # Errors
    /// If the shape is another.
    pub fn forward(&self, pictures: &Tensor) -> Result<Tensor> {
        self.walk(FakeQuantise::new(self), pictures)
    }

    /// Logits `[N]` of `pictures` `[N, 3, H, W]`, nothing quantised.
    ///
    /// # Errors
    /// If the shape is another.
    pub fn forward_in_floats(&self, pictures: &Tensor) -> Result<Tensor> {
        self.walk(FakeQuantise::in_floats(self), pictures)
    }

    /// The same with the value called `point` alone in bytes.
    pub(super) fn forward_with_point(&self, point: &str, pictures: &Tensor) -> Result<Tensor> {
        self.walk(FakeQuantise::only_at(self, point), pictures)
    }

    /// The same with the weights of the layer called `name` alone in so many `bits`.
    pub(super) fn forward_with_weights_of(
        &self,
        name: &str,
        bits: WeightBits,
        pictures: &Tensor,
    ) -> Result<Tensor> {
        let layer = self.layer(name)?;
        let original = layer.weight.copy()?;
        let variable = Var::from_tensor(&layer.weight)?;
        variable.set(&rounded(layer, bits)?)?;
        let logits = self.forward_in_floats(pictures);
        variable.set(&original)?;
        logits
    }

    /// The value that becomes bytes for each layer to read, as far as there is one.
    pub(super) fn layer_inputs(&self) -> Result<BTreeMap<String, String>> {
        let graph = self.float_file(Vec::new())?.graph.context("the network has no graph")?;
        let inputs = layer_inputs(&graph);
        Ok(inputs.into_iter().filter(|(_, point)| self.points.contains_key(point)).collect())
    }

    fn walk(&self, mut executor: FakeQuantise, pictures: &Tensor) -> Result<Tensor> {
        let picture = executor.picture(maps(pictures, self.model.device())?)?;
        Ok(self.model.run(&mut executor, &picture)?.floats()?.flatten_all()?)
    }

    /// Every point's value for normalised `pictures` `[N, 3, H, W]`, in steps from its zero, `[C, H, W, N]`, in the order
    /// in which they are made; and the logits `[N]`.
    ///
    /// # Errors
    /// If the shape is another.
    pub fn forward_watched(&self, pictures: &Tensor) -> Result<(Vec<(String, Tensor)>, Tensor)> {
        let mut executor = FakeQuantise::recording(self);
        let picture = executor.picture(maps(pictures, self.model.device())?)?;
        let logits = self.model.run(&mut executor, &picture)?.floats()?.flatten_all()?;
        Ok((executor.into_recorded(), logits))
    }

    /// Weights and biases as they are now.
    pub fn folded(&self) -> Folded {
        let layer = |layer: &StudentLayer| FoldedLayer {
            weight: layer.weight.detach(),
            bias: layer.bias.detach(),
            output_axis: layer.output_axis,
        };
        Folded(self.layers.iter().map(|(name, it)| (name.clone(), layer(it))).collect())
    }

    /// Scales and zero points as they are now.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn scheme(&self) -> Result<Scheme> {
        let mut layers = HashMap::new();
        for (name, layer) in self.layers.iter().filter(|(_, layer)| layer.bits != WeightBits::Float) {
            let scales = layer.log_scale.exp()?.to_vec1()?;
            layers.insert(name.clone(), LayerScheme { bits: layer.bits, scales });
        }
        let mut points = HashMap::new();
        for (name, point) in &self.points {
            let scale = point.log_scale.exp()?.to_vec1::<f32>()?[0];
            points.insert(name.clone(), Parameters { scale, zero_point: point.zero_point });
        }
        Ok(Scheme { activation_bits: self.config.activation_bits, points, layers })
    }

    /// The student as an ONNX file in floats.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn float_file(&self, metadata: Metadata) -> Result<ModelProto> {
        Ok(onnx_model(&self.model, &self.folded(), self.config.image_size, metadata)?)
    }

    /// The student as an ONNX file in integers, with activations of `bits` over the learned ranges.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn integer_file(&self, bits: ActivationBits, metadata: Metadata) -> Result<ModelProto> {
        let scheme = self.scheme()?;
        let scheme = if bits == scheme.activation_bits { scheme } else { scheme.with_activation_bits(bits) };
        quantised(self.float_file(metadata)?, &scheme)
    }

    pub(super) fn layer(&self, name: &str) -> candle_core::Result<&StudentLayer> {
        let Some(layer) = self.layers.get(name) else { candle_core::bail!("there is no layer {name:?}") };
        Ok(layer)
    }

    pub(super) fn point(&self, name: &str) -> Option<&Point> {
        self.points.get(name)
    }

    /// The values that become bytes if layers have such `bits`.
    fn point_names(&self, bits: &BTreeMap<String, WeightBits>) -> Result<Vec<String>> {
        let scheme =
            |(name, &bits): (&String, &WeightBits)| (name.clone(), LayerScheme { bits, scales: Vec::new() });
        let graph = self.float_file(Vec::new())?.graph.context("the network has no graph")?;
        Ok(points(&graph, &bits.iter().map(scheme).collect()))
    }

    fn add_layer(&mut self, name: &str, layer: &FoldedLayer, bits: WeightBits) -> Result<()> {
        let log_scales: Vec<f32> =
            first_scales(&layer.weight, layer.output_axis, bits)?.iter().map(|scale| scale.ln()).collect();
        let weight = keep(&self.weights, format!("{name}.weight"), &layer.weight)?;
        let bias = keep(&self.weights, format!("{name}.bias"), &layer.bias)?;
        let device = layer.weight.device();
        let log_scale = Tensor::new(log_scales, device)?;
        let log_scale = match bits {
            WeightBits::Float => log_scale,
            _ => keep(&self.scales, format!("layer.{name}"), &log_scale)?,
        };
        self.layers.insert(
            name.into(),
            StudentLayer { weight, bias, log_scale, bits, output_axis: layer.output_axis },
        );
        Ok(())
    }

    fn add_point(&mut self, name: &str, observer: &Observer) -> Result<()> {
        let bits = self.config.activation_bits;
        let range = observer.nearest(bits);
        let range =
            range.filter(|range: &Range| range.high > range.low && (range.high - range.low).is_finite());
        let Some(range) = range else {
            bail!(
                "the range of {name:?} collapsed: every picture gave {:?}, so that it has no scale; look at the layer \
                 before it, or take other pictures for calibration",
                observer.whole()
            )
        };
        let parameters = match self.config.symmetry {
            SymmetryOfActivations::Asymmetric => Parameters::of(range, bits),
            SymmetryOfActivations::Symmetric => Parameters::symmetric(range, bits),
        };
        let log_scale = Tensor::new(&[parameters.scale.ln()], self.model.device())?;
        let log_scale = keep(&self.scales, format!("point.{name}"), &log_scale)?;
        self.points.insert(name.into(), Point { log_scale, zero_point: parameters.zero_point });
        Ok(())
    }

    /// Sets weights and scales to `tensors` by the names of their variables, and zero points.
    ///
    /// # Errors
    /// If one is missing, left over or of another shape; then some may be set.
    pub fn restore(
        &mut self,
        weights: &HashMap<String, Tensor>,
        scales: &HashMap<String, Tensor>,
        zero_points: &BTreeMap<String, u8>,
    ) -> Result<()> {
        crate::checkpoint::set_all(&crate::models::lock(&self.weights), weights)?;
        crate::checkpoint::set_all(&crate::models::lock(&self.scales), scales)?;
        for (name, point) in &mut self.points {
            point.zero_point =
                *zero_points.get(name).with_context(|| format!("the zero point of {name:?} is missing"))?;
        }
        Ok(())
    }
}

/// Scales for the outputs on axis `output_axis` of `weight` before they are learned.
fn first_scales(weight: &Tensor, output_axis: usize, bits: WeightBits) -> Result<Vec<f32>> {
    let outputs = weight.transpose(0, output_axis)?.contiguous()?;
    let rows: Vec<Vec<f32>> = outputs.flatten_from(1)?.to_vec2()?;
    let scale = |row: &Vec<f32>| match bits {
        WeightBits::Four => nearest_scale(row, 7.0),
        WeightBits::Eight | WeightBits::Float => covering_scale(row, 127.0),
    };
    Ok(rows.iter().map(scale).collect())
}

/// The weights of `layer`, rounded to so many `bits`.
fn rounded(layer: &StudentLayer, bits: WeightBits) -> Result<Tensor> {
    let Some(limit) = bits.limit() else { return Ok(layer.weight.clone()) };
    let scales = first_scales(&layer.weight, layer.output_axis, bits)?;
    let outputs = layer.weight.transpose(0, layer.output_axis)?.contiguous()?;
    let scales = Tensor::new(scales, layer.weight.device())?;
    let steps = round_to_grid(&outputs, &scales, Grid { scaling: Scaling::Over, limits: [-limit, limit] })?;
    let mut shape = vec![1; steps.rank()];
    shape[0] = scales.elem_count();
    Ok(steps.broadcast_mul(&scales.reshape(shape)?)?.transpose(0, layer.output_axis)?.contiguous()?.detach())
}

/// `[N, 3, H, W]` as maps `[3, H, W, N]`.
fn maps(pictures: &Tensor, device: &Device) -> Result<Tensor> {
    Ok(pictures.to_device(device)?.permute((1, 2, 3, 0))?.contiguous()?) // NCHW -> CHWN
}

/// A variable of `variables` that begins at `value`, and shares its storage with the tensor that is returned.
fn keep(variables: &VarMap, name: String, value: &Tensor) -> Result<Tensor> {
    let variable = Var::from_tensor(&value.copy()?.detach())?;
    let tensor = variable.as_tensor().clone();
    crate::models::lock(variables).insert(name, variable);
    Ok(tensor)
}
