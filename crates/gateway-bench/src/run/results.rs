//! Figures, medians and ratios.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use super::Heat;

/// The figures of one contender in one heat.
#[derive(Debug, Clone)]
pub struct Row {
    /// The contender.
    pub who: String,
    /// The values of each figure, one for each round.
    pub values: BTreeMap<String, Vec<f64>>,
}

/// All figures of a run.
#[derive(Debug, Clone, Default)]
pub struct Results {
    /// The heats in their order.
    pub heats: Vec<Measured>,
}

/// One heat and its rows.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The job.
    pub job: String,
    /// Our mode.
    pub mode: String,
    /// One row for each contender.
    pub rows: Vec<Row>,
}

/// The figures of which ratios are computed: less is better.
const COSTS: [&str; 5] =
    ["instructions a message", "ns a message", "CPU us an event", "KiB a shard", "CPU ms a shard-hour"];

impl Row {
    /// The figure of which ratios are computed, and its value.
    pub fn cost(&self) -> Option<(&'static str, f64)> {
        COSTS.iter().find_map(|name| Some((*name, self.median(name)?)))
    }

    /// The median of a figure's rounds.
    pub fn median(&self, name: &str) -> Option<f64> {
        let mut values = self.values.get(name)?.clone();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            count if count % 2 == 1 => Some(values[middle]),
            _ => Some(f64::midpoint(values[middle - 1], values[middle])),
        }
    }
}

impl Measured {
    /// The cost of each other contender divided by ours: above 1 if ours is better.
    pub fn ratios(&self) -> Vec<(String, f64)> {
        let ours = self.rows.iter().find(|row| row.who == "ours").and_then(Row::cost);
        let Some((_, ours)) = ours.filter(|(_, cost)| *cost > 0.0) else { return Vec::new() };
        let others = self.rows.iter().filter(|row| row.who != "ours");
        others.filter_map(|row| Some((row.who.clone(), row.cost()?.1 / ours))).collect()
    }
}

impl Results {
    pub(super) fn add(&mut self, heat: &Heat, rows: Vec<Row>) {
        self.heats.push(Measured { job: heat.job.clone(), mode: heat.mode.to_string(), rows });
    }

    /// `JOB/ENCODING-COMPRESSION/PEER`, and the peer's cost divided by ours.
    ///
    /// For growth the peer is `one-shard`: the cost of an event with one shard, divided by that with many.
    pub fn ratios(&self) -> BTreeMap<String, f64> {
        let mut ratios = BTreeMap::new();
        for heat in &self.heats {
            for (who, ratio) in heat.ratios() {
                ratios.insert(format!("{}/{}/{who}", heat.job, heat.mode), ratio);
            }
            if let Some(shards) =
                heat.job.strip_prefix("idle-guilds-").or(heat.job.strip_prefix("idle-ready-"))
                && shards == "100"
            {
                // The name without the number of shards.
                let job = heat.job.trim_end_matches("-100");
                for (who, ratio) in heat.ratios() {
                    ratios.insert(format!("{job}/{}/{who}", heat.mode), ratio);
                }
            }
            if heat.job.starts_with("growth-")
                && let Some(one) = self.cost("growth-1", &heat.mode)
                && let Some(many) = self.cost(&heat.job, &heat.mode)
            {
                ratios.insert(format!("{}/{}/one-shard", heat.job, heat.mode), one / many);
            }
        }
        ratios
    }

    /// Our cost in a heat.
    fn cost(&self, job: &str, mode: &str) -> Option<f64> {
        let heat = self.heats.iter().find(|heat| heat.job == job && heat.mode == mode)?;
        heat.rows.iter().find(|row| row.who == "ours")?.cost().map(|(_, cost)| cost)
    }

    /// Parses the output of [`Results::to_json`]. Returns its `machine` too.
    ///
    /// # Errors
    ///
    /// A sentence about what is missing.
    pub fn from_json(text: &str) -> Result<(Self, String), String> {
        let all: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let word = |value: &Value, name: &str| {
            value[name].as_str().map(str::to_owned).ok_or_else(|| format!("no {name} in {value}"))
        };
        let heats = all["heats"].as_array().ok_or("no heats")?;
        let heats = heats.iter().map(|heat| {
            let contenders = heat["contenders"].as_object().ok_or("no contenders")?;
            let rows = contenders.iter().map(|(who, values)| {
                let values = serde_json::from_value(values.clone()).map_err(|error| error.to_string())?;
                Ok(Row { who: who.clone(), values })
            });
            let rows = rows.collect::<Result<_, String>>()?;
            Ok(Measured { job: word(heat, "job")?, mode: word(heat, "mode")?, rows })
        });
        Ok((Self { heats: heats.collect::<Result<_, String>>()? }, word(&all, "machine")?))
    }

    /// Everything as JSON: `machine`, `ratios`, and `heats` with the figures of each round.
    pub fn to_json(&self, machine: &str) -> String {
        let ratios: Map<String, Value> =
            self.ratios().into_iter().map(|(key, ratio)| (key, rounded(ratio))).collect();
        let heats: Vec<Value> = self
            .heats
            .iter()
            .map(|heat| {
                let rows: Map<String, Value> = heat
                    .rows
                    .iter()
                    .map(|row| {
                        let figures = row.values.iter().map(|(name, values)| {
                            (name.clone(), values.iter().map(|value| rounded(*value)).collect())
                        });
                        (row.who.clone(), Value::Object(figures.collect()))
                    })
                    .collect();
                json!({"job": heat.job, "mode": heat.mode, "contenders": rows})
            })
            .collect();
        let all = json!({"machine": machine, "ratios": ratios, "heats": heats});
        format!("{all:#}\n")
    }
}

/// Rounds to four significant digits.
fn rounded(value: f64) -> Value {
    if value == 0.0 {
        return json!(0);
    }
    let scale = 10_f64.powi(3 - value.abs().log10().floor() as i32);
    json!((value * scale).round() / scale)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<14}", self.who)?;
        for name in self.values.keys() {
            if let Some(median) = self.median(name) {
                write!(f, " {median:>11.3} {name}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(who: &str, values: &[f64]) -> Row {
        Row { who: who.to_owned(), values: BTreeMap::from([("ns a message".to_owned(), values.to_vec())]) }
    }

    fn measured(job: &str, rows: Vec<Row>) -> Measured {
        Measured { job: job.to_owned(), mode: "json-plain".to_owned(), rows }
    }

    #[test]
    fn the_middle_counts() {
        assert_eq!(row("ours", &[9.0, 1.0, 2.0]).median("ns a message"), Some(2.0));
        assert_eq!(row("ours", &[4.0, 1.0, 2.0, 90.0]).median("ns a message"), Some(3.0));
        assert_eq!(row("ours", &[]).median("ns a message"), None);
        assert_eq!(row("ours", &[1.0]).median("anything else"), None);
    }

    #[test]
    fn ratios_are_above_one_where_ours_is_better() {
        let heats = vec![
            measured(
                "envelope",
                vec![row("ours", &[50.0]), row("twilight", &[200.0]), row("bound", &[25.0])],
            ),
            measured("growth-1", vec![row("ours", &[10.0])]),
            measured("growth-1000", vec![row("ours", &[12.5])]),
            measured("idle-guilds-100", vec![row("ours", &[2.0]), row("twilight", &[8.0])]),
        ];
        let ratios = Results { heats }.ratios();
        let expected = [
            ("envelope/json-plain/bound", 0.5),
            ("envelope/json-plain/twilight", 4.0),
            ("growth-1/json-plain/one-shard", 1.0),
            ("growth-1000/json-plain/one-shard", 0.8),
            ("idle-guilds-100/json-plain/twilight", 4.0),
            ("idle-guilds/json-plain/twilight", 4.0),
        ];
        assert_eq!(ratios, expected.map(|(key, ratio)| (key.to_owned(), ratio)).into());
    }

    #[test]
    fn what_is_written_is_read() {
        let heats = vec![measured("envelope", vec![row("bound", &[25.0]), row("ours", &[50.0, 51.0])])];
        let text = Results { heats }.to_json("a machine");
        let (results, machine) = Results::from_json(&text).unwrap();
        assert_eq!((results.to_json(&machine), &*machine), (text, "a machine"));
        for missing in ["{}", r#"{"heats":[],"machine":1}"#, r#"{"heats":[{}],"machine":""}"#, "nothing"] {
            assert!(Results::from_json(missing).is_err(), "{missing}");
        }
    }

    #[test]
    fn figures_are_rounded_to_four_digits() {
        for (value, expected) in [(1234.5, 1235.0), (0.012_345_6, 0.012_35), (-2.0, -2.0)] {
            assert_eq!(rounded(value), json!(expected));
        }
    }
}
