//! Scripts: timed control commands as data.

use std::time::Duration;

use serde_json::Value;

use crate::control::{Control, Target};
use crate::control_error::ControlError;
use crate::control_parser;
use crate::rules::Point;

/// One step of a script.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScriptStep {
    /// The time of the step.
    pub when: When,
    /// The target. `None`: the connection that reached the point, or everything.
    pub target: Option<Target>,
    /// The command.
    pub control: Control,
}

/// The time of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// This long after the start of the gateway.
    Start(Duration),
    /// This long after a connection reached a point for the `number`th time, counted over all connections from 1.
    Reached {
        /// The point.
        point: Point,
        /// The occurrence: 1 for the first.
        number: u64,
        /// The delay.
        after: Duration,
    },
}

impl ScriptStep {
    /// Creates a step.
    pub fn new(when: When, control: Control) -> Self {
        Self { when, target: None, control }
    }

    /// Parses a script: one JSON object on each line. Empty lines and lines that start with `#` are ignored.
    ///
    /// `do` is a command of the control interface, with its arguments beside it. `at` is the time in seconds, counted
    /// from the start. With `on` (a point) and `number` (default 1) it counts from that point.
    ///
    /// ```
    /// let script = r#"
    ///     {"at": 1.5, "do": "emit", "n": 100}
    ///     {"on": "ready", "at": 2, "do": "abort"}
    ///     {"on": "resumed", "number": 2, "do": "close", "code": 4000}
    /// "#;
    /// assert_eq!(gateway_sim::ScriptStep::parse(script)?.len(), 3);
    /// # Ok::<(), gateway_sim::ControlError>(())
    /// ```
    ///
    /// # Errors
    /// A sentence about the first invalid line, with its number.
    pub fn parse(text: &str) -> Result<Vec<Self>, ControlError> {
        let lines = text.lines().map(str::trim).zip(1..);
        lines
            .filter(|(line, _)| !line.is_empty() && !line.starts_with('#'))
            .map(|(line, number)| {
                Self::parse_line(line).map_err(|error| ControlError::new(format!("line {number}: {error}")))
            })
            .collect()
    }

    fn parse_line(line: &str) -> Result<Self, ControlError> {
        let sentence = |text: &str| ControlError::new(text);
        let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else {
            return Err(sentence("not a JSON object"));
        };
        let Some(Value::String(command)) = fields.remove("do") else {
            return Err(sentence("`do` must be the name of a command"));
        };
        let after = match fields.remove("at") {
            None => Some(Duration::ZERO),
            Some(seconds) => seconds.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        };
        let after = after.ok_or_else(|| sentence("`at` must be a number of seconds"))?;
        // For a rule, `on` is an argument and not the time of the step.
        let point = match fields.get("on").filter(|_| command != "rule") {
            None => None,
            Some(name) => Some(control_parser::point(name.as_str().unwrap_or_default())?),
        };
        let when = match point {
            None => When::Start(after),
            Some(point) => {
                fields.remove("on");
                let number = fields.remove("number").map_or(Some(1), |number| number.as_u64());
                let number = number.ok_or_else(|| sentence("`number` must be a number"))?;
                When::Reached { point, number, after }
            }
        };
        let arguments: Vec<_> = fields
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(text) => (name, text),
                other => (name, other.to_string()),
            })
            .collect();
        let (target, control) = Control::parse(&command, arguments)?;
        Ok(Self { when, target: (target != Target::All).then_some(target), control })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_steps() {
        let steps = ScriptStep::parse(
            "# a comment\n\n{\"at\":0.5,\"do\":\"event\",\"name\":\"X\",\"d\":{\"a\":[1]}}\n\
             {\"on\":\"ready\",\"number\":3,\"at\":1,\"do\":\"abort\",\"shard\":2}\n\
             {\"at\":1,\"do\":\"rule\",\"on\":\"hello\",\"do\":\"rule\"}",
        )
        .unwrap();
        assert_eq!(steps[0].when, When::Start(Duration::from_millis(500)));
        let Control::Event { data, .. } = &steps[0].control else { panic!("{steps:?}") };
        assert_eq!(data["a"][0], 1);
        assert_eq!(
            steps[1].when,
            When::Reached { point: Point::Ready, number: 3, after: Duration::from_secs(1) }
        );
        assert_eq!(steps[1].target, Some(Target::Shard(2)));
        assert_eq!(steps[2].control, Control::ClearRules(Some(Point::Hello)));
    }

    #[test]
    fn errors_name_their_line() {
        for (script, sentence) in [
            ("{}", "line 1: `do` must be the name of a command"),
            ("\n[]", "line 2: not a JSON object"),
            ("{\"do\":\"abort\",\"at\":-1}", "line 1: `at` must be a number of seconds"),
            ("{\"do\":\"abort\",\"on\":\"tea\"}", "line 1: there is no point \"tea\""),
            ("{\"do\":\"jump\"}", "line 1: there is no command \"jump\""),
            ("{\"do\":\"abort\",\"on\":\"ready\",\"number\":\"x\"}", "line 1: `number` must be a number"),
        ] {
            assert_eq!(ScriptStep::parse(script).unwrap_err().to_string(), sentence);
        }
    }
}
