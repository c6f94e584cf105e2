//! What stands behind the faces of a scene: pieces of pictures without their faces, gradients, blobs, noise.

use super::portrait::{Corners, Portrait, whole};
use engine::Crop;
use engine::preprocess::resize;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};

/// A picture while it is made: packed RGB bytes of a square.
pub struct Canvas {
    /// Width and height in pixels.
    pub side: usize,
    /// `side * side * 3` bytes.
    pub rgb: Vec<u8>,
}

/// Packed RGB bytes of a rectangle.
pub struct Patch {
    /// Width and height in pixels.
    pub size: [usize; 2],
    /// Row by row.
    pub rgb: Vec<u8>,
}

/// How a patch ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Edge {
    /// At its own edge.
    Hard,
    /// Over so many pixels within its edge.
    Soft(f32),
    /// Over the outer fifth of the largest ellipse in it.
    Ellipse,
}

impl Edge {
    /// The share of the patch at its pixel `(x, y)`.
    fn share(self, [x, y]: [usize; 2], [width, height]: [usize; 2]) -> f32 {
        let [x, y] = [x as f32 + 0.5, y as f32 + 0.5];
        let [width, height] = [width as f32, height as f32];
        match self {
            Edge::Hard => 1.0,
            Edge::Soft(pixels) => {
                let inside = x.min(width - x).min(y).min(height - y);
                (inside / pixels).min(1.0)
            }
            Edge::Ellipse => {
                let [across, down] = [2.0 * x / width - 1.0, 2.0 * y / height - 1.0];
                ((1.0 - (across * across + down * down).sqrt()) / 0.2).clamp(0.0, 1.0)
            }
        }
    }
}

impl Canvas {
    /// Puts `patch` with its upper left corner at `(x, y)`; what lies outside is left away.
    pub fn paste(&mut self, patch: &Patch, [x, y]: [i32; 2], edge: Edge) {
        let [width, height] = patch.size;
        for row in 0..height {
            let Some(to_y) = inside(y, row, self.side) else { continue };
            for column in 0..width {
                let Some(to_x) = inside(x, column, self.side) else { continue };
                let share = edge.share([column, row], patch.size);
                let from = &patch.rgb[(row * width + column) * 3..][..3];
                let to = &mut self.rgb[(to_y * self.side + to_x) * 3..][..3];
                for (to, from) in to.iter_mut().zip(from) {
                    let (old, new) = (f32::from(*to), f32::from(*from));
                    *to = (old + (new - old) * share).round() as u8;
                }
            }
        }
    }
}

fn inside(start: i32, step: usize, side: usize) -> Option<usize> {
    usize::try_from(i64::from(start) + step as i64).ok().filter(|&at| at < side)
}

/// A background of `side` pixels made of `portraits`.
pub fn background(portraits: &[Portrait], side: usize, rng: &mut impl Rng) -> Canvas {
    match rng.random_range(0..100) {
        0..25 => stretched_piece(portraits, side, rng),
        25..60 => mosaic(portraits, side, rng),
        60..70 => gradient(side, rng),
        70..85 => smeared(portraits, side, rng),
        _ => blobs(side, rng),
    }
}

/// A piece of a picture that shows no face; nothing if none is found in a few tries.
pub fn piece(portrait: &Portrait, rng: &mut impl Rng) -> Option<Crop> {
    let [width, height] = [portrait.frame.width(), portrait.frame.height()];
    let shortest = width.min(height);
    for _ in 0..10 {
        let most = (shortest / 2).max(2);
        let [w, h] = [0; 2].map(|_| rng.random_range((most / 8).max(1)..=most));
        let [x, y] = [rng.random_range(0..=width - w), rng.random_range(0..=height - h)];
        let rectangle = [x as f32, y as f32, (x + w) as f32, (y + h) as f32];
        let meets = |face: &Corners| {
            let [left, top, right, bottom] = *face;
            // A little more than the box: hair and chin are welcome, half a face is not.
            let [dx, dy] = [(right - left) * 0.05, (bottom - top) * 0.05];
            rectangle[0] < right + dx
                && rectangle[2] > left - dx
                && rectangle[1] < bottom + dy
                && rectangle[3] > top - dy
        };
        if !portrait.faces.iter().chain(&portrait.doubtful).any(meets) {
            return Some(Crop { x, y, side: w, height: Some(h), ..Crop::centre_square(&portrait.frame) });
        }
    }
    None
}

/// `crop` of a portrait, made `size` pixels large.
pub fn cut(portrait: &Portrait, crop: &Crop, size: [usize; 2]) -> Patch {
    let rgb = resize(&portrait.frame, crop, size.map(|length| length as u32));
    Patch { size, rgb }
}

/// A piece of any portrait, made `size` pixels large; a plain colour if none is found.
pub fn any_piece(portraits: &[Portrait], size: [usize; 2], rng: &mut impl Rng) -> Patch {
    let found = portraits.choose(rng).and_then(|portrait| Some((portrait, piece(portrait, rng)?)));
    match found {
        Some((portrait, crop)) => cut(portrait, &crop, size),
        None => {
            let colour: [u8; 3] = std::array::from_fn(|_| rng.random());
            Patch { size, rgb: colour.repeat(size[0] * size[1]) }
        }
    }
}

fn stretched_piece(portraits: &[Portrait], side: usize, rng: &mut impl Rng) -> Canvas {
    Canvas { side, rgb: any_piece(portraits, [side; 2], rng).rgb }
}

fn mosaic(portraits: &[Portrait], side: usize, rng: &mut impl Rng) -> Canvas {
    let mut canvas = match rng.random_bool(0.5) {
        true => stretched_piece(portraits, side, rng),
        false => gradient(side, rng),
    };
    for _ in 0..rng.random_range(4..24) {
        let size = [0; 2].map(|_| rng.random_range(side / 20 + 1..=side / 2));
        let patch = match rng.random_bool(0.15) {
            true => jumbled_face(portraits, rng).unwrap_or_else(|| any_piece(portraits, size, rng)),
            false => any_piece(portraits, size, rng),
        };
        let edge = match rng.random_range(0..3) {
            0 => Edge::Hard,
            1 => Edge::Soft(4.0),
            _ => Edge::Ellipse,
        };
        canvas.paste(&patch, place(side, patch.size, rng), edge);
    }
    canvas
}

/// A place for a patch of `size` of which at least the half is on the canvas.
fn place(side: usize, size: [usize; 2], rng: &mut impl Rng) -> [i32; 2] {
    size.map(|length| rng.random_range(-(length as i32) / 2..=side as i32 - length as i32 / 2))
}

/// A face in sixteen tiles, shuffled: all of its parts, and no face.
fn jumbled_face(portraits: &[Portrait], rng: &mut impl Rng) -> Option<Patch> {
    let portrait = portraits.choose(rng)?;
    let [left, top, right, bottom] = *portrait.faces.choose(rng)?;
    let [width, height] = portrait.size();
    let [x, y] = [left.max(0.0), top.max(0.0)].map(|at| at as u32);
    let [w, h] = [(right.min(width) - x as f32) as u32, (bottom.min(height) - y as f32) as u32];
    let crop = (w > 0 && h > 0).then(|| Crop { x, y, side: w, height: Some(h), ..whole(&portrait.frame) })?;
    let tile = rng.random_range(3..20usize);
    let face = cut(portrait, &crop, [4 * tile; 2]);
    let mut order: Vec<usize> = (0..16).collect();
    order.shuffle(rng);
    let mut rgb = vec![0; face.rgb.len()];
    for (to, from) in order.into_iter().enumerate() {
        for row in 0..tile {
            let at = |cell: usize| ((cell / 4 * tile + row) * 4 * tile + cell % 4 * tile) * 3;
            rgb[at(to)..][..tile * 3].copy_from_slice(&face.rgb[at(from)..][..tile * 3]);
        }
    }
    Some(Patch { rgb, ..face })
}

/// From one colour to another, with some noise.
fn gradient(side: usize, rng: &mut impl Rng) -> Canvas {
    let [from, to]: [[f32; 3]; 2] =
        std::array::from_fn(|_| std::array::from_fn(|_| rng.random_range(0.0..256.0)));
    let (sin, cos) = rng.random_range(0.0..std::f32::consts::TAU).sin_cos();
    let noise = rng.random_range(0.0..20f32);
    let mut rgb = Vec::with_capacity(side * side * 3);
    for y in 0..side {
        for x in 0..side {
            let [x, y] = [x, y].map(|at| at as f32 / side as f32 - 0.5);
            let share = (x * cos + y * sin) * 0.7 + 0.5;
            for channel in 0..3 {
                let value = from[channel] + (to[channel] - from[channel]) * share;
                rgb.push((value + noise * rng.random_range(-1.0..1.0)).clamp(0.0, 255.0) as u8);
            }
        }
    }
    Canvas { side, rgb }
}

/// A whole picture of a handful of pixels, made large: its colours without its face.
fn smeared(portraits: &[Portrait], side: usize, rng: &mut impl Rng) -> Canvas {
    let Some(portrait) = portraits.choose(rng) else { return gradient(side, rng) };
    let few = rng.random_range(2..6u32);
    let small = resize(&portrait.frame, &whole(&portrait.frame), [few; 2]);
    let small = engine::Frame::from_rgb(few, few, small);
    Canvas { side, rgb: resize(&small, &whole(&small), [side as u32; 2]) }
}

/// Ovals and boxes of one colour, many of them of skin: what is round and rosy is no face yet.
fn blobs(side: usize, rng: &mut impl Rng) -> Canvas {
    let mut canvas = gradient(side, rng);
    for _ in 0..rng.random_range(3..20) {
        let size = [0; 2].map(|_| rng.random_range(side / 20 + 1..=side / 2));
        let light = rng.random_range(0.3..1.1f32);
        let colour: [u8; 3] = match rng.random_bool(0.5) {
            true => [225.0, 172.0, 140.0].map(|value: f32| (value * light).min(255.0) as u8),
            false => std::array::from_fn(|_| rng.random()),
        };
        let patch = Patch { size, rgb: colour.repeat(size[0] * size[1]) };
        let edge = if rng.random_bool(0.7) { Edge::Ellipse } else { Edge::Hard };
        canvas.paste(&patch, place(side, size, rng), edge);
    }
    canvas
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Frame;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// Green with a red face in the middle.
    fn portrait() -> Portrait {
        let colour = |i: u32| {
            let [x, y] = [i % 100, i / 100];
            if (30..70).contains(&x) && (30..70).contains(&y) { [255, 0, 0] } else { [0, 255, 0] }
        };
        let rgb = (0..10_000).flat_map(colour).collect();
        let faces = vec![[30.0, 30.0, 70.0, 70.0]];
        Portrait { frame: Frame::from_rgb(100, 100, rgb), faces, doubtful: Vec::new() }
    }

    #[test]
    fn pieces_show_no_face() {
        let portrait = portrait();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut found = 0;
        for _ in 0..200 {
            let Some(crop) = piece(&portrait, &mut rng) else { continue };
            let patch = cut(&portrait, &crop, [crop.width() as usize, crop.height() as usize]);
            assert!(patch.rgb.chunks(3).all(|pixel| pixel == [0, 255, 0]), "{crop:?}");
            found += 1;
        }
        assert!(found > 50, "{found}");
    }

    #[test]
    fn a_patch_covers_its_place_and_nothing_outside() {
        let patch = Patch { size: [4, 2], rgb: vec![200; 24] };
        let mut canvas = Canvas { side: 6, rgb: vec![0; 108] };
        canvas.paste(&patch, [-1, 5], Edge::Hard);
        let lit: Vec<usize> = (0..36).filter(|pixel| canvas.rgb[pixel * 3] == 200).collect();
        assert_eq!(lit, [30, 31, 32]);
        canvas.paste(&patch, [100, -100], Edge::Soft(2.0));
        assert_eq!(canvas.rgb.iter().filter(|&&value| value > 0).count(), 9);
        let share = |edge: Edge, at| edge.share(at, [9, 9]);
        assert_eq!([share(Edge::Ellipse, [4, 4]), share(Edge::Ellipse, [0, 0])], [1.0, 0.0]);
        assert_eq!([share(Edge::Soft(2.0), [0, 4]), share(Edge::Soft(2.0), [4, 4])], [0.25, 1.0]);
    }

    #[test]
    fn a_jumbled_face_has_the_same_pixels_in_other_places() {
        let jumbled = jumbled_face(&[portrait()], &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        assert!(jumbled.rgb.chunks(3).all(|pixel| pixel == [255, 0, 0]));
        assert_eq!(jumbled.size[0] % 4, 0);
    }

    #[test]
    fn every_background_fills_the_canvas() {
        let portraits = [portrait()];
        for seed in 0..30 {
            let canvas = background(&portraits, 64, &mut ChaCha8Rng::seed_from_u64(seed));
            assert_eq!(canvas.rgb.len(), 64 * 64 * 3);
        }
        assert_eq!(background(&[], 32, &mut ChaCha8Rng::seed_from_u64(1)).rgb.len(), 32 * 32 * 3);
    }
}
