//! Any of the networks, by the name of its preset.

use super::efficientnet_v2::{Config as EfficientNetV2Config, EfficientNetV2};
use super::layers::{Compute, Executor, Mode};
use super::mobilenet_v4::{Config as MobileNetV4Config, MobileNetV4};
use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;

/// A network: pictures to one logit.
#[derive(Debug, Clone)]
pub enum Model {
    /// The cascade's filter.
    MobileNetV4(MobileNetV4),
    /// An expert.
    EfficientNetV2(EfficientNetV2),
}

impl Model {
    /// Names of all presets.
    pub fn presets() -> Vec<&'static str> {
        let filters = MobileNetV4Config::presets().into_iter().map(|config| config.name);
        filters.chain(EfficientNetV2Config::presets().into_iter().map(|config| config.name)).collect()
    }

    /// The preset called `name` over the tensors of `vb`; none if there is no such preset.
    ///
    /// # Errors
    /// If `vb` lacks a tensor or has one of another shape.
    pub fn from_name(vb: &VarBuilder, name: &str) -> Result<Option<Self>> {
        if let Some(config) = MobileNetV4Config::presets().iter().find(|config| config.name == name) {
            return Ok(Some(Model::MobileNetV4(MobileNetV4::new(vb, config)?)));
        }
        if let Some(config) = EfficientNetV2Config::presets().iter().find(|config| config.name == name) {
            return Ok(Some(Model::EfficientNetV2(EfficientNetV2::new(vb, config)?)));
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
            Model::EfficientNetV2(network) => network.run(executor, picture),
        }
    }

    /// The device that holds the weights.
    pub fn device(&self) -> &Device {
        match self {
            Model::MobileNetV4(network) => network.device(),
            Model::EfficientNetV2(network) => network.device(),
        }
    }

    /// Logits `[N]` of normalised RGB `pictures` `[N, 3, H, W]`, which may lie on another device than the network.
    ///
    /// # Errors
    /// If the shape is another.
    pub fn forward_t(&self, pictures: &Tensor, train: bool) -> Result<Tensor> {
        let mode = if train { Mode::Train } else { Mode::Evaluate };
        let maps = pictures.to_device(self.device())?.permute((1, 2, 3, 0))?.contiguous()?; // NCHW -> CHWN
        self.run(&mut Compute { mode }, &maps)?.flatten_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::initialise;
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
            let grads = network.forward_t(&pictures, true)?.sqr()?.sum_all()?.backward()?;
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
    fn an_unknown_name_is_no_network() -> Result<()> {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        assert!(Model::from_name(&vb, "mobilenetv4")?.is_none());
        Ok(())
    }
}
