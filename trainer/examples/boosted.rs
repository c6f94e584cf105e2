//! Grows trees on made numbers and writes what trainer and engine say of them, for comparison with other runtimes.
//!
//!     boosted FOLDER
//!
//! The folder gets meta.onnx, rows.f32 `[N, 9]`, and P(fake) of each row in trainer.f32 and engine.f32: little-endian floats.

use anyhow::{Context, Result};
use engine::{Session, Tensor};
use nalgebra::DMatrix;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::PathBuf;
use trainer::boosting::{BoostingConfig, Ensemble};
use trainer::export::trees_bytes;
use trainer::metrics::sigmoid;

const ROWS: usize = 2000;
const COLUMNS: usize = 9;

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("usage: boosted FOLDER")?);
    std::fs::create_dir_all(&folder)?;
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    // Few distinct values in some columns, so that rows lie on the questions' borders.
    let value = |rng: &mut ChaCha8Rng, column: usize| -> f32 {
        let value: f32 = rng.random_range(-3.0..3.0);
        if column.is_multiple_of(3) { (value * 4.0).round() / 4.0 } else { value }
    };
    let rows: Vec<[f32; COLUMNS]> =
        (0..ROWS).map(|_| std::array::from_fn(|column| value(&mut rng, column))).collect();
    let matrix = DMatrix::from_fn(ROWS, COLUMNS, |r, c| f64::from(rows[r][c]));
    let fakes: Vec<bool> =
        rows.iter().map(|row| row[0] * row[1] + row[4] + rng.random_range(-1.0..1.0) > 0.0).collect();
    let config = BoostingConfig {
        trees: 200,
        learning_rate: 0.1,
        depth: 5,
        l2: 1.0,
        min_leaf_weight: 1.0,
        row_share: 0.8,
        column_share: 0.7,
        seed: 1,
    };
    let ensemble = Ensemble::fit(&matrix, &fakes, &config)?.cooled(1.3);
    let names: Vec<String> = (0..COLUMNS).map(|column| format!("value.{column}")).collect();
    let onnx = trees_bytes(&ensemble, &names, Vec::new())?;
    let mut session = Session::load(&onnx)?;
    let (mut trained, mut ran) = (Vec::new(), Vec::new());
    for row in &rows {
        trained.push(sigmoid(f64::from(ensemble.logit(&row.map(f64::from)))) as f32);
        ran.push(session.run(&Tensor::from_vec(vec![1, COLUMNS], row.to_vec()))?.values()[1]);
    }
    std::fs::write(folder.join("meta.onnx"), onnx)?;
    let write = |name: &str, values: &[f32]| -> Result<()> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok(std::fs::write(folder.join(name), bytes)?)
    };
    write("rows.f32", rows.as_flattened())?;
    write("trainer.f32", &trained)?;
    write("engine.f32", &ran)
}
