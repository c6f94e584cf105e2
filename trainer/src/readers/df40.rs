//! DF40 (<https://arxiv.org/abs/2406.13495>): `METHOD/frames/CLIP/*.png`, or `frames/CLIP/*.png`.
//!
//! Its fakes are made from videos of FaceForensics++ and Celeb-DF, whose names the clips keep; so
//! their identities are those sets' own.

use super::{Reader, celebdf, ffpp, walk};
use crate::dataset::Split;
use std::path::Path;

pub(super) fn fits(folder: &Path) -> bool {
    let has_clips = |folder: &Path| !walk::folders_of(&folder.join("frames")).is_empty();
    // `real/frames` is of another set, and `DF40/frames` of a root that holds this one.
    let is_method = |folder: &Path| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        name != "real" && name != "fake" && !name.starts_with("df40")
    };
    has_clips(folder) || walk::folders_of(folder).iter().any(|method| is_method(method) && has_clips(method))
}

pub(super) fn read(reader: &mut Reader) {
    reader.walk("", |file| {
        let depth = match file.parts.as_slice() {
            [frames, _, _, ..] if frames == "frames" => 1,
            [_, frames, _, _, ..] if frames == "frames" => 2,
            _ => return Err("not in METHOD/frames/CLIP/".into()),
        };
        let (method, clip) = (file.parts[0].clone(), file.parts[depth].clone());
        let mut item = file.item(1, format!("df40/{method}/{clip}"));
        item.identities = celebdf::identities(&clip).unwrap_or_else(|| {
            let is_ffpp = clip.split('_').all(|id| id.len() == 3 && id.bytes().all(|b| b.is_ascii_digit()));
            if is_ffpp { ffpp::identities(&clip) } else { vec![format!("df40/{clip}")] }
        });
        item.method = Some(method);
        item.legacy_key = clip;
        Ok(item)
    });
}

/// The original puts all of DF40 here.
pub(crate) const LEGACY_SPLIT: Split = Split::Train;
