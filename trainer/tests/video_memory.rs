//! A long video takes no more memory than a short one. Alone in its file: the peak is the whole process's.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use engine::video::report::{End, Media};
use engine::video::verdict::FakeShare;
use engine::video::{JudgedFace, SamplingConfig, SamplingPlan, VideoReport};
use engine::{Detector, Frame};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use trainer::interrupt::Interrupt;
use trainer::memory::peak_bytes;
use trainer::regions::WholeFrame;
use trainer::video_detect::{Crew, VideoConfig, VideoObserver, container_of, detect_video};

struct Quiet;

impl VideoObserver for Quiet {
    fn planned(&mut self, _: &Media, _: &SamplingPlan) {}

    fn judged(&mut self, _: f64, _: &Frame, _: &[JudgedFace], _: &[Option<u32>]) -> anyhow::Result<()> {
        Ok(())
    }
}

fn clip(path: &Path, seconds: u32) {
    let source = format!("testsrc2=duration={seconds}:size=320x240:rate=12");
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &source, "-c:v", "mpeg4", "-q:v", "8"]);
    assert!(command.arg(path).status().unwrap().success());
}

fn judge(detector: &mut Detector, path: &Path) -> VideoReport {
    let config = VideoConfig {
        ffmpeg: "ffmpeg".into(),
        stall: Duration::from_secs(60),
        sampling: SamplingConfig { base_fps: 3.0, max_fps: 3.0, ..SamplingConfig::default() },
        fake_share: FakeShare::THIRTY,
        quality_threshold: 0.0,
    };
    let file = (path, container_of(path).unwrap());
    let interrupt = Interrupt::default();
    let mut crew = Crew { detector, faces: &mut WholeFrame, observer: &mut Quiet, interrupt: &interrupt };
    detect_video(&mut crew, file, &config).unwrap()
}

#[test]
fn v05_memory_does_not_grow_with_the_length() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        eprintln!("left out: memory of a long video, since there is no ffmpeg");
        return;
    }
    let folder = common::folder("video-memory");
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/first-int8");
    let mut detector = trainer::detect::load_detector(&bundle).unwrap();
    let lengths: [(&str, u32); 2] = [("short.mp4", 20), ("long.mp4", 300)];
    let paths: Vec<PathBuf> = lengths.iter().map(|(name, _)| folder.join(name)).collect();
    lengths.iter().zip(&paths).for_each(|((_, seconds), path)| clip(path, *seconds));
    let short = judge(&mut detector, &paths[0]);
    let Some(before) = peak_bytes() else {
        eprintln!("left out: memory of a long video, since the system does not tell it");
        return;
    };
    let long = judge(&mut detector, &paths[1]);
    assert_eq!((short.coverage.end, long.coverage.end), (End::Whole, End::Whole));
    assert!(long.coverage.samples > 12 * short.coverage.samples, "{:?}", long.coverage);
    // 900 samples of a few hundred bytes; a tenth of the frames alone would be 20 MB.
    let grown = peak_bytes().unwrap() - before;
    assert!(grown < 8 << 20, "{grown} bytes more for a video of {} s", lengths[1].1);
}
