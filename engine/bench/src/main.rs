//! Times the engine beside onnxruntime, tract and rten in one process, one thread each, turn by turn:
//!
//!     bench-native --models FOLDER [--onnxruntime LIBRARY] [--runs N] [--json FILE]
//!
//! The folder of models holds float.onnx, int8.onnx (seven-bit activations) and int8-fused.onnx (eight bits, the form that
//! onnxruntime fuses), each with one input and one output. `cargo xtask bench native` makes all of it and calls this.

mod column;
mod figures;
mod model;
mod peers;
mod report;

use anyhow::{Result, bail};
use clap::Parser;
use column::{Column, Turn, caught};
use engine::runtime::cpu::int8::Level;
use model::Models;
use peers::Onnxruntime;
use report::Report;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const WARM_UPS: usize = 10;
/// What two runtimes' floats may differ by: they sum in different orders.
const TOLERANCE: f32 = 1e-4;

#[derive(Parser)]
#[command(about = "Times the engine beside onnxruntime, tract and rten")]
struct Args {
    /// Folder of float.onnx, int8.onnx and int8-fused.onnx.
    #[arg(long, value_name = "FOLDER")]
    models: PathBuf,
    /// Shared library of onnxruntime.
    #[arg(long, value_name = "LIBRARY")]
    onnxruntime: Option<PathBuf>,
    /// Measured runs of each column.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Also write the results to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let models = Models::read(&args.models)?;
    let mut columns = engine_columns(&models)?;
    columns.extend(peer_columns(&models, args.onnxruntime.as_deref()));
    for _ in 0..WARM_UPS {
        columns.iter_mut().for_each(|column| column.run(Turn::WarmUp));
    }
    for _ in 0..args.runs {
        columns.iter_mut().for_each(|column| column.run(Turn::Measured));
    }
    let report = Report::new(&models, columns, args.onnxruntime.as_deref())?;
    if let Some(path) = &args.json {
        report.write(path)?;
    }
    writeln!(std::io::stdout(), "{}", report.table())?;
    // After the figures: they may tell why.
    report.check(TOLERANCE)
}

/// Floats, integers by each level of this machine, and eight bits by the best one.
fn engine_columns(models: &Models) -> Result<Vec<Column>> {
    let float =
        Column::load("engine float".into(), &models.float, || peers::engine(&models.float, Level::best()));
    let mut columns = vec![float];
    // Plain loops are there for other machines.
    for level in Level::available().into_iter().filter(|&level| level != Level::Scalar) {
        let name = format!("engine {}", level.name());
        columns.push(Column::load(name, &models.int8, || peers::engine(&models.int8, level)));
    }
    // Eight bits may need wider products.
    let name = format!("engine {} 8-bit", Level::best().exact_for(u8::MAX).name());
    columns.push(Column::load(name, &models.fused, || peers::engine(&models.fused, Level::best())));
    for column in &columns {
        if let Some(reason) = column.failure() {
            bail!("{}: {reason}", column.name);
        }
    }
    Ok(columns)
}

/// Floats and integers by each peer; integers in the form of the file that onnxruntime fuses.
fn peer_columns(models: &Models, library: Option<&Path>) -> Vec<Column> {
    let onnxruntime = caught(|| Onnxruntime::open(library));
    let forms = [("float", &models.float), ("int8", &models.fused)];
    let mut columns = Vec::new();
    for (form, model) in forms {
        columns.push(Column::load(format!("onnxruntime {form}"), model, || match &onnxruntime {
            Ok(onnxruntime) => onnxruntime.load(model),
            Err(reason) => bail!("{reason:#}"),
        }));
    }
    for (form, model) in forms {
        columns.push(Column::load(format!("tract {form}"), model, || peers::tract(model)));
    }
    for (form, model) in forms {
        columns.push(Column::load(format!("rten {form}"), model, || peers::rten(model)));
    }
    columns
}
