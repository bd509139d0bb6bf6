//! Runs contenders in turn, each in its own process, and computes medians and ratios of their results.

mod build;
mod child;
mod page;
mod plan;
mod plots;
mod questions;
mod results;
mod traffic;

use std::fs;
use std::path::{Path, PathBuf};

pub use build::Place;
pub use child::{Node, Programs};
pub use plan::{Heat, Sizes};
pub use results::{Results, Row};

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The programs of the contenders.
    pub programs: Programs,
    /// A folder for frames, which are kept between runs.
    pub folder: PathBuf,
    /// The amount of traffic and the number of rounds.
    pub sizes: Sizes,
    /// Runs only heats whose name (`JOB/MODE`) contains this text.
    pub only: Option<String>,
    /// The folder for the report: a page, charts, and the figures as JSON.
    pub report: Option<PathBuf>,
    /// The file for the figures as JSON.
    pub json: Option<PathBuf>,
    /// A file with figures of an earlier run, to report again without a measurement.
    pub again: Option<PathBuf>,
    /// The machine and the versions compared, for the report.
    pub machine: String,
}

/// Runs every heat, reports the progress to `tell`, and writes the report.
///
/// # Errors
///
/// If a contender fails, contenders receive different events, or a file cannot be written.
pub fn run(settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<Results, String> {
    if let Some(file) = &settings.again {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let (results, machine) = Results::from_json(&text)?;
        if let Some(folder) = &settings.report {
            report(&results, &machine, folder)?;
        }
        return Ok(results);
    }
    let heats: Vec<Heat> = plan::heats(settings.sizes, &settings.programs)
        .into_iter()
        .filter(|heat| settings.only.as_ref().is_none_or(|only| heat.name().contains(only.as_str())))
        .collect();
    let mut results = Results::default();
    for (number, heat) in heats.iter().enumerate() {
        let rows = heat.run(&settings.programs, &settings.folder, settings.sizes, &mut |text| {
            tell(&format!("[{}/{}] {} {text}", number + 1, heats.len(), heat.name()));
        })?;
        for row in &rows {
            tell(&format!("    {row}"));
        }
        results.add(heat, rows);
    }
    if let Some(path) = &settings.json {
        write(path, &results.to_json(&settings.machine))?;
    }
    if let Some(folder) = &settings.report {
        report(&results, &settings.machine, folder)?;
    }
    Ok(results)
}

/// Writes the figures, a chart for each question, and the page into a folder.
///
/// # Errors
///
/// If a file cannot be written.
pub fn report(results: &Results, machine: &str, folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    write(&folder.join("figures.json"), &results.to_json(machine))?;
    plots::draw(results, folder)?;
    write(&folder.join("README.md"), &page::page(results, machine))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
