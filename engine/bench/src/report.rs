//! Figures of all columns, side by side.

use crate::WARM_UPS;
use crate::column::{Column, Runs};
use crate::model::Models;
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Runtimes that the others are compared with.
const PEERS: [&str; 3] = ["onnxruntime", "tract", "rten"];
/// What every column is compared with.
const BASE: &str = "onnxruntime int8";
/// Processor time by time on the clock, from which on a column had more than its one thread; the rest is the system's.
const MORE_THAN_ONE: f64 = 1.1;

/// Figures of all columns.
pub struct Report<'a> {
    models: &'a Models,
    columns: Vec<Column>,
    versions: Value,
    processor: String,
    cores: usize,
}

impl<'a> Report<'a> {
    /// The report of `columns`, with the versions of all peers.
    ///
    /// # Errors
    /// If the lock file of this package does not name a peer.
    pub fn new(models: &'a Models, columns: Vec<Column>, onnxruntime: Option<&Path>) -> Result<Self> {
        let versions = json!({
            "onnxruntime": onnxruntime.and_then(library_version),
            "tract": locked_version("tract-onnx")?,
            "rten": locked_version("rten")?,
        });
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Report { models, columns, versions, processor: processor(), cores })
    }

    /// The figures as text, one line a column.
    pub fn table(&self) -> String {
        let row = |name: &str, cells: &[String]| {
            let cells: String = cells.iter().map(|cell| format!("{cell:>10}")).collect();
            format!("{name:<25}{cells}")
        };
        let version = |peer: &str| self.versions[peer].as_str().unwrap_or("unknown").to_owned();
        let [onnxruntime, tract, rten] = PEERS.map(version);
        let head = [
            "median ms",
            "min ms",
            "p90 ms",
            "spread",
            "x faster",
            "x ort",
            "x tract",
            "x rten",
            "load ms",
            "first ms",
            "cores",
            "output",
            "differs",
        ];
        let mut lines = vec![
            format!(
                "one thread, {} runs, turn by turn, onnxruntime {onnxruntime}, tract {tract}, rten {rten}, {}",
                self.runs(),
                self.processor
            ),
            row("", &head.map(str::to_owned)),
        ];
        for column in &self.columns {
            lines.push(match self.cells(column) {
                Some(cells) => row(&column.name, &cells),
                None => format!("{:<25}    cannot: {}", column.name, column.failure().unwrap_or("no runs")),
            });
        }
        lines.push(format!(
            "\"x faster\" is against {BASE}, \"x ort\", \"x tract\" and \"x rten\" against the peer's floats or integers, as \
             the line; \"cores\" is processor time by time on the clock; \"differs\" is from the engine on the same file"
        ));
        let busy = |column: &&Column| column.runs().is_some_and(|runs| runs.cores() > MORE_THAN_ONE);
        lines.extend(
            self.columns
                .iter()
                .filter(busy)
                .map(|column| format!("{} had more than one thread", column.name)),
        );
        lines.join("\n")
    }

    fn cells(&self, column: &Column) -> Option<Vec<String>> {
        let runs = column.runs()?;
        let figures = runs.figures()?;
        let ms = |value: f64| format!("{value:.2}");
        let ratio = |value: Option<f64>| value.map_or_else(String::new, ms);
        let mut cells = [figures.median_ms, figures.min_ms, figures.p90_ms].map(ms).to_vec();
        cells.push(format!("{:.0} %", figures.spread * 100.0));
        cells.push(ratio(self.times_faster(runs, BASE)));
        cells.extend(PEERS.map(|peer| ratio(self.times_faster(runs, &same_form(peer, column)))));
        cells.extend([runs.load_ms, runs.first_run_ms, runs.cores()].map(ms));
        cells.push(format!("{:.4}", runs.output[0]));
        cells.push(self.difference(column).map_or_else(String::new, |value| format!("{value:.1e}")));
        Some(cells)
    }

    /// Writes the figures and all times as JSON.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let models = self.models.all().map(|model| {
            (model.name.to_owned(), json!({ "bytes": model.onnx.len(), "sha256": model.sha256() }))
        });
        let report = json!({
            "models": Map::from_iter(models),
            "runs": self.runs(),
            "warm_ups": WARM_UPS,
            "threads": 1,
            "columns": self.columns.iter().map(|column| self.column_json(column)).collect::<Vec<_>>(),
            "versions": self.versions,
            "machine": { "processor": self.processor, "cores": self.cores },
        });
        let text = format!("{}\n", serde_json::to_string_pretty(&report)?);
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn column_json(&self, column: &Column) -> Value {
        let Some((runs, figures)) = column.runs().and_then(|runs| Some((runs, runs.figures()?))) else {
            return json!({ "name": column.name, "model": column.model, "cannot": column.failure() });
        };
        let than =
            PEERS.map(|peer| (peer.to_owned(), json!(self.times_faster(runs, &same_form(peer, column)))));
        json!({
            "name": column.name,
            "model": column.model,
            "load_ms": runs.load_ms,
            "first_run_ms": runs.first_run_ms,
            "output": runs.output,
            "difference": self.difference(column),
            "median_ms": figures.median_ms,
            "min_ms": figures.min_ms,
            "p90_ms": figures.p90_ms,
            "spread": figures.spread,
            "times_faster": self.times_faster(runs, BASE),
            "times_faster_than": Map::from_iter(than),
            "cores": runs.cores(),
            "times_ms": runs.times_ms,
        })
    }

    /// Whether all agree in floats.
    ///
    /// # Errors
    /// If a peer's output is further than `tolerance` from the engine's.
    pub fn check(&self, tolerance: f32) -> Result<()> {
        for column in self.columns.iter().filter(|column| column.model == "float" && column.runs().is_some())
        {
            let difference = self.difference(column).context("the outputs have different lengths");
            let difference = difference.with_context(|| column.name.clone())?;
            ensure!(difference <= tolerance, "{} differs from the engine by {difference:e}", column.name);
        }
        Ok(())
    }

    /// The largest difference to the engine's output for the same file.
    fn difference(&self, column: &Column) -> Option<f32> {
        let is_engines = |other: &&Column| other.model == column.model && other.name.starts_with("engine");
        column.runs()?.difference(self.columns.iter().find(is_engines)?.runs()?)
    }

    /// How many runs the column fits into the time of one run of the column called `peer`.
    fn times_faster(&self, runs: &Runs, peer: &str) -> Option<f64> {
        let peer = self.columns.iter().find(|column| column.name == peer)?.runs()?.figures()?;
        Some(peer.median_ms / runs.figures()?.median_ms)
    }

    fn runs(&self) -> usize {
        self.columns.iter().filter_map(Column::runs).map(|runs| runs.times_ms.len()).max().unwrap_or(0)
    }
}

/// The peer's column in the form, floats or integers, of `column`.
fn same_form(peer: &str, column: &Column) -> String {
    format!("{peer} {}", if column.model == "float" { "float" } else { "int8" })
}

/// The version in the name of a library: `libonnxruntime.so.1.2.3`.
fn library_version(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let start = name.find(|c: char| c.is_ascii_digit())?;
    Some(name[start..].trim_end_matches(".dylib").to_owned())
}

/// The version of a crate that this program was built with.
fn locked_version(name: &str) -> Result<String> {
    let mut lines =
        include_str!("../Cargo.lock").lines().skip_while(|line| *line != format!("name = \"{name}\""));
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = ")).context("not in Cargo.lock");
    Ok(version.with_context(|| name.to_owned())?.trim_matches('"').to_owned())
}

/// The processor as it calls itself.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(|| format!("unknown {}", std::env::consts::ARCH), |(_, name)| name.trim().to_owned())
}
