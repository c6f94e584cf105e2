//! Small data sets that tests make for themselves.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part")]

use image::{ExtendedColorType, ImageEncoder};
use std::path::{Path, PathBuf};

/// A fresh folder for the test called `name`.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes `count` real and as many fake pictures of 64 pixels to `root/toy`; fakes carry a fine
/// checkerboard, as upsampling leaves one.
pub fn toy_set(root: &Path, count: u32) {
    for (class, amplitude) in [("real", 0), ("fake", 40)] {
        let folder = root.join("toy").join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for index in 0..count {
            std::fs::write(folder.join(format!("{index:03}.png")), toy_picture(index, amplitude)).unwrap();
        }
    }
}

/// Smooth random waves, no two alike, plus a checkerboard.
pub fn toy_picture(seed: u32, checkerboard: i32) -> Vec<u8> {
    const SIDE: i32 = 64;
    let random = |i: u32| f64::from((seed * 97 + i).wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24);
    let mut rgb = Vec::new();
    for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
        for channel in 0..3 {
            let wave =
                |i: u32, at: i32| (f64::from(at) * (0.02 + 0.2 * random(i)) + 6.0 * random(i + 1)).sin();
            let value = 128.0 + 50.0 * wave(channel * 4, x) + 40.0 * wave(channel * 4 + 2, y);
            let board = if (x + y) % 2 == 0 { checkerboard } else { -checkerboard };
            rgb.push((value as i32 + board / 2).clamp(0, 255) as u8);
        }
    }
    png(&rgb, SIDE as u32, SIDE as u32)
}

/// Packed RGB bytes as PNG.
pub fn png(rgb: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.write_image(rgb, width, height, ExtendedColorType::Rgb8).unwrap();
    png
}
