//! Checks a bundle on this machine, then judges pictures with it; one line of JSON each.
//!
//!     cargo run --release -p engine --example judge -- BUNDLE PICTURE...
//!
//! It needs the crates `engine` and `serde_json` alone. `aware detect --bundle BUNDLE PICTURE...` does the same and more.

use engine::bundle::{MANIFEST_NAME, MAX_FILE_BYTES};
use engine::{Bundle, Detector, Manifest, Report};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = arguments.next().ok_or("usage: judge BUNDLE PICTURE...")?;
    let mut detector = load(&folder)?;
    for picture in arguments {
        println!("{}", serde_json::to_string(&judge(&mut detector, &picture)?)?);
    }
    Ok(())
}

/// The networks in `folder`, once they gave the bits of the golden vectors.
pub fn load(folder: &Path) -> Result<Detector, Box<dyn Error>> {
    let manifest = Manifest::parse(&std::fs::read(folder.join(MANIFEST_NAME))?)?;
    // Sizes and digests are checked by the engine; a file that does not read has neither.
    let bundle = Bundle::of_loaded_files(manifest, |entry| {
        let path = folder.join(&entry.name);
        let is_small = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= MAX_FILE_BYTES);
        Ok(if is_small { std::fs::read(&path).unwrap_or_default() } else { Vec::new() })
    })?;
    let mut detector = Detector::load(&bundle)?;
    if let Some(golden) = bundle.golden()? {
        let report = golden.check(&mut detector, &|| 0.0);
        if let Some(wrong) = report.vectors.iter().find(|vector| !vector.passed) {
            return Err(format!("this machine computes wrong: {wrong:?}").into());
        }
    }
    Ok(detector)
}

/// What `detector` says of the JPEG, PNG or WebP file `picture`.
pub fn judge(detector: &mut Detector, picture: &Path) -> Result<Report, Box<dyn Error>> {
    let started = Instant::now();
    Ok(detector.judge(&std::fs::read(picture)?, &|| started.elapsed().as_secs_f64() * 1e3)?)
}
