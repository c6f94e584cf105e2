//! What stands in a plot, and its drawing as SVG.
//!
//! The ink takes the colour of the text around it, and every other colour is readable on white and on
//! black: one file serves light and dark pages, and stands alone.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Colours of series, told apart by most colour-blind eyes.
pub const BLUE: RGBColor = RGBColor(0x2f, 0x7e, 0xd8);
/// See [`BLUE`].
pub const ORANGE: RGBColor = RGBColor(0xd9, 0x71, 0x1c);
/// See [`BLUE`].
pub const TEAL: RGBColor = RGBColor(0x12, 0x9a, 0x83);
/// See [`BLUE`].
pub const PURPLE: RGBColor = RGBColor(0xa5, 0x5f, 0xd3);
/// The colour of the text around the plot.
pub const INK: RGBColor = RGBColor(0x01, 0x02, 0x03);

/// How [`INK`] is written before it is exchanged.
const INK_AS_WRITTEN: &str = "#010203";
/// Colours of a plot that stands alone; the first rule that a page sets itself wins over it.
const STYLE: &str = "<style>:root{color-scheme:light dark;color:#1b1b1b}\
    @media(prefers-color-scheme:dark){:root{color:#e4e4e4}}</style>\n";

/// Width of every plot in pixels.
const WIDTH: u32 = 680;
/// Height of one panel in pixels.
const PANEL_HEIGHT: u32 = 400;
/// Height of a panel among others.
const LOW_PANEL_HEIGHT: u32 = 230;
const TITLE_PX: i32 = 17;
const TEXT_PX: i32 = 13;
/// Rough width of a letter, as a share of the size of the text: nothing here measures fonts.
const LETTER: f64 = 0.56;
const MARGIN: i32 = 12;

/// A plot: title, lines of text, one or more panels above each other.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What is shown.
    pub title: String,
    /// The figures behind it: numbers with intervals, counts, split.
    pub caption: Vec<String>,
    /// From the top.
    pub panels: Vec<Panel>,
}

/// Two axes and what stands between them.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Drawn in this order.
    pub marks: Vec<Mark>,
}

/// A linear axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// Quantity and unit.
    pub label: String,
    /// Value at its beginning.
    pub from: f64,
    /// Value at its end.
    pub to: f64,
    /// About as many numbers stand beside it.
    pub ticks: usize,
}

impl Axis {
    /// An axis with a number at each tenth of it, or so.
    pub fn new(label: &str, from: f64, to: f64) -> Self {
        Axis { label: label.into(), from, to, ticks: 11 }
    }

    /// An axis from 0 to 1.
    pub fn share(label: &str) -> Self {
        Axis::new(label, 0.0, 1.0)
    }
}

/// A shape in a panel, in the units of its axes.
#[derive(Debug, Clone)]
pub enum Mark {
    /// Straight lines from point to point.
    Line(Series),
    /// The same, dashed.
    Dashes(Series),
    /// A dot at each point.
    Dots(Series),
    /// A bar `[from, to)` of a height, see-through.
    Bars {
        /// In the legend.
        name: String,
        /// Of the bars.
        colour: RGBColor,
        /// From, to, height.
        bars: Vec<[f64; 3]>,
    },
    /// A rectangle with lines of text in its middle.
    Cell {
        /// Two corners.
        corners: [(f64, f64); 2],
        /// Of the rectangle.
        colour: RGBColor,
        /// From 0, clear, to 1, full.
        strength: f64,
        /// From the top.
        text: Vec<String>,
    },
    /// A word whose lower edge is at a point.
    Word {
        /// Middle of the lower edge.
        at: (f64, f64),
        /// What it says.
        text: String,
    },
}

/// Points that belong together.
#[derive(Debug, Clone)]
pub struct Series {
    /// In the legend; empty for none.
    pub name: String,
    /// Of the line.
    pub colour: RGBColor,
    /// In drawing order.
    pub points: Vec<(f64, f64)>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

impl Figure {
    /// The plot as an SVG file without references to others.
    ///
    /// # Errors
    /// If the drawing library fails, as it does on an axis without extent.
    pub fn svg(&self) -> Result<String> {
        let head = self.head_height();
        let panel = if self.panels.len() > 1 { LOW_PANEL_HEIGHT } else { PANEL_HEIGHT };
        let height = head as u32 + panel * self.panels.len() as u32;
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
            self.draw_head(&root)?;
            let (_, body) = root.split_vertically(head);
            for (panel, area) in self.panels.iter().zip(body.split_evenly((self.panels.len(), 1))) {
                panel.draw(&area)?;
            }
            root.present().map_err(drawing)?;
        }
        let svg = svg.replace(INK_AS_WRITTEN, "currentColor");
        Ok(svg.replacen("<svg ", "<svg role=\"img\" ", 1).replacen(">\n", &format!(">\n{STYLE}"), 1))
    }

    fn head_height(&self) -> i32 {
        MARGIN + TITLE_PX + 6 + (TEXT_PX + 5) * (self.caption.len() as i32 + self.legend_rows().len() as i32)
    }

    /// Title, caption, legend.
    fn draw_head(&self, root: &Area) -> Result<()> {
        let mut y = MARGIN;
        write(root, &self.title, (MARGIN, y), TITLE_PX)?;
        y += TITLE_PX + 6;
        for line in &self.caption {
            write(root, line, (MARGIN, y), TEXT_PX)?;
            y += TEXT_PX + 5;
        }
        for row in self.legend_rows() {
            let mut x = MARGIN;
            for mark in row {
                mark.draw_swatch(root, (x, y + TEXT_PX / 2))?;
                write(root, mark.name(), (x + 26, y), TEXT_PX)?;
                x += entry_width(mark.name());
            }
            y += TEXT_PX + 5;
        }
        Ok(())
    }

    /// The marks that have a name, as many in a row as there is room for.
    fn legend_rows(&self) -> Vec<Vec<&Mark>> {
        let mut rows: Vec<Vec<&Mark>> = Vec::new();
        let mut room = 0;
        for mark in self.panels.iter().flat_map(|panel| &panel.marks).filter(|mark| !mark.name().is_empty()) {
            let width = entry_width(mark.name());
            if width > room {
                rows.push(Vec::new());
                room = WIDTH as i32 - 2 * MARGIN;
            }
            room -= width;
            if let Some(row) = rows.last_mut() {
                row.push(mark);
            }
        }
        rows
    }
}

impl Panel {
    fn draw(&self, area: &Area) -> Result<()> {
        let mut chart = ChartBuilder::on(area)
            .margin(MARGIN)
            .x_label_area_size(42)
            .y_label_area_size(74)
            .build_cartesian_2d(self.x.from..self.x.to, self.y.from..self.y.to)
            .map_err(drawing)?;
        chart
            .configure_mesh()
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .x_labels(self.x.ticks)
            .y_labels(self.y.ticks)
            .x_label_formatter(&|value| number(*value, &self.x))
            .y_label_formatter(&|value| number(*value, &self.y))
            .max_light_lines(0)
            .bold_line_style(INK.mix(0.12))
            .axis_style(INK.mix(0.6))
            .label_style(font(TEXT_PX))
            .draw()
            .map_err(drawing)?;
        self.marks.iter().try_for_each(|mark| mark.draw(&mut chart))
    }
}

impl Mark {
    fn name(&self) -> &str {
        match self {
            Mark::Line(series) | Mark::Dashes(series) | Mark::Dots(series) => &series.name,
            Mark::Bars { name, .. } => name,
            Mark::Cell { .. } | Mark::Word { .. } => "",
        }
    }

    fn draw(&self, chart: &mut Chart) -> Result<()> {
        match self {
            Mark::Line(Series { colour, points, .. }) => {
                let line = PathElement::new(points.clone(), colour.stroke_width(2));
                chart.plotting_area().draw(&line).map_err(drawing)
            }
            Mark::Dashes(Series { colour, points, .. }) => {
                let line = DashedPathElement::new(points.clone(), 6, 4, colour.stroke_width(1));
                chart.plotting_area().draw(&line).map_err(drawing)
            }
            Mark::Dots(Series { colour, points, .. }) => points.iter().try_for_each(|point| {
                let dot = Circle::new(*point, 4, colour.filled());
                chart.plotting_area().draw(&dot).map_err(drawing)
            }),
            Mark::Bars { colour, bars, .. } => bars.iter().try_for_each(|&[from, to, height]| {
                let corners = [(from, 0.0), (to, height)];
                let fill = Rectangle::new(corners, colour.mix(0.45).filled());
                chart.plotting_area().draw(&fill).map_err(drawing)?;
                chart.plotting_area().draw(&Rectangle::new(corners, *colour)).map_err(drawing)
            }),
            Mark::Cell { corners, colour, strength, text } => {
                let fill = Rectangle::new(*corners, colour.mix(0.08 + 0.6 * strength).filled());
                chart.plotting_area().draw(&fill).map_err(drawing)?;
                let middle = |(a, b): (f64, f64)| (a + b) / 2.0;
                let at = (middle((corners[0].0, corners[1].0)), middle((corners[0].1, corners[1].1)));
                let line = TEXT_PX + 7;
                text.iter().enumerate().try_for_each(|(index, text)| {
                    let down = line * index as i32 - line * (text_lines(self) - 1) / 2;
                    word(chart, text, at, down, VPos::Center)
                })
            }
            Mark::Word { at, text } => word(chart, text, *at, -3, VPos::Bottom),
        }
    }

    /// A sample of the mark, 20 pixels wide, left of `(x, y)`'s text.
    fn draw_swatch(&self, root: &Area, (x, y): (i32, i32)) -> Result<()> {
        let ends = [(x, y), (x + 20, y)];
        match self {
            Mark::Line(series) => {
                root.draw(&PathElement::new(ends, series.colour.stroke_width(2))).map_err(drawing)
            }
            Mark::Dashes(series) => {
                let line = DashedPathElement::new(ends, 6, 4, series.colour.stroke_width(1));
                root.draw(&line).map_err(drawing)
            }
            Mark::Dots(series) => {
                root.draw(&Circle::new((x + 10, y), 4, series.colour.filled())).map_err(drawing)
            }
            Mark::Bars { colour, .. } => {
                let corners = [(x, y - 5), (x + 20, y + 5)];
                root.draw(&Rectangle::new(corners, colour.mix(0.45).filled())).map_err(drawing)
            }
            Mark::Cell { .. } | Mark::Word { .. } => Ok(()),
        }
    }
}

fn text_lines(mark: &Mark) -> i32 {
    if let Mark::Cell { text, .. } = mark { text.len() as i32 } else { 1 }
}

fn font(size: i32) -> TextStyle<'static> {
    // The library writes the height of capitals and tails, not the size that SVG asks for.
    ("sans-serif", f64::from(size) * 1.24).into_font().color(&INK)
}

/// Text whose upper left corner is at `at`, in pixels.
fn write(root: &Area, text: &str, at: (i32, i32), size: i32) -> Result<()> {
    root.draw(&Text::new(text.to_owned(), at, font(size))).map_err(drawing)
}

/// Centred text at a point of the chart, `down` pixels below it.
fn word(chart: &mut Chart, text: &str, at: (f64, f64), down: i32, v: VPos) -> Result<()> {
    let style = font(TEXT_PX).pos(Pos::new(HPos::Center, v));
    let element = EmptyElement::at(at) + Text::new(text.to_owned(), (0, down), style);
    chart.plotting_area().draw(&element).map_err(drawing)
}

fn entry_width(name: &str) -> i32 {
    26 + (name.chars().count() as f64 * LETTER * f64::from(TEXT_PX)) as i32 + 22
}

/// `value` with the decimals of the steps between the numbers of its axis: 1, 2 or 5 times a power of ten.
fn number(value: f64, axis: &Axis) -> String {
    let step = (axis.to - axis.from) / axis.ticks.max(1) as f64;
    let power = step.log10().floor();
    // Steps above 5 are rounded up to 10.
    let power = if step > 5.0 * 10f64.powf(power) { power + 1.0 } else { power };
    format!("{value:.*}", (-power).clamp(0.0, 12.0) as usize)
}

fn drawing(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw the plot: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_decimals_of_their_steps() {
        for (to, ticks, expected) in [
            (1.0, 11, "0.1"),
            (0.22, 11, "0.10"),
            (0.25, 5, "0.10"),
            (8.0, 11, "0"),
            (60.0, 11, "0"),
            (2e-3, 5, "0.1000"),
        ] {
            let axis = Axis { ticks, ..Axis::new("", 0.0, to) };
            assert_eq!(number(0.1, &axis), expected, "{to} in {ticks}");
        }
    }

    #[test]
    fn text_from_outside_is_escaped_and_the_ink_is_the_readers() -> Result<()> {
        let words = Mark::Word { at: (0.5, 0.5), text: "<script>alert(1)</script>".into() };
        let line = Series { name: "a & b".into(), colour: INK, points: vec![(0.0, 0.0), (1.0, 1.0)] };
        let marks = vec![words, Mark::Line(line)];
        let panel = Panel { x: Axis::share("x"), y: Axis::share("y"), marks };
        let svg = Figure { title: "<b>".into(), caption: vec!["<i>".into()], panels: vec![panel] }.svg()?;
        assert!(!["<script>", "<b>", "<i>", "a & b"].iter().any(|raw| svg.contains(raw)), "{svg}");
        assert!(svg.contains("a &amp; b") && svg.contains("currentColor") && !svg.contains(INK_AS_WRITTEN));
        Ok(())
    }
}
