//! The report as Markdown: a page of questions with their charts, then the tables.

use std::fmt::Write;

use super::questions::{Answer, Comparison, NOISE, answers, compare, in_words};
use super::results::{Measured, Results};

/// The whole report.
pub(super) fn page(results: &Results, machine: &str) -> String {
    let mut page = String::from("# Side by side\n\n");
    let _ = writeln!(page, "{machine}\n");
    let _ = writeln!(
        page,
        "Every contender had its turn in every round; figures are medians. Less is better in every chart and table. Axes are \
         linear and begin at zero. The sentences say what the others need, against ours; a difference of up to {:.0} % counts as none. \
         A contender without a bar has no such mode, or was not installed. \
         `cargo xtask bench --report` repeats the run; the figures of every round are in \
         [`figures.json`](figures.json).",
        NOISE * 100.0
    );
    write_losses(&mut page, &compare(results));
    for answer in answers(results) {
        write_answer(&mut page, &answer);
    }
    write_tables(&mut page, results);
    page
}

fn write_losses(page: &mut String, comparison: &Comparison) {
    let Comparison { losses, draws, wins } = comparison;
    page.push_str("\n## Where others are better\n\n");
    for loss in losses {
        let _ =
            writeln!(page, "- {}: {} needs {}.", capitalized(&loss.what), loss.client, in_words(loss.ratio));
    }
    if !losses.is_empty() {
        page.push('\n');
    }
    let _ = writeln!(
        page,
        "Of {} comparisons with clients of others, the other is better in {}, equal in {draws}, and worse in {wins}. They are \
         all costs in the tables below, and the peaks of memory on this page.",
        losses.len() + draws + wins,
        losses.len(),
    );
}

fn write_answer(page: &mut String, answer: &Answer) {
    let question = answer.question;
    let _ = writeln!(page, "\n## {}\n", question.title);
    let _ = writeln!(page, "![{}: a bar for each contender]({}.svg)\n", answer.unit(), question.file);
    let _ = writeln!(page, "{}\n", question.method);
    for group in &answer.groups {
        let others: Vec<String> = group
            .ratios()
            .enumerate()
            .map(|(index, (bar, ratio))| {
                let verb = if index == 0 { " needs" } else { "" };
                format!("{}{verb} {}", bar.name, in_words(ratio))
            })
            .collect();
        if !others.is_empty() {
            let _ = writeln!(page, "- {}: {}.", group.title, others.join("; "));
        }
    }
}

fn write_tables(page: &mut String, results: &Results) {
    page.push_str(
        "\n## The tables\n\nA ratio is the other's cost over ours: above 1, ours is better. The cost is the first of these \
         that a table has: ns a message, CPU us an event, KiB a shard, CPU ms a shard-hour. The \
         [bench's README](../README.md) says what each job and contender does.\n",
    );
    for job in jobs(results) {
        let _ = writeln!(page, "\n### {job}\n");
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
}

/// The jobs with a cost, in their order.
fn jobs(results: &Results) -> Vec<&str> {
    let mut jobs: Vec<&str> = Vec::new();
    for heat in &results.heats {
        if !jobs.contains(&&*heat.job) && heat.rows.iter().any(|row| row.cost().is_some()) {
            jobs.push(&heat.job);
        }
    }
    jobs
}

fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or(String::new(), |first| first.to_uppercase().chain(rest).collect())
}

/// Rounds a value to significant digits.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::super::results::Row;
    use super::*;

    fn heat(job: &str, mode: &str, figure: &str, costs: &[(&str, f64)]) -> Measured {
        let row = |(who, cost): &(&str, f64)| Row {
            who: (*who).to_owned(),
            values: BTreeMap::from([(figure.to_owned(), vec![*cost])]),
        };
        Measured { job: job.to_owned(), mode: mode.to_owned(), rows: costs.iter().map(row).collect() }
    }

    fn results() -> Results {
        let event = "CPU us an event";
        let heats = vec![
            heat(
                "end-to-end-small-bot",
                "json-plain",
                event,
                &[("ours", 0.5), ("twilight", 1.65), ("python", 15.0)],
            ),
            heat("end-to-end-small-bot", "json-zstd", event, &[("ours", 2.0), ("serenity", 2.03)]),
            heat("growth-1000", "json-zstd", event, &[("ours", 2.0), ("twilight", 1.9)]),
            heat("end-to-end-raw", "json-plain", event, &[("ours", 2.0), ("bound", 1.0), ("twilight", 2.5)]),
        ];
        Results { heats }
    }

    /// Checks that the words appear in the text in this order.
    fn assert_in_order(text: &str, words: &[&str]) {
        let mut from = 0;
        for word in words {
            match text[from..].find(word) {
                Some(at) => from += at + word.len(),
                None => panic!("{word:?} is not behind the words before it in\n{text}"),
            }
        }
    }

    #[test]
    fn losses_come_first_and_the_tables_last() {
        assert_in_order(
            &page(&results(), "a machine"),
            &[
                "a machine",
                "- An undecoded event, 1000 shards, JSON, zstd-stream: twilight needs 5 % less.",
                "Of 5 comparisons with clients of others, the other is better in 1, equal in 1, and worse in 3.",
                "## What does an event cost with many shards?",
                "- JSON, zstd-stream, 1000 shards: twilight needs 5 % less.",
                "## What does an event cost a whole bot?",
                "- JSON: twilight needs 3.3 times as much; discord-gateway (Python) 30 times as much.",
                "- JSON, zstd-stream: serenity (payload compression) needs the same.",
                "## What does an event cost that is passed on undecoded?",
                "- JSON: lower bound needs 50 % less; twilight 25 % more.",
                "## The tables",
                "### end-to-end-small-bot",
                "| json-plain | twilight | 1.650 | 3.30 |",
                "### growth-1000",
            ],
        );
    }

    #[test]
    fn a_peak_of_memory_that_is_higher_is_a_loss() {
        let mut results = results();
        for (row, peak) in results.heats[0].rows.iter_mut().zip([2048.0, 1024.0, 4096.0]) {
            row.values.insert("peak KiB".to_owned(), vec![peak]);
        }
        assert_in_order(
            &page(&results, ""),
            &[
                "- Peak memory of a bot with one shard, JSON: twilight needs 50 % less.",
                "the other is better in 2, equal in 1, and worse in 4.",
                "## How much memory does a bot with one shard need at most?",
            ],
        );
    }

    fn svg_files(folder: &Path) -> BTreeMap<PathBuf, String> {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let drawn = files.filter(|path| path.extension().is_some_and(|extension| extension == "svg"));
        drawn.map(|path| (path.file_name().unwrap().into(), fs::read_to_string(path).unwrap())).collect()
    }

    /// The committed report matches this code and the figures beside it: every chart that the page names exists, and no
    /// other.
    #[test]
    fn the_committed_report_matches_the_committed_figures() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("report");
        let text = fs::read_to_string(kept.join("figures.json")).unwrap();
        let (results, machine) = Results::from_json(&text).unwrap();
        let folder = std::env::temp_dir().join(format!("gateway-bench-report-{}", std::process::id()));
        super::super::report(&results, &machine, &folder).unwrap();
        let made = (fs::read_to_string(folder.join("README.md")).unwrap(), svg_files(&folder));
        fs::remove_dir_all(&folder).unwrap();
        let named: BTreeSet<&str> =
            made.0.split("](").filter_map(|rest| rest.split_once(".svg)").map(|(name, _)| name)).collect();
        assert_eq!(named.len(), made.1.len());
        assert_eq!(fs::read_to_string(kept.join("README.md")).unwrap(), made.0, "run the bench with --again");
        assert!(svg_files(&kept) == made.1, "the charts differ: run the bench with --again");
    }
}
