//! `cargo xtask pipeline`: data -> manifest -> network -> integers -> bundle -> validation -> report, one command each.

use crate::process::{LONG, run_for_code, run_shown};
use crate::project::Project;
use crate::say::say;
use crate::{artifacts, install};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Limit of one step of a full run.
const DAYS: Duration = Duration::from_secs(7 * 24 * 3600);

/// What `aware ready` ends with where a line fails.
const NOT_READY: i32 = 3;

/// How much is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// An epoch or two on pictures that the command makes: whether every step runs.
    Test,
    /// A few epochs.
    Quick,
    /// As the configurations say.
    Full,
}

impl Mode {
    /// Epochs of training and of optimising; none where the configurations say it.
    fn epochs(self) -> Option<[u64; 2]> {
        match self {
            Mode::Test => Some([2, 1]),
            Mode::Quick => Some([3, 3]),
            Mode::Full => None,
        }
    }
}

/// Choices of a run.
pub struct PipelineConfig {
    /// How much is trained.
    pub mode: Mode,
    /// Folder of the sets; pictures are made if there is none, which only a test allows.
    pub data: Option<PathBuf>,
    /// Folder of everything that is written; it must not exist.
    pub output: PathBuf,
}

/// Runs every step; the first one that fails ends the run.
///
/// # Errors
/// Those of the steps; if the output exists.
pub fn run(project: &Project, config: &PipelineConfig) -> Result<()> {
    let output = &config.output;
    ensure!(!output.exists(), "{} exists already; name another folder with --output", output.display());
    let mode = config.mode;
    ensure!(
        config.data.is_some() || mode == Mode::Test,
        "name the folder of the sets with --data; only --mode test makes pictures of its own"
    );
    install::install_all(project)?;
    artifacts::build_program(project)?;
    std::fs::create_dir_all(output).with_context(|| format!("cannot make {}", output.display()))?;
    let data = match &config.data {
        Some(data) => data.clone(),
        None => {
            let data = output.join("data");
            let mut make = project.command(project.python());
            step("pictures", make.args(["-B", "tools/toy_set.py"]).arg(&data), LONG)?;
            data
        }
    };
    let manifest = output.join("manifest.csv");
    let aware = |subcommand: &str| {
        let mut command = project.command(project.aware());
        command.arg(subcommand);
        command
    };
    step("prepare", aware("prepare").arg(&data).arg("--output").arg(&manifest), DAYS)?;
    let [training, qat] = configurations(project, config, &manifest)?;
    let run = output.join("run");
    step("train", aware("train").arg("--config").arg(&training).arg("--output").arg(&run), DAYS)?;
    let optimized = output.join("optimized");
    step("optimize", aware("optimize").args(["--model", "stage1", "--config"]).arg(&qat), DAYS)?;
    let card = output.join("CARD.md");
    std::fs::write(&card, "# Written by `cargo xtask pipeline`\n\nNot judged by anybody yet.\n")
        .with_context(|| format!("cannot write {}", card.display()))?;
    let deployment = deployment(mode, output)?;
    let write = |folder: &Path| {
        let mut write = aware("bundle");
        write.arg("--run").arg(&run).arg("--card").arg(&card).arg("--output").arg(folder);
        write.args(["--name", "pipeline", "--version", "0.0.0", "--licence", "not for use"]);
        write
    };
    let [bundle, floats] = ["bundle", "bundle-floats"].map(|name| output.join(name));
    let integers = optimized.join("stage1");
    step("bundle", write(&bundle).arg("--optimized").arg(integers).arg("--config").arg(deployment), DAYS)?;
    step("validate", aware("validate").arg(&bundle), LONG)?;
    // What the integers are compared with.
    step("bundle of floats", &mut write(&floats), DAYS)?;
    let bench = output.join("bench");
    let mut measure = aware("bench");
    measure.arg(&bundle).arg("--original").arg(&floats).arg("--pictures").arg(&manifest);
    step("bench", measure.arg("--output").arg(&bench), DAYS)?;
    let mut ready = aware("ready");
    ready.arg(&bundle).arg("--report").arg(bench.join("bench.json"));
    say!("-- ready");
    // That a network is not good enough is an answer, and no fault of the step.
    match run_for_code(ready.arg(optimized.join("optimization_comparison.json")), LONG)? {
        Some(0) => say!("ready"),
        Some(NOT_READY) => say!("not ready: the lines above say why"),
        _ => bail!("the step ready failed"),
    }
    say!(
        "everything is in {}; open {} and {}",
        output.display(),
        optimized.join("report.html").display(),
        bench.join("report.html").display()
    );
    Ok(())
}

fn step(name: &str, command: &mut Command, limit: Duration) -> Result<()> {
    say!("-- {name}");
    run_shown(command, limit).with_context(|| format!("the step {name} failed"))
}

/// The configurations of training and of optimising, written into the output folder.
fn configurations(project: &Project, config: &PipelineConfig, manifest: &Path) -> Result<[PathBuf; 2]> {
    let output = &config.output;
    let read = |name: &str| {
        let path = project.root.join("trainer/configs").join(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let mut training: toml::Table = read("stage1.toml")?.parse().context("stage1.toml")?;
    let mut qat: serde_json::Value = serde_json::from_str(&read("qat.json")?).context("qat.json")?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    training.insert("manifest".into(), text(manifest).into());
    if config.data.is_some() {
        // Whatever sets there are.
        training.remove("datasets");
    }
    qat["stage1_model_path"] = text(&output.join("run/best.safetensors")).into();
    qat["output_dir"] = text(&output.join("optimized")).into();
    if let Some([train, optimize]) = config.mode.epochs() {
        training.insert("epochs".into(), toml::Value::Integer(train as i64));
        qat["epochs"] = optimize.into();
    }
    if config.mode == Mode::Test {
        training.remove("datasets");
        for (key, value) in [("image_size", 64), ("batch_size", 8), ("warmup_epochs", 0)] {
            training.insert(key.into(), toml::Value::Integer(value));
        }
        training.insert("average_decay".into(), toml::Value::Float(0.0));
        for (key, value) in [("batch_size", 8), ("calibration_dataset_size", 32), ("sensitivity_pictures", 8)]
        {
            qat[key] = value.into();
        }
    }
    let [training_path, qat_path] = [output.join("stage1.toml"), output.join("qat.json")];
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write(&training_path, training.to_string())?;
    write(&qat_path, serde_json::to_string_pretty(&qat)?)?;
    Ok([training_path, qat_path])
}

/// The choices of the bundle: a network of two epochs may move further in integers than one that learned.
fn deployment(mode: Mode, output: &Path) -> Result<PathBuf> {
    let tolerance = if mode == Mode::Test { 0.5 } else { 0.1 };
    let path = output.join("deployment.json");
    let json = serde_json::json!({ "int8_probability_tolerance": tolerance });
    std::fs::write(&path, json.to_string()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
