//! Brings the tools of [`TOOLS`] that are missing, one line each; asks for nothing.

use crate::process::{LONG, QUICK, run_captured};
use crate::project::Project;
use crate::say::say;
use crate::system;
use crate::tools::{Source, TOOLS, Tool, Version};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Instant;

/// What became of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was there.
    Present,
    /// It was brought.
    Installed,
}

/// Installs what is missing, for the user or, system packages, for the machine.
///
/// # Errors
/// At the first tool that cannot be installed: the command and the last lines of its output.
pub fn install_all(project: &Project) -> Result<()> {
    system::install_packages(project)?;
    for tool in TOOLS {
        let install = || match &tool.source {
            Source::RustTarget => rust_target(project, tool.name),
            Source::RustComponent { subcommand } => rust_component(project, tool.name, subcommand),
            Source::Cargo { program, arguments } => cargo_tool(project, tool, program, arguments),
            Source::System { .. } => system::check(project, tool),
            Source::Npm => npm_packages(project),
            // All of them are one step, below.
            Source::Pip => Ok(Outcome::Present),
        };
        if !matches!(tool.source, Source::Pip) {
            step(tool.name, &tool.version.to_string(), install)?;
        }
    }
    let packages = pip_packages();
    step("Python packages", &packages.join(" "), || python_packages(project, &packages))
}

/// Runs `install` and prints one line: what, how it went, how long it took.
pub fn step(name: &str, version: &str, install: impl FnOnce() -> Result<Outcome>) -> Result<()> {
    let started = Instant::now();
    let outcome = install().with_context(|| format!("cannot install {name} ({version})"))?;
    let word = match outcome {
        Outcome::Present => "present",
        Outcome::Installed => "installed",
    };
    say!("{word:9} {:6.1} s  {name} {version}", started.elapsed().as_secs_f64());
    Ok(())
}

fn rust_target(project: &Project, target: &str) -> Result<Outcome> {
    let mut ask = project.command("rustc");
    let library = run_captured(ask.args(["--print", "target-libdir", "--target", target]), QUICK)?;
    if Path::new(library.trim()).is_dir() {
        return Ok(Outcome::Present);
    }
    run_captured(project.command("rustup").args(["target", "add", target]), LONG)?;
    Ok(Outcome::Installed)
}

fn rust_component(project: &Project, component: &str, subcommand: &str) -> Result<Outcome> {
    if run_captured(project.cargo().args([subcommand, "--version"]), QUICK).is_ok() {
        return Ok(Outcome::Present);
    }
    run_captured(project.command("rustup").args(["component", "add", component]), LONG)?;
    Ok(Outcome::Installed)
}

fn cargo_tool(project: &Project, tool: &Tool, program: &str, arguments: &[&str]) -> Result<Outcome> {
    let folder = tool.folder(&project.tools).context("a tool of cargo needs an exact version")?;
    let is_there = || {
        let said = run_captured(project.command(folder.join("bin").join(program)).arg("--version"), QUICK);
        said.is_ok_and(|output| tool.version.accepts(&output))
    };
    if is_there() {
        return Ok(Outcome::Present);
    }
    let build = project.tools.join(format!("build-{}", tool.name));
    remove_folder(&build)?;
    let mut install = project.cargo();
    install.args(["install", "--force", "--root"]).arg(&folder).args(arguments);
    install.arg(format!("{}@{}", tool.name, tool.version)).env("CARGO_TARGET_DIR", &build);
    // They run for seconds: a quick build matters more than quick programs.
    for (key, value) in [("OPT_LEVEL", "1"), ("LTO", "false"), ("CODEGEN_UNITS", "16"), ("DEBUG", "0")] {
        install.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    let built = run_captured(&mut install, LONG);
    remove_folder(&build)?;
    built?;
    ensure!(is_there(), "{} does not say that it is version {}", folder.display(), tool.version);
    Ok(Outcome::Installed)
}

fn remove_folder(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn npm_packages(project: &Project) -> Result<Outcome> {
    if npm_packages_are_there(&project.web())? {
        return Ok(Outcome::Present);
    }
    let mut install = project.command("npm");
    install.args(["ci", "--no-audit", "--no-fund"]).current_dir(project.web());
    run_captured(&mut install, LONG)?;
    ensure!(
        npm_packages_are_there(&project.web())?,
        "npm ci left other versions than web/package-lock.json names"
    );
    Ok(Outcome::Installed)
}

/// Whether every package of the lock file lies there in its version.
fn npm_packages_are_there(web: &Path) -> Result<bool> {
    let lock = read_json(&web.join("package-lock.json"))?;
    let packages = lock["packages"].as_object().context("web/package-lock.json lists no packages")?;
    Ok(packages.iter().filter(|(folder, _)| !folder.is_empty()).all(|(folder, locked)| {
        let optional = locked["optional"] == true;
        let found = read_json(&web.join(folder).join("package.json"));
        found.map_or(optional, |package| package["version"] == locked["version"])
    }))
}

fn read_json(path: &Path) -> Result<serde_json::Value> {
    let context = || format!("cannot read {}", path.display());
    serde_json::from_slice(&std::fs::read(path).with_context(context)?).with_context(context)
}

/// The packages of the Python environment, as pip wants and prints them.
fn pip_packages() -> Vec<String> {
    let pinned = TOOLS.iter().filter_map(|tool| match (&tool.source, &tool.version) {
        (Source::Pip, Version::Exactly(version)) => Some(format!("{}=={version}", tool.name)),
        _ => None,
    });
    pinned.collect()
}

fn python_packages(project: &Project, packages: &[String]) -> Result<Outcome> {
    if python_packages_are_there(project) {
        return Ok(Outcome::Present);
    }
    let python = system::find(project, system::tool("python3")?)?;
    run_captured(project.command(python).args(["-m", "venv", "--clear"]).arg(project.venv()), LONG)?;
    let mut install = project.command(project.python());
    install
        .args(["-m", "pip", "install", "--disable-pip-version-check", "--only-binary=:all:"])
        .args(packages);
    run_captured(&mut install, LONG)?;
    ensure!(python_packages_are_there(project), "pip left other versions than {}", packages.join(" "));
    Ok(Outcome::Installed)
}

/// Whether the environment has every package in its version.
pub fn python_packages_are_there(project: &Project) -> bool {
    const LIST: &str = "import importlib.metadata as m, sys
for package in sys.argv[1:]:
    name, version = package.split('==')
    if m.version(name) != version: sys.exit(package)";
    project.python().exists()
        && run_captured(project.command(project.python()).args(["-c", LIST]).args(pip_packages()), QUICK)
            .is_ok()
}
