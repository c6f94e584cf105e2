//! Portraits -> scenes: one letter-boxed picture, one portrait anywhere, several faces, or none.

use super::background::{Canvas, Edge, Patch, any_piece, background, cut};
use super::config::SceneConfig;
use super::portrait::{Corners, Portrait, whole};
use super::vary::vary;
use crate::augment::flip;
use crate::raster::{Affine, Raster};
use engine::faces::Letterbox;
use engine::preprocess::resize;
use engine::{Crop, Frame};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

/// Nothing is learned of a face whose longer side has fewer pixels.
const LEAST_FACE: f32 = 9.0;
/// Nothing is learned of a face of which a smaller share is in the scene.
const LEAST_VISIBLE: f32 = 0.6;
/// Most pixels that one pixel of a portrait becomes, along a side.
const MAX_ENLARGEMENT: f32 = 3.0;
/// A pasted face may hide this share of another.
const MOST_HIDDEN: f32 = 0.2;

/// A square picture and its faces.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// Packed RGB bytes.
    pub rgb: Vec<u8>,
    /// Faces to be found.
    pub faces: Vec<Corners>,
    /// What may be a face: neither finding it nor missing it is wrong.
    pub doubtful: Vec<Corners>,
}

/// What scenes are made of.
#[derive(Clone, Copy)]
pub struct SceneMaker<'a> {
    /// Those of one split.
    pub portraits: &'a [Portrait],
    /// Those of `portraits` that show a face.
    pub with_faces: &'a [usize],
    /// Width and height of a scene, in pixels.
    pub side: usize,
    /// What scenes look like.
    pub config: &'a SceneConfig,
}

impl SceneMaker<'_> {
    /// A scene drawn by `rng`.
    pub fn scene(&self, rng: &mut impl Rng) -> Scene {
        let SceneConfig { letterboxed, portrait, empty, .. } = *self.config;
        let draw = rng.random_range(0.0..1.0);
        let mut work = match draw {
            _ if draw < letterboxed => self.letterboxed(rng),
            _ if draw < letterboxed + portrait => self.portrait(rng),
            _ if draw < letterboxed + portrait + empty => self.on_background(rng),
            _ => self.crowd(rng),
        };
        self.cover(&mut work, rng);
        let Work { canvas: Canvas { side, mut rgb }, mut faces, mut doubtful } = work;
        if rng.random_bool(0.5) {
            flip(&mut rgb, side);
            let mirror = |corners: &mut Corners| {
                let [left, top, right, bottom] = *corners;
                *corners = [side as f32 - right, top, side as f32 - left, bottom];
            };
            faces.iter_mut().chain(&mut doubtful).for_each(mirror);
        }
        let rgb = vary(rgb, side, self.config, rng);
        let is_clear = |face: &Corners| {
            let [left, top, right, bottom] = *face;
            (right - left).max(bottom - top) >= LEAST_FACE && visible(face, side as f32) >= LEAST_VISIBLE
        };
        let (faces, unclear): (Vec<Corners>, Vec<Corners>) = faces.into_iter().partition(is_clear);
        doubtful.extend(unclear);
        doubtful.retain(|corners| visible(corners, side as f32) > 0.0);
        Scene { rgb, faces, doubtful }
    }

    /// The scene that the engine makes of the picture at `index`, as it is.
    pub fn plain(&self, index: usize) -> Scene {
        let Portrait { frame, faces, doubtful } = &self.portraits[index];
        let ratio = self.side as f32 / frame.width().max(frame.height()) as f32;
        let scaled = |all: &[Corners]| all.iter().map(|corners| corners.map(|at| at * ratio)).collect();
        let rgb = Letterbox::new(frame, self.side as u32).rgb().to_vec();
        Scene { rgb, faces: scaled(faces), doubtful: scaled(doubtful) }
    }

    fn on_background(&self, rng: &mut impl Rng) -> Work {
        Work { canvas: background(self.portraits, self.side, rng), faces: Vec::new(), doubtful: Vec::new() }
    }

    fn any_with_face(&self, rng: &mut impl Rng) -> Option<&Portrait> {
        self.with_faces.choose(rng).map(|&index| &self.portraits[index])
    }

    /// A picture, or a part of it, as the engine would see it.
    fn letterboxed(&self, rng: &mut impl Rng) -> Work {
        let Some(portrait) = self.any_with_face(rng) else { return self.on_background(rng) };
        let frame = &portrait.frame;
        let crop = match rng.random_bool(0.5) {
            true => whole(frame),
            false => {
                let mut part = |length: u32| ((f64::from(length) * rng.random_range(0.5..1.0)) as u32).max(1);
                let [width, height] = [part(frame.width()), part(frame.height())];
                let x = rng.random_range(0..=frame.width() - width);
                let y = rng.random_range(0..=frame.height() - height);
                Crop { x, y, side: width, height: Some(height), ..whole(frame) }
            }
        };
        let [width, height] = [crop.width(), crop.height()];
        let part = Frame::from_rgb(width, height, resize(frame, &crop, [width, height]));
        let ratio = self.side as f32 / width.max(height) as f32;
        let [x, y] = [crop.x as f32, crop.y as f32];
        // A face of which a part was cut off counts by what is left of it.
        let inner = [0.0, 0.0, width as f32 * ratio, height as f32 * ratio];
        let moved = |all: &[Corners]| -> Vec<Corners> {
            let moved = |[left, top, right, bottom]: &Corners| {
                [(left - x) * ratio, (top - y) * ratio, (right - x) * ratio, (bottom - y) * ratio]
            };
            all.iter().map(moved).filter(|corners| shared(corners, &inner) > 0.0).collect()
        };
        let canvas = Canvas { side: self.side, rgb: Letterbox::new(&part, self.side as u32).rgb().to_vec() };
        let (faces, cut): (Vec<Corners>, Vec<Corners>) = moved(&portrait.faces)
            .into_iter()
            .partition(|face| shared(face, &inner) >= LEAST_VISIBLE * area(face));
        let doubtful = moved(&portrait.doubtful).into_iter().chain(cut).collect();
        Work { canvas, faces, doubtful }
    }

    /// One portrait of any size, most of its face in the scene.
    fn portrait(&self, rng: &mut impl Rng) -> Work {
        let mut work = self.on_background(rng);
        let Some(portrait) = self.any_with_face(rng) else { return work };
        let Some(face) = portrait.faces.choose(rng) else { return work };
        let side = self.side as f32;
        let [left, top, right, bottom] = *face;
        let longer = (right - left).max(bottom - top);
        let scale = (log_uniform([24.0, 0.95 * side], rng) / longer).min(MAX_ENLARGEMENT);
        let mut offset = |from: f32, to: f32| {
            let length = (to - from) * scale;
            let [low, high] = [-0.15 * length, side - 0.85 * length];
            rng.random_range(low.min(high)..=low.max(high)) - from * scale
        };
        let offset = [offset(left, right), offset(top, bottom)];
        work.place(portrait, scale, offset);
        work
    }

    /// Several faces with their surroundings.
    fn crowd(&self, rng: &mut impl Rng) -> Work {
        let mut work = self.on_background(rng);
        for _ in 0..rng.random_range(1..=self.config.max_faces) {
            self.paste_face(&mut work, rng);
        }
        work
    }

    fn paste_face(&self, work: &mut Work, rng: &mut impl Rng) {
        let Some(portrait) = self.any_with_face(rng) else { return };
        let Some(&face) = portrait.faces.choose(rng) else { return };
        let Some(head) = Head::cut(portrait, face, self.config.pasted, rng) else { return };
        let length = head.side as i32;
        // Tried a few times, or left away.
        for _ in 0..12 {
            let reach = length / 4;
            let span = (self.side as i32 - length + reach).max(-reach + 1);
            let [x, y] = [rng.random_range(-reach..=span), rng.random_range(-reach..=span)];
            let rectangle = [x, y, x + length, y + length].map(|at| at as f32);
            let hides = |face: &Corners| shared(face, &rectangle) > MOST_HIDDEN * area(face);
            if work.faces.iter().any(hides) {
                continue;
            }
            let edge = match rng.random_range(0..4) {
                0 => Edge::Hard,
                1 => Edge::Soft(1.0 + length as f32 * 0.05),
                _ => Edge::Ellipse,
            };
            work.canvas.paste(&Patch { size: [head.side; 2], rgb: head.rgb }, [x, y], edge);
            let moved = |corners: &Corners| {
                let [left, top, right, bottom] = *corners;
                [left + x as f32, top + y as f32, right + x as f32, bottom + y as f32]
            };
            work.faces.push(moved(&head.face));
            work.doubtful.extend(head.others.iter().map(moved));
            return;
        }
    }

    /// Covers a side of some faces, as hands, hair and cups do.
    fn cover(&self, work: &mut Work, rng: &mut impl Rng) {
        for [left, top, right, bottom] in work.faces.clone() {
            if !rng.random_bool(self.config.covered) {
                continue;
            }
            let [width, height] = [right - left, bottom - top];
            let share = rng.random_range(0.15..0.4f32);
            let [along, down] = [width, height].map(|length| length * rng.random_range(0.7..1.2f32));
            let (size, at) = match rng.random_range(0..4) {
                0 => ([width * share, down], [left, top]),
                1 => ([width * share, down], [right - width * share, top]),
                2 => ([along, height * share], [left, top]),
                _ => ([along, height * share], [left, bottom - height * share]),
            };
            let size = size.map(|length| (length as usize).max(1));
            let edge = if rng.random_bool(0.5) { Edge::Ellipse } else { Edge::Hard };
            let patch = any_piece(self.portraits, size, rng);
            work.canvas.paste(&patch, at.map(|at| at as i32), edge);
        }
    }
}

/// A scene while it is made.
struct Work {
    canvas: Canvas,
    faces: Vec<Corners>,
    doubtful: Vec<Corners>,
}

impl Work {
    /// Puts what the scene shows of `portrait`, made `scale` times as large, with its upper left corner at `offset`.
    fn place(&mut self, portrait: &Portrait, scale: f32, offset: [f32; 2]) {
        let side = self.canvas.side as f32;
        let size = [portrait.frame.width(), portrait.frame.height()];
        let mut spans = [[0u32; 2]; 2];
        for ((span, offset), length) in spans.iter_mut().zip(offset).zip(size) {
            let start = (-offset / scale).max(0.0).floor();
            let end = ((side - offset) / scale).ceil().min(length as f32);
            if end <= start {
                return;
            }
            *span = [start as u32, end as u32 - start as u32];
        }
        let [[x, width], [y, height]] = spans;
        let crop = Crop { x, y, side: width, height: Some(height), ..whole(&portrait.frame) };
        let large = |length: u32| ((length as f32 * scale).round() as usize).max(1);
        let patch = cut(portrait, &crop, [large(width), large(height)]);
        let at = [offset[0] + x as f32 * scale, offset[1] + y as f32 * scale].map(f32::round);
        let ratio = [patch.size[0] as f32 / width as f32, patch.size[1] as f32 / height as f32];
        self.canvas.paste(&patch, at.map(|at| at as i32), Edge::Hard);
        let moved = |[left, top, right, bottom]: &Corners| {
            let across = |value: f32| at[0] + (value - x as f32) * ratio[0];
            let down = |value: f32| at[1] + (value - y as f32) * ratio[1];
            [across(*left), down(*top), across(*right), down(*bottom)]
        };
        self.faces.extend(portrait.faces.iter().map(moved));
        self.doubtful.extend(portrait.doubtful.iter().map(moved));
    }
}

/// A face with its surroundings, cut out as a square.
struct Head {
    side: usize,
    rgb: Vec<u8>,
    /// In pixels of the square.
    face: Corners,
    /// Other boxes in the square.
    others: Vec<Corners>,
}

impl Head {
    /// `face` of `portrait` at a random size; nothing if the picture holds too little of it.
    fn cut(portrait: &Portrait, face: Corners, sizes: [f64; 2], rng: &mut impl Rng) -> Option<Self> {
        let [left, top, right, bottom] = face;
        let longer = (right - left).max(bottom - top);
        let [width, height] = portrait.size();
        let wanted = longer * rng.random_range(1.15..2.4f32);
        let side = wanted.min(width).min(height).floor().max(1.0);
        let start = |middle: f32, length: f32| (middle - side / 2.0).clamp(0.0, length - side).floor();
        let [x, y] = [start((left + right) / 2.0, width), start((top + bottom) / 2.0, height)];
        let square = [x, y, x + side, y + side];
        if shared(&face, &square) < 0.8 * area(&face) {
            return None;
        }
        let scale = (log_uniform(sizes.map(|size| size as f32), rng) / longer).min(MAX_ENLARGEMENT);
        let large = ((side * scale).round() as usize).max(4);
        let crop =
            Crop { x: x as u32, y: y as u32, side: side as u32, height: None, ..whole(&portrait.frame) };
        let mut rgb = cut(portrait, &crop, [large; 2]).rgb;
        if rng.random_bool(0.15) {
            // As small as a camera far away would have it, then made larger.
            let small = (large / 2).max(4) as u32;
            let coarse = cut(portrait, &crop, [small as usize; 2]).rgb;
            let coarse = Frame::from_rgb(small, small, coarse);
            rgb = resize(&coarse, &whole(&coarse), [large as u32; 2]);
        }
        if rng.random_bool(0.4) {
            let degrees = rng.random_range(-25.0..25f32);
            let turn = Affine { degrees, scale: 1.0, shift: [0.0; 2] };
            rgb = Raster::from_rgb(&rgb, large).moved(&turn).to_rgb();
        }
        let ratio = large as f32 / side;
        let moved = |[left, top, right, bottom]: Corners| {
            [(left - x) * ratio, (top - y) * ratio, (right - x) * ratio, (bottom - y) * ratio]
        };
        let all = portrait.faces.iter().chain(&portrait.doubtful);
        let others = all.filter(|other| **other != face && shared(other, &square) > 0.0).copied();
        Some(Head { side: large, rgb, face: moved(face), others: others.map(moved).collect() })
    }
}

/// A number between two whose logarithm is as likely anywhere.
fn log_uniform([low, high]: [f32; 2], rng: &mut impl Rng) -> f32 {
    (low.ln() + (high.ln() - low.ln()) * rng.random_range(0.0..=1.0)).exp()
}

fn area([left, top, right, bottom]: &Corners) -> f32 {
    (right - left).max(0.0) * (bottom - top).max(0.0)
}

/// Area of what two boxes share.
fn shared(a: &Corners, b: &Corners) -> f32 {
    area(&[a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])])
}

/// Share of a box that is in a scene of `side` pixels.
fn visible(corners: &Corners, side: f32) -> f32 {
    let whole = area(corners);
    if whole > 0.0 { shared(corners, &[0.0, 0.0, side, side]) / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const RED: [u8; 3] = [250, 0, 0];

    /// Green with a red face; what is red in a scene is where its box says.
    fn portraits() -> Vec<Portrait> {
        let portrait = |width: u32, height: u32, [left, top, right, bottom]: [u32; 4]| {
            let colour = |i: u32| {
                let [x, y] = [i % width, i / width];
                if (left..right).contains(&x) && (top..bottom).contains(&y) { RED } else { [0, 250, 0] }
            };
            let rgb = (0..width * height).flat_map(colour).collect();
            let face = [left, top, right, bottom].map(|at| at as f32);
            Portrait { frame: Frame::from_rgb(width, height, rgb), faces: vec![face], doubtful: Vec::new() }
        };
        vec![portrait(120, 90, [40, 20, 80, 70]), portrait(100, 160, [20, 60, 80, 140])]
    }

    fn plain() -> SceneConfig {
        let none = SceneConfig::default();
        SceneConfig { covered: 0.0, jpeg: 0.0, colour: 0.0, grey: 0.0, blur: 0.0, noise: 0.0, ..none }
    }

    fn is_red(pixel: &[u8]) -> bool {
        pixel[0] > 150 && pixel[1] < 100
    }

    #[test]
    fn w11_faces_are_where_their_boxes_say() {
        let portraits = portraits();
        for (name, config) in [
            ("letterboxed", SceneConfig { letterboxed: 1.0, portrait: 0.0, empty: 0.0, ..plain() }),
            ("portrait", SceneConfig { letterboxed: 0.0, portrait: 1.0, empty: 0.0, ..plain() }),
            (
                "crowd",
                SceneConfig { letterboxed: 0.0, portrait: 0.0, empty: 0.0, pasted: [20.0, 80.0], ..plain() },
            ),
        ] {
            let maker = SceneMaker { portraits: &portraits, with_faces: &[0, 1], side: 160, config: &config };
            let [mut seen, mut elsewhere] = [0; 2];
            for seed in 0..40 {
                let scene = maker.scene(&mut ChaCha8Rng::seed_from_u64(seed));
                assert_eq!(scene.rgb.len(), 160 * 160 * 3);
                for [left, top, right, bottom] in &scene.faces {
                    // The middle half of each face: turned ones have corners elsewhere.
                    let [x, y] = [(left + right) / 2.0, (top + bottom) / 2.0];
                    let [w, h] = [(right - left) / 8.0, (bottom - top) / 8.0];
                    for (x, y) in [(x, y), (x - w, y), (x + w, y), (x, y - h), (x, y + h)] {
                        if !(0.0..160.0).contains(&x) || !(0.0..160.0).contains(&y) {
                            continue;
                        }
                        let at = (y as usize * 160 + x as usize) * 3;
                        elsewhere += usize::from(!is_red(&scene.rgb[at..at + 3]));
                        seen += 1;
                    }
                }
            }
            // Faces may hide a fifth of each other.
            assert!(seen > 100 && elsewhere * 100 <= seen, "{name}: {elsewhere} of {seen}");
        }
    }

    #[test]
    fn empty_scenes_have_no_face_and_one_seed_gives_one_scene() {
        let portraits = portraits();
        let config = SceneConfig { letterboxed: 0.0, portrait: 0.0, empty: 1.0, ..plain() };
        let maker = SceneMaker { portraits: &portraits, with_faces: &[0, 1], side: 96, config: &config };
        let scene = |seed| maker.scene(&mut ChaCha8Rng::seed_from_u64(seed));
        assert!((0..20).all(|seed| scene(seed).faces.is_empty()));
        assert_eq!(scene(3), scene(3));
        assert_ne!(scene(3).rgb, scene(4).rgb);
        let strong = SceneConfig { covered: 1.0, ..SceneConfig::default() };
        let maker = SceneMaker { config: &strong, ..maker };
        let scene = |seed| maker.scene(&mut ChaCha8Rng::seed_from_u64(seed));
        assert!((0..20).all(|seed| scene(seed) == scene(seed)));
    }

    #[test]
    fn a_plain_scene_is_what_the_engine_sees() {
        let portraits = portraits();
        let config = plain();
        let maker = SceneMaker { portraits: &portraits, with_faces: &[0, 1], side: 60, config: &config };
        let scene = maker.plain(0);
        assert_eq!(scene.faces, [[20.0, 10.0, 40.0, 35.0]]);
        assert_eq!(scene.rgb, Letterbox::new(&portraits[0].frame, 60).rgb());
    }
}
