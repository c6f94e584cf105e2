//! The part of the document that says why: what each stage said, and what moved the filter.

use crate::state::Heat;
use crate::text::names::{change, label};
use crate::text::number::{decimal, figures, milliseconds, percent, size, yes};
use crate::text::{text, text_with};
use crate::view::{View, plain_digits};
use engine::{HeatMap, Report};
use wasm_bindgen::JsValue;

const SVG: &str = "http://www.w3.org/2000/svg";

impl View {
    /// A row for each stage, in the order in which they ran.
    pub(crate) fn render_stages(&self, report: &Report) -> Result<(), JsValue> {
        let rows = report.stages.iter().map(|stage| {
            let sure = stage.thresholds.map_or_else(
                || text("stages.none").to_owned(),
                |sure| {
                    let [lower, upper] = [sure.lower, sure.upper].map(percent);
                    text_with("stages.thresholds", &[("lower", &lower), ("upper", &upper)])
                },
            );
            vec![
                stage.name.clone(),
                percent(stage.probability_fake),
                figures(&stage.logit.to_string()),
                sure,
                yes(stage.name == report.verdict.decided_by).into(),
                milliseconds(stage.latency_ms),
            ]
        });
        self.fill_table("stage-rows", rows.collect())?;
        let views = report
            .views
            .iter()
            .map(|view| vec![change(view.view).to_owned(), percent(view.probability_fake)]);
        self.show("views", !report.views.is_empty())?;
        self.fill_table("view-rows", views.collect())
    }

    /// A frame around each face, and a row of the table.
    pub(crate) fn render_faces(&self, report: &Report) -> Result<(), JsValue> {
        let boxes = self.element("face-boxes")?;
        boxes.set_text_content(None);
        let text_size = f64::from(report.picture_size[1].max(1)) / 22.0;
        for (number, face) in (1..).zip(&report.faces) {
            let region = face.face.region;
            let sides =
                [f64::from(region.x), f64::from(region.y), f64::from(region.width), f64::from(region.height)];
            let frame = self.document().create_element_ns(Some(SVG), "rect")?;
            for (name, value) in ["x", "y", "width", "height"].into_iter().zip(sides) {
                frame.set_attribute(name, &value.to_string())?;
            }
            frame.set_attribute("class", if face.decided { "decided" } else { "other" })?;
            boxes.append_with_node_1(&frame)?;
            if report.faces.len() > 1 {
                let text = self.document().create_element_ns(Some(SVG), "text")?;
                text.set_attribute("x", &(sides[0] + text_size / 3.0).to_string())?;
                text.set_attribute("y", &(sides[1] + text_size).max(text_size).to_string())?;
                text.set_attribute("font-size", &text_size.to_string())?;
                text.set_text_content(Some(&number.to_string()));
                boxes.append_with_node_1(&text)?;
            }
        }
        self.show("faces", report.faces.len() > 1)?;
        let rows = (1..).zip(&report.faces).map(|(number, face)| {
            let said = face.label.map_or_else(|| text("faces.not_judged"), label);
            let name = if face.decided { "faces.number.decides" } else { "faces.number" };
            let region = face.face.region;
            vec![
                text_with(name, &[("number", &number.to_string())]),
                said.to_owned(),
                face.probability_fake.map(percent).unwrap_or_default(),
                size([region.width, region.height]),
                decimal(face.face.quality.score, 2),
            ]
        });
        self.fill_table("face-rows", rows.collect())
    }

    /// What moved the answer, over the picture and as words.
    pub(crate) fn render_heat(&self, heat: &Heat, report: &Report) -> Result<(), JsValue> {
        let name = match heat {
            Heat::Off => "off",
            Heat::Running => "running",
            Heat::Shown(_) => "shown",
            Heat::Failed(_) => "error",
        };
        let button = self.element("explain")?;
        button.set_attribute("data-state", name)?;
        button.set_attribute("aria-pressed", &matches!(heat, Heat::Shown(_)).to_string())?;
        button.set_attribute("aria-disabled", &matches!(heat, Heat::Running).to_string())?;
        match heat {
            Heat::Off => self.set_text("heat-status", ""),
            Heat::Running => self.set_text("heat-status", text("heat.running")),
            Heat::Shown(map) => self.set_text("heat-status", &heat_sentence(map)),
            Heat::Failed(failure) => self.set_failure("heat-status", failure),
        }?;
        let cells = self.element("heat")?;
        let Heat::Shown(map) = heat else {
            cells.set_text_content(None);
            return self.show("heat-legend", false);
        };
        self.show("heat-legend", true)?;
        // Drawn once: it does not change while it is shown.
        if cells.child_element_count() > 0 {
            return Ok(());
        }
        let side = f64::from(report.crop.side) / map.cells as f64;
        let largest = map.largest().max(f64::MIN_POSITIVE);
        for (at, shift) in map.shifts.iter().enumerate() {
            let cell = self.document().create_element_ns(Some(SVG), "rect")?;
            let x = f64::from(report.crop.x) + (at % map.cells) as f64 * side;
            let y = f64::from(report.crop.y) + (at / map.cells) as f64 * side;
            for (name, value) in [("x", x), ("y", y), ("width", side), ("height", side)] {
                cell.set_attribute(name, &value.to_string())?;
            }
            cell.set_attribute("class", if *shift > 0.0 { "to-fake" } else { "to-real" })?;
            cell.set_attribute("fill-opacity", &format!("{:.3}", 0.65 * shift.abs() / largest))?;
            cell.set_attribute("data-shift", &plain_digits(*shift))?;
            cells.append_with_node_1(&cell)?;
        }
        Ok(())
    }

    /// Puts `rows` of text into the table body called `id`.
    pub(crate) fn fill_table(&self, id: &str, rows: Vec<Vec<String>>) -> Result<(), JsValue> {
        let body = self.element(id)?;
        body.set_text_content(None);
        for row in rows {
            let line = self.document().create_element("tr")?;
            for (at, text) in row.iter().enumerate() {
                let cell = self.document().create_element(if at == 0 { "th" } else { "td" })?;
                if at == 0 {
                    cell.set_attribute("scope", "row")?;
                }
                cell.set_text_content(Some(text));
                line.append_with_node_1(&cell)?;
            }
            body.append_with_node_1(&line)?;
        }
        Ok(())
    }
}

/// Where the answer hung most, in words.
fn heat_sentence(map: &HeatMap) -> String {
    const PLACES: [[&str; 3]; 3] = [
        ["heat.place.upper_left", "heat.place.upper", "heat.place.upper_right"],
        ["heat.place.left", "heat.place.middle", "heat.place.right"],
        ["heat.place.lower_left", "heat.place.lower", "heat.place.lower_right"],
    ];
    let [column, row] = map.strongest();
    let third = |at: usize| (at * 3 / map.cells.max(1)).min(2);
    let place = text(PLACES[third(row)][third(column)]);
    let shift = map.shifts[row * map.cells + column];
    text_with(if shift > 0.0 { "heat.fake" } else { "heat.real" }, &[("place", place)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{Crop, Frame};

    #[test]
    fn the_strongest_part_is_named_by_its_place() {
        let crop = Crop::centre_square(&Frame::from_rgb(8, 8, vec![0; 192]));
        let mut map = HeatMap { stage: "f".into(), crop, cells: 8, log_odds: 0.0, shifts: vec![0.0; 64] };
        for (cell, shift, words) in [
            (0, 1.0, "upper left, which spoke for fake"),
            (63, -2.0, "lower right, which spoke for real"),
            (28, 3.0, "the middle, which"),
        ] {
            map.shifts[cell] = shift;
            assert!(heat_sentence(&map).contains(words), "{}", heat_sentence(&map));
        }
    }
}
