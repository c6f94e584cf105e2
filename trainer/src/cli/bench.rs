//! `aware bench`: one report on what a bundle is worth.

use super::judge::print;
use super::progress_bar;
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use trainer::bench::mobile::{MobileConfig, MobileReport};
use trainer::bench::{BenchReport, Observer, Part, Plan, bench, write_bench};
use trainer::dataset::Split;
use trainer::faces::FaceConfig;
use trainer::interrupt::{Interrupt, Stop};
use trainer::optimize::BenchmarkConfig;

/// Examples of `aware bench --help`.
pub(super) const EXAMPLES: &str = "The folder gets bench.json, report.html and plots/NAME.svg, after each part anew: what is \
    done when Ctrl-C comes is kept. Times are of one thread, in turns; robustness is judged by all cores. `aware ready` \
    reads bench.json, and `cargo xtask bench compare docs/baselines/bench.json FILE` holds it to what was kept.\n\n\
    Exit codes:\n  0  every part was done\n  1  a bundle, the pictures, the page or the browser is not sound\n  \
    2  the arguments are wrong\n  3  a simulation of a phone does not count; the report says why\n  \
    130  stopped by Ctrl-C, 143 by SIGTERM\n\n\
    Examples:\n  aware bench models/faces-int8 --pictures runs/manifest.csv --output runs/bench\n  \
    aware bench models/faces-int8 --original models/faces --pictures runs/manifest.csv --datasets ciplab stylegan2 \\\n      \
    --output runs/bench\n  \
    aware bench models/faces-int8 --pictures runs/manifest.csv --only speed --json --output runs/bench | jq .summary\n  \
    aware bench models/faces-int8 --mobile-simulation --output runs/phone      # the page in dist, in your own Chromium";

/// Exit code where a simulation does not count.
const NOT_COUNTED: u8 = 3;

#[derive(Args)]
pub(super) struct BenchArgs {
    /// Folder of the bundle that would be shipped.
    bundle: PathBuf,
    /// Folder of a bundle with the same networks in floats, to compare with.
    #[arg(long, value_name = "BUNDLE")]
    original: Option<PathBuf>,
    /// Manifest of labelled pictures, as `aware prepare` writes it.
    #[arg(long, value_name = "CSV", required_unless_present = "mobile_simulation")]
    pictures: Option<PathBuf>,
    /// The pictures that are judged.
    #[arg(long, value_enum, default_value = "test")]
    split: Split,
    /// Data sets in it; all if none is named.
    #[arg(long, num_args = 1..)]
    datasets: Vec<String>,
    /// Detector that finds the faces which are judged: a folder of `bundle-face`, or a YuNet file. Else, and with "none", the
    /// manifest's regions are, the middle of a picture where it has none.
    #[arg(long, value_name = "DETECTOR", default_value = "none")]
    faces: PathBuf,
    /// Parts to do on the pictures; all if none is named.
    #[arg(long, value_enum, num_args = 1.., requires = "pictures")]
    only: Vec<Part>,
    /// JSON file that says how it is measured; see trainer/configs/benchmark.json.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the report.
    #[arg(long)]
    output: PathBuf,
    /// The report as JSON on standard output, in place of tables.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    phone: PhoneArgs,
}

/// How a phone is simulated.
#[derive(Args)]
#[command(next_help_heading = "Simulated phone")]
struct PhoneArgs {
    /// Also let the built page measure itself in Chromium, with a phone's screen and less of the processor's time. Alone if no
    /// pictures are named.
    #[arg(long)]
    mobile_simulation: bool,
    /// Folder of the page, as `cargo xtask build` makes it.
    #[arg(long, value_name = "DIR", default_value = "dist", requires = "mobile_simulation")]
    site: PathBuf,
    /// The browser, by path or by name; else the first of chromium, chromium-browser, google-chrome that is there.
    #[arg(long, value_name = "PROGRAM", env = "AWARE_CHROMIUM")]
    chromium: Option<PathBuf>,
    /// How many times slower; the page as it is always comes first.
    #[arg(
        long,
        value_name = "RATE,RATE",
        value_delimiter = ',',
        default_value = "4,6",
        requires = "mobile_simulation"
    )]
    rates: Vec<f64>,
    /// Length of each measurement.
    #[arg(long, default_value_t = 5.0, requires = "mobile_simulation")]
    seconds: f64,
    /// Least runs of each thing in each measurement.
    #[arg(long, value_name = "COUNT", default_value_t = 20, requires = "mobile_simulation",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Longest time of a measurement, with the start of browser or page.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "mobile_simulation",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    browser_timeout: u64,
}

impl PhoneArgs {
    fn config(&self) -> Option<MobileConfig> {
        self.mobile_simulation.then(|| MobileConfig {
            site: self.site.clone(),
            chromium: self.chromium.clone(),
            rates: self.rates.clone(),
            seconds: self.seconds,
            runs: self.runs,
            timeout: Duration::from_secs(self.browser_timeout),
        })
    }
}

impl BenchArgs {
    fn parts(&self) -> Vec<Part> {
        let mut parts = match (&self.pictures, self.only.is_empty()) {
            (None, _) => Vec::new(),
            (Some(_), true) => Part::ON_PICTURES.to_vec(),
            (Some(_), false) => self.only.clone(),
        };
        parts.extend(self.phone.mobile_simulation.then_some(Part::Mobile));
        parts
    }

    fn plan(&self) -> Result<Plan> {
        let mut config = match &self.config {
            Some(path) => BenchmarkConfig::read(path)?,
            None => BenchmarkConfig::default(),
        };
        if !self.datasets.is_empty() {
            config.datasets_to_test = self.datasets.clone();
        }
        Ok(Plan {
            bundle: self.bundle.clone(),
            original: self.original.clone(),
            pictures: self.pictures.clone(),
            split: self.split,
            faces: FaceConfig::named(Some(&self.faces)),
            parts: self.parts(),
            config,
            mobile: self.phone.config(),
        })
    }
}

pub(super) fn run_bench(args: &BenchArgs) -> Result<ExitCode> {
    let plan = args.plan()?;
    let interrupt = Interrupt::install()?;
    let progress = progress_bar("{pos}/{len}");
    let observer = Observer { interrupt: &interrupt, progress: &progress };
    let mut keep = |report: &BenchReport| write_bench(report, &args.output);
    let mut report = bench(&plan, &observer, &mut keep)?;
    if plan.config.memory_profiling && !report.stopped {
        for (index, folder) in [Some(&plan.bundle), plan.original.as_ref()].into_iter().flatten().enumerate()
        {
            report.note_peak_memory(index, peak_memory(folder)?);
        }
        write_bench(&report, &args.output)?;
    }
    match args.json {
        true => print(&(serde_json::to_string_pretty(&report)? + "\n"))?,
        false => print(&format!("{}{}\n", report.text(), args.output.join("bench.json").display()))?,
    }
    let is_counted = report.mobile_compatibility.as_ref().is_none_or(MobileReport::is_valid);
    let code = if is_counted { ExitCode::SUCCESS } else { ExitCode::from(NOT_COUNTED) };
    Ok(interrupt.stop().map_or(code, Stop::exit_code))
}

/// Most bytes that a process of this program takes to load and run all networks of the bundle in `folder`.
pub(super) fn peak_memory(folder: &Path) -> Result<Option<u64>> {
    let program = std::env::current_exe().context("this program has no path")?;
    let output = Command::new(program)
        .args(["validate", "--json", "--runs", "3"])
        .arg(folder)
        .output()
        .context("cannot run this program once more, to measure its memory")?;
    // What a bundle without golden vectors took is measured all the same.
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.stdout.is_empty(), "{}", text.trim());
    let validation: serde_json::Value = serde_json::from_slice(&output.stdout).context("its validation")?;
    Ok(validation.get("peak_memory_bytes").and_then(serde_json::Value::as_u64))
}
