//! Texts for what is named by a code: labels, notices, failures.

use super::document::Part;
use super::{english, is_english, spoken, text};
use crate::message::Failure;
use crate::samples::Truth;
use engine::Label;
use engine::benchmark::Reason;
use engine::report::Notice;
use engine::stability::View;
use engine::video::report::VideoNotice;
use engine::video::verdict::VideoLabel;

/// The label in a word.
pub fn label(label: Label) -> &'static str {
    text(match label {
        Label::Real => "label.real",
        Label::Fake => "label.fake",
        Label::Uncertain => "label.uncertain",
    })
}

/// The label of a video in a word.
pub fn video_label(label: VideoLabel) -> &'static str {
    text(match label {
        VideoLabel::Real => "label.real",
        VideoLabel::Fake => "label.fake",
        VideoLabel::Uncertain => "label.uncertain",
        VideoLabel::Undetermined => "label.undetermined",
    })
}

/// The truth as an adjective.
pub fn truth(truth: Truth) -> &'static str {
    text(match truth {
        Truth::Real => "truth.real",
        Truth::Fake => "truth.fake",
    })
}

/// A mild change of the picture.
pub fn change(view: View) -> &'static str {
    text(match view {
        View::Closer => "stages.closer",
        View::Softened => "stages.softened",
        View::Recompressed => "stages.recompressed",
    })
}

/// A limit of a judgement as a sentence.
pub fn notice(notice: Notice) -> &'static str {
    text(match notice {
        Notice::NoFaceDetector => "notice.no_face_detector",
        Notice::NoFace => "notice.no_face",
        Notice::SmallFaces => "notice.small_faces",
        Notice::FacesLeftOut => "notice.faces_left_out",
        Notice::LowQuality => "notice.low_quality",
        Notice::SeveralFaces => "notice.several_faces",
        Notice::SmallPicture => "notice.small_picture",
        Notice::FirstFrame => "notice.first_frame",
        Notice::Unstable => "notice.unstable",
        Notice::StageMissing => "notice.stage_missing",
        Notice::GpuLeft => "notice.gpu_left",
    })
}

/// A limit of a judgement on a video as a sentence.
pub fn video_notice(notice: VideoNotice) -> &'static str {
    text(match notice {
        VideoNotice::NoFaceDetector => "notice.video.no_face_detector",
        VideoNotice::SmallFaces => "notice.video.small_faces",
        VideoNotice::LowQuality => "notice.video.low_quality",
        VideoNotice::TooManyFaces => "notice.video.too_many_faces",
        VideoNotice::Sparse => "notice.video.sparse",
        VideoNotice::SizeChanged => "notice.video.size_changed",
        VideoNotice::LeftOut => "notice.video.left_out",
        VideoNotice::Truncated => "notice.video.truncated",
        VideoNotice::Full => "notice.video.full",
        VideoNotice::Interrupted => "notice.video.interrupted",
    })
}

/// Why figures must not be used, as a sentence.
pub fn reason(reason: Reason) -> &'static str {
    text(match reason {
        Reason::TabHidden => "bench.reason.tab_hidden",
        Reason::WrongNumbers => "bench.reason.wrong_numbers",
        Reason::Stopped => "bench.reason.stopped",
        Reason::TooFewRuns => "bench.reason.too_few_runs",
        Reason::Throttled => "bench.reason.throttled",
    })
}

/// What `failure` says, and, where that is less than its own words, these: they are English, as all data is.
pub fn failure(failure: &Failure) -> (Part<'_>, Option<&str>) {
    let key = format!("error.{}", failure.code);
    match spoken(&key).filter(|_| !is_english()) {
        Some(translated) => {
            // Else the words say nothing more.
            let detail = Some(&failure.message[..]).filter(|words| english(&key) != Some(words));
            (Part::Said(translated), detail)
        }
        None => (Part::English(&failure.message), None),
    }
}

/// What `failure` says, where there is no place for details.
pub fn failure_text(failure: &Failure) -> &str {
    match self::failure(failure).0 {
        Part::Said(text) | Part::English(text) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{SPOKEN, check::english_texts};

    #[test]
    fn a05_failures_are_told_by_code_with_what_only_english_tells() {
        let wrong = Failure::new("unsupported", "HTML is not supported as a picture");
        let none = Failure::new("camera_none", "this device has no camera; connect one, and try again");
        let unknown = Failure::new("new_code", "something new");
        assert!(matches!(failure(&wrong), (Part::English(text), None) if text == wrong.message));
        SPOKEN.set("de");
        assert!(matches!(failure(&wrong), (Part::Said(text), Some(detail))
            if text.contains("wird nicht als Bild gelesen") && detail == wrong.message));
        assert!(matches!(failure(&none), (Part::Said(text), None) if text.contains("keine Kamera")));
        assert!(matches!(failure(&unknown), (Part::English(text), None) if text == unknown.message));
    }

    /// Command line and page say the same.
    #[test]
    fn english_notices_are_the_engines() {
        for (key, said) in english_texts() {
            let name = serde_json::Value::from(key.rsplit('.').next());
            let engines = if key.starts_with("notice.video.") {
                serde_json::from_value(name).map(VideoNotice::text)
            } else if key.starts_with("notice.") {
                serde_json::from_value(name).map(Notice::text)
            } else if key.starts_with("bench.reason.") {
                serde_json::from_value(name).map(Reason::text)
            } else {
                continue;
            };
            assert_eq!(engines.unwrap(), said, "{key}");
        }
    }
}
