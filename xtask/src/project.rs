//! Where things lie, and how programs are started on them.

use crate::process::{QUICK, run_captured};
use crate::tools;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Folders of this checkout and of the tools.
pub struct Project {
    /// Root of the repository.
    pub root: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
    /// Folder of the installed tools, one sub-folder each, shared by all checkouts of a user.
    pub tools: PathBuf,
}

impl Project {
    /// The checkout that this program was started from.
    ///
    /// # Errors
    /// If cargo does not understand the workspace, or there is no home folder.
    pub fn find() -> Result<Self> {
        // The running cargo knows better than the build where the checkout is: it may have been moved.
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let manifest = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        let root = manifest.parent().context("the folder of xtask has no parent")?.to_path_buf();
        let mut project = Project { root, target: PathBuf::new(), tools: tools_folder()? };
        project.target = project.target_folder()?;
        Ok(project)
    }

    fn target_folder(&self) -> Result<PathBuf> {
        let mut metadata = self.cargo();
        metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
        let json: serde_json::Value = serde_json::from_str(&run_captured(&mut metadata, QUICK)?)?;
        let folder = json["target_directory"].as_str().context("cargo metadata names no target folder")?;
        Ok(PathBuf::from(folder))
    }

    /// The program `aware`, once it is built.
    pub fn aware(&self) -> PathBuf {
        self.target.join("release/aware")
    }

    /// The built page.
    pub fn dist(&self) -> PathBuf {
        self.root.join("dist")
    }

    /// The npm project of the page's tests.
    pub fn web(&self) -> PathBuf {
        self.root.join("web")
    }

    /// Folder of the Python packages.
    pub fn venv(&self) -> PathBuf {
        self.target.join("venv")
    }

    /// Python with the packages of [`tools::TOOLS`].
    pub fn python(&self) -> PathBuf {
        self.venv().join("bin/python")
    }

    /// A command in the root, with the installed tools first on PATH and nothing to read.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).stdin(Stdio::null()).env("PATH", self.path());
        // What `cargo run` says of xtask is not true of what the command builds.
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
            {
                command.env_remove(name);
            }
        }
        command
    }

    /// A command of the cargo that runs this program.
    pub fn cargo(&self) -> Command {
        self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    fn path(&self) -> std::ffi::OsString {
        let own = tools::TOOLS.iter().filter_map(|tool| Some(tool.folder(&self.tools)?.join("bin")));
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let all = own.chain(std::env::split_paths(&inherited));
        std::env::join_paths(all).unwrap_or(inherited.clone())
    }
}

/// `$AWARE_TOOLS`, else `aware/tools` in the user's cache folder.
fn tools_folder() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("AWARE_TOOLS") {
        return std::path::absolute(folder).context("in AWARE_TOOLS");
    }
    let cache = variable("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    let cache = cache.or_else(|| Some(variable("HOME")?.join(".cache")));
    let cache = cache.context("there is no home folder; set AWARE_TOOLS to a folder for the tools")?;
    Ok(cache.join("aware/tools"))
}

/// `path` as it is named from `root`.
pub fn relative<'a>(path: &'a Path, root: &Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}
