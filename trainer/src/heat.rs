//! What moved the score, as a picture and as text.

use anyhow::{Context, Result};
use engine::preprocess::resize;
use engine::{Frame, HeatMap};
use image::ImageEncoder;

/// Side of the picture, in pixels.
const SIDE: u32 = 512;
/// Share of the colour over the strongest cell.
const MOST_COLOUR: f64 = 0.6;

/// The region of `frame` that was judged, as PNG: red where it spoke for a fake, blue where it spoke for a real face.
///
/// # Errors
/// If the encoder fails.
pub fn picture(frame: &Frame, map: &HeatMap) -> Result<Vec<u8>> {
    let mut rgb = resize(frame, &map.crop, [SIDE; 2]);
    let side = SIDE as usize;
    let largest = map.largest().max(f64::MIN_POSITIVE);
    for (at, pixel) in rgb.chunks_exact_mut(3).enumerate() {
        let [x, y] = [at % side, at / side].map(|at| at * map.cells / side);
        let shift = map.shifts[y * map.cells + x] / largest;
        let colour = if shift > 0.0 { [220.0, 30.0, 20.0] } else { [20.0, 90.0, 220.0] };
        let share = shift.abs() * MOST_COLOUR;
        for (value, colour) in pixel.iter_mut().zip(colour) {
            *value = (f64::from(*value) * (1.0 - share) + colour * share).round() as u8;
        }
    }
    let mut png = Vec::new();
    image::codecs::png::PngEncoder::new(&mut png)
        .write_image(&rgb, SIDE, SIDE, image::ExtendedColorType::Rgb8)
        .context("cannot encode the picture")?;
    Ok(png)
}

/// The map as a table of log-odds for people.
pub fn text(map: &HeatMap) -> String {
    let [column, row] = map.strongest();
    let mut text = format!(
        "{}: log-odds of fake {:.3}; each number is what the part in its place adds to them\n",
        map.stage, map.log_odds
    );
    for line in map.shifts.chunks(map.cells) {
        let line: String = line.iter().map(|shift| format!("{shift:8.3}")).collect();
        text += &format!("{line}\n");
    }
    text + &format!("most: column {}, row {}", column + 1, row + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Crop;

    #[test]
    fn a_cell_that_spoke_for_a_fake_is_red_and_its_neighbour_blue() {
        let frame = Frame::from_rgb(64, 64, vec![128; 64 * 64 * 3]);
        let mut shifts = vec![0.0; 64];
        (shifts[0], shifts[1]) = (2.0, -1.0);
        let crop = Crop::centre_square(&frame);
        let map = HeatMap { stage: "filter".into(), crop, cells: 8, log_odds: 0.5, shifts };
        let png = Frame::from_encoded(&picture(&frame, &map).unwrap()).unwrap();
        let pixel = |x: usize| png.rgb()[3 * (10 * 512 + x)..][..3].to_vec();
        let [red, blue, grey] = [pixel(10), pixel(74), pixel(200)];
        assert!(red[0] > 160 && red[2] < 90, "{red:?}");
        assert!(blue[2] > 140 && blue[0] < 110, "{blue:?}");
        assert_eq!(grey, [128; 3]);
        assert!(text(&map).ends_with("most: column 1, row 1"));
    }
}
