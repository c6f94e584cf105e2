//! A folder of many files -> lines, by processes that share nothing.
//!
//! Each process judges the files of one [`Shard`], in the order of a [`Walk`], and writes lines to [`part`]s of its own folder;
//! [`done`] says when all are there. A process that is killed is started again and goes on. [`merge`] puts the shards of a
//! scan together. The contract, for whoever starts the processes, is `docs/scan.md`.

pub mod shard;
pub mod walk;
pub mod part;
pub mod done;
pub mod merge;

use crate::bundle::read_bundle_with_digest;
use crate::detect::{Failure, Finding, Outcome, detect_face};
use crate::faces::{FaceConfig, FaceFinder};
use crate::files::{path_bytes, read_limited};
use crate::interrupt::{Interrupt, Stop};
use anyhow::{Context, Result, ensure};
use done::{BundleIdentity, Done, SCAN_SCHEMA_VERSION, ScanIdentity, shard_folder};
use engine::bundle::sha256_hex;
use engine::{Bundle, Detector};
use indicatif::ProgressBar;
use part::ShardParts;
use shard::Shard;
use std::fs::{File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use walk::{Kind, Met, Walk};

/// Lines of a part, if nobody says otherwise: what is lost at most when a process is killed.
pub const LINES_A_PART: u64 = 1000;

/// What is scanned, and where to.
#[derive(Debug, Clone)]
pub struct ScanConfig {
    /// The folder with the files.
    pub root: PathBuf,
    /// Which of its files.
    pub shard: Shard,
    /// The folder of the scan; not in `root`.
    pub output: PathBuf,
    /// The bundle that judges.
    pub bundle: PathBuf,
    /// A YuNet file, to judge the largest face.
    pub faces: Option<FaceConfig>,
    /// Lines of a part, at least 1.
    pub lines_a_part: u64,
}

/// How a scan ended.
#[derive(Debug)]
pub enum ScanEnd {
    /// Every file of the shard has its line.
    Done(Done),
    /// An earlier run had done it.
    WasDone(Done),
    /// Somebody asked to stop; what was judged is kept.
    Stopped {
        /// Who asked.
        stop: Stop,
        /// How many files have a line by now.
        files: u64,
    },
    /// Another process works on this shard.
    Busy,
}

/// Judges the files of one shard that have no line yet.
///
/// # Errors
/// If the bundle or face detector does not load, the output belongs to another scan, or cannot be written. What is wrong
/// with a file is no error but its line.
pub fn scan(config: &ScanConfig, interrupt: &Interrupt, progress: &ProgressBar) -> Result<ScanEnd> {
    let (bundle, sha256) = read_bundle_with_digest(&config.bundle)?;
    let identity = identity(config, &bundle, sha256)?;
    identity.claim(&config.output)?;
    check_apart(&config.root, &config.output)?;
    let folder = shard_folder(&config.output, config.shard.index);
    let was_done = || -> Result<Option<ScanEnd>> {
        let done = Done::read(&folder)?;
        if let Some(done) = &done {
            let context = || format!("{} is of another scan", folder.display());
            done.scan.check_same(&identity).with_context(context)?;
            ensure!(done.shard == config.shard.index, "{}: shard {}", context(), done.shard);
        }
        Ok(done.map(ScanEnd::WasDone))
    };
    if let Some(end) = was_done()? {
        return Ok(end);
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot write {}", folder.display()))?;
    // Until the process ends, however it ends.
    let Some(_lock) = lock(&folder)? else { return Ok(ScanEnd::Busy) };
    if let Some(end) = was_done()? {
        return Ok(end);
    }

    let mut parts = ShardParts::resume(&folder, config.lines_a_part)?;
    progress.set_position(parts.files());
    let mut judge = Judge::load(config, bundle)?;
    for met in Walk::new(&config.root, config.shard)? {
        if let Some(stop) = interrupt.stop() {
            parts.close()?;
            return Ok(ScanEnd::Stopped { stop, files: parts.files() });
        }
        let Some(met) = met else { continue };
        if parts.is_new(met.hash) {
            parts.push(&judge.finding(&met)?)?;
            progress.inc(1);
        }
    }
    let (parts, counts) = parts.finish()?;
    let done = Done { scan: identity, shard: config.shard.index, counts, parts };
    done.write(&folder)?;
    Ok(ScanEnd::Done(done))
}

fn identity(config: &ScanConfig, bundle: &Bundle, sha256: String) -> Result<ScanIdentity> {
    let digest_of = |faces: &FaceConfig| -> Result<String> {
        // A folder's manifest lists the digests of all that is in it.
        let path = match faces.detector.is_dir() {
            true => faces.detector.join(engine::faces::FACE_MANIFEST_NAME),
            false => faces.detector.clone(),
        };
        Ok(sha256_hex(&read_limited(&path, engine::bundle::MAX_FILE_BYTES)?))
    };
    let manifest = bundle.manifest();
    Ok(ScanIdentity {
        schema_version: SCAN_SCHEMA_VERSION.into(),
        engine_version: engine::VERSION.into(),
        bundle: BundleIdentity { name: manifest.name.clone(), version: manifest.version.clone(), sha256 },
        faces_sha256: config.faces.as_ref().map(digest_of).transpose()?,
        shards: config.shard.count,
    })
}

/// Refuses an output that the scan would meet.
fn check_apart(root: &Path, output: &Path) -> Result<()> {
    let whole = |path: &Path| path.canonicalize().with_context(|| format!("cannot find {}", path.display()));
    let is_apart = !whole(output)?.starts_with(whole(root)?);
    ensure!(is_apart, "{} lies in {}, which is scanned", output.display(), root.display());
    Ok(())
}

/// The lock of a shard's folder, which goes with the process; nothing if another process has it.
fn lock(folder: &Path) -> Result<Option<File>> {
    let path = folder.join("lock");
    let context = || format!("cannot lock {}", path.display());
    let file = File::options().create(true).append(true).open(&path).with_context(context)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(context),
    }
}

struct Judge<'a> {
    root: &'a Path,
    bundle: Bundle,
    detector: Detector,
    finder: Option<FaceFinder>,
}

impl<'a> Judge<'a> {
    fn load(config: &'a ScanConfig, bundle: Bundle) -> Result<Self> {
        let detector = Detector::load(&bundle)?;
        let finder = config.faces.as_ref().map(FaceFinder::load).transpose()?;
        Ok(Judge { root: &config.root, bundle, detector, finder })
    }

    /// The line of what was met.
    fn finding(&mut self, met: &Met) -> Result<Finding> {
        let refused = |code: &str, message: &str| {
            Outcome::Error(Failure { code: code.into(), message: message.into() })
        };
        let outcome = match &met.kind {
            Kind::Refused(why) => refused("io", why),
            Kind::File => {
                let path = self.root.join(&met.relative);
                let judge = || detect_face(&mut self.detector, self.finder.as_ref(), &path);
                match catch_unwind(AssertUnwindSafe(judge)) {
                    Ok(finding) => finding.outcome,
                    // One file must not stop a shard, and for ever: each new run would meet it again.
                    Err(_) => {
                        self.detector = Detector::load(&self.bundle)?;
                        refused("internal", "this program has a fault that the file brought to light")
                    }
                }
            }
        };
        Ok(Finding { file: name_of(&met.relative), file_bytes: path_bytes(&met.relative), outcome })
    }
}

/// A path below the scanned folder, with `/` between its names; bytes that are no UTF-8 are replaced.
fn name_of(relative: &Path) -> String {
    let names: Vec<_> = relative.components().map(|name| name.as_os_str().to_string_lossy()).collect();
    names.join("/")
}
