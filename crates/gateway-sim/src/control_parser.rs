//! Parses control commands: from the query of `GET /_ctl/COMMAND?…` and from scripts.

use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use crate::bytes_fault::{ByteEffect, ByteFault};
use crate::control::{Control, Target};
use crate::control_error::ControlError;
use crate::framing::{FrameMode, KeyOrder};
use crate::io::ConnectionId;
use crate::response::Response;
use crate::rules::{Action, Point, Rule};

impl Control {
    /// Parses a command with the arguments that README.md lists. `conn`, `session`, `guild` and `shard` name the target.
    ///
    /// ```
    /// use gateway_sim::{Control, Target};
    ///
    /// let arguments = [("n".to_owned(), "3".to_owned()), ("shard".to_owned(), "1".to_owned())];
    /// let (target, control) = Control::parse("emit", arguments)?;
    /// assert_eq!(target, Target::Shard(1));
    /// assert_eq!(control, Control::Emit { count: 3, padding: 0 });
    /// # Ok::<(), gateway_sim::ControlError>(())
    /// ```
    ///
    /// # Errors
    /// A sentence about the first argument that is invalid.
    pub fn parse(
        command: &str,
        arguments: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Target, Self), ControlError> {
        let mut arguments = Arguments { command: command.to_owned(), pairs: arguments.into_iter().collect() };
        let target = arguments.target()?;
        let control = arguments.control()?;
        match arguments.pairs.first() {
            None => Ok((target, control)),
            Some((name, _)) => Err(ControlError::new(format!("{command} has no argument {name:?}"))),
        }
    }

    /// Parses a command from a request target, `/_ctl/COMMAND?name=value&…` with percent-encoding.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_target(target: &str) -> Result<(Target, Self), ControlError> {
        let command = target.strip_prefix("/_ctl/").unwrap_or(target);
        let (command, query) = command.split_once('?').unwrap_or((command, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self::parse(command, pairs.collect::<Vec<_>>())
    }
}

/// The arguments that have not been read.
struct Arguments {
    command: String,
    pairs: Vec<(String, String)>,
}

impl Arguments {
    fn control(&mut self) -> Result<Control, ControlError> {
        Ok(match self.command.as_str() {
            "state" => Control::State,
            "emit" => Control::Emit { count: self.or("n", 1)?, padding: self.or("pad", 0)? },
            "pump" => Control::Pump {
                rate: self.needed("rate")?,
                duration: self.seconds("secs")?,
                padding: self.or("pad", 0)?,
            },
            "rate" => Control::Rate(self.needed("rate")?),
            "event" => Control::Event { name: self.needed("name")?, data: self.data()? },
            "voice" => Control::Voice { joins: self.or("on", true)? },
            "lose" => Control::Lose { count: self.or("n", 1)? },
            "skip" => Control::Skip { count: self.or("n", 1)? },
            "raw" => Control::Raw(self.needed("json")?),
            "payload" => Control::Payload(self.payload()?),
            "reconnect" => Control::Reconnect { then_emit: self.or("then_emit", 0)? },
            "invalid" => Control::Invalid { resumable: self.or("resumable", false)? },
            "close" => Control::Close { code: self.optional("code")? },
            "abort" => Control::Abort,
            "drop" => Control::Drop,
            "cut" => Control::Cut,
            "mute" => Control::Mute(self.or("on", true)?),
            "silence" => Control::Silence,
            "beat" => Control::Beat,
            "ping" => Control::Ping,
            "hello" => Control::Hello,
            "expire" => Control::Expire,
            "hb" => Control::HeartbeatInterval(Duration::from_millis(self.needed("ms")?)),
            "ack_delay" => Control::AckDelay(self.seconds("secs")?),
            "rule" => self.rule()?,
            "frame" => Control::FrameMode(self.frame_mode()?),
            "keys" => Control::KeyOrder(self.key_order()?),
            "bytes" => Control::Bytes(self.byte_fault()?),
            "down" => Control::Down { duration: self.seconds("secs")?, emit: self.or("emit", 0)? },
            other => return Err(ControlError::new(format!("there is no command {other:?}"))),
        })
    }

    fn target(&mut self) -> Result<Target, ControlError> {
        // For a rule, `shard` is an argument and not the target.
        if matches!(self.command.as_str(), "state" | "rate" | "hb" | "ack_delay" | "rule" | "down") {
            return Ok(Target::All);
        }
        if let Some(connection) = self.optional("conn")? {
            return Ok(Target::Connection(ConnectionId(connection)));
        }
        if let Some(session) = self.optional("session")? {
            return Ok(Target::Session(session));
        }
        if let Some(guild) = self.optional("guild")? {
            return Ok(Target::Guild(guild));
        }
        Ok(self.optional("shard")?.map_or(Target::All, Target::Shard))
    }

    fn rule(&mut self) -> Result<Control, ControlError> {
        let on = self.take("on").map(|name| point(&name)).transpose()?;
        let Some(action) = self.take("do") else {
            return Ok(Control::ClearRules(on));
        };
        let on = on.ok_or_else(|| self.missing("on"))?;
        let action = self.action(&action)?;
        let count = match self.or("count", 1_i64)? {
            -1 => None,
            count => Some(u32::try_from(count).map_err(|_| self.wrong("count", &count.to_string()))?),
        };
        Ok(Control::Rule(Rule {
            on,
            action,
            count,
            after: self.or("after", 0)?,
            shard: self.optional("shard")?,
        }))
    }

    fn action(&mut self, text: &str) -> Result<Action, ControlError> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        Ok(match name {
            "close" if value.is_empty() => Action::Close(None),
            "close" => Action::Close(Some(self.number("do", value)?)),
            "abort" => Action::Abort,
            "drop" => Action::Drop,
            "invalid" => Action::Invalid(self.number("do", value)?),
            "ignore" => Action::Ignore,
            "silence" => Action::Silence,
            "delay" => Action::Delay(self.duration("do", value)?),
            "reconnect" => Action::Reconnect,
            "http" => {
                let status = self.number("do", value)?;
                let mut response = Response::empty(status);
                if let Some(body) = self.take("body") {
                    response.body = body;
                }
                while let Some(header) = self.take("header") {
                    let Some((name, value)) = header.split_once(':') else {
                        return Err(self.wrong("header", &header));
                    };
                    response = response.header(name.trim(), value.trim());
                }
                Action::Http(response)
            }
            "bytes" => {
                let effect = self.effect("do", value)?;
                Action::Bytes(ByteFault { at: self.or("at", 0)?, effect })
            }
            _ => return Err(self.wrong("do", text)),
        })
    }

    fn byte_fault(&mut self) -> Result<ByteFault, ControlError> {
        let Some(effect) = self.take("do") else {
            return Err(self.missing("do"));
        };
        Ok(ByteFault { at: self.or("at", 0)?, effect: self.effect("do", &effect)? })
    }

    fn effect(&self, name: &str, text: &str) -> Result<ByteEffect, ControlError> {
        let (kind, value) = text.split_once(':').unwrap_or((text, ""));
        Ok(match kind {
            "split" => ByteEffect::Split(self.number(name, value)?),
            "delay" => ByteEffect::Delay(self.duration(name, value)?),
            "truncate" => ByteEffect::Truncate(self.number(name, value)?),
            "corrupt" => ByteEffect::Corrupt,
            "stall" => ByteEffect::Stall,
            "half-close" => ByteEffect::HalfClose,
            "reset" => ByteEffect::Reset,
            _ => return Err(self.wrong(name, text)),
        })
    }

    fn frame_mode(&mut self) -> Result<FrameMode, ControlError> {
        let mode: String = self.needed("mode")?;
        match mode.as_str() {
            "whole" => Ok(FrameMode::Whole),
            "fragments" => Ok(FrameMode::Fragments),
            "zsplit" => Ok(FrameMode::ZlibSplit),
            _ => Err(self.wrong("mode", &mode)),
        }
    }

    fn key_order(&mut self) -> Result<KeyOrder, ControlError> {
        let order: String = self.needed("order")?;
        match order.as_str() {
            "usual" => Ok(KeyOrder::Usual),
            "data-first" => Ok(KeyOrder::DataFirst),
            "changing" => Ok(KeyOrder::Changing),
            _ => Err(self.wrong("order", &order)),
        }
    }

    fn data(&mut self) -> Result<Value, ControlError> {
        let Some(text) = self.take("d") else {
            return Ok(Value::Object(serde_json::Map::new()));
        };
        serde_json::from_str(&text).map_err(|error| ControlError::new(format!("d is not JSON: {error}")))
    }

    fn payload(&mut self) -> Result<Value, ControlError> {
        let text: String = self.needed("json")?;
        serde_json::from_str(&text).map_err(|error| ControlError::new(format!("json is not JSON: {error}")))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.pairs.iter().position(|(key, _)| key == name)?;
        Some(self.pairs.remove(index).1)
    }

    fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, ControlError> {
        self.take(name).map(|value| self.number(name, &value)).transpose()
    }

    fn or<T: FromStr>(&mut self, name: &str, usual: T) -> Result<T, ControlError> {
        Ok(self.optional(name)?.unwrap_or(usual))
    }

    fn needed<T: FromStr>(&mut self, name: &str) -> Result<T, ControlError> {
        self.optional(name)?.ok_or_else(|| self.missing(name))
    }

    fn seconds(&mut self, name: &str) -> Result<Duration, ControlError> {
        let Some(value) = self.take(name) else {
            return Err(self.missing(name));
        };
        self.duration(name, &value)
    }

    fn number<T: FromStr>(&self, name: &str, value: &str) -> Result<T, ControlError> {
        value.parse().map_err(|_| self.wrong(name, value))
    }

    fn duration(&self, name: &str, value: &str) -> Result<Duration, ControlError> {
        let seconds: f64 = self.number(name, value)?;
        Duration::try_from_secs_f64(seconds).map_err(|_| self.wrong(name, value))
    }

    fn missing(&self, name: &str) -> ControlError {
        ControlError::new(format!("{} needs {name}", self.command))
    }

    fn wrong(&self, name: &str, value: &str) -> ControlError {
        ControlError::new(format!("{} cannot have {name}={value}", self.command))
    }
}

/// The point with this name.
pub(crate) fn point(name: &str) -> Result<Point, ControlError> {
    let found = Point::NAMES.into_iter().find(|(own, _)| *own == name);
    found.map(|(_, point)| point).ok_or_else(|| ControlError::new(format!("there is no point {name:?}")))
}

/// Decodes percent-encoding, with `+` for a space. An invalid escape is kept.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        let escape = (*byte == b'%')
            .then(|| text.get(index + 1..index + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, escape) {
            (_, Some(escaped)) => {
                decoded.push(escaped);
                index += 2;
            }
            (b'+', None) => decoded.push(b' '),
            (byte, None) => decoded.push(*byte),
        }
        index += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(target: &str) -> Result<Control, String> {
        Control::parse_target(target).map(|(_, control)| control).map_err(|error| error.to_string())
    }

    #[test]
    fn every_command_of_the_readme() {
        let second = Duration::from_secs(1);
        let cases = [
            ("state", Control::State),
            ("emit", Control::Emit { count: 1, padding: 0 }),
            ("emit?n=5&pad=100", Control::Emit { count: 5, padding: 100 }),
            ("pump?rate=2.5&secs=1", Control::Pump { rate: 2.5, duration: second, padding: 0 }),
            ("rate?rate=0", Control::Rate(0.0)),
            (
                "event?name=A%20B&d=%7B%7D",
                Control::Event { name: "A B".to_owned(), data: Value::Object(serde_json::Map::new()) },
            ),
            ("voice?guild=7", Control::Voice { joins: true }),
            ("voice?guild=7&on=false", Control::Voice { joins: false }),
            ("lose", Control::Lose { count: 1 }),
            ("skip?n=3", Control::Skip { count: 3 }),
            ("raw?json={}", Control::Raw("{}".to_owned())),
            ("payload?json={\"op\":77}", Control::Payload(serde_json::json!({"op": 77}))),
            ("reconnect?then_emit=20", Control::Reconnect { then_emit: 20 }),
            ("invalid?resumable=true", Control::Invalid { resumable: true }),
            ("close?code=4000", Control::Close { code: Some(4000) }),
            ("close", Control::Close { code: None }),
            ("abort", Control::Abort),
            ("drop", Control::Drop),
            ("cut", Control::Cut),
            ("mute", Control::Mute(true)),
            ("mute?on=false", Control::Mute(false)),
            ("silence", Control::Silence),
            ("beat", Control::Beat),
            ("hello", Control::Hello),
            ("ping", Control::Ping),
            ("expire", Control::Expire),
            ("hb?ms=1000", Control::HeartbeatInterval(second)),
            ("ack_delay?secs=1", Control::AckDelay(second)),
            ("rule", Control::ClearRules(None)),
            ("rule?on=hello", Control::ClearRules(Some(Point::Hello))),
            (
                "rule?on=hello&do=close:4000",
                Control::Rule(Rule::once(Point::Hello, Action::Close(Some(4000)))),
            ),
            (
                "rule?on=resume&do=invalid:false&count=-1",
                Control::Rule(Rule::always(Point::Resume, Action::Invalid(false))),
            ),
            ("rule?on=connect&do=delay:1", Control::Rule(Rule::once(Point::Connect, Action::Delay(second)))),
            ("frame?mode=zsplit", Control::FrameMode(FrameMode::ZlibSplit)),
            ("keys?order=data-first", Control::KeyOrder(KeyOrder::DataFirst)),
            ("bytes?at=7&do=split:1", Control::Bytes(ByteFault { at: 7, effect: ByteEffect::Split(1) })),
            ("down?secs=1&emit=2", Control::Down { duration: second, emit: 2 }),
        ];
        for (target, control) in cases {
            assert_eq!(parse(&format!("/_ctl/{target}")), Ok(control), "{target}");
        }
    }

    #[test]
    fn an_upgrade_can_be_refused_with_headers_and_a_body() {
        let control =
            parse("/_ctl/rule?on=upgrade&do=http:429&header=Retry-After:5&header=X:+y&body=no").unwrap();
        let mut response = Response::empty(429).header("Retry-After", "5").header("X", "y");
        response.body = "no".to_owned();
        assert_eq!(control, Control::Rule(Rule::once(Point::Upgrade, Action::Http(response))));
    }

    #[test]
    fn errors_are_sentences() {
        let cases = [
            ("fly", "there is no command \"fly\""),
            ("emit?n=many", "emit cannot have n=many"),
            ("emit?m=1", "emit has no argument \"m\""),
            ("hb?ms=1&conn=1", "hb has no argument \"conn\""),
            ("emit?conn=1&session=1", "emit has no argument \"session\""),
            ("payload", "payload needs json"),
            ("pump?rate=1", "pump needs secs"),
            ("pump?rate=1&secs=-1", "pump cannot have secs=-1"),
            ("rule?do=abort", "rule needs on"),
            ("rule?on=lunch&do=abort", "there is no point \"lunch\""),
            ("rule?on=hello&do=dance", "rule cannot have do=dance"),
            ("rule?on=hello&do=abort&count=-2", "rule cannot have count=-2"),
            ("frame?mode=half", "frame cannot have mode=half"),
        ];
        for (target, sentence) in cases {
            assert_eq!(parse(&format!("/_ctl/{target}")), Err(sentence.to_owned()), "{target}");
        }
        assert!(parse("/_ctl/event?name=A&d={").unwrap_err().starts_with("d is not JSON"));
        assert!(parse("/_ctl/payload?json=op").unwrap_err().starts_with("json is not JSON"));
    }

    #[test]
    fn targets() {
        let target = |text: &str| Control::parse_target(text).unwrap().0;
        assert_eq!(target("/_ctl/abort"), Target::All);
        assert_eq!(target("/_ctl/abort?conn=3"), Target::Connection(ConnectionId(3)));
        assert_eq!(target("/_ctl/abort?session=2"), Target::Session(2));
        assert_eq!(target("/_ctl/abort?shard=0"), Target::Shard(0));
        assert_eq!(target("/_ctl/event?name=A&guild=7"), Target::Guild(7));
    }

    #[test]
    fn escapes() {
        assert_eq!(decode("a%2Bb+c%zz%"), "a+b c%zz%");
        assert_eq!(decode("%C3%A9"), "é");
        assert_eq!(decode("é%é"), "é%é");
    }
}
