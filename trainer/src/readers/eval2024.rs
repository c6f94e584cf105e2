//! Deepfake-Eval-2024 (<https://arxiv.org/abs/2503.02857>): pictures and videos of social media, with
//! `{image,video}-metadata-publish.csv` beside `{image,video}-data/`. For testing only.

use super::{Reader, walk};
use crate::dataset::Split;
use crate::files::read_limited;
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::path::Path;

const KINDS: [&str; 2] = ["image", "video"];
const MAX_LIST_BYTES: u64 = 64 << 20;

pub(super) fn fits(folder: &Path) -> bool {
    KINDS.iter().any(|kind| walk::is_file(&folder.join(format!("{kind}-metadata-publish.csv"))))
}

pub(super) fn read(reader: &mut Reader) -> Result<()> {
    for kind in KINDS {
        let list = reader.place.folder.join(format!("{kind}-metadata-publish.csv"));
        if !walk::is_file(&list) {
            continue;
        }
        let labels = labels(&list)?;
        reader.walk(&format!("{kind}-data"), |file| {
            let name = file.parts.last().cloned().unwrap_or_default();
            let label = match labels.get(&name).map(String::as_str) {
                Some("real") => 0,
                Some("fake") => 1,
                Some(other) => return Err(format!("label {other:?} is neither Real nor Fake")),
                None => return Err("no label in the list".into()),
            };
            let mut item = file.item(label, format!("deepfake_eval_2024/{name}"));
            item.official = Some(Split::Test);
            Ok(item)
        });
    }
    Ok(())
}

/// File name -> ground truth, in lower case.
fn labels(path: &Path) -> Result<HashMap<String, String>> {
    let content = read_limited(path, MAX_LIST_BYTES)?;
    let mut reader = csv::Reader::from_reader(content.as_slice());
    let headers = reader.headers().with_context(|| format!("in {}", path.display()))?.clone();
    let column = |name: &str| {
        let found = headers.iter().position(|header| header.trim().eq_ignore_ascii_case(name));
        found.with_context(|| format!("{} has no column {name:?}", path.display()))
    };
    let (name, truth) = (column("Filename")?, column("Ground Truth")?);
    let mut labels = HashMap::new();
    for row in reader.records() {
        let row = row.with_context(|| format!("in {}", path.display()))?;
        if let (Some(name), Some(truth)) = (row.get(name), row.get(truth)) {
            labels.insert(name.trim().to_owned(), truth.trim().to_ascii_lowercase());
        }
    }
    Ok(labels)
}
