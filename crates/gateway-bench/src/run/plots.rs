//! Bars of what each contender costs, one picture for each job.

use std::path::Path;

use plotters::prelude::*;

use super::results::{Measured, Results, Row};

const SIZE: (u32, u32) = (960, 420);

/// Who is mostly drawn, each in a colour of its own, the same in every picture.
const WHO: [&str; 13] = [
    "ours",
    "bound",
    "twilight",
    "twilight-all",
    "serenity",
    "python",
    "discord.py",
    "erltf",
    "smol",
    "async-std",
    "blocking",
    "one-shard",
    "discordjs",
];

/// Draws one SVG for each job into the folder: `JOB.svg`.
pub(super) fn draw(results: &Results, folder: &Path) -> Result<(), String> {
    for job in jobs(results) {
        let path = folder.join(format!("{job}.svg"));
        let heats: Vec<&Measured> = results.heats.iter().filter(|heat| heat.job == job).collect();
        bars(&job, &heats, &path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// The jobs that are worth a picture, in their order.
pub(super) fn jobs(results: &Results) -> Vec<String> {
    let mut jobs: Vec<String> = Vec::new();
    for heat in &results.heats {
        if !jobs.contains(&heat.job) && heat.rows.iter().any(|row| row.cost().is_some()) {
            jobs.push(heat.job.clone());
        }
    }
    jobs
}

fn bars(job: &str, heats: &[&Measured], path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let costs: Vec<(String, &str, f64)> = heats
        .iter()
        .flat_map(|heat| heat.rows.iter().map(move |row| (heat, row)))
        .filter_map(|(heat, row)| Some((heat.mode.clone(), row.who.as_str(), row.cost()?.1)))
        .collect();
    let unit = heats.iter().flat_map(|heat| &heat.rows).find_map(Row::cost).map_or("", |(unit, _)| unit);
    let most = costs.iter().map(|(_, _, cost)| *cost).fold(0.0, f64::max);
    // The scale is logarithmic: costs are apart by factors, up to a hundred.
    let floor = costs.iter().map(|(_, _, cost)| *cost).filter(|cost| *cost > 0.0).fold(most, f64::min) / 2.0;
    // A place for each bar, and one free between two modes.
    let mut places = Vec::new();
    let mut place = 0_usize;
    for (index, (mode, _, _)) in costs.iter().enumerate() {
        if index > 0 && costs[index - 1].0 != *mode {
            place += 1;
        }
        places.push(place);
        place += 1;
    }
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{job}: {unit} (less is better)"), ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..place.max(1) as f64, (floor..most * 2.0).log_scale())?;
    // A mode is written under the bar in the middle of its own.
    let mode_at = |at: f64| {
        let index = places.iter().position(|place| *place == at as usize)?;
        let mode = &costs[index].0;
        let first = costs.iter().position(|(of, _, _)| of == mode)?;
        let count = costs.iter().filter(|(of, _, _)| of == mode).count();
        (index == first + count / 2).then_some(mode)
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(place.max(1) + 1)
        .x_label_formatter(&|at| mode_at(*at).cloned().unwrap_or_default())
        .set_tick_mark_size(LabelAreaPosition::Bottom, 0)
        .draw()?;
    let mut names = WHO.to_vec();
    for (_, who, _) in &costs {
        if !names.contains(who) {
            names.push(who);
        }
    }
    for (colour, name) in names.into_iter().enumerate() {
        if costs.iter().all(|(_, who, _)| *who != name) {
            continue;
        }
        let style = Palette99::pick(colour).filled();
        let mine = costs.iter().zip(&places).filter(|((_, who, _), _)| *who == name);
        let bars: Vec<_> = mine
            .map(|((_, _, cost), place)| {
                Rectangle::new([(*place as f64 + 0.1, floor), (*place as f64 + 0.9, *cost)], style)
            })
            .collect();
        chart
            .draw_series(bars)?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}
