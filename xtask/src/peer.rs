//! onnxruntime-web in the built page, for its benchmark.

use crate::project::Project;
use anyhow::{Context, Result};
use std::path::Path;

/// What its build for one processor needs: the loader, and the runtime with its own script. The last is 14 MB, which a page
/// fetches when a visitor chooses it.
const FILES: [&str; 3] = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];

/// Copies the runtime into the page in `folder`; without npm's packages the page has none, and says so when it is chosen.
///
/// # Errors
/// If a file cannot be copied.
pub fn copy(project: &Project, folder: &Path) -> Result<()> {
    let package = project.web().join("node_modules/onnxruntime-web/dist");
    if !package.is_dir() {
        return Ok(());
    }
    let target = folder.join("peers/onnxruntime");
    std::fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    for name in FILES {
        let (from, to) = (package.join(name), target.join(name));
        std::fs::copy(&from, &to)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}
