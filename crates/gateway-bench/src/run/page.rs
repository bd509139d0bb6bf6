//! The report as a page of Markdown, with its plots.

use std::fmt::Write;

use super::plots;
use super::results::{Measured, Results};

/// The whole page.
pub(super) fn page(results: &Results, machine: &str) -> String {
    let mut page = String::from("# Side by side\n\n");
    let _ = writeln!(page, "{machine}\n");
    page.push_str(
        "Every contender had its turn in every round; figures are medians. A ratio is the other's cost over ours: above 1, \
         ours is better. `cargo xtask bench` repeats it; the figures of every round are in `figures.json`.\n",
    );
    for job in plots::jobs(results) {
        let _ = writeln!(page, "\n## {job}\n\n![{job}]({job}.svg)\n");
        let heats: Vec<&Measured> = results.heats.iter().filter(|heat| heat.job == job).collect();
        let mut figures: Vec<&str> = heats
            .iter()
            .flat_map(|heat| &heat.rows)
            .flat_map(|row| row.values.keys().map(String::as_str))
            .collect();
        figures.sort_unstable();
        figures.dedup();
        let _ = writeln!(page, "| mode | who | {} | ratio |", figures.join(" | "));
        let _ = writeln!(page, "|-|-|{}-|", "-|".repeat(figures.len()));
        for heat in heats {
            let ratios = heat.ratios();
            for row in &heat.rows {
                let cells: Vec<String> =
                    figures.iter().map(|name| row.median(name).map_or(String::new(), short)).collect();
                let ratio = ratios.iter().find(|(who, _)| *who == row.who);
                let ratio = ratio.map_or(String::new(), |(_, ratio)| format!("{ratio:.2}"));
                let _ = writeln!(page, "| {} | {} | {} | {ratio} |", heat.mode, row.who, cells.join(" | "));
            }
        }
    }
    page
}

/// As many digits as mean something.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
