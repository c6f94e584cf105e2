//! GenConViT: every branch matters, the latent is drawn by the seed, and training brings all terms of its loss down.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{VarBuilder, VarMap};
use trainer::loss::{LossWeights, total_loss};
use trainer::models::{Compute, GenConViT, GenConViTConfig, Mode, Model, NoiseSeed, initialise};
use trainer::optimizer::AdamW;

const TINY: &str = "genconvit-tiny";

fn network(name: &str) -> Result<(VarMap, Model)> {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let network = Model::from_name(&vb, name)?.unwrap();
    initialise(&variables, 1)?;
    Ok((variables, network))
}

/// Four pictures, the same in every call: waves of different lengths.
fn pictures(size: usize) -> Result<Tensor> {
    let values: Vec<f32> = (0..4 * 3 * size * size)
        .map(|i| {
            (((i / size) as f32 * 0.37).sin() + ((i % size) as f32 * (0.1 + i as f32 * 1e-5)).cos()) * 0.7
        })
        .collect();
    Tensor::from_vec(values, (4, 3, size, size), &Device::Cpu)
}

/// Logits of `network` in evaluation while every variable whose name begins with `prefix` and has `part` in it is zero.
fn logits_without(
    variables: &VarMap,
    network: &Model,
    pictures: &Tensor,
    [prefix, part]: [&str; 2],
) -> Result<Tensor> {
    let kept: Vec<_> = variables
        .data()
        .lock()
        .unwrap()
        .iter()
        .filter(|(name, _)| name.starts_with(prefix) && name.contains(part) && !name.contains("running_"))
        .map(|(_, variable)| (variable.clone(), variable.copy().unwrap()))
        .collect();
    assert!(!kept.is_empty(), "nothing is called {prefix}*{part}*");
    for (variable, _) in &kept {
        variable.set(&variable.zeros_like()?)?;
    }
    let logits = network.forward_t(pictures, false)?;
    for (variable, value) in &kept {
        variable.set(value)?;
    }
    Ok(logits)
}

#[test]
fn every_branch_changes_the_logit() -> Result<()> {
    for name in ["genconvit", TINY] {
        let (variables, network) = network(name)?;
        let pictures = pictures(64)?;
        // Running moments that fit the network, as after training.
        for _ in 0..10 {
            network.forward_t(&pictures, true)?;
        }
        let whole = network.forward_t(&pictures, false)?;
        let change = |prefix, part| -> Result<f32> {
            let without = logits_without(&variables, &network, &pictures, [prefix, part])?;
            (without - &whole)?.abs()?.max(0)?.to_scalar()
        };
        for (prefix, part) in [
            ("trunk.stages.", ""),
            ("trunk.windows.", ""),
            ("trunk.windows.", "key.conv"),
            ("trunk.windows.", "position_bias"),
            ("autoencoder.", "encoder."),
            ("autoencoder.", "decoder."),
            ("variational.", "encoder."),
            ("variational.", "latent.mean"),
            ("variational.", "decoder."),
        ] {
            let change = change(prefix, part)?;
            println!("{name} without {prefix}*{part}*: {change}");
            assert!(change > 1e-4, "{name}: {prefix}*{part}* is dead weight, {change}");
        }
        // Where nothing is learned the latent is its mean.
        assert_eq!(change("variational.", "latent.log_variance")?, 0.0);
    }
    Ok(())
}

#[test]
fn the_embedding_has_the_documented_size() -> Result<()> {
    for (config, expected) in GenConViTConfig::presets().into_iter().zip([1920, 1152]) {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        let network = GenConViT::new(&vb, &config)?;
        let maps = pictures(32)?.permute((1, 2, 3, 0))?.contiguous()?;
        let embedding = network.embed(&mut Compute::new(Mode::Evaluate), &maps)?;
        assert_eq!((config.embedding(), embedding.dims()), (expected, &[expected, 1, 1, 4][..]));
    }
    Ok(())
}

#[test]
fn the_latent_is_drawn_by_seed_epoch_and_step_in_training_alone() -> Result<()> {
    let (_, network) = network(TINY)?;
    let pictures = pictures(32)?;
    let learned = |epoch, step| -> Result<Vec<f32>> {
        network.learn(&pictures, NoiseSeed { seed: 1, epoch, step })?.logits.to_vec1()
    };
    let first = learned(0, 0)?;
    assert_eq!(first, learned(0, 0)?);
    assert_ne!(first, learned(0, 1)?);
    assert_ne!(first, learned(1, 0)?);
    let judged = || -> Result<Vec<f32>> { network.forward_t(&pictures, false)?.to_vec1() };
    assert_eq!(judged()?, judged()?);
    Ok(())
}

#[test]
fn training_brings_every_term_down_and_keeps_it_finite() -> Result<()> {
    let (variables, network) = network(TINY)?;
    let pictures = pictures(32)?;
    let targets = Tensor::new(&[0f32, 1.0, 0.0, 1.0], &Device::Cpu)?;
    let mut optimizer = AdamW::new(&variables, 0.0, 5.0)?;
    let mut terms = Vec::new();
    for step in 0..30 {
        let lesson = network.learn(&pictures, NoiseSeed { seed: 1, epoch: 0, step })?;
        let error = (lesson.logits - &targets)?.sqr()?.mean_all()?;
        let values = [Some(&error), lesson.auxiliary.reconstruction.as_ref(), lesson.auxiliary.kl.as_ref()]
            .map(|term| term.unwrap().to_scalar::<f32>().unwrap());
        assert!(values.iter().all(|value| value.is_finite()), "step {step}: {values:?}");
        terms.push(values);
        // Weights at which each term has its say within a few steps.
        let weights = LossWeights { reconstruction: 1.0, kl: 0.5 };
        optimizer.step(&total_loss(error, &lesson.auxiliary, weights)?.backward()?, 3e-3)?;
    }
    // Weights are drawn anew each time and the latent at each step: single steps go up and down.
    let least =
        |terms: &[[f32; 3]], term: usize| terms.iter().map(|values| values[term]).fold(f32::MAX, f32::min);
    let last = [0, 1, 2].map(|term| least(&terms[terms.len() - 10..], term));
    let first = terms[0];
    println!("{first:?} -> {last:?}");
    assert!(last.iter().zip(&first).all(|(last, first)| last < first), "{first:?} -> {last:?}");
    Ok(())
}
