//! Any of the networks, by the name of its preset.

use super::auxiliary::Auxiliary;
use super::efficientnet::{Config as EfficientNetConfig, EfficientNet};
use super::gaussian::{Noise, NoiseSeed};
use super::genconvit::{Config as GenConViTConfig, GenConViT};
use super::layers::{Compute, Executor, Mode};
use super::mobilenet_v4::{Config as MobileNetV4Config, MobileNetV4};
use candle_core::{Device, Result, Tensor, bail};
use candle_nn::VarBuilder;

/// A network: pictures to one logit.
#[derive(Debug, Clone)]
pub enum Model {
    /// The cascade's filter.
    MobileNetV4(MobileNetV4),
    /// An expert.
    EfficientNet(EfficientNet),
    /// Another expert.
    GenConViT(Box<GenConViT>),
}

/// What a training step needs of a network.
#[derive(Debug, Clone)]
pub struct Lesson {
    /// `[N]`
    pub logits: Tensor,
    /// What the last layer reads, `[D, N]`.
    pub embedding: Tensor,
    /// Terms of the loss that the network brings along.
    pub auxiliary: Auxiliary,
}

impl Model {
    /// Names of all presets.
    pub fn presets() -> Vec<&'static str> {
        let filters = MobileNetV4Config::presets().into_iter().map(|config| config.name);
        let experts = EfficientNetConfig::presets().into_iter().map(|config| config.name);
        let generative = GenConViTConfig::presets().into_iter().map(|config| config.name);
        filters.chain(experts).chain(generative).collect()
    }

    /// The preset called `name` over the tensors of `vb`; none if there is no such preset.
    ///
    /// # Errors
    /// If `vb` lacks a tensor or has one of another shape.
    pub fn from_name(vb: &VarBuilder, name: &str) -> Result<Option<Self>> {
        if let Some(config) = MobileNetV4Config::presets().iter().find(|config| config.name == name) {
            return Ok(Some(Model::MobileNetV4(MobileNetV4::new(vb, config)?)));
        }
        if let Some(config) = EfficientNetConfig::presets().iter().find(|config| config.name == name) {
            return Ok(Some(Model::EfficientNet(EfficientNet::new(vb, config)?)));
        }
        if let Some(config) = GenConViTConfig::presets().iter().find(|config| config.name == name) {
            return Ok(Some(Model::GenConViT(Box::new(GenConViT::new(vb, config)?))));
        }
        Ok(None)
    }

    /// Walks the layers from the picture to the logit.
    ///
    /// # Errors
    /// Those of `executor`.
    pub fn run<E: Executor>(&self, executor: &mut E, picture: &E::Value) -> Result<E::Value> {
        match self {
            Model::MobileNetV4(network) => network.run(executor, picture),
            Model::EfficientNet(network) => network.run(executor, picture),
            Model::GenConViT(network) => network.run(executor, picture),
        }
    }

    /// The device that holds the weights.
    pub fn device(&self) -> &Device {
        match self {
            Model::MobileNetV4(network) => network.device(),
            Model::EfficientNet(network) => network.device(),
            Model::GenConViT(network) => network.device(),
        }
    }

    /// Logits `[N]` of normalised RGB `pictures` `[N, 3, H, W]`, which may lie on another device than the network.
    ///
    /// # Errors
    /// If the shape is another.
    pub fn forward_t(&self, pictures: &Tensor, train: bool) -> Result<Tensor> {
        let mode = if train { Mode::Train } else { Mode::Evaluate };
        self.forward(&mut Compute::new(mode), pictures)
    }

    /// Logits of normalised RGB `pictures` `[N, 3, H, W]` in training, and the network's own terms of the loss; `noise`
    /// names what a variational latent draws.
    ///
    /// # Errors
    /// If the shape is another.
    pub fn learn(&self, pictures: &Tensor, noise: NoiseSeed) -> Result<Lesson> {
        self.give(Compute::training(Noise::new(noise)), pictures)
    }

    /// Logits and embedding of normalised RGB `pictures` `[N, 3, H, W]`, as in use.
    ///
    /// # Errors
    /// If the shape is another.
    pub fn tell(&self, pictures: &Tensor) -> Result<Lesson> {
        self.give(Compute::new(Mode::Evaluate), pictures)
    }

    fn give(&self, mut executor: Compute, pictures: &Tensor) -> Result<Lesson> {
        let logits = self.forward(&mut executor, pictures)?;
        let Some(read) = executor.last_read else { bail!("the network has no fully connected layer") };
        let (length, _, _, count) = read.dims4()?;
        Ok(Lesson { logits, embedding: read.reshape((length, count))?, auxiliary: executor.auxiliary })
    }

    /// Takes the moments of `pictures` `[N, 3, H, W]` for those of the batch norms, with the function kept: [`Mode::Anchor`].
    ///
    /// # Errors
    /// If the shape is another, or a layer scale stands behind a batch norm.
    pub fn anchor(&self, pictures: &Tensor) -> Result<()> {
        self.forward(&mut Compute::new(Mode::Anchor), pictures).map(drop)
    }

    fn forward(&self, executor: &mut Compute, pictures: &Tensor) -> Result<Tensor> {
        let maps = pictures.to_device(self.device())?.permute((1, 2, 3, 0))?.contiguous()?; // NCHW -> CHWN
        self.run(executor, &maps)?.flatten_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{LossWeights, total_loss};
    use crate::models::{initialise, lock};
    use candle_core::DType;
    use candle_nn::VarMap;

    fn network(name: &str) -> Result<(VarMap, Model)> {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        let Some(network) = Model::from_name(&vb, name)? else { panic!("{name} is no preset") };
        initialise(&variables, 1)?;
        Ok((variables, network))
    }

    #[test]
    fn every_variable_but_running_moments_gets_a_gradient() -> Result<()> {
        for name in Model::presets() {
            let (variables, network) = network(name)?;
            let pictures = Tensor::randn(0f32, 1.0, (4, 3, 64, 64), &Device::Cpu)?;
            let lesson = network.learn(&pictures, NoiseSeed::default())?;
            let error = lesson.logits.sqr()?.sum_all()?;
            let grads = total_loss(error, &lesson.auxiliary, LossWeights::default())?.backward()?;
            let variables = variables.data().lock().unwrap();
            for (variable_name, variable) in variables.iter() {
                let running = variable_name.contains("running_");
                assert_eq!(grads.get(variable).is_some(), !running, "{name}: {variable_name}");
            }
        }
        Ok(())
    }

    #[test]
    fn training_moves_the_running_moments() -> Result<()> {
        let (variables, network) = network("mobilenetv4-conv-small")?;
        let pictures = Tensor::randn(0f32, 1.0, (4, 3, 32, 32), &Device::Cpu)?;
        let mean = |name: &str| -> Result<Vec<f32>> { variables.data().lock().unwrap()[name].to_vec1() };
        let before = mean("bn1.running_mean")?;
        network.forward_t(&pictures, false)?;
        assert_eq!(before, mean("bn1.running_mean")?);
        network.forward_t(&pictures, true)?;
        assert_ne!(before, mean("bn1.running_mean")?);
        Ok(())
    }

    #[test]
    fn anchored_batch_norms_have_the_batchs_moments_and_the_function_stays() -> Result<()> {
        let (variables, network) = network("mobilenetv4-conv-small")?;
        let pictures = Tensor::randn(0f32, 1.0, (8, 3, 64, 64), &Device::Cpu)?;
        let before = network.forward_t(&pictures, false)?;
        network.anchor(&pictures)?;
        let after = network.forward_t(&pictures, false)?;
        let distance = |a: &Tensor, b: &Tensor| (a - b)?.abs()?.max_all()?.to_scalar::<f32>();
        let size = before.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(distance(&before, &after)? < 1e-4 * size, "{before} became {after}");
        // What training computes of the same batch is the same then, as it was not before.
        let trained = network.forward_t(&pictures, true)?;
        assert!(distance(&before, &trained)? < 1e-3 * size, "{before} is {trained} in training");
        let mean = lock(&variables)["bn1.running_mean"].abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(mean > 0.0);
        Ok(())
    }

    #[test]
    fn an_unknown_name_is_no_network() -> Result<()> {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        assert!(Model::from_name(&vb, "mobilenetv4")?.is_none());
        Ok(())
    }
}
