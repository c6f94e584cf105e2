//! The face locator: a picture to maps of faces at strides of 8, 16 and 32 pixels.
//!
//! Blocks of a depthwise and a point convolution (MobileNet, arXiv 1704.04861), with a sum around each that keeps its
//! shape. Each level reads its own map alone, as in LFFD (arXiv 1904.10633): what a map of that stride sees around each
//! cell is enough for faces of its sizes, and nothing has to be made larger again. Boxes are those of FCOS
//! (arXiv 1904.01355). Only convolutions, ReLU and sums: all of it runs in integers.

use super::layers::{Compute, ConvNorm, Executor, Mode};
use super::point_conv::PointConv;
use super::topology::Topology;
use crate::ops::{Activation, Window};
use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;
use engine::faces::boxes::{STRIDES, VALUES};

/// Widths and depths of one member of the family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the preset.
    pub name: &'static str,
    /// Channels of the first convolution, at a stride of 2.
    pub stem: usize,
    /// Channels and number of blocks at strides of 4, 8, 16 and 32.
    pub stages: [[usize; 2]; 4],
}

impl Config {
    /// 0.08 M parameters, 46 M multiply-adds at 320 pixels.
    pub fn small() -> Self {
        Config { name: "face-small", stem: 16, stages: [[32, 1], [48, 3], [80, 3], [96, 3]] }
    }

    /// A network for tests: it learns ellipses in seconds.
    pub fn toy() -> Self {
        Config { name: "face-toy", stem: 8, stages: [[12, 1], [16, 2], [24, 2], [32, 2]] }
    }

    /// Every preset.
    pub fn presets() -> Vec<Self> {
        vec![Self::small(), Self::toy()]
    }
}

/// Depthwise 3x3, then 1x1, each with batch norm and ReLU; the input is added where the shapes agree.
#[derive(Debug, Clone)]
struct Block {
    depthwise: ConvNorm,
    point: ConvNorm,
    residual: bool,
}

impl Block {
    fn new(vb: &VarBuilder, [cin, cout]: [usize; 2], stride: usize) -> Result<Self> {
        let (window, relu) = (Window::same(3, stride), Activation::Relu);
        Ok(Block {
            depthwise: ConvNorm::depthwise(vb, ["dw.conv", "dw.bn"], cin, window, relu)?,
            point: ConvNorm::dense(vb, ["pw.conv", "pw.bn"], [cin, cout], Window::same(1, 1), relu)?,
            residual: stride == 1 && cin == cout,
        })
    }

    fn run<E: Executor>(&self, executor: &mut E, x: &E::Value) -> Result<E::Value> {
        let y = executor.conv_norm(&self.depthwise, x)?;
        let y = executor.conv_norm(&self.point, &y)?;
        if self.residual { executor.add(&y, x) } else { Ok(y) }
    }
}

/// The network: pictures to one map a stride of [`STRIDES`].
#[derive(Debug, Clone)]
pub struct FaceLocator {
    stem: ConvNorm,
    stages: Vec<Vec<Block>>,
    towers: Vec<Block>,
    outputs: Vec<PointConv>,
}

impl FaceLocator {
    /// The network of `config` over the tensors of `vb`.
    ///
    /// # Errors
    /// If `vb` lacks a tensor or has one of another shape.
    pub fn new(vb: &VarBuilder, config: &Config) -> Result<Self> {
        let stem = Window::same(3, 2);
        let stem = ConvNorm::dense(vb, ["stem.conv", "stem.bn"], [3, config.stem], stem, Activation::Relu)?;
        let mut channels = config.stem;
        let mut stages = Vec::new();
        for (stage, [width, depth]) in config.stages.into_iter().enumerate() {
            let mut blocks = Vec::new();
            for index in 0..depth {
                let stride = if index == 0 { 2 } else { 1 };
                let vb = vb.pp(format!("stages.{stage}.{index}"));
                blocks.push(Block::new(&vb, [channels, width], stride)?);
                channels = width;
            }
            stages.push(blocks);
        }
        let (mut towers, mut outputs) = (Vec::new(), Vec::new());
        for (level, [width, _]) in config.stages.into_iter().skip(1).enumerate() {
            towers.push(Block::new(&vb.pp(format!("towers.{level}")), [width, width], 1)?);
            outputs.push(PointConv::new(vb, &format!("outputs.{level}"), [width, VALUES])?);
        }
        Ok(FaceLocator { stem, stages, towers, outputs })
    }

    /// The device that holds the weights.
    pub fn device(&self) -> &Device {
        self.stem.weight.device()
    }

    /// The maps `[5, H, W, N]` of each level for normalised RGB `pictures` `[N, 3, H, W]`.
    ///
    /// # Errors
    /// If the shape is another.
    pub fn forward_t(&self, pictures: &Tensor, train: bool) -> Result<Vec<Tensor>> {
        let mode = if train { Mode::Train } else { Mode::Evaluate };
        let maps = pictures.to_device(self.device())?.permute((1, 2, 3, 0))?.contiguous()?; // NCHW -> CHWN
        self.walk(&mut Compute::new(mode), &maps)
    }
}

impl Topology for FaceLocator {
    fn output_names(&self) -> Vec<&'static str> {
        const NAMES: [&str; STRIDES.len()] = ["stride8", "stride16", "stride32"];
        NAMES.to_vec()
    }

    fn walk<E: Executor>(&self, executor: &mut E, picture: &E::Value) -> Result<Vec<E::Value>> {
        let mut x = executor.conv_norm(&self.stem, picture)?;
        let mut maps = Vec::new();
        for blocks in &self.stages {
            for block in blocks {
                x = block.run(executor, &x)?;
            }
            maps.push(x.clone());
        }
        let heads = self.towers.iter().zip(&self.outputs);
        let head = |(map, (tower, output)): (&E::Value, (&Block, &PointConv))| {
            let y = tower.run(executor, map)?;
            executor.point_conv(output, &y)
        };
        // The first stage is too fine for boxes.
        maps.iter().skip(1).zip(heads).map(head).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{initialise, lock, parameter_count};
    use candle_core::DType;
    use candle_nn::VarMap;

    fn locator(config: &Config) -> Result<(VarMap, FaceLocator)> {
        let variables = VarMap::new();
        let network =
            FaceLocator::new(&VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu), config)?;
        initialise(&variables, 1)?;
        Ok((variables, network))
    }

    #[test]
    fn w11_the_network_is_small_and_has_a_map_for_each_stride() -> Result<()> {
        let (variables, network) = locator(&Config::small())?;
        assert_eq!(parameter_count(&variables), 80_111);
        let maps = network.forward_t(&Tensor::zeros((2, 3, 96, 64), DType::F32, &Device::Cpu)?, false)?;
        let shapes: Vec<&[usize]> = maps.iter().map(Tensor::dims).collect();
        assert_eq!(shapes, [[VALUES, 12, 8, 2], [VALUES, 6, 4, 2], [VALUES, 3, 2, 2]]);
        Ok(())
    }

    #[test]
    fn every_variable_but_running_moments_gets_a_gradient() -> Result<()> {
        for config in Config::presets() {
            let (variables, network) = locator(&config)?;
            let maps = network.forward_t(&Tensor::randn(0f32, 1.0, (2, 3, 64, 64), &Device::Cpu)?, true)?;
            let squares = maps.iter().map(|map| map.sqr()?.sum_all()).collect::<Result<Vec<_>>>()?;
            let grads = Tensor::stack(&squares, 0)?.sum_all()?.backward()?;
            for (name, variable) in lock(&variables).iter() {
                assert_eq!(grads.get(variable).is_some(), !name.contains("running_"), "{name}");
            }
        }
        Ok(())
    }
}
