//! The charts: horizontal bars on a linear axis, one SVG for each question.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::questions::{Answer, answers};
use super::results::Results;

const WIDTH: u32 = 900;
/// The height of a bar, or of the title of a group, in pixels.
const ROW: u32 = 22;
const MARGIN: u32 = 12;
const CAPTION: u32 = 30;
/// The space for the axis and its numbers, in pixels.
const AXIS: u32 = 30;
/// The space for the names of contenders, in pixels.
const NAMES: u32 = 230;

const INK: RGBColor = RGBColor(40, 40, 40);
const OURS: RGBColor = RGBColor(200, 80, 30);
const OTHERS: RGBColor = RGBColor(120, 150, 185);
const ABSENT: RGBColor = RGBColor(130, 130, 130);

/// A line of a chart.
enum Line<'a> {
    Title(&'a str),
    Bar { name: &'a str, value: Option<f64>, ours: bool },
    Space,
}

/// Draws one SVG into the folder for each question with an answer.
pub(super) fn draw(results: &Results, folder: &Path) -> Result<(), String> {
    for answer in answers(results) {
        let path = folder.join(format!("{}.svg", answer.question.file));
        bars(&answer, &path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn bars(answer: &Answer, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let lines = lines(answer);
    let most = lines.iter().filter_map(Line::value).fold(0.0, f64::max);
    let height = 2 * MARGIN + CAPTION + AXIS + ROW * lines.len() as u32;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let text = |size: u32, weight: FontStyle, anchor: HPos| {
        ("sans-serif", size).into_font().style(weight).color(&INK).pos(Pos::new(anchor, VPos::Center))
    };
    let caption = format!("{} (less is better)", answer.unit());
    root.draw(&Text::new(
        caption,
        (MARGIN as i32, (MARGIN + CAPTION / 3) as i32),
        text(16, FontStyle::Normal, HPos::Left),
    ))?;
    // The first line is at the top. After the longest bar there is space for its value.
    let rows = lines.len() as f64;
    let mut chart = ChartBuilder::on(&root)
        .margin(MARGIN)
        .margin_top(MARGIN + CAPTION)
        .x_label_area_size(AXIS)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(0.0..most.max(f64::MIN_POSITIVE) * 1.15, 0.0..rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .x_labels(8)
        .x_label_formatter(&|at| number(*at))
        .draw()?;
    for (index, line) in lines.iter().enumerate() {
        let (low, high) = (rows - index as f64 - 1.0, rows - index as f64);
        let (left, middle) = chart.backend_coord(&(0.0, low.midpoint(high)));
        match line {
            Line::Title(title) => {
                let style = text(14, FontStyle::Bold, HPos::Left);
                root.draw(&Text::new(*title, (MARGIN as i32, middle), style))?;
            }
            Line::Bar { name, value, ours } => {
                root.draw(&Text::new(*name, (left - 8, middle), text(13, FontStyle::Normal, HPos::Right)))?;
                let (end, label, style) = match value {
                    Some(value) => (*value, number(*value), text(13, FontStyle::Normal, HPos::Left)),
                    None => (
                        0.0,
                        "not measured".to_owned(),
                        text(13, FontStyle::Normal, HPos::Left).color(&ABSENT),
                    ),
                };
                let colour = if *ours { OURS } else { OTHERS };
                chart.draw_series([Rectangle::new(
                    [(0.0, low + 0.15), (end, high - 0.15)],
                    colour.filled(),
                )])?;
                let (end, _) = chart.backend_coord(&(end, low));
                root.draw(&Text::new(label, (end + 6, middle), style))?;
            }
            Line::Space => {}
        }
    }
    root.present()?;
    Ok(())
}

/// Each group with its title above it, and an empty line between two groups.
fn lines(answer: &Answer) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    for group in &answer.groups {
        if !lines.is_empty() {
            lines.push(Line::Space);
        }
        lines.push(Line::Title(group.title));
        lines.extend(group.bars.iter().map(|bar| Line::Bar {
            name: &bar.name,
            value: bar.value,
            ours: bar.who == "ours",
        }));
    }
    lines
}

impl Line<'_> {
    fn value(&self) -> Option<f64> {
        match self {
            Self::Bar { value, .. } => *value,
            Self::Title(_) | Self::Space => None,
        }
    }
}

/// Formats a number: one decimal below a hundred, and a space between thousands.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        let text = format!("{value:.1}");
        return text.strip_suffix(".0").map_or(text.clone(), str::to_owned);
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_spaces_between_thousands() {
        for (value, text) in [
            (0.0, "0"),
            (6.368, "6.4"),
            (20.0, "20"),
            (527.7, "528"),
            (2000.0, "2 000"),
            (1_234_567.0, "1 234 567"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
