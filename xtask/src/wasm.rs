//! The engine as WebAssembly, once for every instruction set that browsers have.

use crate::process::{LONG, run_shown};
use crate::project::Project;
use anyhow::{Context, Result};
use base64::Engine;
use sha2::{Digest, Sha384};
use std::path::{Path, PathBuf};

/// Cargo's profile of the page.
const PROFILE: &str = "web";
const TARGET: &str = "wasm32-unknown-unknown";

/// An instruction set.
pub struct Build {
    /// Name of its folders.
    pub name: &'static str,
    /// The compiler's flags, in place of those in .cargo/config.toml, which says why they are there.
    pub flags: &'static str,
}

impl Build {
    /// Where it is built: cargo would build everything anew each time the flags change.
    pub fn folder(&self, project: &Project) -> PathBuf {
        project.target.join("wasm").join(self.name)
    }
}

/// WebAssembly SIMD.
pub const SIMD128: Build =
    Build { name: "simd128", flags: "-C target-feature=+simd128 -C llvm-args=-disable-lsr" };
/// With byte products, which not every browser has.
pub const RELAXED: Build =
    Build { name: "relaxed", flags: "-C target-feature=+simd128,+relaxed-simd -C llvm-args=-disable-lsr" };

/// Builds the program `program` of the crate `web` with `build`'s instructions, without wonnx, into
/// `OUTPUT/NAME.js` and `OUTPUT/NAME_bg.wasm`.
///
/// # Errors
/// If cargo or wasm-bindgen fails.
pub fn build_engine(
    project: &Project,
    build: &Build,
    program: &str,
    name: &str,
    output: &Path,
) -> Result<()> {
    build_program(project, build, &["--no-default-features", "--bin", program], name, output)
}

/// As [`build_engine`], with wonnx.
///
/// # Errors
/// If cargo or wasm-bindgen fails.
pub fn build_with_wonnx(project: &Project, build: &Build, program: &str, output: &Path) -> Result<()> {
    build_program(project, build, &["--bin", program], program, output)
}

/// `arguments` end with the name of the program.
fn build_program(
    project: &Project,
    build: &Build,
    arguments: &[&str],
    name: &str,
    output: &Path,
) -> Result<()> {
    let folder = build.folder(project);
    let mut cargo = project.cargo();
    cargo.args(["build", "--profile", PROFILE, "--target", TARGET, "-p", "web"]).args(arguments);
    cargo.arg("--target-dir").arg(&folder).env("RUSTFLAGS", build.flags);
    run_shown(&mut cargo, LONG)?;
    let mut bindgen = project.command("wasm-bindgen");
    bindgen.args(["--target", "web", "--no-typescript", "--out-name", name, "--out-dir"]).arg(output);
    let program = arguments.last().copied().unwrap_or(name);
    bindgen.arg(folder.join(TARGET).join(PROFILE).join(program).with_extension("wasm"));
    run_shown(&mut bindgen, LONG).context("run `cargo xtask setup` if a tool is missing")
}

/// Builds the worker of browsers with relaxed SIMD into `folder`, beside the one that Trunk made, and takes the names of
/// functions out of all workers: a tenth of what is downloaded.
///
/// # Errors
/// If a build fails, or the folder cannot be written.
pub fn build_relaxed_worker(project: &Project, folder: &Path) -> Result<()> {
    build_engine(project, &RELAXED, "worker", "worker_relaxed", folder)?;
    for name in ["app", "worker", "worker_relaxed", "wonnx", "decoder"] {
        let file = folder.join(name).with_file_name(format!("{name}_bg.wasm"));
        let content = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let lean = without_names(&content).with_context(|| format!("{} is cut off", file.display()))?;
        std::fs::write(&file, lean).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let loader = folder.join("worker_relaxed_loader.js");
    std::fs::write(&loader, "import init from './worker_relaxed.js';await init();")
        .with_context(|| format!("cannot write {}", loader.display()))?;
    let document = folder.join("index.html");
    let html =
        std::fs::read_to_string(&document).with_context(|| format!("cannot read {}", document.display()))?;
    let app = folder.join("app_bg.wasm");
    let app = std::fs::read(&app).with_context(|| format!("cannot read {}", app.display()))?;
    let html = without_wasm_preload(&html, &integrity(&app))
        .context("the document has no preload of app_bg.wasm")?;
    std::fs::write(&document, html).with_context(|| format!("cannot write {}", document.display()))
}

/// `html` with Trunk's preload of the page's wasm turned into a link that fetches nothing and has the digest `integrity`, which
/// web/start.js reads: browsers hold a fetch to its digest, but no preload of one. Nothing if there is no such preload.
fn without_wasm_preload(html: &str, integrity: &str) -> Option<String> {
    let (before, behind) = html.split_once(r#"<link rel="preload" href="./app_bg.wasm""#)?;
    let (_, behind) = behind.split_once('>')?;
    Some(format!(r#"{before}<link rel="x-wasm" href="./app_bg.wasm" integrity="{integrity}">{behind}"#))
}

/// The digest of `content` as browsers take it: <https://www.w3.org/TR/sri/>.
fn integrity(content: &[u8]) -> String {
    format!("sha384-{}", base64::engine::general_purpose::STANDARD.encode(Sha384::digest(content)))
}

/// Bytes before the first section of a WebAssembly file: magic number and version.
const HEADER: usize = 8;

/// The WebAssembly file `wasm` without its section of names; nothing if it is cut off.
fn without_names(wasm: &[u8]) -> Option<Vec<u8>> {
    let mut lean = wasm.get(..HEADER)?.to_vec();
    let mut rest = &wasm[HEADER..];
    while let Some((&kind, behind)) = rest.split_first() {
        let (length, body) = number(behind)?;
        let content = body.get(..length)?;
        let end = rest.len() - body.len() + length;
        let is_names = kind == 0 && {
            let (length, name) = number(content)?;
            name.get(..length)? == b"name"
        };
        if !is_names {
            lean.extend(&rest[..end]);
        }
        rest = &rest[end..];
    }
    Some(lean)
}

/// The number in LEB128 that `bytes` begin with, and what is behind it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_nothing_else_are_taken_out() {
        let header = b"\0asm\x01\0\0\0";
        let kept: &[&[u8]] = &[b"\x01\x02ab", b"\0\x06\x04targx", b"\x0a\x01c"];
        let names = b"\0\x08\x04nameabc";
        let whole = [&header[..], kept[0], names, kept[1], kept[2]].concat();
        assert_eq!(without_names(&whole), Some([&header[..], &kept.concat()].concat()));
        assert_eq!(without_names(&whole[..whole.len() - 1]), None);
        assert_eq!(without_names(&header[..4]), None);
        let long = [&header[..], b"\x01\x80\x01", &[7; 128]].concat();
        assert_eq!(without_names(&long).as_ref(), Some(&long));
    }

    /// As `printf abc | openssl dgst -sha384 -binary | base64` gives it.
    #[test]
    fn the_link_of_the_pages_wasm_has_the_digest_of_what_lies_there() {
        let html = r#"<a><link rel="preload" href="./app_bg.wasm" integrity="sha384-old" as="fetch"><b>"#;
        let changed = without_wasm_preload(html, &integrity(b"abc")).unwrap();
        let digest = "sha384-ywB1P0WjXou1oD1pmsZQBycsMqsO3tFjGotgWkP/W+2AhgcroefMI1i67KE0yCWn";
        assert_eq!(
            changed,
            format!(r#"<a><link rel="x-wasm" href="./app_bg.wasm" integrity="{digest}"><b>"#)
        );
        assert_eq!(without_wasm_preload("<a>", digest), None);
    }
}
