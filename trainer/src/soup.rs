//! The mean of finished networks of one kind that began at the same weights: a model soup (Wortsman et al., arXiv 2203.05482). It
//! costs what one network costs, and is often better than each of them.

use crate::checkpoint::Checkpoint;
use anyhow::{Context, Result, ensure};
use candle_core::{DType, Tensor};
use std::collections::HashMap;
use std::path::PathBuf;

/// The tensors of the mean of the networks in `files`, each counted as often as its share of `weights` says; running moments of
/// batch norms are averaged like weights.
///
/// # Errors
/// If there are fewer than two files, a weight for each is missing or is not a positive number, a file is no checkpoint, or they
/// are not of one network.
pub fn mean(files: &[PathBuf], weights: &[f64]) -> Result<HashMap<String, Tensor>> {
    ensure!(files.len() >= 2, "a mean needs two networks at least");
    ensure!(
        weights.len() == files.len(),
        "{} weights for {} networks: one for each is needed",
        weights.len(),
        files.len()
    );
    ensure!(
        weights.iter().all(|weight| weight.is_finite() && *weight > 0.0),
        "weights are positive numbers, got {weights:?}"
    );
    let total: f64 = weights.iter().sum();
    let first = Checkpoint::read(&files[0])?;
    let mut sums: HashMap<String, Tensor> = HashMap::new();
    for (file, weight) in files.iter().zip(weights) {
        let checkpoint = Checkpoint::read(file)?;
        let [network, other] = [&first, &checkpoint].map(|checkpoint| &checkpoint.progress.config.network);
        ensure!(network == other, "{} is of {other}, {} of {network}", file.display(), files[0].display());
        let of = || format!("{} does not fit {}", file.display(), files[0].display());
        let own = checkpoint.network();
        ensure!(sums.is_empty() || sums.len() == own.len(), "{}", of());
        for (name, tensor) in own {
            // In 64 bits, so that the order of files hardly matters.
            let part = ((tensor.to_dtype(DType::F64)? * *weight)? / total)?;
            let sum = match sums.remove(&name) {
                Some(sum) => (sum + part).with_context(of)?,
                None => {
                    ensure!(file == &files[0], "{}", of());
                    part
                }
            };
            sums.insert(name, sum);
        }
    }
    sums.into_iter().map(|(name, sum)| Ok((name, sum.to_dtype(DType::F32)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Progress, save_tensors};
    use crate::config::RunConfig;
    use candle_core::Device;
    use std::path::Path;

    fn write(path: &Path, network: &str, values: &[f32]) -> Result<()> {
        let tensors = HashMap::from([
            ("network.a".to_owned(), Tensor::new(values, &Device::Cpu)?),
            ("optimizer.a".to_owned(), Tensor::new(&[9f32], &Device::Cpu)?),
        ]);
        let config = RunConfig { network: network.into(), ..RunConfig::default() };
        save_tensors(path, &tensors, &Progress::start(config))
    }

    #[test]
    fn networks_count_by_their_weights_and_only_like_ones_mix() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("aware-soup-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let [a, b, other, longer] =
            ["a", "b", "other", "longer"].map(|name| folder.join(name).with_extension("safetensors"));
        write(&a, "one", &[1.0, -2.0])?;
        write(&b, "one", &[4.0, 1.0])?;
        write(&other, "two", &[4.0, 1.0])?;
        write(&longer, "one", &[4.0, 1.0, 0.0])?;
        let read = mean(&[a.clone(), b.clone()], &[1.0, 2.0])?;
        assert_eq!(read.len(), 1, "what trains one of them is none of the mean's");
        assert_eq!(read["a"].to_vec1::<f32>()?, [3.0, 0.0]);
        let refused = |files: &[&PathBuf], weights: &[f64]| {
            let files: Vec<PathBuf> = files.iter().map(|file| (*file).clone()).collect();
            format!("{:#}", mean(&files, weights).unwrap_err())
        };
        assert!(refused(&[&a], &[1.0]).contains("two networks"));
        assert!(refused(&[&a, &b], &[1.0]).contains("1 weights for 2"));
        assert!(refused(&[&a, &b], &[1.0, 0.0]).contains("positive"));
        assert!(refused(&[&a, &other], &[1.0, 1.0]).contains("is of two"));
        assert!(refused(&[&a, &longer], &[1.0, 1.0]).contains("does not fit"));
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }
}
