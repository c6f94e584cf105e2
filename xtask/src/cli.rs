//! Command line: one subcommand a purpose.

use crate::bench::{Backend, BenchConfig, NetworkConfig, bench_native, bench_page, bench_train};
use crate::pipeline::{Mode, PipelineConfig};
use crate::project::Project;
use crate::regression::{Write, compare};
use crate::say::say;
use crate::{artifacts, demo, install, offline, peer, pipeline, steps, wasm};
use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use site::Server;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Everything around the code of AWARE")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install every tool that is missing.
    Setup,
    /// Build the program `aware` and the page (folder dist).
    Build,
    /// Serve the built page on this machine.
    Serve(ServeArgs),
    /// Install, build, judge the sample pictures, and serve the page.
    Demo(DemoArgs),
    /// Install what is missing and run every check and test.
    Test(TestArgs),
    /// From pictures to a validated bundle: prepare, train, optimize, bundle, validate.
    Pipeline(PipelineArgs),
    /// Measure speed.
    Bench(BenchArgs),
    /// Add to a built page what Trunk does not: the engine for browsers with relaxed SIMD, what the benchmark compares with, and
    /// the service worker.
    #[command(hide = true)]
    FinishPage {
        /// Folder of the page.
        #[arg(env = "TRUNK_STAGING_DIR", default_value = "dist")]
        folder: PathBuf,
    },
    /// Write version and service worker of a finished page that was changed.
    #[command(hide = true)]
    Offline {
        /// Folder of the page.
        #[arg(default_value = "dist")]
        folder: PathBuf,
    },
}

#[derive(Args)]
struct ServeArgs {
    /// Port; 0 takes any free one.
    #[arg(long, default_value_t = demo::PORT)]
    port: u16,
    /// Folder to serve, instead of dist.
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Args)]
struct DemoArgs {
    /// Judge a sample in a headless browser, compare with the program, and end.
    #[arg(long, conflicts_with = "port")]
    check: bool,
    /// Port of the page; 0 takes any free one.
    #[arg(long, default_value_t = demo::PORT)]
    port: u16,
}

#[derive(Args)]
struct TestArgs {
    /// Run the other steps after a failed one.
    #[arg(long)]
    keep_going: bool,
    /// Run this step only, without the one that installs; may be repeated.
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Print the steps and end.
    #[arg(long)]
    list: bool,
}

#[derive(Args)]
struct PipelineArgs {
    /// How much is trained.
    #[arg(long, value_enum, default_value = "quick")]
    mode: Mode,
    /// Folder of the sets, SET/{real,fake} or published ones.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Folder of everything that is written; a new one.
    #[arg(long, value_name = "FOLDER", default_value = "runs/pipeline")]
    output: PathBuf,
}

#[derive(Args)]
struct BenchArgs {
    #[command(subcommand)]
    what: BenchTarget,
}

#[derive(Subcommand)]
enum BenchTarget {
    /// The engine beside onnxruntime-web and LiteRT.js in a headless browser, on a network with random weights.
    Page(PageArguments),
    /// The engine beside onnxruntime, tract and rten on this machine, on a network with random weights.
    Native(NetworkArguments),
    /// A training step beside stock candle.
    Train(BenchArguments),
    /// A result of the others (--json) against what was kept; fails if a ratio to a peer is a tenth worse.
    Compare(CompareArguments),
}

#[derive(Args)]
struct BenchArguments {
    /// Also write the results to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measured runs of each side.
    #[arg(long)]
    runs: Option<u32>,
}

#[derive(Args)]
struct CompareArguments {
    /// What was kept, as docs/baselines/page.json.
    baseline: PathBuf,
    /// The new result.
    result: PathBuf,
    /// Keep the new values in place of the old ones.
    #[arg(long)]
    write: bool,
}

#[derive(Args)]
struct NetworkArguments {
    #[command(flatten)]
    bench: BenchArguments,
    /// Preset of the network.
    #[arg(long, value_name = "NAME", default_value = "mobilenetv4-conv-small")]
    network: String,
    /// Width and height of the picture.
    #[arg(long, value_name = "PIXELS", default_value_t = 256)]
    image_size: u32,
}

#[derive(Args)]
struct PageArguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// On WebGPU instead: our kernels beside onnxruntime-web and wonnx.
    #[arg(long)]
    gpu: bool,
}

impl NetworkArguments {
    fn configs(self) -> (BenchConfig, NetworkConfig) {
        let network = NetworkConfig { network: self.network, image_size: self.image_size };
        (self.bench.config(), network)
    }
}

impl BenchArguments {
    fn config(self) -> BenchConfig {
        BenchConfig { json: self.json, runs: self.runs }
    }
}

/// Parses the arguments, runs the command and gives its exit code.
pub fn run() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    let project = Project::find()?;
    match command {
        Command::Setup => install::install_all(&project)?,
        Command::FinishPage { folder } => {
            let folder = std::path::absolute(folder)?;
            peer::copy(&project, &folder)?;
            wasm::build_relaxed_worker(&project, &folder)?;
            offline::write_service_worker(&project, &folder)?;
        }
        Command::Offline { folder } => {
            say!("{}", offline::write_service_worker(&project, &std::path::absolute(folder)?)?);
        }
        Command::Build => {
            artifacts::build_program(&project)?;
            artifacts::build_page(&project)?;
        }
        Command::Serve(args) => {
            let server = Server::bind(&args.dir.unwrap_or(project.dist()), args.port)?;
            say!("{}", server.url());
            server.run()?;
        }
        Command::Demo(args) if args.check => demo::check(&project)?,
        Command::Demo(args) => demo::show(&project, args.port)?,
        Command::Pipeline(args) => {
            let data = args.data.map(std::path::absolute).transpose()?;
            let output = std::path::absolute(args.output)?;
            pipeline::run(&project, &PipelineConfig { mode: args.mode, data, output })?;
        }
        Command::Test(args) if args.list => steps::list(),
        Command::Test(args) => return steps::run(&project, &args.only, args.keep_going.into()),
        Command::Bench(BenchArgs { what }) => match what {
            BenchTarget::Page(args) => {
                let backend = if args.gpu { Backend::Gpu } else { Backend::Cpu };
                let (config, network) = args.network.configs();
                bench_page(&project, backend, &config, &network)?;
            }
            BenchTarget::Native(args) => {
                let (config, network) = args.configs();
                bench_native(&project, &config, &network)?;
            }
            BenchTarget::Train(args) => bench_train(&project, &args.config())?,
            BenchTarget::Compare(args) => {
                let write = if args.write { Write::Keep } else { Write::Nothing };
                compare(&args.baseline, &args.result, write)?;
            }
        },
    }
    Ok(ExitCode::SUCCESS)
}
